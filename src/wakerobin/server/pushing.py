"""The push services of the configured apps: for each provider, how one is made of an app's settings."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.ids import Entropy
from wakerobin.core.values import Provider
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.options import AppOptions
from wakerobin.ports.push import PushService
from wakerobin.ports.store import Store
from wakerobin.push.acrobits import acrobits_service
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import Surroundings
from wakerobin.push.fcm import FcmService, ProjectPace, read_service_account
from wakerobin.push.jwt import TeamToken, read_signing_key
from wakerobin.push.privacy import FULL, PrivatePushService
from wakerobin.push.webhook import webhook_service
from wakerobin.push.webpush import WebPushService, public_key, read_vapid_key


@dataclass(frozen=True, slots=True)
class Workshop:
    """What push services are made with, and what those of several apps share."""

    store: Store
    around: Surroundings
    policy: DestinationPolicy
    team_tokens: dict[tuple[str, str, str], TeamToken] = field(default_factory=dict)
    """Apple counts the tokens of a team, so that its apps must use the same."""
    fcm_projects: dict[str, str] = field(default_factory=dict)
    """The Firebase project of each table of settings."""
    project_paces: dict[str, ProjectPace] = field(default_factory=dict)
    """Google counts what is sent for a project, whichever of its apps it is for."""


Maker: TypeAlias = Callable[[Workshop, AppOptions, str], PushService | None]
"""Makes the service from the table `apps.NAME`, whose name it is given; None where it is not set up."""


def _apns(shop: Workshop, app: AppOptions, where: str) -> PushService | None:
    if app.apns is None:
        return None
    group = f"{where}.apns"
    if app.apns.cert_file:
        return ApnsService(app.apns, None, shop.around, shop.policy, key=group)
    key = read_signing_key(app.apns, group)
    team = (key.team_id, key.key_id, key.fingerprint)
    around = shop.around
    if team not in shop.team_tokens:
        shop.team_tokens[team] = TeamToken(key, shop.store, around.clock, around.timers)
    return ApnsService(app.apns, shop.team_tokens[team], around, shop.policy, key=group)


def _fcm(shop: Workshop, app: AppOptions, where: str) -> PushService | None:
    if app.fcm is None:
        return None
    account = read_service_account(app.fcm.service_account_file, f"{where}.fcm.service_account_file")
    shop.fcm_projects[where] = account.project
    pace = shop.project_paces.setdefault(account.project, ProjectPace(shop.around.clock.monotonic()))
    return FcmService(app.fcm, account, pace, shop.around, shop.policy, key=f"{where}.fcm")


def _webhook(shop: Workshop, app: AppOptions, where: str) -> PushService | None:
    if app.webhook is None:
        return None
    return webhook_service(app.webhook, shop.around, shop.policy, key=f"{where}.webhook")


def _acrobits(shop: Workshop, app: AppOptions, where: str) -> PushService | None:
    if app.acrobits is None:
        return None
    return acrobits_service(app.acrobits, shop.around, shop.policy, key=f"{where}.acrobits")


def _webpush(shop: Workshop, app: AppOptions, where: str, provider: Provider) -> PushService | None:
    if app.webpush is None:
        return None
    group = f"{where}.webpush"
    key = read_vapid_key(app.webpush, group)
    return WebPushService(app.webpush, key, shop.around, shop.policy, provider=provider, group=group)


MAKERS: Final[dict[Provider, Maker]] = {
    Provider.APNS: _apns,
    Provider.WEBPUSH: functools.partial(_webpush, provider=Provider.WEBPUSH),
    Provider.UNIFIEDPUSH: functools.partial(_webpush, provider=Provider.UNIFIEDPUSH),
    Provider.FCM: _fcm,
    Provider.WEBHOOK: _webhook,
    Provider.ACROBITS: _acrobits,
}


class PushServices:
    """Finds the push service for an app's target. Raises ConfigurationError for a key that is none."""

    def __init__(  # noqa: PLR0913 - the ports that connections stand on, one by one
        self,
        apps: dict[str, AppOptions],
        store: Store,
        clock: Clock,
        timers: Timers,
        entropy: Entropy,
        policy: DestinationPolicy,
        on_date: Callable[[int], None] | None = None,
    ) -> None:
        """`on_date` hears the time that push services tell, epoch milliseconds, now and then."""
        self.clock_ahead: int | None = None
        """By how many milliseconds the machine's clock was ahead of a push service's; None: none told yet."""
        self._clock = clock
        self._on_date = on_date
        self._services: dict[tuple[str, Provider], PushService] = {}
        self._webpush_keys = {
            name: public_key(app.webpush, f"apps.{name}.webpush")
            for name, app in apps.items()
            if app.webpush is not None
        }
        self._shop = shop = Workshop(store, Surroundings(clock, timers, entropy, on_date=self._dated), policy)
        for name, app in apps.items():
            for provider, make in MAKERS.items():
                service = make(shop, app, f"apps.{name}")
                if service is None:
                    continue
                if app.push_privacy != FULL:
                    service = PrivatePushService(service, app.push_privacy, entropy)
                self._services[name, provider] = service

    def _dated(self, at: int) -> None:
        self.clock_ahead = self._clock.now() - at
        if self._on_date is not None:
            self._on_date(at)

    def of(self, app: str, provider: Provider) -> PushService | None:
        """Return the service of an app, None where it has no credentials for that provider."""
        return self._services.get((app, provider))

    def webpush_key(self, app: str) -> str:
        """Return the key with which an app's pages subscribe, base64url; empty where it has no Web Push."""
        return self._webpush_keys.get(app, "")

    def fcm_project(self, app: str) -> str:
        """Return the Firebase project of an app, empty where it has none."""
        return self._shop.fcm_projects.get(f"apps.{app}", "")

    async def warm(self) -> None:
        """Open the connections that calls must not wait for."""
        await asyncio.gather(*(service.warm() for service in self._services.values()))

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.gather(*(service.close() for service in self._services.values()))

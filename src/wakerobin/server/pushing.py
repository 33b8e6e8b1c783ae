"""The push services of the configured apps: for each provider, how one is made of an app's settings."""

from __future__ import annotations

import asyncio
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
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import Surroundings
from wakerobin.push.jwt import TeamToken, read_signing_key


@dataclass(frozen=True, slots=True)
class Workshop:
    """What push services are made with, and what those of several apps share."""

    store: Store
    around: Surroundings
    policy: DestinationPolicy
    team_tokens: dict[tuple[str, str, str], TeamToken] = field(default_factory=dict)
    """Apple counts the tokens of a team, so that its apps must use the same."""


Maker: TypeAlias = Callable[[Workshop, AppOptions, str], PushService | None]
"""Makes the service from the table `apps.NAME`, whose name it is given; None where it is not set up."""


def _apns(shop: Workshop, app: AppOptions, where: str) -> PushService | None:
    if app.apns is None:
        return None
    group = f"{where}.apns"
    key = read_signing_key(app.apns, group)
    team = (key.team_id, key.key_id, key.fingerprint)
    around = shop.around
    if team not in shop.team_tokens:
        shop.team_tokens[team] = TeamToken(key, shop.store, around.clock, around.timers)
    return ApnsService(app.apns, shop.team_tokens[team], around, shop.policy, key=group)


MAKERS: Final[dict[Provider, Maker]] = {
    Provider.APNS: _apns,
}


class PushServices:
    """Finds the push service for an app's target. Raises ConfigurationError for a key that is none."""

    def __init__(
        self,
        apps: dict[str, AppOptions],
        store: Store,
        clock: Clock,
        timers: Timers,
        entropy: Entropy,
        policy: DestinationPolicy,
    ) -> None:
        self._services: dict[tuple[str, Provider], PushService] = {}
        shop = Workshop(store, Surroundings(clock, timers, entropy), policy)
        for name, app in apps.items():
            for provider, make in MAKERS.items():
                service = make(shop, app, f"apps.{name}")
                if service is not None:
                    self._services[name, provider] = service

    def of(self, app: str, provider: Provider) -> PushService | None:
        """Return the service of an app, None where it has no credentials for that provider."""
        return self._services.get((app, provider))

    async def warm(self) -> None:
        """Open the connections that calls must not wait for."""
        await asyncio.gather(*(service.warm() for service in self._services.values()))

    async def close(self) -> None:
        """Close every connection."""
        for service in self._services.values():
            await service.close()

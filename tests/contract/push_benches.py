"""The push services under contract, each with a fake behind it that can be put in any mood.

A further provider is one more `Bench` in `BENCHES`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tests.system.push_doubles import AcrobitsDouble, FcmDouble, WebhookDouble
from tests.system.pushing import LoopClock, service_for
from tests.system.webpush_double import Subscription, WebPushDouble
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import PushMessage, PushType
from wakerobin.core.values import Provider
from wakerobin.ports.push import PushService
from wakerobin.push.acrobits import acrobits_service
from wakerobin.push.connection import Surroundings
from wakerobin.push.fcm import FcmService, ProjectPace, read_service_account
from wakerobin.push.webhook import webhook_service
from wakerobin.push.webpush import WebPushService, read_vapid_key
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_script import Behaviour, Refuse

GONE_AT: Final = 1_700_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A service under test and the moods of the fake behind it."""

    service: PushService
    provider: Provider
    mood: Callable[[Behaviour], None]
    """What happens to the next push."""
    forget: Callable[[str], None]
    """Forget a device."""
    stop: Callable[[], Any]
    """Take the fake away; awaitable."""
    received: Callable[[], list[tuple[str, str]]]
    """Device and id of each push that the fake accepted."""
    gone: Refuse
    throttled: Refuse
    in_trouble: Refuse
    misconfigured: Refuse
    malformed: Refuse
    gone_at: int = 0
    """What `gone` says of when."""
    refuses: frozenset[PushType] = frozenset()
    """The types of push that this provider has no way to carry."""
    quiet: PushType = PushType.RENEW
    """A type that it carries and that is no call."""
    address: Callable[[PushMessage], PushMessage] = lambda message: message
    """Gives a message a target of this provider; its token stays."""


@contextlib.asynccontextmanager
async def apns(directory: Path) -> AsyncIterator[Bench]:
    async with FakePns(directory) as pns, service_for(pns, warm=False) as service:
        yield Bench(
            service=service,
            provider=Provider.APNS,
            mood=pns.next,
            forget=lambda token: pns.forget(token, at=GONE_AT),
            stop=pns.close,
            received=lambda: [(p.token, p.headers["apns-id"]) for p in pns.pushes if p.is_accepted],
            gone=Refuse(status=410, reason="Unregistered", timestamp=GONE_AT),
            throttled=Refuse(status=429, reason="TooManyRequests", retry_after="9"),
            in_trouble=Refuse(status=503, reason="ServiceUnavailable", retry_after="9"),
            misconfigured=Refuse(status=403, reason="InvalidProviderToken"),
            malformed=Refuse(status=400, reason="BadMessageId"),
            gone_at=GONE_AT,
            refuses=frozenset({PushType.CALL_OVER}),
        )
        assert pns.thrown_out == []


def addressed(provider: Provider, **changes: Any) -> Callable[[PushMessage], PushMessage]:
    return lambda message: replace(message, target=replace(message.target, provider=provider, **changes))


@contextlib.asynccontextmanager
async def fcm(directory: Path) -> AsyncIterator[Bench]:
    clock = LoopClock()
    async with FcmDouble(directory) as double:
        assert isinstance(double, FcmDouble)
        options = double.options()
        account = read_service_account(options.service_account_file, "apps.phone.fcm.service_account_file")
        around = Surroundings(clock, clock, os.urandom)
        service = FcmService(options, account, ProjectPace(clock.monotonic()), around, DestinationPolicy())

        def received() -> list[tuple[str, str]]:
            messages = [one.body["message"] for one in double.accepted]
            return [(one["token"], json.loads(one["data"]["wakerobin"])["id"]) for one in messages]

        try:
            yield Bench(
                service=service,
                provider=Provider.FCM,
                mood=double.next,
                forget=double.gone.add,
                stop=double.close,
                received=received,
                gone=Refuse(status=404, reason="UNREGISTERED"),
                throttled=Refuse(status=429, reason="QUOTA_EXCEEDED", retry_after="9"),
                in_trouble=Refuse(status=503, reason="UNAVAILABLE", retry_after="9"),
                misconfigured=Refuse(status=403, reason="PERMISSION_DENIED"),
                malformed=Refuse(status=400, reason="INVALID_ARGUMENT"),
                address=addressed(Provider.FCM),
            )
        finally:
            await service.close()
        assert double.thrown_out == []
        assert double.oauth.refused == []


@contextlib.asynccontextmanager
async def webhook(directory: Path) -> AsyncIterator[Bench]:
    clock = LoopClock()
    async with WebhookDouble(directory) as double:
        assert isinstance(double, WebhookDouble)
        around = Surroundings(clock, clock, os.urandom)
        service = webhook_service(double.options(), around, DestinationPolicy())
        try:
            yield Bench(
                service=service,
                provider=Provider.WEBHOOK,
                mood=double.next,
                forget=double.gone.add,
                stop=double.close,
                received=lambda: [(p.body["target"]["token"], p.body["id"]) for p in double.accepted],
                gone=Refuse(status=410),
                throttled=Refuse(status=429, retry_after="9"),
                in_trouble=Refuse(status=503, retry_after="9"),
                misconfigured=Refuse(status=401),
                malformed=Refuse(status=422),
                address=addressed(Provider.WEBHOOK),
            )
        finally:
            await service.close()
        assert double.thrown_out == []


@contextlib.asynccontextmanager
async def acrobits(directory: Path) -> AsyncIterator[Bench]:
    clock = LoopClock()
    async with AcrobitsDouble(directory) as double:
        assert isinstance(double, AcrobitsDouble)
        around = Surroundings(clock, clock, os.urandom)
        service = acrobits_service(double.options(), around, DestinationPolicy())
        try:
            yield Bench(
                service=service,
                provider=Provider.ACROBITS,
                mood=double.next,
                forget=double.gone.add,
                stop=double.close,
                received=lambda: [(p.body["DeviceToken"], p.body["Id"]) for p in double.accepted],
                gone=Refuse(status=404),
                throttled=Refuse(status=429, retry_after="9"),
                in_trouble=Refuse(status=503, retry_after="9"),
                misconfigured=Refuse(status=403),
                malformed=Refuse(status=400),
                refuses=frozenset({PushType.RENEW, PushType.VERIFY, PushType.CALL_OVER}),
                quiet=PushType.EXPIRY_WARNING,
                address=addressed(Provider.ACROBITS, topic="com.example.softphone"),
            )
        finally:
            await service.close()
        assert double.thrown_out == []


@contextlib.asynccontextmanager
async def web_push(directory: Path, provider: Provider, silent: frozenset[PushType]) -> AsyncIterator[Bench]:
    clock = LoopClock()
    async with WebPushDouble(directory, "127.83.4.1") as double:
        options = double.options()
        around = Surroundings(clock, clock, os.urandom)
        key = read_vapid_key(options, "apps.phone.webpush")
        service = WebPushService(options, key, around, DestinationPolicy(), provider=provider)

        def subscribed(token: str) -> Subscription:
            return double.subscriptions.get(f"/push/{token}") or double.subscribe(token, provider)

        def addressed_to(message: PushMessage) -> PushMessage:
            token = message.target.token.reveal()
            is_one = len(token) == 64
            subscription = subscribed(token) if is_one else Subscription(f"/push/{token}", provider)
            return replace(message, target=double.target(subscription))

        def received() -> list[tuple[str, str]]:
            accepted = [push for push in double.pushes if push.is_accepted]
            return [(p.path.removeprefix("/push/"), p.message["wakerobin"]["id"]) for p in accepted]

        def forget(token: str) -> None:
            subscribed(token).is_gone = True

        try:
            yield Bench(
                service=service,
                provider=provider,
                mood=double.next,
                forget=forget,
                stop=double.close,
                received=received,
                gone=Refuse(status=410),
                throttled=Refuse(status=429, retry_after="9"),
                in_trouble=Refuse(status=503, retry_after="9"),
                misconfigured=Refuse(status=403, reason="BadJwtToken"),
                malformed=Refuse(status=400),
                refuses=silent,
                quiet=PushType.EXPIRY_WARNING if silent else PushType.RENEW,
                address=addressed_to,
            )
        finally:
            await service.close()
        assert double.thrown_out == []


def browser(directory: Path) -> AbstractAsyncContextManager[Bench]:
    return web_push(directory, Provider.WEBPUSH, frozenset({PushType.RENEW}))


def unifiedpush(directory: Path) -> AbstractAsyncContextManager[Bench]:
    return web_push(directory, Provider.UNIFIEDPUSH, frozenset())


BENCHES: Final = [apns, fcm, webhook, acrobits, browser, unifiedpush]

"""Pushes that are posted to a server of the operator's: tries of a call, and where they may go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.push_doubles import WebhookDouble
from tests.system.pushing import message
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, Unavailable
from wakerobin.push.connection import PoolOptions, Surroundings
from wakerobin.push.posting import PostingService
from wakerobin.push.webhook import webhook_service
from wakerobin.testing.clock import START, ManualClock
from wakerobin.testing.pns_script import Refuse, Silence


@pytest.fixture
async def hook(tmp_path: Path) -> AsyncIterator[WebhookDouble]:
    async with WebhookDouble(tmp_path) as double:
        assert isinstance(double, WebhookDouble)
        yield double
        assert double.thrown_out == []


@pytest.fixture
def clock(hook: WebhookDouble) -> ManualClock:
    clock = ManualClock()
    hook.now = lambda: clock.now() / 1000
    return clock


@pytest.fixture
async def service(hook: WebhookDouble, clock: ManualClock) -> AsyncIterator[PostingService]:
    around = Surroundings(clock, clock, os.urandom)
    # No copy over a second connection: the tries are what is looked at here.
    pool = PoolOptions(repeat_after=1000.0)
    made = webhook_service(hook.options(), around, DestinationPolicy(), pool=pool)
    yield made
    await made.close()


async def after(clock: ManualClock, hook: WebhookDouble, count: int, milliseconds: int) -> None:
    """Wait until so many pushes came in, then let time pass."""
    async with asyncio.timeout(5):
        while len(hook.received) < count:
            await asyncio.sleep(0)
    await clock.run_until(clock.now() + milliseconds)


async def test_a_call_is_tried_again_when_nobody_answers_in_two_seconds(
    hook: WebhookDouble, clock: ManualClock, service: PostingService
) -> None:
    hook.next(Silence(), Silence())
    sending = asyncio.ensure_future(service.send(message(), clock.monotonic() + 30))
    await after(clock, hook, 1, 2_100)
    await after(clock, hook, 2, 2_100)
    assert isinstance(await sending, Accepted)
    assert [one.status for one in hook.received] == [0, 0, 204]
    assert len({one.headers["webhook-id"] for one in hook.received}) == 1
    assert clock.now() - START < 5_000


async def test_a_call_is_given_up_after_three_tries(
    hook: WebhookDouble, clock: ManualClock, service: PostingService
) -> None:
    hook.next(*[Silence()] * 3)
    sending = asyncio.ensure_future(service.send(message(), clock.monotonic() + 30))
    for count in (1, 2, 3):
        await after(clock, hook, count, 2_100)
    outcome = await sending
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is None
    assert len(hook.received) == 3


async def test_a_call_is_not_tried_again_when_it_was_withdrawn(
    hook: WebhookDouble, clock: ManualClock, service: PostingService
) -> None:
    hook.next(Silence())
    outcomes: list[Outcome] = []
    attempt = service.begin(message(), clock.monotonic() + 30, outcomes.append)
    async with asyncio.timeout(5):
        while not hook.received:
            await asyncio.sleep(0)
    attempt.withdraw()
    await clock.run_until(clock.now() + 5_000)
    assert [type(outcome) for outcome in outcomes] == [Unavailable]
    assert len(hook.received) == 1


async def test_what_is_no_call_is_tried_once_until_its_deadline(
    hook: WebhookDouble, clock: ManualClock, service: PostingService
) -> None:
    hook.next(Silence())
    sending = asyncio.ensure_future(service.send(message(PushType.EXPIRED), clock.monotonic() + 20))
    await after(clock, hook, 1, 15_000)
    assert not sending.done()
    await clock.run_until(clock.now() + 6_000)
    assert isinstance(await sending, Unavailable)
    assert len(hook.received) == 1


async def test_a_redirect_is_not_followed(
    hook: WebhookDouble, clock: ManualClock, service: PostingService
) -> None:
    hook.next(Refuse(status=307))
    assert await service.send(message(), clock.monotonic() + 5) == Rejected("status 307", ours=True)
    assert len(hook.received) == 1


async def test_an_address_that_is_not_named_is_not_connected_to(
    hook: WebhookDouble, clock: ManualClock
) -> None:
    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        return [("127.0.0.1", hook.port)]

    around = Surroundings(clock, clock, os.urandom, resolve)
    policy = DestinationPolicy(own_listeners=frozenset({("127.0.0.1", hook.port)}))
    options = replace(hook.options(), url=f"https://hooks.example:{hook.port}/push")
    service = webhook_service(options, around, policy)
    sending = asyncio.ensure_future(service.send(message(), clock.monotonic() + 5))
    await clock.run_until(clock.now() + 6_000)
    outcome = await sending
    await service.close()
    assert isinstance(outcome, Unavailable)
    assert "this server itself" in outcome.reason
    assert hook.connections_seen == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is no https address"),
        ("ftp://x/", "is no https address"),
        ("https://u:p@hooks.example/", "more than a host, a path and a query"),
        ("https://hooks.example/#top", "more than a host, a path and a query"),
        ("https://hooks.example/a b", "more than a host, a path and a query"),
        ("https://hooks.example/\x01", "apps.phone.webhook.url"),
        ("https://[::1", "apps.phone.webhook.url"),
        ("https://hooks.example:99999/", "apps.phone.webhook.url"),
    ],
)
def test_a_url_that_nothing_can_be_posted_to_is_said(
    hook: WebhookDouble, clock: ManualClock, url: str, words: str
) -> None:
    around = Surroundings(clock, clock, os.urandom)
    with pytest.raises(ConfigurationError) as raised:
        webhook_service(
            replace(hook.options(), url=url), around, DestinationPolicy(), key="apps.phone.webhook"
        )
    assert words in str(raised.value)

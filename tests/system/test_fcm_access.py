"""The access token: fetched before it is needed, once for all, kept to its end, and anew when refused."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.push_doubles import FcmDouble, Received, Reply
from tests.system.pushing import message, target
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, Throttled, Unavailable
from wakerobin.core.values import Provider
from wakerobin.push.connection import Surroundings
from wakerobin.push.fcm import FcmService, ProjectPace, read_service_account
from wakerobin.testing.clock import ManualClock

MINUTE = 60_000
QUIET_OVER = 5 * MINUTE
"""After the start of the clock, which is a full hour."""


@pytest.fixture
async def fcm(tmp_path: Path) -> AsyncIterator[FcmDouble]:
    async with FcmDouble(tmp_path) as double:
        assert isinstance(double, FcmDouble)
        yield double
        assert double.thrown_out == []
        assert double.oauth.refused == []


@pytest.fixture
def clock(fcm: FcmDouble) -> ManualClock:
    clock = ManualClock()
    clock.advance(QUIET_OVER)
    fcm.now = lambda: clock.now() / 1000
    return clock


@pytest.fixture
async def service(fcm: FcmDouble, clock: ManualClock) -> AsyncIterator[FcmService]:
    options = fcm.options()
    account = read_service_account(options.service_account_file, "apps.phone.fcm.service_account_file")
    around = Surroundings(clock, clock, os.urandom)
    made = FcmService(options, account, ProjectPace(clock.monotonic()), around, DestinationPolicy())
    yield made
    await made.close()


async def send(
    service: FcmService, clock: ManualClock, type_: PushType = PushType.CALL, seconds: float = 60.0
) -> Outcome:
    one = message(type_, target=target(provider=Provider.FCM), expires_at=clock.now() + 30_000)
    return await service.send(one, clock.monotonic() + seconds)


async def true(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def bearer(push: Received) -> str:
    return push.headers["authorization"]


async def test_one_token_is_fetched_at_the_start_and_serves_every_push(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    await service.warm()
    assert fcm.oauth.issued == ["ya29.0"]
    for type_ in PushType:
        assert isinstance(await send(service, clock, type_), Accepted)
    assert {bearer(push) for push in fcm.received} == {"Bearer ya29.0"}
    assert fcm.oauth.issued == ["ya29.0"]


async def test_pushes_that_come_before_the_first_token_share_one_fetch(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    outcomes = await asyncio.gather(*(send(service, clock) for _ in range(50)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert fcm.oauth.issued == ["ya29.0"]


async def test_it_is_replaced_at_half_its_life_and_no_push_waits_for_that(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    await service.warm()
    clock.advance(29 * MINUTE)
    await send(service, clock)
    assert fcm.oauth.issued == ["ya29.0"]
    fcm.oauth.next.append(None)  # the token server is silent for once
    clock.advance(2 * MINUTE)
    await true(lambda: not fcm.oauth.next)
    assert isinstance(await send(service, clock), Accepted)
    assert bearer(fcm.received[-1]) == "Bearer ya29.0"
    clock.advance(11_000)  # the fetch is given up
    await clock.settle()
    clock.advance(6_000)  # and made again
    await true(lambda: len(fcm.oauth.issued) == 2)
    await true(lambda: service.access.current() == "ya29.1")
    assert isinstance(await send(service, clock), Accepted)
    assert bearer(fcm.received[-1]) == "Bearer ya29.1"


async def test_the_old_token_serves_until_its_end_while_there_is_no_new_one(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    await service.warm()
    fcm.oauth.next.extend(Reply(503) for _ in range(100))
    await clock.run_until(clock.now() + 58 * MINUTE)
    assert isinstance(await send(service, clock), Accepted)
    await clock.run_until(clock.now() + 2 * MINUTE)
    outcome = await send(service, clock)
    assert outcome == Unavailable("no access token: status 503", processed=False)
    fcm.oauth.next.clear()
    await clock.run_until(clock.now() + 5 * MINUTE)
    await true(lambda: service.access.current() is not None)
    assert isinstance(await send(service, clock), Accepted)


async def test_a_token_that_google_refuses_is_replaced_and_the_push_goes_again(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    await service.warm()
    clock.advance(MINUTE)
    fcm.oauth.revoked.add("ya29.0")
    outcomes = await asyncio.gather(*(send(service, clock) for _ in range(10)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert fcm.oauth.issued == ["ya29.0", "ya29.1"]


async def test_a_second_refusal_is_the_operators_affair(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    await service.warm()
    clock.advance(MINUTE)
    fcm.oauth.revoked.update({"ya29.0", "ya29.1"})
    assert await send(service, clock) == Rejected("UNAUTHENTICATED", ours=True)
    assert len(fcm.received) == 2
    # The token is seconds old: a third one would be refused as well.
    assert await send(service, clock) == Rejected("UNAUTHENTICATED", ours=True)
    assert fcm.oauth.issued == ["ya29.0", "ya29.1"]


async def test_a_refused_key_is_said_and_not_shown_with_every_push(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    words = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    fcm.oauth.next.extend(Reply(400, words) for _ in range(10))
    for _ in range(20):
        outcome = await send(service, clock, PushType.EXPIRED)
        assert outcome == Rejected("no access token: invalid_grant: Invalid JWT Signature.", ours=True)
    assert len(fcm.oauth.next) == 9
    assert fcm.received == []
    clock.advance(2_000)
    await send(service, clock)  # a call does not take yesterday's answer
    assert len(fcm.oauth.next) == 8


async def test_too_many_fetches_wait_as_long_as_google_says(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    fcm.oauth.next.append(Reply(429, {"error": "rate"}, retry_after="7"))
    assert await send(service, clock, PushType.RENEW) == Throttled("no access token: rate", 7_000)


async def test_a_push_waits_for_a_silent_token_server_until_its_deadline(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    fcm.oauth.next.append(None)
    sending = asyncio.ensure_future(send(service, clock, seconds=3.0))
    await true(lambda: not fcm.oauth.next)
    clock.advance(3_000)
    assert await sending == Unavailable("no access token in time", processed=False)


async def test_a_machine_that_was_suspended_shows_no_old_token(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    await service.warm()
    clock.step_wall(2 * 60 * MINUTE)
    assert isinstance(await send(service, clock), Accepted)
    assert [bearer(push) for push in fcm.received] == ["Bearer ya29.1"]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"access_token": "x"},
        {"access_token": 5, "expires_in": 3600},
        {"access_token": "a b", "expires_in": 3600},
        {"access_token": "x\r\nx: y", "expires_in": 3600},
        {"access_token": "x", "expires_in": 0},
        {"access_token": "x", "expires_in": -(10**400)},
        {"access_token": "x", "expires_in": True},
        {"access_token": "x", "expires_in": "3600"},
        {"access_token": "", "expires_in": 3600},
    ],
)
async def test_an_answer_without_a_token_is_none(
    fcm: FcmDouble, clock: ManualClock, service: FcmService, body: Any
) -> None:
    fcm.oauth.next.append(Reply(200, body))
    outcome = await send(service, clock, PushType.EXPIRED)
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is False
    assert fcm.received == []


async def test_a_token_with_an_endless_life_is_used_for_a_day_at_most(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    fcm.oauth.life = 10**400
    assert isinstance(await send(service, clock), Accepted)
    clock.advance(25 * 60 * MINUTE)
    assert service.access.current() is None


async def test_closing_ends_those_that_wait_for_a_token(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    fcm.oauth.next.append(None)
    sending = asyncio.ensure_future(send(service, clock))
    await true(lambda: not fcm.oauth.next)
    await service.close()
    assert isinstance(await sending, Unavailable)


async def test_what_is_withdrawn_before_there_is_a_token_is_not_sent(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    outcomes: list[Outcome] = []
    one = message(target=target(provider=Provider.FCM))
    service.begin(one, clock.monotonic() + 30, outcomes.append).withdraw()
    await true(lambda: outcomes)
    assert outcomes == [Unavailable("withdrawn", processed=False)]
    assert fcm.received == []

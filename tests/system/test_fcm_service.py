"""What Google asks of senders, seen at a double of it: quotas, quiet minutes, and no word twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.system.push_doubles import FcmDouble, fcm_error
from tests.system.pushing import message, target
from tests.system.test_fcm_access import MINUTE, QUIET_OVER, clock, fcm, service
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, Throttled, Unavailable
from wakerobin.core.values import Provider
from wakerobin.push.fcm import FcmService
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.pns_script import Refuse

__all__ = ["clock", "fcm", "service"]

QUOTA = "type.googleapis.com/google.rpc.QuotaFailure"


async def send(
    service: FcmService,
    clock: ManualClock,
    type_: PushType = PushType.EXPIRED,
    token: str = "ab",
    **changes: Any,
) -> Outcome:
    values: dict[str, Any] = {"expires_at": clock.now() + 60 * MINUTE} | changes
    one = message(type_, target=target(token, provider=Provider.FCM), **values)
    return await service.send(one, clock.monotonic() + 60)


def quota(subject: str) -> Refuse:
    details = {"@type": QUOTA, "violations": [{"subject": subject}]}
    body = json.dumps(fcm_error("RESOURCE_EXHAUSTED", "", details, fcm="QUOTA_EXCEEDED")).encode()
    return Refuse(status=429, retry_after="20", body=body)


async def test_a_call_is_on_the_wire_when_begin_returns(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    await service.warm()
    outcomes: list[Outcome] = []
    one = message(target=target(provider=Provider.FCM), expires_at=clock.now() + 30_000)
    service.begin(one, clock.monotonic() + 30, outcomes.append)
    async with asyncio.timeout(5):
        while not outcomes:
            await asyncio.sleep(0)
    [push] = fcm.received
    assert push.path == "/v1/projects/phones-4711/messages:send"
    assert push.headers["content-type"] == "application/json"
    assert push.body["message"]["android"] == {"priority": "HIGH", "ttl": "30s", "directBootOk": True}


async def test_a_project_that_used_up_its_quota_gets_nothing_but_calls_for_a_while(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    fcm.next(quota("project:4711"))
    assert await send(service, clock) == Throttled("QUOTA_EXCEEDED", 20_000)
    assert await send(service, clock, token="cd") == Throttled("the quota of the project is used up", 20_000)
    assert isinstance(await send(service, clock, PushType.CALL, "cd"), Accepted)
    assert len(fcm.received) == 2
    clock.advance(20_000)
    assert isinstance(await send(service, clock, token="cd"), Accepted)


async def test_a_device_that_used_up_its_quota_harms_no_other(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    fcm.next(quota("device"))
    assert await send(service, clock) == Throttled("QUOTA_EXCEEDED", 20_000)
    assert await send(service, clock) == Throttled("the quota of the device is used up", 20_000)
    assert isinstance(await send(service, clock, token="cd"), Accepted)


async def test_no_more_warnings_go_to_a_device_than_google_lets_replace_each_other(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    outcomes = [await send(service, clock) for _ in range(21)]
    assert [type(outcome) for outcome in outcomes] == [Accepted] * 20 + [Throttled]
    assert isinstance(await send(service, clock, PushType.CALL), Accepted)


@pytest.fixture
def quarter_hour(clock: ManualClock) -> ManualClock:
    clock.advance(15 * MINUTE - QUIET_OVER - 30_000)
    return clock


async def test_beyond_a_trickle_what_can_wait_stays_away_from_the_quarter_hour(
    fcm: FcmDouble, quarter_hour: ManualClock, service: FcmService
) -> None:
    outcomes = [await send(service, quarter_hour, token=f"{number:04x}") for number in range(60)]
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    held = [outcome for outcome in outcomes if isinstance(outcome, Throttled)]
    assert len(accepted) == 30
    assert len(held) == 30
    waits = {outcome.retry_after for outcome in held}
    assert len(waits) > 10  # spread, not all at the end of the quiet minutes
    assert min(waits) >= 150_000
    assert max(waits) <= 150_000 + 3 * MINUTE


@pytest.mark.parametrize("type_", [PushType.EXPIRY_WARNING, PushType.MISSED_CALL, PushType.TARGETS_NEEDED])
async def test_what_a_person_is_to_read_in_time_does_not_wait_for_the_quarter_hour(
    fcm: FcmDouble, quarter_hour: ManualClock, service: FcmService, type_: PushType
) -> None:
    for number in range(40):
        assert isinstance(await send(service, quarter_hour, type_, f"{number:04x}"), Accepted)


async def test_calls_and_what_would_come_too_late_do_not_wait_for_the_quarter_hour_to_be_over(
    fcm: FcmDouble, quarter_hour: ManualClock, service: FcmService
) -> None:
    clock = quarter_hour
    for number in range(40):
        assert isinstance(await send(service, clock, PushType.CALL, f"{number:04x}"), Accepted)
    for number in range(40):
        soon = clock.now() + 2 * MINUTE
        assert isinstance(await send(service, clock, token=f"{number:04x}", expires_at=soon), Accepted)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(
    fcm: FcmDouble, clock: ManualClock, service: FcmService, status: int
) -> None:
    fcm.next(Refuse(status=status))
    assert isinstance(await send(service, clock), Rejected)
    assert len(fcm.received) == 1


async def test_trouble_of_googles_waits_ten_seconds_and_a_call_does_not(
    fcm: FcmDouble, clock: ManualClock, service: FcmService
) -> None:
    fcm.next(Refuse(status=503, reason="UNAVAILABLE"), Refuse(status=503, reason="UNAVAILABLE"))
    assert await send(service, clock) == Unavailable("UNAVAILABLE", 10_000, processed=False)
    assert await send(service, clock, PushType.CALL) == Unavailable("UNAVAILABLE", 0, processed=False)

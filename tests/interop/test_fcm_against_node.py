"""Pushes to Android against a Firebase on Node's HTTP/2 and crypto."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.interop.peers.lab import Lab
from tests.interop.peers.push_receivers import FcmNode
from tests.system.pushing import LoopClock, message, soon, target
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import (
    Accepted,
    Outcome,
    PushMessage,
    PushType,
    Rejected,
    TargetGone,
    Throttled,
    Unavailable,
)
from wakerobin.core.values import Provider
from wakerobin.ports.clock import Timer
from wakerobin.push.connection import PoolOptions, Surroundings
from wakerobin.push.fcm import FcmService, ProjectPace, read_service_account

TOKEN = "dEvice_1:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ-hQMRKRrZuJAEcl7B338qju59zJMjw2DELjz"


@pytest.fixture
async def fcm(lab: Lab, tmp_path: Path) -> FcmNode:
    place = lab.place()
    return await lab.start(FcmNode(place, lab.certificate(place[0]), tmp_path))


class AheadClock(LoopClock):
    """The loop's clock, which can be set ahead by so many seconds."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return super().call_at(when - self.ahead, callback)


@contextlib.asynccontextmanager
async def pushing_to(fcm: FcmNode, clock: LoopClock | None = None) -> AsyncIterator[FcmService]:
    clock = clock or LoopClock()
    options = fcm.options()
    account = read_service_account(options.service_account_file, "apps.phone.fcm.service_account_file")
    around = Surroundings(clock, clock, os.urandom)
    pace = ProjectPace(clock.monotonic())
    # On a busy machine a call would go twice, after a second without an answer: not what is looked at here.
    pool = PoolOptions(bulk_rate=1e6, repeat_after=60.0)
    service = FcmService(options, account, pace, around, DestinationPolicy(), pool=pool)
    try:
        yield service
    finally:
        await service.close()


def push(type_: PushType = PushType.CALL, token: str = TOKEN, **changes: Any) -> PushMessage:
    """Return a push that is of use for less long than quiet minutes last: it does not wait for them."""
    return message(type_, target=target(token, provider=Provider.FCM), **changes)


async def test_every_type_of_push_is_taken_with_one_verified_assertion(fcm: FcmNode) -> None:
    async with pushing_to(fcm) as service:
        await service.warm()
        for type_ in PushType:
            assert isinstance(await service.send(push(type_, text="Ünïcode 📞"), soon()), Accepted)
    report = await fcm.report()
    assert report["assertions"] == 1
    assert report["wrong"] == []
    assert report["refused"] == []
    assert [json.loads(one["message"]["data"]["wakerobin"])["type"] for one in report["messages"]] == [
        type_.value for type_ in PushType
    ]
    assert {one["protocol"] for one in report["messages"]} == {"2.0"}
    assert {one["message"]["token"] for one in report["messages"]} == {TOKEN}


async def test_hundreds_of_pushes_arrive_once_each(fcm: FcmNode) -> None:
    tokens = [f"device_{number:04d}" for number in range(400)]
    async with pushing_to(fcm) as service:
        types = (PushType.CALL, PushType.RENEW)
        pushes = [push(types[number % 2], token) for number, token in enumerate(tokens)]
        outcomes = await asyncio.gather(*(service.send(one, soon(20)) for one in pushes))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    report = await fcm.report()
    assert sorted(one["message"]["token"] for one in report["messages"]) == tokens
    assert report["assertions"] == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ([404, "UNREGISTERED"], TargetGone("UNREGISTERED")),
        ([403, "SENDER_ID_MISMATCH"], TargetGone("SENDER_ID_MISMATCH", certain=False)),
        ([401, "THIRD_PARTY_AUTH_ERROR"], Rejected("THIRD_PARTY_AUTH_ERROR", ours=True)),
        ([429, "QUOTA_EXCEEDED", 31], Throttled("QUOTA_EXCEEDED", 31_000)),
        ([500, "INTERNAL"], Unavailable("INTERNAL", 10_000, processed=False)),
        ([503, "UNAVAILABLE", 12], Unavailable("UNAVAILABLE", 12_000, processed=False)),
    ],
)
async def test_an_error_has_its_outcome(fcm: FcmNode, error: list[Any], outcome: Outcome) -> None:
    await fcm.behave(errors={TOKEN: error})
    async with pushing_to(fcm) as service:
        assert await service.send(push(PushType.EXPIRED), soon()) == outcome
        assert isinstance(await service.send(push(PushType.EXPIRED, "another"), soon()), Accepted)


async def test_a_token_that_google_has_forgotten_is_fetched_anew_once_for_all_pushes(fcm: FcmNode) -> None:
    clock = AheadClock()
    async with pushing_to(fcm, clock) as service:
        await service.warm()
        await fcm.behave(revoke=True)
        clock.ahead = 60.0
        pushes = [push(token=f"device_{number}") for number in range(20)]
        deadline = clock.monotonic() + 10
        outcomes = await asyncio.gather(*(service.send(one, deadline) for one in pushes))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    report = await fcm.report()
    assert report["assertions"] == 2
    assert set(report["refused"]) == {401}
    assert len(report["messages"]) == 20


async def test_a_key_that_is_not_the_accounts_is_refused_in_the_token_servers_words(fcm: FcmNode) -> None:
    fcm.write_account(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    async with pushing_to(fcm) as service:
        await service.warm()
        outcome = await service.send(push(), soon())
    assert outcome == Rejected("no access token: invalid_grant: Invalid JWT: signature", ours=True)
    report = await fcm.report()
    assert report["messages"] == []
    assert set(report["wrong"]) == {"signature"}

"""Pushes of the outbox that are not about the end of a life: missed calls, proofs of tokens, trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.couriers import ALERT, DAY, VOIP, World, running_world
from tests.system.pushing import target
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Purpose
from wakerobin.testing.pns import FakePns


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with FakePns(tmp_path) as pns, running_world(pns) as world:
        yield world


async def test_a_missed_call_is_shown_to_the_user_and_replaces_the_one_before(world: World) -> None:
    registration = await world.enrol(display_name="Anna")
    said = {"call": "x", "caller": "Bob", "count": 2, "pushes": []}
    await world.decide(registration, PushType.MISSED_CALL, payload=said)
    (push,) = await world.pushed()
    assert push.token == ALERT
    assert push.headers["apns-push-type"] == "alert"
    assert push.headers["apns-collapse-id"] == "missed"
    assert push.payload["aps"]["alert"] == {"title": "Anna", "body": "2 missed calls, the last from Bob."}
    payload = push.payload["wakerobin"]
    assert (payload["type"], payload["count"]) == ("missed-call", 2)
    assert "caller" not in payload
    assert "missed-call-sent" in world.told(registration)


async def test_while_warned_a_missed_call_says_so_too(world: World) -> None:
    registration = await world.enrol()
    life = world.life(registration)
    plan_is_over = replace(life, step=99, expires_at=world.clock.now() + DAY // 4)
    await world.store.transact(lambda tx: tx.lives.update(plan_is_over))
    said = {"call": "x", "caller": "Bob", "count": 1, "pushes": []}
    await world.decide(registration, PushType.MISSED_CALL, payload=said)
    (push,) = await world.pushed()
    assert push.payload["wakerobin"]["life"]["stage"] == "warned"
    assert push.payload["aps"]["alert"]["body"] == (
        "Missed call from Bob. Your account will expire soon: open the app to keep it."
    )


async def test_a_missed_call_and_a_proof_outlive_a_use(world: World) -> None:
    registration = await world.enrol()
    later = world.clock.now() + 5000
    said = {"call": "x", "caller": "Bob", "count": 1, "pushes": []}
    await world.decide(registration, PushType.MISSED_CALL, payload=said, not_before=later)
    await world.decide(registration, PushType.EXPIRY_WARNING, step=1, not_before=later)
    await world.lives.use(registration.id, "renewal-push")
    (push,) = await world.pushed()
    payload = push.payload["wakerobin"]
    assert payload["type"] == "missed-call"
    assert payload["generation"] == world.life(registration).generation == 2


async def test_the_proof_of_a_token_goes_to_that_token_alone_and_shows_nothing(world: World) -> None:
    another = "cd" * 32
    registration = await world.enrol(
        target(VOIP, purposes=frozenset({Purpose.CALL})),
        target(ALERT, purposes=frozenset({Purpose.NOTICE})),
        target(another, purposes=frozenset({Purpose.NOTICE})),
    )
    claimed = next(one for one in world.targets(registration) if one.token.reveal() == another)
    await world.decide(
        registration, PushType.VERIFY, step=claimed.id, payload={"nonce": "n0nce", "target": claimed.id}
    )
    (push,) = await world.pushed()
    assert push.token == another
    assert push.headers["apns-push-type"] == "background"
    assert push.payload["wakerobin"]["nonce"] == "n0nce"
    assert "target" not in push.payload["wakerobin"]


@pytest.mark.parametrize(
    ("kind", "said", "words"),
    [
        (PushType.REGISTRATION_TROUBLE, {"cause": "refused"}, "check your password"),
        (PushType.REGISTRATION_TROUBLE, {"cause": "unreachable"}, "You need not do anything"),
        (PushType.EXPIRY_WARNING, {"registered": False}, "Your account will expire soon. Tap here"),
    ],
)
async def test_a_text_says_what_is_so(world: World, kind: PushType, said: dict[str, Any], words: str) -> None:
    registration = await world.enrol()
    if kind is PushType.REGISTRATION_TROUBLE:
        told = replace(world.life(registration), trouble_told_at=world.clock.now())
        await world.store.transact(lambda tx: tx.lives.update(told))
    await world.decide(registration, kind, payload=said)
    (push,) = await world.pushed()
    body = push.payload["aps"]["alert"]["body"]
    assert words in body
    assert "still receiving" not in body

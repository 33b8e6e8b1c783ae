"""The courier between a store, the lives in it, and a push service like Apple's: calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.couriers import VOIP, World, in_real_time, running_world
from tests.system.pushing import target, unread_octets
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
from wakerobin.ports.options import HOUR, MINUTE, SECOND
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_script import Kill, Refuse


@pytest.fixture
async def pns(tmp_path: Path) -> AsyncIterator[FakePns]:
    async with FakePns(tmp_path) as fake:
        yield fake
        assert fake.thrown_out == []


@pytest.fixture
async def world(pns: FakePns) -> AsyncIterator[World]:
    async with running_world(pns) as made:
        yield made


async def outcomes_of(world: World, messages: list[PushMessage], within: int = 40_000) -> list[Outcome]:
    outcomes: list[Outcome] = []
    world.courier.call_now(messages, lambda _m, outcome: outcomes.append(outcome), deadline(world))
    await world.until(lambda: len(outcomes) == len(messages), within)
    return outcomes


def deadline(world: World) -> float:
    return world.clock.monotonic() + 30


async def test_a_call_push_is_written_before_call_now_returns(world: World) -> None:
    registration = await world.enrol()
    await world.clock.settle()
    assert unread_octets(world.pns) == 0
    world.courier.call_now(world.call(registration), lambda _m, _o: None, deadline(world))
    assert unread_octets(world.pns) > 0  # and no other code has run since
    push = await world.pns.wait_for(lambda push: push.type == "call")
    assert push.token == VOIP
    assert push.payload["wakerobin"]["caller"] == {"uri": "", "number": "200", "name": "Bob"}


async def test_a_call_push_needs_no_store(world: World) -> None:
    registration = await world.enrol()
    messages = world.call(registration)
    await world.store.close()
    (outcome,) = await outcomes_of(world, messages)
    assert isinstance(outcome, Accepted)


async def test_a_repeated_invite_pushes_nothing_new_and_learns_the_same(world: World) -> None:
    registration = await world.enrol()
    outcomes: list[Outcome] = []
    for _ in range(3):
        world.courier.call_now(world.call(registration), lambda _m, o: outcomes.append(o), deadline(world))
    await world.until(lambda: len(outcomes) == 3)
    world.courier.call_now(world.call(registration), lambda _m, o: outcomes.append(o), deadline(world))
    assert len(outcomes) == 4
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(world.pns.pushes) == 1


async def test_another_call_and_the_same_call_after_a_minute_are_pushed(world: World) -> None:
    registration = await world.enrol()
    await outcomes_of(world, world.call(registration, "call-1"))
    await outcomes_of(world, world.call(registration, "call-2"))
    world.clock.advance(61 * SECOND)
    await outcomes_of(world, world.call(registration, "call-1"))
    assert len(world.pns.pushes) == 3


async def test_a_call_meets_a_push_service_in_trouble_once_more_after_a_quarter_second(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Refuse(status=503, reason="ServiceUnavailable"))
    began = world.clock.now()
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, Accepted)
    assert world.clock.now() - began < SECOND
    assert len(world.pns.pushes) == 2


async def test_a_call_is_tried_twice_and_no_more(world: World) -> None:
    registration = await world.enrol()
    world.pns.always(Refuse(status=500, reason="InternalServerError"))
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, Unavailable)
    assert len(world.pns.pushes) == 2


@pytest.mark.parametrize(
    ("refuse", "kind"),
    [
        (Refuse(status=429, reason="TooManyRequests"), Throttled),
        (Refuse(status=400, reason="BadPriority"), Rejected),
        (Refuse(status=403, reason="InvalidProviderToken"), Rejected),
    ],
)
async def test_a_call_that_is_refused_is_not_tried_again(
    world: World, refuse: Refuse, kind: type[Outcome]
) -> None:
    registration = await world.enrol()
    world.pns.next(refuse)
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, kind)
    assert len(world.pns.pushes) == 1


async def test_a_call_whose_connection_breaks_goes_out_twice_at_most(world: World) -> None:
    registration = await world.enrol()
    world.pns.always(Kill())
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, Unavailable)
    assert outcome.processed is None
    assert len(world.pns.pushes) == 2


async def test_a_call_target_that_is_gone_is_removed(world: World) -> None:
    registration = await world.enrol()
    world.clock.advance(HOUR)
    world.pns.forget(VOIP, at=world.clock.now() - MINUTE)
    (outcome,) = await outcomes_of(world, world.call(registration))
    assert isinstance(outcome, TargetGone)
    await world.until(lambda: VOIP not in [one.token.reveal() for one in world.targets(registration)])
    # Nothing can ring any more: the notice token says so.
    await world.until(lambda: any(push.type == "targets-needed" for push in world.pns.pushes))


async def test_an_accepted_call_is_noted_at_its_target(world: World) -> None:
    registration = await world.enrol()
    await outcomes_of(world, world.call(registration))
    await world.until(
        lambda: any(one.accepted_at and one.token.reveal() == VOIP for one in world.targets(registration))
    )


async def test_a_call_to_an_app_without_a_push_service_says_so_at_once(world: World) -> None:
    registration = await world.enrol()
    outcomes: list[Outcome] = []
    messages = [replace(message, app="other") for message in world.call(registration)]
    world.courier.call_now(messages, lambda _m, outcome: outcomes.append(outcome), deadline(world))
    assert outcomes == [Rejected("no apns in the settings of this app", ours=True)]


async def test_no_push_leaves_after_its_call_is_over(world: World) -> None:
    registration = await world.enrol()
    await world.pns.close()
    await world.clock.settle()
    outcomes: list[Outcome] = []
    world.courier.call_now(world.call(registration), lambda _m, o: outcomes.append(o), deadline(world))
    world.clock.advance(5 * SECOND)
    await world.clock.settle()
    assert outcomes == []
    world.courier.call_over("call-1")
    assert [type(outcome) for outcome in outcomes] == [Unavailable]
    await world.pns.start()
    await world.until(lambda: len(world.pns.connections) >= 2)
    await world.clock.run_until(world.clock.now() + 5 * SECOND)
    assert world.pns.pushes == []


async def test_the_second_try_of_a_call_that_is_over_is_not_made(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Refuse(status=503, reason="ServiceUnavailable"))
    outcomes: list[Outcome] = []
    world.courier.call_now(world.call(registration), lambda _m, o: outcomes.append(o), deadline(world))
    await in_real_time(lambda: len(world.pns.pushes) == 1)
    await world.clock.settle()
    world.courier.call_over("another-call")
    assert outcomes == []
    world.courier.call_over("call-1")
    assert outcomes == [Unavailable("the call is over", processed=False)]
    await world.clock.run_until(world.clock.now() + 5 * SECOND)
    assert len(world.pns.pushes) == 1
    assert len(outcomes) == 1


async def test_a_fault_in_what_is_told_of_a_call_stops_no_other_call(world: World) -> None:
    registration = await world.enrol()

    def fault(_message: PushMessage, _outcome: Outcome) -> None:
        raise RuntimeError("a bug")

    world.courier.call_now(world.call(registration, "call-1"), fault, deadline(world))
    (outcome,) = await outcomes_of(world, world.call(registration, "call-2"))
    assert isinstance(outcome, Accepted)
    assert world.pns.connections_seen == 2


async def test_a_call_goes_out_beside_two_hundred_notices(world: World) -> None:
    caller = await world.enrol()
    for number in range(200):
        registration = await world.enrol(target(f"{number:064x}"))
        await world.decide(registration, PushType.EXPIRED)
    (outcome,) = await outcomes_of(world, world.call(caller))
    assert isinstance(outcome, Accepted)
    call_connection = next(push.connection for push in world.pns.pushes if push.type == "call")
    await world.until(lambda: len(world.pns.pushes) == 201 and world.waiting() is None)
    others = {push.connection for push in world.pns.pushes if push.type != "call"}
    assert call_connection not in others

"""Law 7: an account that its PBX refuses ends early, one that cannot reach it never does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened
from tests.system.lives_world import DAY, END, HOUR, MINUTE, World
from wakerobin.core.pushes import PushType
from wakerobin.core.values import BindingState, Duration, Ended, PushRegistration
from wakerobin.services.lives import Failure
from wakerobin.testing.clock import START

TROUBLE, OVER = PushType.REGISTRATION_TROUBLE, PushType.REGISTRATION_TROUBLE_OVER
REFUSED = Failure(
    state=BindingState.REFUSED,
    code="credentials-refused",
    reason="The PBX does not accept the password.",
    registrar="udp:pbx.example",
    accounts=100,
)
UNREACHABLE = replace(
    REFUSED, state=BindingState.UNREACHABLE, code="registrar-unreachable", reason="The PBX does not answer."
)
ASKED_AT = (0, 10 * MINUTE, 70 * MINUTE, 430 * MINUTE, 790 * MINUTE, 1150 * MINUTE)
"""When a refused account asks again."""


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        yield World(store)


async def until(world: World, at: int, *, failing: dict[int, Failure] | None = None) -> None:
    """Let time pass in steps of ten minutes; accounts fail when they ask.

    Beats are left out: between steps so long they would show a process that stood still.
    """
    while True:
        now = world.clock.now()
        for account_id, failure in (failing or {}).items():
            if now - START in ASKED_AT or (failure is UNREACHABLE and now % HOUR == 0):
                await world.lives.binding_failed(account_id, failure)
        while await world.lives.fire(now, 50) or await world.lives.turn(now, 50):
            continue
        await world.carry()
        if now >= at:
            break
        world.clock.advance(min(10 * MINUTE, at - now))


def told(world: World, *kinds: PushType) -> list[float]:
    return [(one.at - START) / HOUR for one in world.sent if one.kind in kinds]


async def bound(world: World, phone: PushRegistration) -> None:
    await world.lives.binding_state(phone.account_id, BindingState.REGISTERED, "", "")


async def test_a_refused_account_is_told_of_at_half_time_and_ends_at_the_limit(world: World) -> None:
    phone = await world.enrol()
    await until(world, START + 13 * HOUR, failing={phone.account_id: REFUSED})
    assert world.life(phone).ended is Ended.REFUSED
    assert told(world, TROUBLE) == [6.0, 12.0]
    assert world.credentials(phone) is None
    assert world.targets(phone.id) == [], "the notice was the last thing that was sent there"
    assert len(world.unregisters()) == 1
    assert {"trouble", "trouble-sent", "ended"} <= set(world.story(phone))


async def test_recovery_in_time_is_told_once_and_the_life_goes_on(world: World) -> None:
    phone = await world.enrol()
    await until(world, START + 7 * HOUR, failing={phone.account_id: REFUSED})
    await bound(world, phone)
    await until(world, START + 2 * DAY)
    assert (len(told(world, TROUBLE)), len(told(world, OVER))) == (1, 1)
    assert world.life(phone).ended is None
    assert world.life(phone).expires_at == END


async def test_who_was_told_of_nothing_is_not_told_that_it_is_over(world: World) -> None:
    phone = await world.enrol()
    await until(world, START + 2 * HOUR, failing={phone.account_id: REFUSED})
    await bound(world, phone)
    await until(world, START + DAY)
    assert told(world, TROUBLE, OVER) == []


async def test_unreachable_is_told_once_after_the_limit_and_never_ends_a_life(world: World) -> None:
    phone = await world.enrol()
    await until(world, START + 5 * DAY, failing={phone.account_id: UNREACHABLE})
    assert told(world, TROUBLE) == [12.0]
    assert world.life(phone).ended is None
    await bound(world, phone)
    await until(world, START + 5 * DAY + HOUR)
    assert len(told(world, OVER)) == 1


async def test_refusals_of_the_first_hour_alone_end_nothing(world: World) -> None:
    phone = await world.enrol()
    await until(world, START + 2 * HOUR, failing={phone.account_id: REFUSED})
    await until(world, START + 2 * DAY)
    assert world.life(phone).ended is None
    assert len(told(world, TROUBLE)) == 1


async def test_a_pbx_that_stops_answering_between_refusals_ends_nothing(world: World) -> None:
    phone = await world.enrol()
    await until(world, START + 10 * HOUR, failing={phone.account_id: REFUSED})
    await until(world, START + 3 * DAY, failing={phone.account_id: UNREACHABLE})
    assert world.life(phone).ended is None
    await world.lives.binding_failed(phone.account_id, REFUSED)
    await until(world, START + 3 * DAY + HOUR)
    assert world.life(phone).ended is Ended.REFUSED, "refused again: the clock had gone on"


async def test_time_in_which_the_server_did_not_run_is_no_trouble(world: World) -> None:
    phone = await world.enrol()
    await until(world, START + 2 * HOUR, failing={phone.account_id: REFUSED})
    await world.lives.downtime.beat(world.clock.now())
    world.clock.advance(2 * DAY)
    world.restart(world.store)
    await world.lives.start()
    await until(world, world.clock.now() + 3 * HOUR)
    assert told(world, TROUBLE) == []
    await until(world, world.clock.now() + 2 * HOUR)
    assert len(told(world, TROUBLE)) == 1


async def test_a_registrar_that_refuses_many_cuts_no_life_and_the_operator_is_told(world: World) -> None:
    phones = [await world.enrol(f"p{n}") for n in range(20)]
    few = replace(REFUSED, accounts=50)
    await until(world, START + DAY, failing={phone.account_id: few for phone in phones})
    assert [world.life(phone).ended for phone in phones] == [None] * 20
    assert told(world, TROUBLE) == []
    await world.lives.beat(world.clock.now())
    (alarm,) = world.store.read(lambda tx: tx.alarms.all())
    assert "pbx.example refuses 20 of 50 accounts" in alarm.words
    for phone in phones[:11]:
        await bound(world, phone)
    await until(world, START + DAY + 3 * HOUR)
    await world.lives.beat(world.clock.now())
    assert world.store.read(lambda tx: tx.alarms.all()) == []
    assert {world.life(phone).ended for phone in phones[11:]} == {Ended.REFUSED}
    assert {world.life(phone).ended for phone in phones[:11]} == {None}


async def test_ten_of_a_hundred_accounts_are_ten_wrong_passwords(world: World) -> None:
    phones = [await world.enrol(f"p{n}") for n in range(10)]
    await until(world, START + 13 * HOUR, failing={phone.account_id: REFUSED for phone in phones})
    assert {world.life(phone).ended for phone in phones} == {Ended.REFUSED}


async def test_credentials_that_are_needed_are_a_refusal(world: World) -> None:
    phone = await world.enrol()
    needed = replace(REFUSED, state=BindingState.CREDENTIALS_NEEDED, code="credentials-needed")
    await until(world, START + 13 * HOUR, failing={phone.account_id: needed})
    assert world.life(phone).ended is Ended.REFUSED


async def test_no_life_ends_by_trouble_before_its_text_was_settled(world: World) -> None:
    phone = await world.enrol()
    world.answer = lambda _row, _target: None
    await until(world, START + 20 * HOUR, failing={phone.account_id: REFUSED})
    assert world.life(phone).ended is None
    await until(world, START + 6 * HOUR + 50 * HOUR)
    assert world.life(phone).ended is Ended.REFUSED, "and nobody lives for ever (law 3)"


async def test_a_held_call_is_waited_for(world: World) -> None:
    phone = await world.enrol()
    world.held.add(phone.id)
    await until(world, START + 13 * HOUR, failing={phone.account_id: REFUSED})
    assert world.life(phone).ended is None
    world.held.clear()
    await until(world, world.clock.now() + HOUR)
    assert world.life(phone).ended is Ended.REFUSED


async def test_a_trouble_outlives_a_restart(world: World) -> None:
    phone = await world.enrol()
    await until(world, START + 8 * HOUR, failing={phone.account_id: REFUSED})
    world.restart(world.store)
    await world.lives.start()
    await until(world, START + 13 * HOUR, failing={phone.account_id: REFUSED})
    assert world.life(phone).ended is Ended.REFUSED
    assert told(world, TROUBLE) == [6.0, 12.0]


async def test_a_short_limit_is_kept_as_well(world: World) -> None:
    world.policy = replace(world.policy, unregistered_limit=Duration(HOUR))
    phone = await world.enrol()
    await until(world, START + 2 * HOUR, failing={phone.account_id: REFUSED})
    assert world.life(phone).ended is Ended.REFUSED
    assert told(world, TROUBLE)[0] == pytest.approx(0.5, abs=0.2)

"""Lives over a store: bindings, outages, policies (laws 3 and 6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened
from tests.system.lives_world import (
    CALL,
    DAY,
    END,
    HOUR,
    MINUTE,
    NOTICE,
    World,
)
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.lifetime import LifetimePolicy, Renewal
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, TargetGone, Unavailable
from wakerobin.core.values import (
    Duration,
    Ended,
    PushTarget,
)
from wakerobin.ports.options import LifetimeOptions
from wakerobin.ports.store import OutboxRow
from wakerobin.services.lives import policy_of
from wakerobin.services.lives.downtime import DowntimeRecord
from wakerobin.testing.clock import START
from wakerobin.testing.memory import MemoryStore


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        yield World(store)


# --- law 6: the binding ---


async def test_the_binding_stays_while_another_phone_of_the_account_lives(world: World) -> None:
    phone = await world.enrol()
    other = await world.enrol("tablet", account=world.account(phone))
    await world.lives.end(phone.id, Ended.DELETED)
    assert world.unregisters() == []
    assert world.credentials(phone) is not None
    await world.lives.end(other.id, Ended.DELETED)
    assert len(world.unregisters()) == 1
    assert world.credentials(phone) is None


async def test_a_phone_whose_credentials_were_never_proven_keeps_no_binding_alive(world: World) -> None:
    phone = await world.enrol()
    await world.enrol("stranger", account=world.account(phone), proven=False)
    await world.lives.end(phone.id, Ended.DELETED)
    assert len(world.unregisters()) == 1
    assert world.credentials(phone) is None


async def test_an_un_register_is_tried_until_the_granted_expiry_ends(world: World) -> None:
    phone = await world.enrol()
    world.granted[phone.account_id] = START + 600_000
    await world.lives.end(phone.id, Ended.DELETED)
    assert world.unregisters()[0].give_up_at == START + 600_000


async def test_an_end_waits_once_for_a_held_call(world: World) -> None:
    phone = await world.enrol()
    world.held.add(phone.id)
    await world.run_until(END)
    assert world.life(phone).ended is None
    assert world.unregisters() == []
    await world.run_until(END + 150_000)
    assert world.life(phone).ended is Ended.EXPIRED, "a second call is not waited for"


# --- law 3: outages ---


async def test_a_push_service_out_of_reach_postpones_the_end_within_its_bound(world: World) -> None:
    phone = await world.enrol()
    world.answer = lambda row, target: None
    await world.run_until(END + 47 * HOUR)
    assert world.life(phone).ended is None
    assert not world.unregisters()
    await world.run_until(END + 48 * HOUR)
    assert world.life(phone).ended is Ended.EXPIRED
    assert "grace-over" in world.story(phone)


async def test_a_push_service_back_in_time_warns_and_the_end_follows_an_hour_later(world: World) -> None:
    phone = await world.enrol()
    world.answer = lambda row, target: None
    await world.run_until(END + 10 * HOUR)
    world.answer = type(world).answer
    await world.run_until(END + 10 * HOUR + 30 * MINUTE)
    (warning,) = [sent for sent in world.sent if sent.kind is PushType.EXPIRY_WARNING]
    await world.run_until(warning.at + HOUR - 1)
    assert world.life(phone).ended is None
    await world.run_until(warning.at + HOUR)
    assert world.life(phone).ended is Ended.EXPIRED


async def test_a_warning_refused_for_good_is_not_waited_for(world: World) -> None:
    phone = await world.enrol()
    world.answer = lambda row, target: (
        Accepted() if row.kind is PushType.RENEW else Rejected("PayloadTooLarge")
    )
    await world.run_until(END)
    assert world.life(phone).ended is Ended.EXPIRED
    assert world.story(phone).count("warning-failed") == 2


@pytest.mark.parametrize("trouble", [Rejected("InvalidProviderToken", ours=True), Unavailable("lapsed: x")])
async def test_trouble_that_is_not_the_phones_settles_no_warning(world: World, trouble: Outcome) -> None:
    phone = await world.enrol()
    world.answer = lambda row, target: trouble
    await world.run_until(END + 48 * HOUR - 1)
    assert world.life(phone).ended is None
    await world.run_until(END + 48 * HOUR)
    assert world.life(phone).ended is Ended.EXPIRED


async def test_a_life_that_comes_due_while_the_server_is_down_is_warned_first(world: World) -> None:
    phone = await world.enrol()
    await world.lives.downtime.beat(START + DAY)
    world.clock.advance(10 * DAY)
    world.restart(world.store)
    await world.lives.downtime.start(world.clock.now())
    assert world.lives.downtime.gaps == ((START + DAY, START + 10 * DAY),)
    await world.run_until(START + 10 * DAY)
    assert [sent.kind for sent in world.sent] == [PushType.EXPIRY_WARNING]
    assert world.life(phone).ended is None
    await world.run_until(START + 10 * DAY + HOUR)
    assert world.life(phone).ended is Ended.EXPIRED


async def test_an_outage_in_the_grace_of_a_life_does_not_use_up_its_last_warning(world: World) -> None:
    phone = await world.enrol()
    world.answer = lambda row, target: None
    await world.run_until(END + HOUR)
    await world.lives.downtime.beat(END + HOUR)
    world.clock.advance(4 * DAY)
    world.restart(world.store)
    up = world.clock.now()
    await world.run_until(up + HOUR)  # the courier may be the first to look, before the gap is written down
    assert world.life(phone).ended is None
    await world.lives.downtime.start(up)
    world.answer = type(world).answer
    await world.run_until(up + 2 * HOUR)
    (warning,) = [sent for sent in world.sent if sent.kind is PushType.EXPIRY_WARNING]
    assert world.life(phone).ended is None
    await world.run_until(warning.at + HOUR)
    assert world.life(phone).ended is Ended.EXPIRED
    assert "grace-over" not in world.story(phone)


async def test_a_warning_that_one_token_refuses_is_owed_to_the_other(world: World) -> None:
    phone = await world.enrol(tokens=(("voip", CALL), ("gone", NOTICE), ("there", NOTICE)))
    await world.run_until(END - HOUR - 1)
    row_of: list[OutboxRow] = []

    def answer(row: OutboxRow, target: PushTarget) -> Outcome | None:
        if row.kind is PushType.EXPIRY_WARNING:
            row_of.append(row)
            return None
        return Accepted()

    world.answer = answer
    await world.run_until(END - HOUR)
    row = row_of[-1]
    gone, there = world.targets(phone.id)[1:]
    await world.lives.push_settled(row, [(gone, Rejected("BadTopic"))], is_over=False)
    assert not world.life(phone).warning_settled
    await world.lives.push_settled(row, [(gone, TargetGone("Unregistered"))], is_over=False)
    assert not world.life(phone).warning_settled
    trouble = Unavailable("lapsed", processed=False)
    refused = (gone, Rejected("BadTopic"))
    await world.lives.push_settled(row, [refused, (there, trouble)])
    assert not world.life(phone).warning_settled, "one of them was only out of reach"
    await world.lives.push_settled(row, [(there, Rejected("BadTopic"))])
    assert world.life(phone).warning_settled


async def test_downtime_is_remembered_over_restarts_and_forgotten_when_no_grace_can_need_it(
    world: World,
) -> None:
    record = DowntimeRecord(world.store)
    await record.start(START)
    assert record.gaps == ()
    await record.beat(START + MINUTE)
    again = DowntimeRecord(world.store)
    await again.start(START + HOUR)
    third = DowntimeRecord(world.store)
    await third.start(START + HOUR + 1000)
    assert third.gaps == ((START + MINUTE, START + HOUR),), "a second is no outage"
    last = DowntimeRecord(world.store)
    await last.start(START + 100 * DAY)
    assert last.gaps == ((START + HOUR + 1000, START + 100 * DAY),)


# --- the policy ---


def test_the_options_make_the_policy() -> None:
    assert policy_of(LifetimeOptions()) == LifetimePolicy(renewal=Renewal.ADAPTIVE)
    options = replace(LifetimeOptions(), warnings=(Duration(8 * DAY),))
    with pytest.raises(ConfigurationError, match="warnings"):
        policy_of(options)


async def test_a_registrations_own_lifetime_takes_effect_at_the_next_use() -> None:
    world = World(MemoryStore())
    phone = await world.enrol()
    own = replace(phone, lifetime=Duration(DAY))
    await world.store.transact(lambda tx: tx.registrations.update(own))
    await world.lives.use(phone.id, "opened")
    life = world.life(phone)
    assert (life.expires_at, life.next_at) == (START + DAY, START + 12 * HOUR)


async def test_a_use_of_nothing_is_nothing() -> None:
    assert await World(MemoryStore()).lives.use(12345, "opened") is None

"""The durable clock: what it fires, sweeps out, and how it lives with a store that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores import ENGINES, Engine, opened, write_each
from tests.system.lives_world import (
    DAY,
    END,
    HOUR,
    MINUTE,
    World,
    put_trial,
)
from wakerobin.core.lifetime import Decision, decide
from wakerobin.core.values import Ended, Life
from wakerobin.ports.store import StoryRow
from wakerobin.services.lives import deciding
from wakerobin.services.ticker import Ticker
from wakerobin.testing.clock import START
from wakerobin.testing.memory import Fault, MemoryStore


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        yield World(store)


def ticker_of(world: World) -> Ticker:
    return Ticker(world.store, world.clock, world.lives, world.clock)


async def test_an_unproven_registration_is_erased_after_a_quarter_of_an_hour(world: World) -> None:
    phone = await world.enrol()
    stranger = await world.enrol("stranger", account=world.account(phone), proven=False)
    await put_trial(world, stranger)
    world.clock.advance(15 * MINUTE + 1)
    await ticker_of(world).turn()
    assert world.store.read(lambda tx: tx.registrations.get(stranger.id)) is None
    assert world.store.read(lambda tx: tx.binding_work.trials()) == []
    assert world.store.read(lambda tx: tx.registrations.get(phone.id)) is not None


async def test_a_first_enrolment_waits_a_day_for_a_pbx_out_of_reach(world: World) -> None:
    phone = await world.enrol(proven=False)
    await put_trial(world, phone)
    world.clock.advance(DAY - MINUTE)
    await ticker_of(world).turn()
    assert world.store.read(lambda tx: tx.registrations.get(phone.id)) is not None
    world.clock.advance(MINUTE)
    await ticker_of(world).turn()
    assert world.store.read(lambda tx: tx.registrations.get(phone.id)) is None
    assert world.store.read(lambda tx: tx.accounts.get(phone.account_id)) is None


async def test_a_tombstone_and_its_account_go_after_thirty_days(world: World) -> None:
    phone = await world.enrol()
    other = await world.enrol("tablet", account=world.account(phone))
    await world.lives.end(phone.id, Ended.DELETED)
    world.clock.advance(DAY)
    await world.lives.end(other.id, Ended.DELETED)
    world.clock.advance(30 * DAY)
    await ticker_of(world).turn()
    assert world.store.read(lambda tx: tx.registrations.get(phone.id)) is None
    assert world.store.read(lambda tx: tx.registrations.get(other.id)) is not None
    world.clock.advance(DAY)
    await ticker_of(world).turn()
    assert world.store.read(lambda tx: tx.accounts.get(phone.account_id)) is None


async def test_five_hundred_lives_due_at_once_are_fired_in_slices(world: World) -> None:
    phones = [await world.enrol(f"p{n}") for n in range(450)]
    world.clock.advance(6 * DAY)
    await ticker_of(world).turn()
    due = world.store.read(lambda tx: tx.lives.next_due())
    assert due is not None
    assert due > world.clock.now()
    assert all(world.life(phone).step == 1 for phone in phones)


async def test_a_life_that_cannot_be_decided_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phones = [await world.enrol(f"p{n}") for n in range(5)]
    broken = phones[2].id

    def faulty(life: Life, *rest: Any) -> Decision:
        if life.id == broken:
            raise ZeroDivisionError
        return decide(life, *rest)

    monkeypatch.setattr(deciding, "decide", faulty)
    world.clock.advance(6 * DAY)
    await ticker_of(world).turn()
    assert [world.life(phone).step for phone in phones] == [1, 1, 0, 1, 1]
    monkeypatch.undo()
    world.clock.advance(HOUR)
    await ticker_of(world).turn()
    assert world.life(phones[2]).step == 2, "it is looked at again an hour later"


async def test_it_fires_at_the_moment_and_after_each_enrolment(world: World) -> None:
    running = asyncio.create_task(ticker_of(world).run())
    await world.clock.settle()
    phone = await world.enrol()
    await world.clock.run_until(END - DAY - 1)
    assert world.life(phone).step == 0
    fired = asyncio.Event()
    world.store.on_commit(lambda groups: fired.set() if "outbox" in groups else None)
    await world.clock.run_until(END - DAY)
    async with asyncio.timeout(10):
        await fired.wait()  # SQLite commits in a thread of its own
    assert world.life(phone).step == 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_store_that_fails_for_a_while_stops_nothing() -> None:
    store = MemoryStore()
    world = World(store)
    phone = await world.enrol()
    store.break_next(*[Fault.BEFORE_COMMIT] * 3)
    running = asyncio.create_task(ticker_of(world).run())
    await world.clock.run_until(END - DAY)
    store.break_next(Fault.BEFORE_COMMIT, Fault.AFTER_COMMIT)
    await world.clock.run_until(END - DAY + MINUTE)
    assert world.life(phone).step == 1
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_next_run_knows_how_long_nothing_ran() -> None:
    world = World(MemoryStore())
    running = asyncio.create_task(ticker_of(world).run())
    await world.clock.run_until(START + HOUR)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    world.clock.advance(DAY)
    world.restart(world.store)
    running = asyncio.create_task(ticker_of(world).run())
    await world.clock.settle()
    assert world.lives.downtime.gaps == ((START + HOUR, START + HOUR + DAY),)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_much_that_is_old_is_erased_piece_by_piece(world: World) -> None:
    old = [StoryRow(subject="call:1", at=START + n, event="x") for n in range(1_100)]
    await write_each(world.store, lambda tx: tx.stories.add, old)
    world.clock.advance(31 * DAY)
    await ticker_of(world).sweep(world.clock.now())
    assert world.store.read(lambda tx: tx.stories.of("call:1")) == []

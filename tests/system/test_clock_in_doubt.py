"""Law 8: a wall clock that steps too far warns nobody and ends nothing until it can be believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened
from tests.system.lives_world import DAY, END, HOUR, MINUTE, SECOND, World
from wakerobin.core.pushes import PushType
from wakerobin.services.lives.doubt import ALARM
from wakerobin.services.ticker import Ticker
from wakerobin.testing.clock import START
from wakerobin.testing.memory import MemoryStore


@asynccontextmanager
async def ticking(world: World) -> AsyncIterator[None]:
    """Run the ticker, as the server does."""
    running = asyncio.create_task(Ticker(world.store, world.clock, world.lives, world.clock).run())
    try:
        await world.clock.settle()
        yield
        await world.clock.settle()
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def pass_by(world: World, milliseconds: int) -> None:
    """Let real time pass, whatever the wall clock shows."""
    await world.clock.run_until(world.clock.now() + milliseconds)
    await world.carry()


def alarms(world: World) -> list[str]:
    return [one.name for one in world.store.read(lambda tx: tx.alarms.all())]


def warnings(world: World) -> int:
    return sum(sent.kind is PushType.EXPIRY_WARNING for sent in world.sent)


async def test_a_clock_that_jumps_ahead_warns_nobody_and_ends_nothing_until_it_is_set_right() -> None:
    world = World(MemoryStore())
    phones = [await world.enrol(f"p{n}") for n in range(3)]
    async with ticking(world):
        await pass_by(world, HOUR)
        world.clock.step_wall(30 * DAY)
        await pass_by(world, 2 * HOUR)
        assert world.sent == []
        assert alarms(world) == [ALARM]
        assert all(world.life(phone).expires_at == END for phone in phones)
        world.clock.step_wall(-30 * DAY)
        await pass_by(world, 2 * MINUTE)
        assert alarms(world) == []
        await world.clock.run_until(END - DAY + MINUTE)
        assert all(world.life(phone).step == 1 for phone in phones), "all goes on as if nothing had been"


async def test_a_clock_that_is_set_back_neither_warns_again_nor_stops_anything() -> None:
    world = World(MemoryStore())
    phone = await world.enrol()
    async with ticking(world):
        while world.clock.now() < END - HOUR // 2:
            await pass_by(world, 10 * MINUTE)
        assert warnings(world) == 2
        world.clock.step_wall(-3 * DAY)
        await pass_by(world, MINUTE)
        assert await world.lives.confirm_clock()
        for _ in range(3 * 24 * 4):
            await pass_by(world, 15 * MINUTE)
        assert warnings(world) == 2
        assert world.life(phone).ended is None
        await pass_by(world, HOUR)
        assert world.life(phone).ended is not None, "it ends when the clock shows its end"


async def test_a_forward_step_that_is_confirmed_is_an_outage_of_ours() -> None:
    world = World(MemoryStore())
    phone = await world.enrol()
    async with ticking(world):
        await pass_by(world, HOUR)
        world.clock.step_wall(30 * DAY)
        await pass_by(world, 5 * MINUTE)
        assert await world.lives.confirm_clock()
        assert not await world.lives.confirm_clock(), "there is nothing more to confirm"
        assert world.lives.downtime.gaps[-1][1] - world.lives.downtime.gaps[-1][0] == 30 * DAY
        await pass_by(world, MINUTE)
        assert warnings(world) == 1, "nobody ends unwarned"
        warned_at = world.sent[-1].at
        await pass_by(world, 2 * HOUR)
        life = world.life(phone)
        assert life.ended_at >= warned_at + HOUR


async def test_a_use_in_doubt_counts_at_once_and_gets_its_end_when_the_clock_is_confirmed() -> None:
    world = World(MemoryStore())
    phone, idle = await world.enrol(), await world.enrol("idle")
    async with ticking(world):
        await pass_by(world, HOUR)
        world.clock.step_wall(-2 * DAY)
        used = await world.lives.use(phone.id, "opened")
        assert used is not None
        assert (used.generation, used.expires_at) == (2, END)
        await pass_by(world, MINUTE)
        await world.lives.confirm_clock()
        at = world.clock.now()
        assert (world.life(phone).generation, world.life(phone).expires_at) == (2, at + 7 * DAY)
        assert world.life(idle).expires_at == END


async def test_a_use_in_doubt_and_the_doubt_survive_a_kill() -> None:
    store = MemoryStore()
    world = World(store)
    phone = await world.enrol()
    async with ticking(world):
        await pass_by(world, HOUR)
        world.clock.step_wall(30 * DAY)
        await world.lives.use(phone.id, "opened")
    store = store.restarted()
    world.restart(store)
    async with ticking(world):
        await pass_by(world, 10 * MINUTE)
        assert world.lives.is_frozen
        assert world.life(phone).expires_at == END
        assert world.sent == []
        await world.lives.confirm_clock()
        assert world.life(phone).expires_at == world.clock.now() + 7 * DAY


async def test_a_new_enrolment_in_doubt_gets_its_end_when_the_clock_is_believed() -> None:
    world = World(MemoryStore())
    async with ticking(world):
        await pass_by(world, HOUR)
        world.clock.step_wall(30 * DAY)
        phone = await world.enrol()
        assert world.life(phone).expires_at == START + HOUR + 7 * DAY
        await pass_by(world, HOUR)
        world.clock.step_wall(-30 * DAY)
        await pass_by(world, MINUTE)
        assert START + 2 * HOUR < world.life(phone).expires_at - 7 * DAY <= world.clock.now()
        assert world.life(phone).generation == 1


async def test_a_restart_with_a_clock_behind_the_last_beat_is_in_doubt() -> None:
    world = World(MemoryStore())
    phone = await world.enrol()
    async with ticking(world):
        await pass_by(world, HOUR)
    world.clock.step_wall(-300 * DAY)
    world.restart(world.store)
    async with ticking(world):
        assert alarms(world) == [ALARM]
        assert world.life(phone).ended is None
        world.clock.step_wall(300 * DAY)
        await pass_by(world, MINUTE)
        assert alarms(world) == []
    assert warnings(world) == 0


async def test_a_restart_after_the_clock_was_set_right_believes_it() -> None:
    world = World(MemoryStore())
    await world.enrol()
    async with ticking(world):
        await pass_by(world, HOUR)
        world.clock.step_wall(30 * DAY)
        await pass_by(world, 2 * MINUTE)
    world.clock.step_wall(-30 * DAY)
    world.clock.advance(HOUR)
    world.restart(world.store)
    async with ticking(world):
        assert alarms(world) == []
        assert not world.lives.is_frozen


@pytest.mark.parametrize("step", [4 * MINUTE, -4 * MINUTE, 90 * SECOND])
async def test_small_steps_are_followed(step: int) -> None:
    world = World(MemoryStore())
    async with ticking(world):
        for _ in range(10):
            world.clock.step_wall(step)
            await pass_by(world, 2 * MINUTE)
            assert not world.lives.is_frozen
    assert alarms(world) == []


async def test_ten_minutes_of_agreement_with_the_dates_of_push_services_confirm_a_clock() -> None:
    world = World(MemoryStore())
    note = world.lives.clock.note_date
    async with ticking(world):
        await pass_by(world, HOUR)
        world.clock.step_wall(2 * DAY)
        for minute in range(9):
            note(world.clock.now() - minute * SECOND)
            await pass_by(world, MINUTE)
        assert world.lives.is_frozen
        note(world.clock.now() - 2 * DAY)
        await pass_by(world, 5 * MINUTE)
        for _ in range(12):
            note(world.clock.now() + SECOND)
            assert world.lives.is_frozen, "one date that disagrees begins the ten minutes anew"
            await pass_by(world, MINUTE)
            if not world.lives.is_frozen:
                break
        assert not world.lives.is_frozen
        assert alarms(world) == []


async def test_a_process_that_stood_still_was_not_running() -> None:
    world = World(MemoryStore())
    async with ticking(world):
        await pass_by(world, HOUR)
        world.clock.advance(3 * HOUR)
        await pass_by(world, MINUTE)
        (gap,) = world.lives.downtime.gaps
    assert gap[1] - gap[0] == pytest.approx(3 * HOUR, abs=2 * MINUTE)
    assert alarms(world) == []


@pytest.mark.parametrize("engine", ENGINES)
async def test_many_uses_in_doubt_all_get_their_ends(
    engine: Callable[[Path], Engine], tmp_path: Path
) -> None:
    async with opened(engine(tmp_path)) as store:
        world = World(store)
        phones = [await world.enrol(f"p{n}") for n in range(250)]
        await world.lives.start()
        world.clock.step_wall(30 * DAY)
        for phone in phones:
            await world.lives.use(phone.id, "register")
        await world.lives.look()
        await world.lives.confirm_clock()
        assert {world.life(phone).expires_at for phone in phones} == {world.clock.now() + 7 * DAY}
        assert store.read(lambda tx: tx.held_uses.first(9)) == []

from __future__ import annotations

import asyncio
import time

from wakerobin import metrics
from wakerobin.net.clock import SystemClock
from wakerobin.net.wheel import Wheel

PATIENCE = 5.0


def faults() -> float:
    return metrics.REGISTRY.get_sample_value("wakerobin_faults_total", {"room": "net"}) or 0.0


async def test_calls_happen_in_the_order_of_their_times_never_early_and_at_most_a_tick_late() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    begin = loop.time()
    wanted = [begin + 0.071, begin + 0.013, begin + 0.044, begin]
    happened: list[tuple[float, float]] = []
    done = asyncio.Event()

    def note(when: float) -> None:
        happened.append((when, loop.time()))
        if len(happened) == len(wanted):
            done.set()

    for when in wanted:
        wheel.call_at(when, lambda when=when: note(when))  # type: ignore[misc]  # a default argument
    assert len(wheel) == 4
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert [when for when, _ in happened] == sorted(wanted)
    assert all(at >= when for when, at in happened)
    assert len(wheel) == 0


async def test_a_cancelled_call_does_not_happen_and_leaves_nothing_behind() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    happened: list[str] = []
    done = asyncio.Event()
    first = wheel.call_at(loop.time() + 0.01, lambda: happened.append("cancelled"))
    wheel.call_at(loop.time() + 0.02, done.set)
    first.cancel()
    first.cancel()
    assert len(wheel) == 1
    await asyncio.wait_for(done.wait(), PATIENCE)
    first.cancel()
    assert happened == []


async def test_a_callback_may_cancel_its_neighbour_of_the_same_tick() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    when = loop.time() + 0.01
    happened: list[str] = []
    done = asyncio.Event()

    def first() -> None:
        happened.append("first")
        neighbour.cancel()

    wheel.call_at(when, first)
    neighbour = wheel.call_at(when, lambda: happened.append("neighbour"))
    wheel.call_at(when, done.set)
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert happened == ["first"]


async def test_what_is_due_already_happens_in_a_later_turn_of_the_loop() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    happened: list[int] = []
    done = asyncio.Event()
    turns = 0

    def again() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            done.set()
            return
        wheel.call_at(loop.time() - 60.0, again)
        happened.append(turns)

    wheel.call_at(0.0, again)
    assert turns == 0
    others = 0

    def other() -> None:
        nonlocal others
        others += 1
        if not done.is_set():
            loop.call_soon(other)

    loop.call_soon(other)
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert happened == [1, 2]
    assert others >= 2  # the loop was not held by a callback that asks for the past


async def test_a_callback_that_raises_is_counted_and_harms_no_other() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    done = asyncio.Event()
    before = faults()
    when = loop.time()

    def fail() -> None:
        raise RuntimeError("as a bug does")

    wheel.call_at(when, fail)
    wheel.call_at(when, done.set)
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert faults() == before + 1


async def test_an_earlier_call_overtakes_the_one_that_the_loop_waits_for() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    soon = asyncio.Event()
    wheel.call_at(loop.time() + 3600.0, soon.set)
    wheel.call_at(loop.time() + 0.01, soon.set)
    await asyncio.wait_for(soon.wait(), PATIENCE)
    assert len(wheel) == 1
    wheel.close()
    assert len(wheel) == 0


async def test_a_hundred_thousand_calls_are_made_and_cancelled_one_by_one() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    when = loop.time() + 32.0
    timers = [wheel.call_at(when + index / 50_000, lambda: None) for index in range(100_000)]
    assert len(wheel) == 100_000
    for timer in timers:
        timer.cancel()
    assert len(wheel) == 0
    wheel.close()


async def test_the_system_clock_shows_the_wall_in_milliseconds_and_the_loops_own_time() -> None:
    loop = asyncio.get_running_loop()
    clock = SystemClock(loop)
    assert abs(clock.now() - time.time() * 1000) < 5_000
    before = loop.time()
    assert before <= clock.monotonic() <= loop.time()

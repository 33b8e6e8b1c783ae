from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.ports.clock import Clock, Timers
from wakerobin.testing.clock import START, ManualClock

DAY = 86_400_000


def test_it_is_a_clock_and_timers() -> None:
    clock = ManualClock()
    port: tuple[Clock, Timers] = (clock, clock)
    assert port[0].now() == START
    assert port[0].monotonic() == port[0].monotonic()


def test_both_clocks_move_together_and_only_when_told() -> None:
    clock = ManualClock(now=5_000)
    before = clock.monotonic()
    clock.advance(1_234)
    assert clock.now() == 6_234
    assert clock.monotonic() - before == pytest.approx(1.234)


def test_a_timer_sees_its_own_time() -> None:
    clock = ManualClock(now=0)
    seen: list[tuple[int, float]] = []
    when = clock.monotonic() + 2.5
    clock.call_at(when, lambda: seen.append((clock.now(), clock.monotonic())))
    clock.advance(10_000)
    assert seen == [(2_500, when)]
    assert clock.now() == 10_000


def test_timers_fire_in_the_order_of_their_times_and_equal_ones_in_the_order_of_asking() -> None:
    clock = ManualClock()
    base = clock.monotonic()
    fired: list[str] = []
    for name, seconds in [("c", 3.0), ("a", 1.0), ("b1", 2.0), ("b2", 2.0)]:
        clock.call_at(base + seconds, lambda name=name: fired.append(name))  # type: ignore[misc]  # bound early
    clock.advance(2_000)
    assert fired == ["a", "b1", "b2"]
    clock.advance(1_000)
    assert fired == ["a", "b1", "b2", "c"]


def test_a_cancelled_timer_does_not_fire_and_cancelling_a_fired_one_is_harmless() -> None:
    clock = ManualClock()
    fired: list[str] = []
    first = clock.call_at(clock.monotonic() + 1, lambda: fired.append("first"))
    second = clock.call_at(clock.monotonic() + 1, lambda: fired.append("second"))
    second.cancel()
    assert clock.next_timer() == clock.monotonic() + 1
    clock.advance(5_000)
    first.cancel()
    assert fired == ["first"]
    assert clock.next_timer() is None


def test_a_timer_set_while_another_fires_belongs_to_the_same_move() -> None:
    clock = ManualClock(now=0)
    beats: list[int] = []

    def beat() -> None:
        beats.append(clock.now())
        clock.call_at(clock.monotonic() + 1, beat)

    clock.call_at(clock.monotonic() + 1, beat)
    clock.advance(4_500)
    assert beats == [1_000, 2_000, 3_000, 4_000]


def test_a_timer_for_the_past_fires_at_the_next_move_without_turning_the_clock_back() -> None:
    clock = ManualClock(now=0)
    clock.advance(1_000)
    seen: list[int] = []
    clock.call_at(clock.monotonic() - 60, lambda: seen.append(clock.now()))
    assert seen == []
    clock.advance(0)
    assert seen == [1_000]


def test_a_stepped_wall_clock_moves_no_timer() -> None:
    clock = ManualClock(now=0)
    fired: list[int] = []
    clock.call_at(clock.monotonic() + 1, lambda: fired.append(clock.now()))
    clock.step_wall(DAY)
    assert (clock.now(), fired) == (DAY, [])
    clock.advance(1_000)
    assert fired == [DAY + 1_000]


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        ManualClock().advance(-1)


async def test_running_until_a_time_lets_tasks_run_between_the_timers() -> None:
    clock = ManualClock(now=0)
    seen: list[int] = []

    async def sleeper() -> None:
        for _ in range(3):
            woken = asyncio.Event()
            clock.call_at(clock.monotonic() + 1, woken.set)
            await woken.wait()
            seen.append(clock.now())

    task = asyncio.create_task(sleeper())
    await clock.run_until(2_500)
    assert (seen, clock.now(), task.done()) == ([1_000, 2_000], 2_500, False)
    await clock.run_until(7 * DAY)
    assert (seen, clock.now(), task.done()) == ([1_000, 2_000, 3_000], 7 * DAY, True)


async def test_running_until_a_condition_stops_at_the_timer_that_made_it_true() -> None:
    clock = ManualClock(now=0)
    seen: list[int] = []
    for second in (1, 2, 3):
        clock.call_at(clock.monotonic() + second, lambda: seen.append(clock.now()))
    await clock.run_until_true(lambda: len(seen) == 2, within=60_000)
    assert clock.now() == 2_000
    with pytest.raises(AssertionError, match="within 500 ms"):
        await clock.run_until_true(lambda: len(seen) == 3, within=500)


async def test_settling_follows_a_chain_of_tasks_to_its_end() -> None:
    clock = ManualClock()
    reached: list[int] = []

    async def link(left: int) -> None:
        if left:
            await asyncio.create_task(link(left - 1))
        reached.append(left)

    task = asyncio.create_task(link(50))
    await clock.settle()
    assert task.done()
    assert reached == list(range(51))


async def test_settling_takes_in_what_a_socket_holds_already() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        seen: list[bytes] = []
        loop.add_reader(ours, lambda: seen.append(ours.recv(16)))
        theirs.send(b"ready")
        await ManualClock().settle()
        loop.remove_reader(ours)
    assert seen == [b"ready"]


async def test_a_loop_that_never_rests_is_told() -> None:
    loop = asyncio.get_running_loop()
    going = True

    def again() -> None:
        if going:
            loop.call_soon(again)

    again()
    with pytest.raises(AssertionError, match="still has something ready"):
        await ManualClock().settle()
    going = False


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=30), st.integers(0, 10**9))
def test_every_due_timer_fires_once_in_order_however_the_way_is_cut(delays: list[float], cut: int) -> None:
    clock = ManualClock()
    start = clock.monotonic()
    fired: list[float] = []
    for delay in delays:
        clock.call_at(start + delay, lambda: fired.append(clock.monotonic()))
    clock.advance(cut)
    clock.advance(10**9 - cut)
    assert fired == sorted(start + delay for delay in delays)

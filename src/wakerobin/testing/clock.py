"""A clock that stands still until it is told to move: both clocks of the server and its timers.

A week passes in a millisecond, and every race can be replayed: timers fire in the order of their times,
and while one fires the clocks show exactly its time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

START = 1_735_689_600_000
"""2025-01-01 00:00:00 UTC, where the wall clock of a `ManualClock` begins unless told otherwise."""

_MONOTONIC_START = 1000.0
_MOST_TURNS = 100_000


class ManualTimer:
    """A call that was asked of a `ManualClock`."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget it. Harmless when it has already happened."""
        self._callback = None

    @property
    def is_pending(self) -> bool:
        """Whether it was neither cancelled nor fired."""
        return self._callback is not None

    def fire(self) -> None:
        """Call back, once at most."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class ManualClock:
    """Both clocks and the timers (`ports.clock`), moved by hand."""

    def __init__(self, now: int = START) -> None:
        self._wall_start = now
        self._elapsed = 0.0
        self._due: list[tuple[float, int, ManualTimer]] = []
        self._sequence = 0

    def now(self) -> int:
        """Return the wall clock, integer epoch milliseconds."""
        return self._wall_start + round(self._elapsed * 1000)

    def monotonic(self) -> float:
        """Return seconds of the clock that `step_wall` does not move."""
        return _MONOTONIC_START + self._elapsed

    def call_at(self, when: float, callback: Callable[[], None]) -> ManualTimer:
        """Call `callback` once when `monotonic` reaches `when`; for a time that is past, at the next move."""
        timer = ManualTimer(callback)
        self._sequence += 1
        heapq.heappush(self._due, (when, self._sequence, timer))
        return timer

    def step_wall(self, milliseconds: int) -> None:
        """Move the wall clock alone, as an operator or NTP does; no timer fires."""
        self._wall_start += milliseconds

    def next_timer(self) -> float | None:
        """Return when the next timer fires, in seconds of `monotonic`; None when there is none."""
        while self._due and not self._due[0][2].is_pending:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def advance(self, milliseconds: int) -> None:
        """Move both clocks on, firing each timer at its time. Tasks run only after the caller awaits."""
        if milliseconds < 0:
            raise ValueError("monotonic time does not run backwards; step_wall moves the wall clock")
        end = self._elapsed + milliseconds / 1000
        while self._fire_next(end):
            pass
        self._elapsed = end

    async def run_until(self, at: int) -> None:
        """Move on to wall time `at` (epoch milliseconds) and let all tasks run after every timer."""
        end = self._elapsed + (at - self.now()) / 1000
        await self.settle()
        while self._fire_next(end):
            await self.settle()
        self._elapsed = max(self._elapsed, end)
        await self.settle()

    async def run_until_true(self, condition: Callable[[], bool], within: int) -> None:
        """Move on, timer by timer, until `condition` holds.

        Raises AssertionError where it does not hold after `within` milliseconds.
        """
        end = self._elapsed + within / 1000
        await self.settle()
        while not condition():
            if not self._fire_next(end):
                raise AssertionError(f"it did not come true within {within} ms")
            await self.settle()

    async def settle(self) -> None:
        """Let the loop run until nothing is ready: every task waits for a timer, a socket or a thread."""
        ready = _ready_queue()
        quiet = 0
        for _ in range(_MOST_TURNS):
            await asyncio.sleep(0)
            # A quiet turn still asks the selector, and what came in there is ready one turn later.
            quiet = 0 if ready() else quiet + 1
            if quiet > 1:
                return
        raise AssertionError(f"after {_MOST_TURNS} turns the loop still has something ready")

    def _fire_next(self, end: float) -> bool:
        when = self.next_timer()
        if when is None or when - _MONOTONIC_START > end:
            return False
        _, _, timer = heapq.heappop(self._due)
        self._elapsed = max(self._elapsed, when - _MONOTONIC_START)
        timer.fire()
        return True


def _ready_queue() -> Callable[[], int]:
    queue = getattr(asyncio.get_running_loop(), "_ready", None)
    if queue is None:
        raise RuntimeError("ManualClock.settle needs asyncio's own event loop")
    return lambda: len(queue)

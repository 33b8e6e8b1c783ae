"""The fleet's own time and its one timer: tells when rows of the roster are due."""

from __future__ import annotations

import math
from collections.abc import Callable

from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.services.fleet.schedule import RefreshWheel, Roster

_NOT_ARMED = 1 << 62
_ROUNDING_S = 1e-6
"""A timer may fire a hair before its second, as floating-point numbers go; that second has come then."""


class Agenda:
    """`on_due` is called with each row that is due, while the agenda is started."""

    def __init__(self, roster: Roster, clock: Clock, timers: Timers, on_due: Callable[[int], None]) -> None:
        self._clock = clock
        self._timers = timers
        self._on_due = on_due
        self._zero = clock.monotonic() - 1.0
        self._wheel = RefreshWheel(roster, self.now())
        self._timer: Timer | None = None
        self._armed_at = _NOT_ARMED
        self._is_started = False

    def now(self) -> int:
        """Return the present second of the fleet's own time."""
        return int(self._clock.monotonic() - self._zero + _ROUNDING_S)

    def monotonic(self, second: int) -> float:
        """Return the monotonic time of a second of the fleet's own time."""
        return self._zero + second

    def put_in(self, row: int, seconds: float) -> None:
        """Let a row be due in so many seconds, in place of what was said before."""
        self.put(row, self.now() + math.ceil(seconds))

    def put(self, row: int, at: int) -> None:
        """Let a row be due at a second, in place of what was said before; the next one at the soonest."""
        at = max(at, self.now() + 1)
        self._wheel.put(row, at)
        if self._is_started and at < self._armed_at:
            self._arm(at)

    def start(self) -> None:
        """Begin to call back."""
        self._is_started = True
        self._arm_next()

    def stop(self) -> None:
        """Call nobody any more."""
        self._is_started = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._timer = None
        self._armed_at = _NOT_ARMED
        for row in self._wheel.take(self.now()):
            self._on_due(row)
        self._arm_next()

    def _arm_next(self) -> None:
        second = self._wheel.next_look()
        if second is not None and second < self._armed_at:
            self._arm(second)

    def _arm(self, second: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = second
        self._timer = self._timers.call_at(self.monotonic(second), self._turn)

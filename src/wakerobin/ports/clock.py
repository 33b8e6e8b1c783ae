"""Time as the services see it: two clocks and a way to be called later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Two clocks. Durable times come from `now`, machines in memory use `monotonic`."""

    def now(self) -> int:
        """Return the wall clock, integer epoch milliseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never steps."""
        ...


class Timer(Protocol):
    """A call that was asked for and has not happened."""

    def cancel(self) -> None:
        """Forget it. Harmless when it has already happened."""
        ...


class Timers(Protocol):
    """Calls back at a time of the monotonic clock: one wheel for all transactions and flows."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once, at or up to 10 ms after `when` (seconds of `Clock.monotonic`)."""
        ...

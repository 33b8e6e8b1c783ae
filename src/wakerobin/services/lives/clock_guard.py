"""The clock that lives go by: the machine's, as long as it can be believed (life.md law 8).

A wall clock that steps away from the monotonic one by more than `step_limit` is in doubt. Until it steps
back, or somebody confirms it, time goes on here as if it had not stepped.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from wakerobin.ports.clock import Clock
from wakerobin.ports.store import Kept

STEP_LIMIT = 5 * 60_000
AGREEMENT = 10 * 60_000
"""For so long the dates of others must agree with a wall clock in doubt; then they confirm it."""
AGREES = 30_000
"""A date of others is so exact: it counts seconds, and was some time on its way."""
_NAME = "lives-clock"


@dataclass(frozen=True, slots=True)
class Window:
    """What the wall clock may show, less the monotonic one, in milliseconds: `low` ≤ it < `high`."""

    low: float
    high: float
    believed: float
    """What it showed when it was believed last."""


class ClockGuard:
    """`ports.clock.Clock` for lives. In doubt `now` goes on by the monotonic clock."""

    def __init__(self, clock: Clock, step_limit: int = STEP_LIMIT) -> None:
        self._clock = clock
        self._limit = step_limit
        self._window = self._around(self._offset())
        self._agreed_at: float | None = None
        self.has_agreed = False
        """The dates of others have confirmed a clock in doubt; `confirm` forgets it."""

    def now(self) -> int:
        """Return the wall clock, epoch milliseconds, or in doubt what it would show without the step."""
        offset = self._offset()
        if self._window.low <= offset < self._window.high:
            return self._clock.now()
        return round(self._window.believed + self._clock.monotonic() * 1000)

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return self._clock.monotonic()

    def wall(self) -> int:
        """Return what the wall clock shows, believed or not."""
        return self._clock.now()

    @property
    def is_doubtful(self) -> bool:
        """Whether the wall clock shows what it cannot."""
        return not self._window.low <= self._offset() < self._window.high

    @property
    def step(self) -> int:
        """By how many milliseconds the wall clock is ahead of what is believed; 0 without a doubt."""
        return round(self._offset() - self._window.believed) if self.is_doubtful else 0

    def follow(self) -> None:
        """Take what the wall clock shows now as what it has to go on with: small steps and drift."""
        if not self.is_doubtful:
            self._window = self._around(self._offset())

    def confirm(self) -> None:
        """Believe the wall clock from now on, whatever it shows."""
        self._window = self._around(self._offset())
        self._agreed_at = None
        self.has_agreed = False

    def note_date(self, at: int) -> None:
        """Take a date that somebody else's clock has just told, epoch milliseconds."""
        if not self.is_doubtful or abs(self._clock.now() - at) > AGREES:
            self._agreed_at = None
            self.has_agreed = False
            return
        now_s = self._clock.monotonic()
        if self._agreed_at is None:
            self._agreed_at = now_s
        self.has_agreed = (now_s - self._agreed_at) * 1000 >= AGREEMENT

    def save(self, kept: Kept) -> None:
        """Keep what the next run has to know; to be done each minute, and where a doubt began."""
        mono, offset, window = self._clock.monotonic() * 1000, self._offset(), self._window
        low, high = window.low, math.inf
        if offset >= window.high:
            high = offset - self._limit  # it may have gone back meanwhile, or still show the same
        elif offset >= window.low:
            low = offset - self._limit
        value = {
            "low": round(low + mono),
            "high": None if math.isinf(high) else round(high + mono),
            "believed": self.now(),
        }
        kept.put(_NAME, json.dumps(value).encode())

    def restore(self, kept: Kept) -> None:
        """Take up what the last run kept: time cannot have gone back, and a doubt outlives a restart."""
        found = kept.get(_NAME)
        if found is None:
            return
        value = json.loads(found)
        mono = self._clock.monotonic() * 1000
        high = math.inf if value["high"] is None else value["high"] - mono
        self._window = Window(value["low"] - mono, high, value["believed"] - mono)

    def _offset(self) -> float:
        return self._clock.now() - self._clock.monotonic() * 1000

    def _around(self, offset: float) -> Window:
        return Window(offset - self._limit, offset + self._limit, offset)

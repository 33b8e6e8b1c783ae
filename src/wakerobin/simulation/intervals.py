"""Stretches of time, and how much of another stretch lies outside of them."""

from __future__ import annotations

import bisect
from collections.abc import Iterable


class Intervals:
    """Sorted, disjoint stretches `from <= t < to` in milliseconds; built from any."""

    __slots__ = ("_before", "_ends", "_starts")

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(stretches):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)
        self._before = [0]
        """How much lies in all stretches before each."""
        for start, end in zip(self._starts, self._ends, strict=True):
            self._before.append(self._before[-1] + end - start)

    def end_of(self, moment: int) -> int:
        """Return the end of the stretch that a moment lies in, else the moment itself."""
        found = bisect.bisect_right(self._starts, moment) - 1
        return self._ends[found] if found >= 0 and moment < self._ends[found] else moment

    def covers(self, moment: int) -> bool:
        """Whether a moment lies in one of them."""
        found = bisect.bisect_right(self._starts, moment) - 1
        return found >= 0 and moment < self._ends[found]

    def outside(self, start: int, end: int) -> int:
        """Return how much of a stretch lies in none of them."""
        return end - start - (self._until(end) - self._until(start)) if end > start else 0

    def _until(self, moment: int) -> int:
        found = bisect.bisect_right(self._starts, moment) - 1
        if found < 0:
            return 0
        return self._before[found] + min(moment, self._ends[found]) - self._starts[found]

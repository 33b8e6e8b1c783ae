"""How fast accounts are bound again at a PBX that has lost many at once: found out from its answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_SOON_S = 0.5
_LATE_S = 2.0
_GROWTH = 0.25
"""By each answer: a PBX that keeps up sees a quarter more each second."""
_RANGE = 10.0
_CUT_EVERY_S = 1.0
_BURST_S = 0.1


def recovery_order(rows: Iterable[int], called: Sequence[int], lately: int) -> list[int]:
    """Return rows in the order in which they come back: the last called first, where that was lately.

    `called` has the time of each row's last call, 0 for none; what was before `lately` counts as none.
    """
    return sorted(rows, key=lambda row: -called[row] if called[row] >= lately else 0)


class RecoveryPace:
    """A rate that begins at `first` a second, grows while answers come soon, and halves when they do not.

    It never falls below `least`, the calm rate, nor rises above ten times `first`. Seconds are monotonic.
    """

    __slots__ = ("_at", "_cut_at", "_first", "_least", "_most", "_rate", "_tokens")

    def __init__(self, first: float, least: float, at: float) -> None:
        self._least = least
        self._first = self._rate = max(first, least)
        self._most = self._first * _RANGE
        self._tokens = self._burst()
        self._at = at
        self._cut_at = float("-inf")

    @property
    def rate(self) -> float:
        """REGISTERs a second, as far as is known."""
        return self._rate

    @property
    def is_learnt(self) -> bool:
        """Whether any answer has changed it."""
        return self._rate != self._first

    def remember(self, rate: float) -> None:
        """Take up what was found out in an earlier run."""
        self._rate = min(self._most, max(self._least, rate))

    def take(self, now: float) -> float:
        """Take a token and return 0.0, or take none and return the seconds until there is one."""
        self._refill(now)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate

    def spend(self, now: float) -> None:
        """Count a REGISTER that could not wait: the answer to a challenge."""
        self._refill(now)
        self._tokens -= 1.0

    def answered(self, now: float, after_s: float) -> None:
        """Learn from a REGISTER that was answered, so long after it was sent."""
        if after_s <= _SOON_S:
            self._rate = min(self._most, self._rate + _GROWTH)
        elif after_s > _LATE_S:
            self.overloaded(now)

    def overloaded(self, now: float) -> None:
        """Learn from an answer that asks for patience, or that none came. One bad second counts once."""
        if now - self._cut_at >= _CUT_EVERY_S:
            self._cut_at = now
            self._rate = max(self._least, self._rate / 2)

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._burst(), self._tokens + (now - self._at) * self._rate)
            self._at = now

    def _burst(self) -> float:
        return max(1.0, self._rate * _BURST_S)

"""How a phone answered renewal pushes before: what the adaptive renewal goes by.

Kept as a short text in the life's record and folded only when a generation closes in which renewals were
sent, so that the plan stays the same within a generation. A phone in daily use has none: it is never asked.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass, replace

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"1:(\d{1,2})/(\d{1,2})/(\d{1,2})/(\d{1,2})/(\d{1,5})/([0-9a-z]{24})?", re.ASCII)
_NO_HOURS = (0,) * 24
_MOST = 12  # generations; older ones count half
_LONGEST_DELAY = 99_999
_HEAVIEST = 35
_GOOD = 4
_GIVES_UP = 2
_MINUTE = 60_000


class Answering(enum.Enum):
    """What kind of phone this is, as far as its answers tell."""

    UNKNOWN = "unknown"
    """It was never asked."""
    RELIABLE = "reliable"
    """It answers within a few pushes."""
    SELDOM = "seldom"
    """It answers, but needs many."""
    SILENT = "silent"
    """It has not answered for two generations in a row."""


@dataclass(frozen=True, slots=True)
class Habits:
    """Counted over generations in which renewal pushes were sent, the latest ones weigh most."""

    asked: int = 0
    answered: int = 0
    unanswered: int = 0
    """So many in a row brought no answer."""
    tries: int = 0
    """How many pushes an answer takes, on average."""
    delay: int = 0
    """How many minutes lie between a push and its answer, on average."""
    hours: tuple[int, ...] = _NO_HOURS
    """How often it answered in each local hour of the day."""

    @classmethod
    def decode(cls, text: str) -> Habits:
        """Read what `encode` wrote; anything else is no habits."""
        return _decoded(text)

    def encode(self) -> str:
        """Return it as text of at most 45 characters; none is empty."""
        if not self.asked:
            return ""
        hours = "".join(_DIGITS[weight] for weight in self.hours) if any(self.hours) else ""
        return f"1:{self.asked}/{self.answered}/{self.unanswered}/{self.tries}/{self.delay}/{hours}"

    @property
    def answering(self) -> Answering:
        """What kind of phone it is."""
        if not self.asked:
            return Answering.UNKNOWN
        if self.unanswered >= _GIVES_UP:
            return Answering.SILENT
        if not self.unanswered and 4 * self.answered >= 3 * self.asked and self.tries <= _GOOD:
            return Answering.RELIABLE
        return Answering.SELDOM

    @property
    def good_hours(self) -> frozenset[int]:
        """The local hours at which it answers best: four at most."""
        best = sorted(range(24), key=lambda hour: -self.hours[hour])[:_GOOD]
        return frozenset(hour for hour in best if 2 * self.hours[hour] >= max(self.hours) > 0)

    def answered_at(self, hour: int, tries: int, delay: int) -> Habits:
        """Fold an answer in: at a local hour, after so many pushes, `delay` milliseconds after the last."""
        weights = list(self.hours)
        weights[hour] += 3
        for beside in (hour - 1, (hour + 1) % 24):
            weights[beside] += 1
        if max(weights) > _HEAVIEST:
            weights = [weight // 2 for weight in weights]
        minutes = min(_LONGEST_DELAY, max(0, delay) // _MINUTE)
        return replace(
            self._counted(),
            answered=self._counted().answered + 1,
            unanswered=0,
            tries=min(99, _average(self.tries, tries, self.answered)),
            delay=_average(self.delay, minutes, self.answered),
            hours=tuple(weights),
        )

    def not_answered(self) -> Habits:
        """Fold a generation in that no renewal push saved."""
        return replace(self._counted(), unanswered=min(99, self.unanswered + 1))

    def _counted(self) -> Habits:
        if self.asked < _MOST:
            return replace(self, asked=self.asked + 1)
        return replace(self, asked=self.asked // 2 + 1, answered=self.answered // 2)


def _average(before: int, now: int, count: int) -> int:
    """Return a mean that forgets: the newest weighs a third at least."""
    weight = min(count, 2)
    return (before * weight + now) // (weight + 1)


@functools.lru_cache(maxsize=4096)
def _decoded(text: str) -> Habits:
    found = _FORM.fullmatch(text)
    if found is None:
        return Habits()
    asked, answered, unanswered, tries, delay = map(int, found.groups()[:5])
    hours = tuple(map(_DIGITS.index, found[6])) if found[6] else _NO_HOURS
    return Habits(asked, answered, unanswered, tries, delay, hours)

"""The user's night: from when until when nothing visible should be shown, in their own time zone.

Nights are found from moments, not from dates: where a clock is put forward or back, or a zone skips a
whole day, a night is as long as it really was. Times are epoch milliseconds.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from wakerobin.core.errors import ConfigurationError

_MINUTE = 60_000
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_LONGEST = 16 * _HOUR
_FORM = re.compile(r"\s*([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)\s*", re.ASCII)

LATE = 10 * _MINUTE
"""So far into a night what was planned for its very beginning may still be shown: a timer is never exact."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A night by the wall clock: minutes of the day at which it begins and ends."""

    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> QuietHours | None:
        """Read `22:00-07:00`; empty text is no quiet hours. Raises ConfigurationError in words."""
        if not text.strip():
            return None
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigurationError("lifetime.quiet_hours must look like 22:00-07:00")
        hours, minutes, until_hours, until_minutes = map(int, found.groups())
        night = cls(hours * 60 + minutes, until_hours * 60 + until_minutes)
        if not 0 < night.length <= _LONGEST:
            raise ConfigurationError("lifetime.quiet_hours must be longer than nothing and at most 16 hours")
        return night

    @property
    def length(self) -> int:
        """How long a night is, in milliseconds, when no clock changes in it."""
        return (self.end - self.start) * _MINUTE % _DAY

    def night(self, zone: str, at: int) -> tuple[int, int] | None:
        """Return when the night began and ends that covers a moment; None by day, or in no known zone."""
        began = self.began(zone, at)
        found = zone_of(zone)
        return (began, self._ends(found, at)) if began is not None and found is not None else None

    def began(self, zone: str, at: int) -> int | None:
        """Return when the night began that covers a moment; None as for `night`."""
        found = zone_of(zone)
        return self._began(found, at) if found is not None and self._covers(found, at) else None

    def _covers(self, zone: ZoneInfo, at: int) -> bool:
        return (_time_of_day(zone, at) - self.start * _MINUTE) % _DAY < self.length

    def _began(self, zone: ZoneInfo, at: int) -> int:
        while True:
            offset = _offset(zone, at)
            began = at - (_time_of_day(zone, at) - self.start * _MINUTE) % _DAY
            if _offset(zone, began) == offset:
                return began
            change = _change(zone, began, at)
            if not self._covers(zone, change - 1):
                return change
            at = change - 1

    def _ends(self, zone: ZoneInfo, at: int) -> int:
        while True:
            offset = _offset(zone, at)
            ends = at + (self.end * _MINUTE - _time_of_day(zone, at)) % _DAY
            if _offset(zone, ends - 1) == offset:
                return ends
            change = _change(zone, at, ends - 1)
            if not self._covers(zone, change):
                return change
            at = change


@functools.lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """Return an IANA time zone; None for a name that is none."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def local_hours(zone: str, first: int, count: int, every: int) -> list[int]:
    """Return the local hour of the day at `count` moments, the first at `first`; UTC in no known zone."""
    found = zone_of(zone)
    if found is None:
        return [_hour(first + n * every) for n in range(count)]
    last = first + max(0, count - 1) * every
    offset = _offset(found, first)
    if last - first < _DAY * 30 and offset == _offset(found, last) == _offset(found, (first + last) // 2):
        return [_hour(first + offset + n * every) for n in range(count)]
    moments = (first + n * every for n in range(count))
    return [_hour(at + _offset(found, at)) for at in moments]


def local_hour(zone: str, at: int) -> int:
    """Return the local hour of the day, 0 to 23; UTC in no known zone."""
    return local_hours(zone, at, 1, 0)[0]


def _hour(at: int) -> int:
    return at % _DAY // _HOUR


def _time_of_day(zone: ZoneInfo, at: int) -> int:
    return (at + _offset(zone, at)) % _DAY


def _offset(zone: ZoneInfo, at: int) -> int:
    """Return how far local time is ahead of UTC."""
    offset = datetime.fromtimestamp(at // 1000, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds()) * 1000


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """Return the first moment after `before` with the offset of `after`: where the clocks were changed."""
    offset = _offset(zone, after)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == offset:
            after = middle
        else:
            before = middle
    return after

"""What Google asks of those who send: quotas of project and device, and no rush at the quarter hours.

Calls are counted, but never held back: an answer that says "too many" costs less than a call that did
not ring. Everything here is pure; monotonic seconds and epoch milliseconds are arguments.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from wakerobin.core.pacing import TokenBucket

_MINUTE: Final = 60_000
_QUARTER: Final = 15 * _MINUTE
_AROUND: Final = 2 * _MINUTE

PROJECT_PER_MINUTE: Final = 600_000
DEVICE_PER_MINUTE: Final = 240
DEVICE_PER_HOUR: Final = 5_000
COLLAPSIBLE_BURST: Final = 20
"""Messages with a collapse key to one device; one more every three minutes."""
COLLAPSIBLE_EVERY_S: Final = 180.0

TRICKLE_PER_S: Final = 1.0
TRICKLE_BURST: Final = 30
"""What a small server sends at a quarter hour is no rush."""
SPREAD: Final = 3 * _MINUTE
"""What waited for the end of the quiet minutes goes within that time, not all at once."""
_MOST_DEVICES: Final = 10_000


def quiet_for(now: int) -> int:
    """Return the milliseconds until the two minutes around a quarter hour are over; 0 outside of them.

    Everybody's clocks send at :00, :15, :30 and :45, and Google asks to stay away from there.
    """
    since = now % _QUARTER
    if since < _AROUND:
        return _AROUND - since
    if since >= _QUARTER - _AROUND:
        return _QUARTER - since + _AROUND
    return 0


@dataclass(frozen=True, slots=True)
class Held:
    """Why a push must not go yet, and for how many milliseconds."""

    reason: str
    wait: int


@dataclass(slots=True, eq=False)
class _Device:
    minute: TokenBucket
    hour: TokenBucket
    collapsible: TokenBucket
    paused_until: float = 0.0


@dataclass(slots=True, eq=False)
class ProjectPace:
    """What was sent for one project, by all apps in it."""

    began_at: float
    """Monotonic seconds."""
    _devices: OrderedDict[int, _Device] = field(default_factory=OrderedDict, init=False)
    _project: TokenBucket = field(init=False)
    _trickle: TokenBucket = field(init=False)
    _paused_until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        per_second = PROJECT_PER_MINUTE / 60
        self._project = TokenBucket(per_second, per_second, at=self.began_at)
        self._trickle = TokenBucket(TRICKLE_PER_S, TRICKLE_BURST, at=self.began_at)

    def urgent(self, device: int, now: float) -> None:
        """Count what goes in any case; `device` is whatever tells devices apart."""
        self._project.reserve(now)
        known = self._device(device, now)
        known.minute.reserve(now)
        known.hour.reserve(now)

    def hold(self, device: int, now: float, *, collapses: bool) -> Held | None:
        """Count a push that can wait, or say why and how long it has to. Nothing is counted then."""
        known = self._device(device, now)
        for reason, until in (("project", self._paused_until), ("device", known.paused_until)):
            if now < until:
                return Held(f"the quota of the {reason} is used up", _ms(until - now))
        buckets = [self._project, known.minute, known.hour]
        if collapses:
            buckets.append(known.collapsible)
        lacking = next((bucket for bucket in buckets if bucket.level(now) < 1.0), None)
        if lacking is not None:
            reason = "project" if lacking is self._project else "device"
            return Held(f"the quota of the {reason} is used up", _ms(lacking.take(now)))
        for bucket in buckets:
            bucket.take(now)
        return None

    def trickles(self, now: float) -> bool:
        """Whether a push may go although the minutes are quiet."""
        return self._trickle.take(now) == 0.0

    def pause_project(self, now: float, wait: int) -> None:
        """Google says that the project has used up its quota."""
        self._paused_until = max(self._paused_until, now + wait / 1000)

    def pause_device(self, device: int, now: float, wait: int) -> None:
        """Google says that the device has used up its quota."""
        known = self._device(device, now)
        known.paused_until = max(known.paused_until, now + wait / 1000)

    def _device(self, device: int, now: float) -> _Device:
        known = self._devices.get(device)
        if known is None:
            known = self._devices[device] = _Device(
                TokenBucket(DEVICE_PER_MINUTE / 60, DEVICE_PER_MINUTE, at=now),
                TokenBucket(DEVICE_PER_HOUR / 3600, DEVICE_PER_HOUR, at=now),
                TokenBucket(1 / COLLAPSIBLE_EVERY_S, COLLAPSIBLE_BURST, at=now),
            )
            if len(self._devices) > _MOST_DEVICES:
                self._devices.popitem(last=False)
        self._devices.move_to_end(device)
        return known


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))

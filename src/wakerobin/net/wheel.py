"""One timer of the event loop for any number of calls: transactions, flows, calls on hold.

`loop.call_later` costs 300 bytes and a heap operation for each call and keeps a cancelled one until
its time. Nearly every timer of SIP is cancelled, so here a call sits in the bucket of its tick (10 ms)
and leaves it in O(1); the loop only ever knows the earliest tick.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable

from wakerobin import log, metrics

_TICKS = 100
"""A second."""

_log = log.get("net")
_FAULTS = metrics.FAULTS.labels("net")


class WheelTimer:
    """A call that sits in a bucket, or has happened, or was forgotten."""

    __slots__ = ("_bucket", "_callback")

    def __init__(self, bucket: dict[WheelTimer, None], callback: Callable[[], None]) -> None:
        self._bucket: dict[WheelTimer, None] | None = bucket
        self._callback = callback
        bucket[self] = None

    def cancel(self) -> None:
        """Forget it. Harmless when it has already happened."""
        bucket, self._bucket = self._bucket, None
        if bucket is None:
            return
        del bucket[self]
        if not bucket:
            bucket.clear()  # gives back the memory of a bucket that was once full
        self._callback = _nothing

    def fire(self) -> None:
        """Call back, for the wheel only; one cancelled by a neighbour of its tick does nothing.

        A callback that raises is logged and harms no other.
        """
        self._bucket = None
        callback, self._callback = self._callback, _nothing
        try:
            callback()
        except Exception:
            _FAULTS.inc()
            _log.error("timer_raised", exc_info=True)


class Wheel:
    """Implements `ports.clock.Timers` on one loop. Driven by the loop's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, dict[WheelTimer, None]] = {}
        self._ticks: list[int] = []
        self._handle: asyncio.TimerHandle | None = None
        self._armed = 0

    def __len__(self) -> int:
        """Return how many calls are waiting."""
        return sum(len(bucket) for bucket in self._buckets.values())

    def call_at(self, when: float, callback: Callable[[], None]) -> WheelTimer:
        """Call `callback` once, at or up to 10 ms after `when` (seconds of the loop's clock).

        What is due already is called in the next turn of the loop, never from inside this method.
        """
        # The tick that begins after `when`: rounding may then make a call late, never early.
        tick = math.floor(when * _TICKS) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heapq.heappush(self._ticks, tick)
            if self._handle is None or tick < self._armed:
                self._arm(tick)
        return WheelTimer(bucket, callback)

    def close(self) -> None:
        """Forget every call: the loop ends."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        for bucket in self._buckets.values():
            for timer in tuple(bucket):
                timer.cancel()
        self._buckets.clear()
        self._ticks.clear()

    def _arm(self, tick: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed = tick
        self._handle = self._loop.call_at(tick / _TICKS, self._turn)

    def _turn(self) -> None:
        self._handle = None
        now = self._loop.time()
        due: list[dict[WheelTimer, None]] = []
        while self._ticks and self._ticks[0] / _TICKS <= now:
            due.append(self._buckets.pop(heapq.heappop(self._ticks)))
        # What a callback asks for at a time that is past lands in a new bucket: the next turn's.
        for bucket in due:
            for timer in tuple(bucket):
                timer.fire()
        if self._ticks and (self._handle is None or self._ticks[0] < self._armed):
            self._arm(self._ticks[0])


def _nothing() -> None:
    """Stand for a callback that will not be called, so that what it held is let go."""

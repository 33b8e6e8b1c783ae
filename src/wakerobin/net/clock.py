"""The clocks of this machine, as `ports.clock.Clock`."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """The wall clock, and the monotonic clock by which an event loop fires its timers."""

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> int:
        """Return the wall clock, integer epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds of the loop's clock, which never steps."""
        return self._loop.time()

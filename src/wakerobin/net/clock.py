"""The clocks of this machine, as `ports.clock.Clock`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class SystemClock:
    """The wall clock, and the monotonic clock by which an event loop fires its timers."""

    __slots__ = ("monotonic",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # asyncio's own loops ask nothing else; a REGISTER and its answers look at the clock 25 times.
        is_plain = getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time
        self.monotonic: Callable[[], float] = time.monotonic if is_plain else loop.time
        """Return seconds of the loop's clock, which never steps."""

    def now(self) -> int:
        """Return the wall clock, integer epoch milliseconds."""
        return time.time_ns() // 1_000_000

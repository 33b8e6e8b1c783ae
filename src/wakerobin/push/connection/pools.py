"""Connections to many push services, for endpoints that apps choose: a pool for each origin in use."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.ports.clock import Timer
from wakerobin.push.connection.line import Surroundings
from wakerobin.push.connection.origin import Origin
from wakerobin.push.connection.pool import Pool, PoolOptions
from wakerobin.push.connection.tls import EITHER

_SWEEP_S = 30.0


class Pools:
    """Opens a pool when an origin is first used, and closes it when it was not used for `idle_after` seconds.

    There are never more than `most`; whoever makes us use so many at once makes us refuse the next, not
    open files without end. Each connect asks `policy` with the resolved address.
    """

    def __init__(  # noqa: PLR0913 - what a pool needs, then options by name
        self,
        around: Surroundings,
        policy: DestinationPolicy,
        tls: ssl.SSLContext,
        options: PoolOptions | None = None,
        on_line: Callable[[str, str], None] = lambda event, reason: None,
        *,
        most: int = 200,
        idle_after: float = 300.0,
    ) -> None:
        """`tls` is of `client_context` with the protocols `EITHER`; all origins share it."""
        self._around = around
        self._policy = policy
        self._tls = tls
        self._options = options
        self._on_line = on_line
        self._most = most
        self._idle_after = idle_after
        self._pools: OrderedDict[tuple[str, int, bool], Pool] = OrderedDict()
        """The one that was asked for last at the end."""
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._pools)

    def of(self, host: str, port: int = 443, *, is_plain: bool = False) -> Pool | None:
        """Return the pool of an origin (http where `is_plain`); None: all are in use, or it is closed."""
        key = (host, port, is_plain)
        pool = self._pools.get(key)
        if pool is None:
            if self._is_closed or not self._has_place():
                return None
            origin = Origin(host, port, None if is_plain else self._tls, self._policy, EITHER)
            pool = self._pools[key] = Pool(origin, self._around, self._options, self._on_line)
            self._arm()
        self._pools.move_to_end(key)
        return pool

    async def close(self) -> None:
        """Close every connection and wait for it."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._pools:
            self._retire(next(iter(self._pools)))
        if self._closing:
            await asyncio.wait(list(self._closing))

    def _has_place(self) -> bool:
        if len(self._pools) >= self._most:
            idle = next((key for key, pool in self._pools.items() if pool.idle_since is not None), None)
            if idle is None:
                return False
            self._retire(idle)
        return True

    def _retire(self, key: tuple[str, int, bool]) -> None:
        # `close` waits for it: a task of ours, not one that nobody has.
        task = asyncio.get_running_loop().create_task(self._pools.pop(key).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _arm(self) -> None:
        if self._timer is None and self._pools:
            when = self._around.clock.monotonic() + _SWEEP_S
            self._timer = self._around.timers.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._is_closed:
            return
        before = self._around.clock.monotonic() - self._idle_after
        for key, pool in list(self._pools.items()):
            if pool.idle_since is not None and pool.idle_since <= before:
                self._retire(key)
        self._arm()

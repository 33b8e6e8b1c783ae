"""A line: a place for one connection, which it opens and opens again with growing pauses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.ids import Entropy
from wakerobin.core.pacing import Backoff
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.push.connection.connection import Connection
from wakerobin.push.connection.exchange import Request, Result
from wakerobin.push.connection.http1 import Http1Connection
from wakerobin.push.connection.http2 import Http2Connection
from wakerobin.push.connection.origin import Origin, Place, Resolve, system_resolve

_BACKOFF = Backoff(first_s=0.05, most_s=30.0)
_CONNECT_S = 10.0
_READY_S = 5.0
# With a call waiting, the pause between two attempts is this at most.
_HURRY_S = 1.0
# A connection that lived so long was of use, also without a request.
_USEFUL_S = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What connections need of the world: time, chance, and names."""

    clock: Clock
    timers: Timers
    entropy: Entropy
    resolve: Resolve = system_resolve
    on_date: Callable[[int], None] | None = None
    """Hears what time it is in the eyes of a push service, epoch milliseconds, now and then."""

    def jitter(self) -> float:
        """Return a random number from 0 to 1."""
        return int.from_bytes(self.entropy(4), "big") / 2**32

    @contextlib.asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError where what is inside takes longer."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as limit:
            when = self.clock.monotonic() + seconds
            timer = self.timers.call_at(when, lambda: limit.reschedule(loop.time()))
            try:
                yield
            finally:
                timer.cancel()


class LineOwner(Protocol):
    """The pool, as its lines see it."""

    def line_opened(self, line: Line) -> None:
        """The line has a connection that is ready."""
        ...

    def line_failed(self, line: Line, reason: str) -> None:
        """An attempt to open it failed; another one follows by itself."""
        ...

    def is_in_use(self, address: str) -> bool:
        """Whether another connection goes there."""
        ...

    def has_room(self, connection: Connection) -> None:
        """Its connection can take a request."""
        ...

    def ended(self, connection: Connection, request: Request, result: Result) -> None:
        """A request has ended on a connection that is or was the line's."""
        ...

    def line_left(self, line: Line, connection: Connection) -> None:
        """The connection takes no more requests; it may still be finishing some."""
        ...

    def connection_closed(self, connection: Connection, reason: str) -> None:
        """A connection of this line is no more."""
        ...


class Line:
    """Holds at most one usable connection. Once opened it stays open until `close`.

    One that does not `stays` opens its next connection only when asked, after the peer has closed one
    that was not needed: servers of HTTP/1.1 close whatever is idle.
    """

    def __init__(
        self,
        owner: LineOwner,
        origin: Origin,
        number: int,
        numbers: Iterator[int],
        around: Surroundings,
        *,
        stays: bool = True,
    ) -> None:
        self.connection: Connection | None = None
        self.failures = 0
        self.reason = "not connected yet"
        self._owner = owner
        self._origin = origin
        self._number = number
        self._numbers = numbers
        self._around = around
        self._stays = stays
        self._opened_at = 0.0
        self._attempts = 0
        self._failed_attempts = 0
        self._tried_at = 0.0
        self._dialling: asyncio.Task[None] | None = None
        self._pause: Timer | None = None
        self._pause_until = 0.0
        self._is_closed = False

    @property
    def is_failing(self) -> bool:
        """Whether the last attempts to open it, two at least, have failed."""
        return self.connection is None and self._failed_attempts >= 2

    @property
    def is_opening(self) -> bool:
        """Whether a connection is on its way."""
        return self._dialling is not None

    def open(self) -> None:
        """Have a connection from now on. Does nothing where there is one, or one is on its way."""
        if self._is_closed or self.connection or self._dialling or self._pause:
            return
        self._dial()

    def hurry(self) -> None:
        """A call waits: cut the pause short, but do not try more often than once a second."""
        self.open()
        if self._pause is None:
            return
        soon = max(self._tried_at + _HURRY_S, self._around.clock.monotonic())
        if soon < self._pause_until:
            self._pause.cancel()
            self._wait_until(soon)

    def succeeded(self) -> None:
        """A request was answered: what failed before counts no more."""
        self.failures = 0

    def retire(self) -> None:
        """Open no connection any more."""
        self._is_closed = True
        if self._pause is not None:
            self._pause.cancel()

    async def close(self, reason: str) -> None:
        """Close it for good and wait until the socket is closed."""
        self.retire()
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait([self._dialling])
        if self.connection is not None:
            self.connection.close(reason)

    # The owner of its connection.

    def has_room(self, connection: Connection) -> None:
        """Pass it on, once the line has taken the connection over."""
        if connection is self.connection:
            self._owner.has_room(connection)

    def ended(self, connection: Connection, request: Request, result: Result) -> None:
        """Pass it on."""
        self._owner.ended(connection, request, result)

    def leaves(self, connection: Connection, reason: str) -> None:
        """Open the replacement at once."""
        if connection is self.connection:
            self.connection = None
            self.reason = reason
            self._owner.line_left(self, connection)
            self._open_again(connection)

    def closed(self, connection: Connection, reason: str) -> None:
        """Open the replacement, after a pause if the connection was of no use."""
        self._owner.connection_closed(connection, reason)
        if connection is self.connection:
            self.connection = None
            self.reason = reason
            self._open_again(connection)

    # Opening.

    def _dial(self) -> None:
        self._pause = None
        if self._is_closed or self._dialling or self.connection:
            return
        self._tried_at = self._around.clock.monotonic()
        self._dialling = asyncio.get_running_loop().create_task(self._connect())
        self._dialling.add_done_callback(self._dialled)

    async def _connect(self) -> None:
        connection: Connection | None = None

        def make(protocol: str) -> Connection:
            nonlocal connection
            kind = Http2Connection if protocol == "h2" else Http1Connection
            connection = kind(self, next(self._numbers), self._around.clock.monotonic)
            return connection

        what = "no connection"
        try:
            async with self._around.within(_CONNECT_S):
                ready = await self._origin.connect(make, self._choose, self._around.resolve)
            what = "no SETTINGS from the peer"
            async with self._around.within(_READY_S):
                await ready.ready
            if ready.is_closed or ready.is_leaving:
                raise ConnectionError(ready.reason)
        except (OSError, TimeoutError) as error:
            if connection is not None:
                connection.abort(str(error))
            self._failed(str(error) or f"{self._origin.authority}: {what} in time")
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort("closed by us")
            raise
        else:
            self.connection = ready
            self._failed_attempts = 0
            self._opened_at = self._around.clock.monotonic()

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dialling = None
        if task.cancelled():
            return
        task.result()
        if self.connection is not None:
            self._owner.line_opened(self)
        else:
            self._owner.line_failed(self, self.reason)

    def _failed(self, reason: str) -> None:
        self.reason = reason
        self.failures += 1
        self._failed_attempts += 1
        self._plan(_BACKOFF.delay(self.failures - 1, self._around.jitter()))

    def _choose(self, places: list[Place]) -> Place:
        """Take the addresses in turn; at first, one to which no other line goes."""
        turn = (self._number + self._attempts) % len(places)
        self._attempts += 1
        in_turn = places[turn:] + places[:turn]
        if self._failed_attempts:
            return in_turn[0]  # whatever else is in use: this one has failed
        return next((place for place in in_turn if not self._owner.is_in_use(place[0])), in_turn[0])

    def _open_again(self, lost: Connection) -> None:
        if lost.takes_one and not self._stays:
            self.failures = 0
            return
        # A peer that takes connections only to drop them is not to be met with a storm of them.
        if self._around.clock.monotonic() - self._opened_at > _USEFUL_S:
            self.failures = 0
        self.failures += 1
        if self.failures == 1:
            self._dial()
        else:
            self._plan(_BACKOFF.delay(self.failures - 2, self._around.jitter()))

    def _plan(self, delay: float) -> None:
        if not self._is_closed:
            self._wait_until(self._around.clock.monotonic() + delay)

    def _wait_until(self, when: float) -> None:
        self._pause_until = when
        self._pause = self._around.timers.call_at(when, self._dial)

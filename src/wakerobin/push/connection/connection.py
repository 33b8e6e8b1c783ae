"""A connection to a push service, whichever version of HTTP it speaks, and whom it reports to.

Each request that it took ends in exactly one result, which says whether the peer certainly did not
process it. Nothing on it waits without an end, because its owner sweeps it.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable
from typing import ClassVar, Protocol

from wakerobin.push.connection.exchange import Request, Result


class Owner(Protocol):
    """Whoever opened the connection and gives it requests."""

    def has_room(self, connection: Connection) -> None:
        """It can take a request: it has become ready, or something ended, or the peer allows more."""
        ...

    def ended(self, connection: Connection, request: Request, result: Result) -> None:
        """A request that the connection took has ended."""
        ...

    def leaves(self, connection: Connection, reason: str) -> None:
        """It takes no more requests and closes when its last one ended; `closed` may follow at once."""
        ...

    def closed(self, connection: Connection, reason: str) -> None:
        """It is no more; all its requests have ended before."""
        ...


class Connection(asyncio.Protocol, abc.ABC):
    """What the pool knows of a connection. `ready` resolves when it can take requests."""

    takes_one: ClassVar[bool] = False
    """Whether it carries one request at a time, so that more at once need more connections."""

    def __init__(self, owner: Owner, number: int, monotonic: Callable[[], float]) -> None:
        self.number = number
        self.address = ""
        """Where it goes, once connected."""
        self.is_leaving = False
        self.is_closed = False
        self.reason = ""
        """Why it is leaving or closed."""
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[None] = loop.create_future()
        """Resolves when the socket is closed."""
        self.heard_at = monotonic()
        self._owner = owner
        self._monotonic = monotonic
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._is_paused = False

    # The side of the owner.

    @property
    @abc.abstractmethod
    def is_free(self) -> bool:
        """Whether a request given now would leave at once."""

    @property
    @abc.abstractmethod
    def in_flight(self) -> int:
        """How many requests wait for their answer."""

    @abc.abstractmethod
    def send(self, request: Request) -> None:
        """Take a request. Urgent ones are written before this returns."""

    @abc.abstractmethod
    def silent_since(self, moment: float) -> list[Request]:
        """Return the requests that were sent before that moment and have no sign of an answer."""

    @abc.abstractmethod
    def give_up(self, now: float) -> None:
        """End the requests whose deadline has passed."""

    @abc.abstractmethod
    def ping(self) -> None:
        """It was quiet for long, or is silent: find out whether the peer lives."""

    @abc.abstractmethod
    def pinged_before(self, moment: float) -> bool:
        """Whether the peer has not answered what it was asked by `ping` before that moment."""

    def leave(self, reason: str) -> None:
        """Take no more requests, let those on their way finish, then close."""
        if self.is_leaving or self.is_closed:
            return
        self.is_leaving = True
        self._owner.leaves(self, reason)
        self._close_when_empty(reason)

    def close(self, reason: str) -> None:
        """Say goodbye and close; requests on their way end as unknown."""
        if self.is_closed:
            return
        self._say_goodbye()
        if self._transport is not None:
            self._transport.close()
        self._end(reason)

    def abort(self, reason: str) -> None:
        """Close without a word: the peer is dead or broke the rules."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    # The side of the socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is done, where there is any."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._begin()

    def pause_writing(self) -> None:
        """The kernel takes no more: neither do we."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """The kernel takes octets again."""
        self._is_paused = False
        if self.is_free:
            self._owner.has_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed: whatever is unanswered ends."""
        self._end(f"connection lost: {exc or 'closed by the peer'}")
        if not self.finished.done():
            self.finished.set_result(None)

    # What differs.

    @abc.abstractmethod
    def _begin(self) -> None:
        """The transport is there: say first what the protocol wants said first."""

    @abc.abstractmethod
    def _say_goodbye(self) -> None:
        """Say what the protocol wants said last."""

    @abc.abstractmethod
    def _end_requests(self, reason: str) -> None:
        """End what is unanswered: the connection is no more."""

    def _close_when_empty(self, reason: str) -> None:
        if not self.in_flight:
            self.close(reason)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self, reason: str) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self.reason = reason = self.reason or reason
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(reason))
            self.ready.exception()  # whoever does not await it any more is not to be warned about it
        self._end_requests(reason)
        self._owner.closed(self, reason)

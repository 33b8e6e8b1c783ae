"""One SIP connection over TCP, TLS or WebSocket, accepted or made by us (RFC 3261 18, RFC 5626 3.5.1)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.framing import KeepAlive
from wakerobin.core.values import Flow, Transport
from wakerobin.net.wires import Wire, wire_for
from wakerobin.ports.clock import Clock, Timer, Timers

_UNACKNOWLEDGED_MS = 30_000
"""How long the kernel waits for a peer that acknowledges nothing: a phone that left its network."""
_PING = KeepAlive.PING.value


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What streams may cost us: seconds, bytes, connections."""

    connect: float = 10.0
    """How long a connection may take to be made."""
    first_message: float = 30.0
    """How soon an accepted connection must have brought a whole message."""
    idle: float = 4_000.0
    """How long a connection may bring nothing: more than the longest expiry granted to a phone."""
    pong: float = 10.0
    """How soon a peer that answers keep-alives answers each of them (RFC 5626 4.4.1)."""
    unread: int = 256 * 1024
    """Bytes that wait for a peer that does not read; beyond it the connection ends."""
    connections: int = 20_000
    """Accepted connections at a time."""
    connections_from_one: int = 2_000
    """Accepted connections at a time from one address: many phones may be behind it."""


class StreamUser(Protocol):
    """Whom a connection works for: it lends its clocks and limits and is told what happens."""

    @property
    def clock(self) -> Clock:
        """The clock of silence."""
        ...

    @property
    def timers(self) -> Timers:
        """What calls back when it lasted."""
        ...

    @property
    def limits(self) -> StreamLimits:
        """How long it may last, and what else is limited."""
        ...

    def opened(self, connection: StreamConnection) -> str:
        """A connection was made. Return why it may not stay, or nothing."""
        ...

    def delivered(self, connection: StreamConnection, data: bytes) -> None:
        """A message came whole."""
        ...

    def kept_alive(self, connection: StreamConnection) -> None:
        """A keep-alive came."""
        ...

    def broken(self, connection: StreamConnection, data: bytes, fault: SipSyntaxError) -> None:
        """What came is no stream of messages any more; `data` is the last of it. It ends after this."""
        ...

    def closed(self, connection: StreamConnection, reason: str) -> None:
        """The connection ended, or could not be made; never told from within `send`.

        Told twice where it was ended while it was being made: then, and when asyncio lets go of it.
        """
        ...


class StreamConnection(asyncio.Protocol):
    """Driven by its asyncio transport. Made for a flow before it connects, or without one to accept."""

    def __init__(
        self, user: StreamUser, number: int, flow: Flow | None = None, kind: Transport = Transport.TCP
    ) -> None:
        self._user = user
        self._number = number
        self._kind = kind
        self._flow = flow
        self._wire: Wire = wire_for(kind, is_ours=flow is not None)
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()
        self._timer: Timer | None = None
        self._heard_at = 0.0
        self._has_spoken = flow is not None
        self._end = ""
        self._pong_timer: Timer | None = None
        self._is_pinged = False
        self._does_pong = False
        self.is_accepted = flow is None

    @property
    def flow(self) -> Flow:
        """The flow that this connection is. For an accepted one known from `opened` on."""
        assert self._flow is not None, "an accepted connection has no flow before it is opened"
        return self._flow

    @property
    def is_open(self) -> bool:
        """Whether something sent now may arrive; also while it connects."""
        return not self._end

    def send(self, data: bytes) -> bool:
        """Write, or keep until the connection is made. False: it has ended, or ends now."""
        if self._end:
            return False
        if self._transport is None:
            self._waiting += data
            unread = len(self._waiting)
        else:
            self._transport.write(self._wire.wrap(data))
            unread = self._transport.get_write_buffer_size()
        if unread > self._user.limits.unread:
            self.end("the peer does not read")
        elif data == _PING and not self.is_accepted:
            self._await_pong()
        return not self._end

    def end(self, reason: str, *, flush: bool = False) -> None:
        """End the connection, at once or after what was written; the first reason counts."""
        if self._end:
            return
        self._end = reason
        if self._transport is None:
            # Not from within the caller: it may be about to learn that this was started.
            self._user.timers.call_at(self._user.clock.monotonic(), self._tell)
        elif flush:
            self._transport.write(self._wire.farewell())
            self._transport.close()
            # A peer that does not read must not keep it open for ever.
            self._set_timer(self._user.clock.monotonic() + self._user.limits.connect, self._transport.abort)
        else:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a connection from asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._tune(transport)
        if self._flow is None:
            peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
            if not peer:
                peer = ("", 0)  # it went while it was being accepted
            self._flow = Flow(self._kind, local[:2], peer[:2], self._number)
        refusal = self._end or self._user.opened(self)
        if refusal:
            self._end = refusal
            transport.abort()
            return
        self._heard_at = self._user.clock.monotonic()
        limits = self._user.limits
        patience = limits.idle if self._has_spoken else min(limits.idle, limits.first_message)
        self._set_timer(self._heard_at + patience, self._look)
        if self._waiting:
            transport.write(bytes(self._waiting))
            self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Cut what came into messages and hand them on."""
        if self._end:
            return
        self._heard_at = self._user.clock.monotonic()
        try:
            found = self._wire.feed(data)
        except SipSyntaxError as fault:
            self._say()
            self._break(data, fault)
            return
        self._say()
        for item in found:
            if item is KeepAlive.PING:
                self.send(KeepAlive.PONG.value)
            if isinstance(item, KeepAlive):
                if item is KeepAlive.PONG:
                    self._ponged()
                self._user.kept_alive(self)
            else:
                self._has_spoken = True
                self._user.delivered(self, item)
            if self._end:
                return
        if self._wire.fault is not None:
            self._break(b"", self._wire.fault)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection from asyncio."""
        errno = getattr(exc, "errno", None)
        self._end = self._end or (os.strerror(errno) if errno else "the peer closed the connection")
        self._tell()

    def failed(self, reason: str) -> None:
        """Take the news that the connection could not be made."""
        self._end = self._end or reason
        self._tell()

    def _await_pong(self) -> None:
        """Expect an answer to a keep-alive, from a peer that has shown that it gives them."""
        self._is_pinged = True
        if self._does_pong and self._pong_timer is None:
            when = self._user.clock.monotonic() + self._user.limits.pong
            self._pong_timer = self._user.timers.call_at(when, self._no_pong)

    def _ponged(self) -> None:
        self._does_pong |= self._is_pinged
        self._forget_pong()

    def _no_pong(self) -> None:
        self._pong_timer = None
        self.end("the peer answers keep-alives no more")

    def _forget_pong(self) -> None:
        if self._pong_timer is not None:
            self._pong_timer.cancel()
            self._pong_timer = None

    def _say(self) -> None:
        answers = self._wire.answers()
        if answers and self._transport is not None:
            self._transport.write(answers)

    def _break(self, data: bytes, fault: SipSyntaxError) -> None:
        self._user.broken(self, data, fault)
        self.end(f"the stream broke: {fault}", flush=True)

    def _tell(self) -> None:
        self._forget_pong()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._user.closed(self, self._end)

    def _look(self) -> None:
        """End the connection if it was silent too long, else look again when it might have been."""
        limits, now = self._user.limits, self._user.clock.monotonic()
        if not self._has_spoken:
            self.end("no message came")
        elif now - self._heard_at >= limits.idle:
            self.end("nothing came for too long")
        else:
            self._set_timer(self._heard_at + limits.idle, self._look)

    def _set_timer(self, when: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._user.timers.call_at(when, callback)

    def _tune(self, transport: asyncio.Transport) -> None:
        """Let the kernel find out about a peer that is gone without a word."""
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)

"""One SIP connection over TCP, TLS or WebSocket, accepted or made by us (RFC 3261 18, RFC 5626 3.5.1)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.framing import KeepAlive, Oversized
from wakerobin.core.values import Flow
from wakerobin.net.limits import StreamLimits
from wakerobin.net.tls import BUFFER
from wakerobin.net.wires import Wire, wire_for
from wakerobin.ports.clock import Clock, Timer, Timers

_UNACKNOWLEDGED_MS = 30_000
"""How long the kernel waits for a peer that acknowledges nothing: a phone that left its network."""
_PING = KeepAlive.PING.value
_RESPONSE = b"SIP/2.0 "


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

    def opened(self, connection: StreamConnection) -> None:
        """A connection was made, with its TLS handshake if it has one."""
        ...

    def took(self, connection: StreamConnection, requests: int, responses: int) -> float:
        """So much came at once. Return for how many seconds no more is to be read."""
        ...

    def delivered(self, connection: StreamConnection, data: bytes) -> None:
        """A message came whole."""
        ...

    def kept_alive(self, connection: StreamConnection) -> None:
        """A keep-alive came."""
        ...

    def broken(self, connection: StreamConnection, data: bytes, fault: SipSyntaxError) -> None:
        """What came is no message: `data` is one too large without its body, or the last before the end."""
        ...

    def closed(self, connection: StreamConnection, reason: str) -> None:
        """The connection ended, or could not be made; never told from within `send`.

        Told twice where it was ended while it was being made: then, and when asyncio lets go of it.
        """
        ...


class StreamConnection(asyncio.Protocol):
    """Driven by its asyncio transport. Made for a flow before it is connected."""

    def __init__(self, user: StreamUser, flow: Flow, *, is_accepted: bool) -> None:
        self._user = user
        self.flow = flow
        self.is_accepted = is_accepted
        self.is_trusted = not is_accepted
        """Whether it is a stranger's no more."""
        self.is_told = not is_accepted
        """Whether anybody has heard of it: of one that failed to shake hands nobody has."""
        self._wire: Wire = wire_for(flow.transport, is_ours=not is_accepted)
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()
        self._timer: Timer | None = None
        self._pause: Timer | None = None
        self._opened_at = self._heard_at = 0.0
        self._has_spoken = not is_accepted
        self._end = ""
        self._pong_timer: Timer | None = None
        self._is_pinged = False
        self._does_pong = False

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
        if self._end:
            transport.abort()
            return
        self._user.opened(self)
        self._opened_at = self._heard_at = self._user.clock.monotonic()
        self._look()
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
        if self._hand_on(found) and self._wire.fault is not None:
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

    def _hand_on(self, found: Sequence[bytes | KeepAlive]) -> bool:
        """Give on what came whole. False: the connection ended meanwhile."""
        pings = found.count(KeepAlive.PING)
        if pings:
            # All at once: a peer may put thousands into one segment.
            self._write(b"".join(self._wire.wrap(KeepAlive.PONG.value) for _ in range(pings)))
        responses = 0
        for item in found:
            if self._end:
                return False
            if isinstance(item, KeepAlive):
                if item is KeepAlive.PONG:
                    self._ponged()
                self._user.kept_alive(self)
            elif isinstance(item, Oversized):
                self._user.broken(self, item, SipSyntaxError("The message is too large", 413))
            else:
                self._has_spoken = True
                responses += item.startswith(_RESPONSE)
                self._user.delivered(self, item)
        if found and not self._end:
            self._rest(self._user.took(self, len(found) - responses, responses))
        return not self._end

    def _rest(self, seconds: float) -> None:
        """Read nothing for so long: what the peer sends meanwhile waits in its own queue."""
        if seconds > 0 and self._transport is not None and self._pause is None:
            self._transport.pause_reading()
            self._pause = self._user.timers.call_at(self._user.clock.monotonic() + seconds, self._read_on)

    def _read_on(self) -> None:
        self._pause = None
        if self._transport is not None and not self._end:
            self._transport.resume_reading()

    def _say(self) -> None:
        answers = self._wire.answers()
        if answers:
            self._write(answers)

    def _write(self, octets: bytes) -> None:
        if self._transport is not None:
            self._transport.write(octets)
            self._limit(self._transport.get_write_buffer_size())

    def _limit(self, unread: int) -> None:
        if unread > self._user.limits.unread:
            self.end("the peer does not read")

    def _break(self, data: bytes, fault: SipSyntaxError) -> None:
        self._user.broken(self, data, fault)
        self.end(f"the stream broke: {fault}", flush=True)

    def _tell(self) -> None:
        for timer in (self._timer, self._pause, self._pong_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._pause = self._pong_timer = None
        self._user.closed(self, self._end)

    def _look(self) -> None:
        """End the connection if its time is over, else look again when it might be."""
        limits, now = self._user.limits, self._user.clock.monotonic()
        ends = [(self._heard_at + limits.idle, "nothing came for too long")]
        if not self._has_spoken:
            ends.append((self._opened_at + limits.first_message, "no message came"))
        if not self.is_trusted:
            ends.append((self._opened_at + limits.unproven, "nobody has proved himself over it"))
        when, reason = min(ends)
        if now >= when:
            self.end(reason)
        else:
            self._set_timer(when, self._look)

    def _set_timer(self, when: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._user.timers.call_at(when, callback)

    def _tune(self, transport: asyncio.Transport) -> None:
        """Let the kernel find out about a peer that is gone without a word."""
        if hasattr(transport, "max_size"):
            transport.max_size = BUFFER  # what is read at once: a quarter of a megabyte by itself
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)

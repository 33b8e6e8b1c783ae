"""What a connection's octets are: SIP itself, or WebSocket frames that carry it (RFC 7118)."""

from __future__ import annotations

import logging
from typing import Protocol

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.framing import KeepAlive, StreamFramer
from wakerobin.core.values import Transport

MOST_OCTETS = 65_535
"""Of one message, as over every other transport."""

_SIP = Subprotocol("sip")
_HEAD_END = b"\r\n\r\n"
_GOING_AWAY = 1001
_MESSAGES = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)

# The library would log what peers send; the log of this server never holds it.
_SILENT = logging.getLogger("wakerobin.websockets")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


class Wire(Protocol):
    """Between a socket and its messages. Knows neither."""

    @property
    def fault(self) -> SipSyntaxError | None:
        """Why nothing more can be read, where that was found behind something whole."""
        ...

    def feed(self, data: bytes) -> list[bytes | KeepAlive]:
        """Take octets, return the messages and keep-alives that they complete. Raises SipSyntaxError."""
        ...

    def wrap(self, data: bytes) -> bytes:
        """Return a message, or a keep-alive, as the octets to send."""
        ...

    def answers(self) -> bytes:
        """Return, once, what the wire itself has to say to what was fed."""
        ...

    def farewell(self) -> bytes:
        """Return what is said before the connection is closed."""
        ...


class PlainWire:
    """SIP as it is (RFC 3261 section 18.3)."""

    __slots__ = ("_framer",)

    def __init__(self, *, is_ours: bool = False) -> None:
        self._framer = StreamFramer(is_ours=is_ours)

    @property
    def fault(self) -> SipSyntaxError | None:
        """See `Wire`."""
        return self._framer.fault

    def feed(self, data: bytes) -> list[bytes | KeepAlive]:
        """See `Wire`."""
        return self._framer.feed(data)

    def wrap(self, data: bytes) -> bytes:
        """See `Wire`."""
        return data

    def answers(self) -> bytes:
        """See `Wire`."""
        return b""

    def farewell(self) -> bytes:
        """See `Wire`."""
        return b""


class WebSocketWire:
    """The server's side of a WebSocket with the subprotocol `sip`: one message of SIP in each of its own."""

    __slots__ = ("_last", "_parts", "_protocol", "fault")

    def __init__(self) -> None:
        self._last = b""
        """The last octets of a handshake that has not ended."""
        self._protocol = ServerProtocol(subprotocols=[_SIP], max_size=MOST_OCTETS, logger=_SILENT)
        self._parts: list[bytes] = []
        self.fault: SipSyntaxError | None = None

    def feed(self, data: bytes) -> list[bytes | KeepAlive]:
        """See `Wire`."""
        if self.fault is not None:
            raise self.fault
        found: list[bytes | KeepAlive] = []
        if self._protocol.state is State.CONNECTING:
            # The library would read frames behind a handshake before it has been answered, and then answers
            # twice where both are bad.
            end = _handshake_end(self._last, data)
            self._last = (self._last + data[:end])[-len(_HEAD_END) + 1 :]
            self._receive(data[:end], found)
            data = data[end:]
        if data and not self._is_over():
            self._receive(data, found)
        if self._is_over():
            self.fault = SipSyntaxError(self._why())
            if not found:
                raise self.fault
        return found

    def _receive(self, data: bytes, found: list[bytes | KeepAlive]) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
            elif isinstance(event, Frame):
                found += self._frame(event)

    def wrap(self, data: bytes) -> bytes:
        """See `Wire`."""
        if self._protocol.state is not State.OPEN:
            return b""
        try:
            data.decode()
        except UnicodeDecodeError:
            self._protocol.send_binary(data)
        else:
            self._protocol.send_text(data)
        return self.answers()

    def answers(self) -> bytes:
        """See `Wire`."""
        return b"".join(self._protocol.data_to_send())

    def farewell(self) -> bytes:
        """See `Wire`."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(_GOING_AWAY)
        return self.answers()

    def _frame(self, frame: Frame) -> list[bytes | KeepAlive]:
        if frame.opcode not in _MESSAGES:
            # A ping has its pong already: all that is left to tell is that the peer is there.
            return [] if frame.opcode is Opcode.CLOSE else [KeepAlive.PONG]
        if frame.data:  # of empty ones any number could come
            self._parts.append(bytes(frame.data))
        if not frame.fin:
            return []
        message, self._parts = b"".join(self._parts), []
        if message.strip(b"\r\n"):
            return [message]
        return [KeepAlive.PING if message == KeepAlive.PING.value else KeepAlive.PONG]

    def _is_over(self) -> bool:
        protocol = self._protocol
        return protocol.handshake_exc is not None or protocol.state in (State.CLOSING, State.CLOSED)

    def _why(self) -> str:
        protocol = self._protocol
        if protocol.handshake_exc is not None:
            return f"no WebSocket: {protocol.handshake_exc}"
        return f"the WebSocket ended: {protocol.close_reason or protocol.close_code or 'it broke'}"


def _handshake_end(last: bytes, data: bytes) -> int:
    """Return where in `data` the handshake ends, or its length. `last` came before it."""
    at = (last + data).find(_HEAD_END)
    return len(data) if at < 0 else at + len(_HEAD_END) - len(last)


def wire_for(kind: Transport, *, is_ours: bool = False) -> Wire:
    """Return a new wire for a connection of that kind; `is_ours`: we make it."""
    return WebSocketWire() if kind.is_websocket else PlainWire(is_ours=is_ours)

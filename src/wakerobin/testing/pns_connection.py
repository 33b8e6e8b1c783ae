"""One HTTP/2 connection as Apple's server has it, on `h2`: strict, and able to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field
from typing import Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings

from wakerobin.testing.pns_rules import Seen

_MOST_STREAMS = 1000
_NO_ERROR = 0


class Service(Protocol):
    """Who decides what is answered."""

    def connected(self, connection: PnsConnection) -> None:
        """A client is there."""
        ...

    def requested(self, connection: PnsConnection, stream: int, headers: dict[str, str], body: bytes) -> None:
        """A whole request came in."""
        ...

    def lost(self, connection: PnsConnection, reason: str) -> None:
        """The client is gone, or was thrown out for `reason`."""
        ...


@dataclass(slots=True)
class _Incoming:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class PnsConnection(asyncio.Protocol):
    """Allows one stream until a valid provider token was seen (`trust`), then a thousand."""

    def __init__(self, service: Service, number: int, window: int = 65535) -> None:
        self.number = number
        self.seen = Seen()
        self.pings = 0
        self.most_streams = 0
        """The most requests that were open at the same time."""
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._incoming: dict[int, _Incoming] = {}
        self._is_trusted = False
        self._unanswered: set[int] = set()
        self._reason = ""
        self._last_stream = 2**31
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: 1,
                SettingCodes.INITIAL_WINDOW_SIZE: window,
            },
        )

    def trust(self) -> None:
        """A valid provider token came: allow many streams."""
        if not self._is_trusted:
            self._is_trusted = True
            self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: _MOST_STREAMS})
            self._flush()

    def answer(
        self, stream: int, headers: list[tuple[str, str]], body: bytes, *, piecewise: bool = False
    ) -> None:
        """Send a response; nothing happens if the client has given up the stream or the connection."""
        self._unanswered.discard(stream)
        try:
            self._h2.send_headers(stream, headers, end_stream=not body)
            step = 1 if piecewise else self._h2.max_outbound_frame_size
            for start in range(0, len(body), step):
                last = start + step >= len(body)
                self._h2.send_data(stream, body[start : start + step], end_stream=last)
                if piecewise:
                    self._flush()
        except ProtocolError:
            return
        self._flush()

    def reset(self, stream: int, code: int) -> None:
        """Send RST_STREAM."""
        self._unanswered.discard(stream)
        with contextlib.suppress(ProtocolError):  # the client was faster
            self._h2.reset_stream(stream, code)
        self._flush()

    def go_away(self, last_stream: int, debug: bytes, code: int = _NO_ERROR) -> None:
        """Send GOAWAY and go on serving the streams up to that one, which `h2` itself would not allow."""
        self._last_stream = last_stream
        self._flush()
        payload = struct.pack(">LL", last_stream, code) + debug
        self.write(len(payload).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + payload)

    def write(self, data: bytes) -> None:
        """Write octets past `h2`."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def freeze(self) -> None:
        """Read nothing more: the connection is dead, and nobody has told the client."""
        if self._transport is not None:
            self._transport.pause_reading()

    def kill(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close it in order."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the settings."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.connected(self)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Read; a client that breaks the protocol is thrown out."""
        self.pings += data.count(b"\x00\x00\x08\x06\x00\x00\x00\x00\x00")
        try:
            events = self._h2.receive_data(data)
        except H2Error as error:
            self._reason = f"thrown out: {error}"
            self._flush()
            self.kill()
            return
        for event in events:
            self._on_event(event)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the service."""
        self._service.lost(self, self._reason)

    def _on_event(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int() as stream):
                headers = {str(name): str(value) for name, value in event.headers or ()}
                self._incoming[stream] = _Incoming(headers)
                self._unanswered.add(stream)
                self.most_streams = max(self.most_streams, len(self._unanswered))
            case DataReceived(stream_id=int() as stream):
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                if stream in self._incoming:
                    self._incoming[stream].body += event.data or b""
            case StreamEnded(stream_id=int() as stream):
                request = self._incoming.pop(stream, None)
                if request is not None and stream <= self._last_stream:
                    self._service.requested(self, stream, request.headers, bytes(request.body))
            case StreamReset(stream_id=int() as stream):
                self._incoming.pop(stream, None)
                self._unanswered.discard(stream)
            case WindowUpdated():
                pass  # answers are small: they never wait for the client's window
            case _:
                pass

    def _flush(self) -> None:
        self.write(self._h2.data_to_send())

"""One HTTP/2 connection to a push service: an asyncio protocol around the sans-IO `h2`.

After a GOAWAY the streams that the peer still serves go on, those that it has not touched end as
certainly not processed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from wakerobin.push.connection.connection import Connection, Owner
from wakerobin.push.connection.exchange import MOST_BODY, Answer, Failure, Request
from wakerobin.push.connection.frames import FrameReader, FrameSizeError, GoAway
from wakerobin.push.connection.header_encoder import HeaderEncoder

_MOST_STREAMS = 1000
# RFC 9113 5.1.1 ends stream ids at 2**31; leaving half-way never meets that edge.
_LAST_STREAM_ID = 2**30


@dataclass(slots=True, eq=False)
class _Exchange:
    request: Request
    unsent: bytes
    """What the peer's windows have not allowed to be sent yet."""
    sent_at: float
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)

    def failure(self, reason: str) -> Failure:
        """Without the end of the stream no peer has acted on the request."""
        return Failure(reason, False if self.unsent else None)


class Http2Connection(Connection):
    """A connection after TLS. `ready` resolves with the peer's first SETTINGS."""

    def __init__(self, owner: Owner, number: int, monotonic: Callable[[], float]) -> None:
        super().__init__(owner, number, monotonic)
        self._frames = FrameReader()
        self._exchanges: dict[int, _Exchange] = {}
        self._flush_is_planned = False
        self._pinged_at = 0.0
        self._h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,  # they are built by us, lower case, in order
                normalize_outbound_headers=False,
                validate_inbound_headers=False,  # whatever they say is an answer; it would cost a tenth
                normalize_inbound_headers=False,
            )
        )
        self._h2.encoder = HeaderEncoder()
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_HEADER_LIST_SIZE: 16384,
            },
        )

    # The side of the owner.

    @property
    def is_free(self) -> bool:
        """Whether a request given now would leave at once."""
        return (
            self.ready.done()
            and not (self.is_leaving or self.is_closed or self._is_paused)
            and len(self._exchanges) < min(_MOST_STREAMS, self._h2.remote_settings.max_concurrent_streams)
            and self._h2.outbound_flow_control_window > 0
        )

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answer."""
        return len(self._exchanges)

    def send(self, request: Request) -> None:
        """Take a request. Urgent ones are written before this returns, others together with what follows."""
        stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream_id, list(request.headers), end_stream=not request.body)
        exchange = _Exchange(request, request.body, self._monotonic())
        self._exchanges[stream_id] = exchange
        request.copies_out += 1
        self._send_body(stream_id, exchange)
        if request.is_urgent:
            self._flush()
        elif not self._flush_is_planned:
            self._flush_is_planned = True
            self._loop.call_soon(self._flush)
        if stream_id >= _LAST_STREAM_ID:
            self.leave("its stream ids are used up")

    def silent_since(self, moment: float) -> list[Request]:
        """Return the requests that were sent before that moment and have no sign of an answer."""
        return [x.request for x in self._exchanges.values() if x.sent_at <= moment and not x.status]

    def give_up(self, now: float) -> None:
        """End the requests whose deadline has passed."""
        late = [(i, x) for i, x in self._exchanges.items() if x.request.deadline <= now]
        for stream_id, exchange in late:
            if self._exchanges.pop(stream_id, None) is None:
                continue
            self._reset(stream_id)
            self._owner.ended(self, exchange.request, exchange.failure("no answer in time"))

    def ping(self) -> None:
        """Ask the peer for a sign of life, unless it is being asked."""
        if self._pinged_at or self.is_closed or not self.ready.done():
            return
        self._pinged_at = self._monotonic()
        self._h2.ping(b"wakerobi")
        self._flush()

    def pinged_before(self, moment: float) -> bool:
        """Whether a PING of before that moment is unanswered."""
        return 0.0 < self._pinged_at <= moment

    # The side of the socket.

    def data_received(self, data: bytes) -> None:
        """Read frames; a broken one ends the connection."""
        self.heard_at = self._monotonic()
        try:
            for frame in self._frames.feed(data):
                if self.is_closed:
                    return
                # One frame at a time: what `h2` has understood must not be lost to what follows it.
                if isinstance(frame, GoAway):
                    self._on_goaway(frame)
                else:
                    for event in self._h2.receive_data(frame):
                        self._on_event(event)
        except (H2Error, FrameSizeError) as error:
            self._flush()
            self.abort(f"the peer broke HTTP/2: {error}")
            return
        self._flush()
        if self.is_leaving:
            self._close_when_empty(self.reason)
        elif self.is_free:
            self._owner.has_room(self)

    def _begin(self) -> None:
        self._h2.initiate_connection()
        self._flush()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(H2Error):  # it broke the protocol before: nobody to say goodbye to
            self._h2.close_connection()
        self._flush()

    def _end_requests(self, reason: str) -> None:
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges.values():
            self._owner.ended(self, exchange.request, exchange.failure(reason))

    # What comes in.

    def _on_event(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                self._on_headers(event)
            case DataReceived():
                self._on_data(event)
            case StreamEnded(stream_id=stream_id):
                self._on_end(stream_id or 0)
            case StreamReset():
                self._on_reset(event)
            case RemoteSettingsChanged():
                if not self.ready.done():
                    self.ready.set_result(None)
                self._send_what_waits()
            case WindowUpdated():
                self._send_what_waits()
            case PingAckReceived():
                self._pinged_at = 0.0
            case _:
                pass  # `h2` answers by itself what is left: PING, SETTINGS

    def _on_headers(self, event: ResponseReceived) -> None:
        exchange = self._exchanges.get(event.stream_id or 0)
        if exchange is None:
            return
        for name, value in event.headers or ():
            exchange.headers[_text(name)] = _text(value)
        status = exchange.headers.pop(":status", "")
        exchange.status = int(status) if len(status) == 3 and status.isdecimal() and status >= "100" else 599

    def _on_data(self, event: DataReceived) -> None:
        stream_id = event.stream_id or 0
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
        exchange = self._exchanges.get(stream_id)
        if exchange is not None:
            exchange.body += (event.data or b"")[: MOST_BODY - len(exchange.body)]

    def _on_end(self, stream_id: int) -> None:
        exchange = self._exchanges.pop(stream_id, None)
        if exchange is None:
            return
        if exchange.unsent:
            # RFC 9113 8.1: an answer may come before the whole request was sent; the rest is not wanted.
            self._reset(stream_id)
        answer = Answer(exchange.status, exchange.headers, bytes(exchange.body), self.number)
        self._owner.ended(self, exchange.request, answer)

    def _on_reset(self, event: StreamReset) -> None:
        exchange = self._exchanges.pop(event.stream_id or 0, None)
        if exchange is None:
            return
        name = _error_name(event.error_code)
        failure = exchange.failure(f"stream reset: {name}")
        if event.error_code == ErrorCodes.REFUSED_STREAM:
            failure = Failure(failure.reason, processed=False)  # RFC 9113 8.7
        self._owner.ended(self, exchange.request, failure)

    def _on_goaway(self, frame: GoAway) -> None:
        said = frame.debug[:200].decode("utf-8", "replace")
        self.reason = f"GOAWAY {_error_name(frame.error_code)} {said}".rstrip()
        self.leave(self.reason)
        untouched = [i for i in self._exchanges if i > frame.last_stream_id]
        for stream_id in untouched:
            exchange = self._exchanges.pop(stream_id, None)
            if exchange is not None:
                failure = Failure(self.reason, processed=False, is_of_connection=True)
                self._owner.ended(self, exchange.request, failure)

    # What goes out.

    def _send_body(self, stream_id: int, exchange: _Exchange) -> None:
        while exchange.unsent:
            room = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            chunk, exchange.unsent = exchange.unsent[:room], exchange.unsent[room:]
            self._h2.send_data(stream_id, chunk, end_stream=not exchange.unsent)

    def _send_what_waits(self) -> None:
        for stream_id, exchange in self._exchanges.items():
            if exchange.unsent:
                self._send_body(stream_id, exchange)

    def _reset(self, stream_id: int) -> None:
        try:
            self._h2.reset_stream(stream_id, ErrorCodes.CANCEL)
        except H2Error:
            return  # it has ended on the peer's side in the meantime
        self._flush()

    def _flush(self) -> None:
        self._flush_is_planned = False
        self._write(self._h2.data_to_send())


def _text(octets: bytes | str) -> str:
    return octets if isinstance(octets, str) else octets.decode("latin-1")


def _error_name(code: ErrorCodes | int | None) -> str:
    try:
        return ErrorCodes(code or 0).name
    except ValueError:
        return f"error {code}"

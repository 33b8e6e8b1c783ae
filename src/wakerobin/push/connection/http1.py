"""One HTTP/1.1 connection to a push service: an asyncio protocol around the sans-IO `h11`.

It carries one request at a time and is kept for the next one, as long as the peer keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import h11

from wakerobin.push.connection.connection import Connection, Owner
from wakerobin.push.connection.exchange import MOST_BODY, Answer, Failure, Headers, Request

_MOST_HEAD = 16384


class Http1Connection(Connection):
    """A connection that speaks HTTP/1.1 (RFC 9112), with or without TLS."""

    takes_one: ClassVar[bool] = True

    def __init__(self, owner: Owner, number: int, monotonic: Callable[[], float]) -> None:
        super().__init__(owner, number, monotonic)
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)
        self._request: Request | None = None
        self._sent_at = 0.0
        self._is_spent = False
        """It has carried its last request."""
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    # The side of the owner.

    @property
    def is_free(self) -> bool:
        """Whether a request given now would leave at once."""
        is_over = self.is_leaving or self.is_closed or self._is_spent
        return self.ready.done() and self._request is None and not (is_over or self._is_paused)

    @property
    def in_flight(self) -> int:
        """1 while a request waits for its answer."""
        return int(self._request is not None)

    def send(self, request: Request) -> None:
        """Take a request and write it."""
        assert self._request is None
        self._request = request
        self._sent_at = self._monotonic()
        request.copies_out += 1
        try:
            octets = self._octets_of(request)
        except h11.LocalProtocolError as error:
            self._is_spent = True
            self._fail(Failure(f"cannot be written: {error}", processed=False))
            self.abort("a request that cannot be written")
            return
        self._write(octets)

    def silent_since(self, moment: float) -> list[Request]:
        """Return the request, if it was sent before that moment and has no sign of an answer."""
        if self._request is None or self._sent_at > moment or self._status:
            return []
        return [self._request]

    def give_up(self, now: float) -> None:
        """End the request if its deadline has passed, and the connection with it: its answer may come yet."""
        if self._request is None or self._request.deadline > now:
            return
        self._is_spent = True
        self._fail(Failure("no answer in time", processed=None))
        self.abort("no answer in time")

    def ping(self) -> None:
        """HTTP/1.1 has no question to ask: an idle connection closes before the peer forgets it."""
        if self._request is None and self.ready.done():
            self.leave("idle")

    def pinged_before(self, moment: float) -> bool:
        """Nothing was asked."""
        return False

    # The side of the socket.

    def data_received(self, data: bytes) -> None:
        """Read what h11 makes of it; what breaks HTTP ends the connection."""
        self.heard_at = self._monotonic()
        self._read(data)

    def eof_received(self) -> bool:
        """Say to h11 that no more comes: some answers end that way."""
        self._read(b"")
        return False

    def _begin(self) -> None:
        self.ready.set_result(None)

    def _say_goodbye(self) -> None:
        pass  # HTTP/1.1 has no word for it

    def _end_requests(self, reason: str) -> None:
        # All of it was handed to the kernel, and what the peer has read of it nobody knows.
        self._fail(Failure(reason, processed=None))

    # What comes in.

    def _read(self, data: bytes) -> None:
        if self.is_closed:
            return
        if self._request is None:
            # Between two requests a peer has nothing to say but that it is about to close.
            self._is_spent = True
            self.leave(self.reason or "closed by the peer")
            return
        try:
            self._h11.receive_data(data)
            while self._on_event(self._h11.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            is_lost = not data and not self._status
            self.abort("connection lost: closed by the peer" if is_lost else f"the peer broke HTTP: {error}")

    def _on_event(self, event: object) -> bool:
        """Take in one event; False when no other belongs to the request."""
        match event:
            case h11.Response():
                self._status = event.status_code
                self._headers = {
                    name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers
                }
            case h11.Data():
                self._body += event.data[: MOST_BODY - len(self._body) + 1]
                if len(self._body) > MOST_BODY:
                    self._answer(is_reusable=False)
                    return False
            case h11.EndOfMessage():
                self._answer(is_reusable=True)
                return False
            case h11.InformationalResponse():
                pass
            case _:
                return False
        return True

    def _answer(self, *, is_reusable: bool) -> None:
        request, self._request = self._request, None
        assert request is not None
        answer = Answer(self._status, self._headers, bytes(self._body[:MOST_BODY]), self.number)
        self._status, self._headers, self._body = 0, {}, bytearray()
        is_done = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        # What came behind the answer belongs to no request of ours.
        self._is_spent = not (is_reusable and is_done) or bool(self._h11.trailing_data[0])
        if not self._is_spent:
            self._h11.start_next_cycle()
        self._owner.ended(self, request, answer)
        if self._is_spent:
            self.leave("the peer does not keep it")
        elif self.is_free:
            self._owner.has_room(self)

    def _fail(self, failure: Failure) -> None:
        request, self._request = self._request, None
        if request is not None:
            self._owner.ended(self, request, failure)

    # What goes out.

    def _octets_of(self, request: Request) -> bytes:
        method, path, headers = _head(request.headers, len(request.body))
        parts = (
            self._h11.send(h11.Request(method=method, target=path, headers=headers)),
            self._h11.send(h11.Data(data=request.body)) if request.body else b"",
            self._h11.send(h11.EndOfMessage()),
        )
        return b"".join(part or b"" for part in parts)


def _head(headers: Headers, length: int) -> tuple[str, str, list[tuple[str, str]]]:
    """Turn the pseudo headers of HTTP/2 into method, target and Host."""
    pseudo = {name: value for name, value in headers if name.startswith(":")}
    rest = [(name, value) for name, value in headers if not name.startswith(":")]
    fields = [("host", pseudo[":authority"]), *rest, ("content-length", str(length))]
    return pseudo[":method"], pseudo[":path"], fields

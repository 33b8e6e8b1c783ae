"""Messages cut out of a byte stream (RFC 3261 section 18.3), and keep-alives between them.

Keep-alives are those of RFC 5626 section 3.5.1: the client sends CRLF CRLF, the server answers
CRLF.
"""

from __future__ import annotations

import re
from enum import Enum

from wakerobin.core.errors import SipSyntaxError

_LENGTH_LINE = re.compile(rb"\r\n(?:content-length|l)[ \t]*+:", re.IGNORECASE)
_LENGTH = re.compile(rb"[ \t]*+(?:\r\n[ \t]++)?+([0-9]{1,10}+)[ \t]*+(?=\r\n(?![ \t]))")

MOST_PASSED_OVER = 4 << 20
"""So large a body is passed over; whoever announces a larger one has lost his mind, or the thread."""


class KeepAlive(Enum):
    """What a peer sends between messages to show that it is there."""

    PING = b"\r\n\r\n"
    PONG = b"\r\n"


class Oversized(bytes):
    """The head of a message that is too large to be kept: its body was passed over."""

    __slots__ = ()


class StreamFramer:
    """Driven by `feed` with whatever a stream delivers; gives back whole messages and keep-alives.

    A message that is too large, but says how large it is, is given as its head alone and passed over: the
    stream of a PBX carries the calls of many, and one of them may write long letters.

    `is_ours`: we made the connection, so that it is we who send pings, and a lone CRLF always answers one.
    After a fault nothing in the stream can be found again: the connection is to be closed.
    """

    __slots__ = ("_buffer", "_is_ours", "_max_message", "_needed", "_ponged", "_searched", "_skips", "fault")

    def __init__(self, max_message: int = 65_535, *, is_ours: bool = False) -> None:
        self._max_message = max_message
        self._is_ours = is_ours
        self._buffer = bytearray()
        self._searched = 0  # no end of the head before here
        self._skips = 0  # octets of an oversized body that are still to come
        self._needed = 0  # whole length of the message at the start, once its head is complete
        self._ponged = False  # the last thing handed out was a PONG that may be half a PING
        self.fault: SipSyntaxError | None = None

    def feed(self, data: bytes) -> list[bytes | KeepAlive]:
        """Take bytes, return what they complete, in order.

        A PING torn in two by the network is given as PONG, PING: a PONG may not wait for bytes
        that may never come. Raises SipSyntaxError for a message that is far too large or whose
        Content-Length is missing, malformed or contradictory; if something was complete before
        it, that is returned first, `fault` is set and the next call raises.
        """
        if self.fault is not None:
            raise self.fault
        if self._skips:
            data = data[self._skip(len(data)) :]
        self._buffer += data
        found: list[bytes | KeepAlive] = []
        position = 0
        try:
            while (end := self._next_end(position, found)) > position:
                position = end
        except SipSyntaxError as error:
            self.fault = error
            self._buffer.clear()
            if not found:
                raise
            return found
        del self._buffer[:position]
        return found

    def _next_end(self, position: int, found: list[bytes | KeepAlive]) -> int:
        """Hand out what begins at the position; return where it ends, the position if nowhere."""
        buffer = self._buffer
        if buffer.startswith(b"\r\n", position):
            return self._keep_alive(position, found)
        if position == len(buffer) or (buffer[position] == 13 and len(buffer) == position + 1):
            return position
        self._ponged = False
        if not self._needed:
            self._needed = self._message_length(position)
            if self._skips:
                return self._pass_over(position, found)
        if not self._needed or len(buffer) - position < self._needed:
            return position
        end = position + self._needed
        found.append(bytes(buffer[position:end]))
        self._needed = self._searched = 0
        return end

    def _pass_over(self, position: int, found: list[bytes | KeepAlive]) -> int:
        """Hand out the head of an oversized message; return where what has come of its body ends."""
        head_end, self._needed, self._searched = position + self._needed, 0, 0
        found.append(Oversized(self._buffer[position:head_end]))
        return head_end + self._skip(len(self._buffer) - head_end)

    def _skip(self, octets: int) -> int:
        """Return how many of these octets belong to what is passed over."""
        skipped = min(self._skips, octets)
        self._skips -= skipped
        return skipped

    def _keep_alive(self, position: int, found: list[bytes | KeepAlive]) -> int:
        if self._ponged:
            self._ponged = False
            found.append(KeepAlive.PING)
            return position + 2
        if self._buffer.startswith(b"\r\n\r\n", position):
            found.append(KeepAlive.PING)
            return position + 4
        self._ponged = not self._is_ours
        found.append(KeepAlive.PONG)
        return position + 2

    def _message_length(self, position: int) -> int:
        """Return the length of the message that begins there, 0 while its head is incomplete."""
        buffer = self._buffer
        head_end = buffer.find(b"\r\n\r\n", position + self._searched)
        if head_end < 0:
            if len(buffer) - position > self._max_message:
                raise SipSyntaxError("The headers do not end", 513)
            self._searched = max(0, len(buffer) - position - 3)
            return 0
        head_end += 4
        body = _content_length(bytes(buffer[position:head_end]))
        length = head_end - position + body
        if length <= self._max_message:
            return length
        if head_end - position > self._max_message or body > MOST_PASSED_OVER:
            raise SipSyntaxError(f"A message is longer than {self._max_message} bytes", 513)
        self._skips = body
        return head_end - position


def _content_length(head: bytes) -> int:
    lengths: set[int] = set()
    for line in _LENGTH_LINE.finditer(head):
        value = _LENGTH.match(head, line.end())
        if not value:
            raise SipSyntaxError("Content-Length is malformed")
        lengths.add(int(value.group(1)))
    if not lengths:
        raise SipSyntaxError("Content-Length is missing")
    if len(lengths) > 1:
        raise SipSyntaxError("Content-Length is given twice")
    return lengths.pop()

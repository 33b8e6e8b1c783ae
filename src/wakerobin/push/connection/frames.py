"""Cuts the received octets into HTTP/2 frames, so that GOAWAY can be taken out before `h2` sees it.

`h2` (4.4) regards a connection as closed once it has read a GOAWAY and fails on every later frame,
although RFC 9113 6.8 lets the streams up to the announced id finish. So GOAWAY is read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = 9
_GOAWAY = 0x7
# RFC 9113 4.2: what we never announced to take.
_MOST_OCTETS = 16384


class FrameSizeError(ValueError):
    """A frame longer than we announced to take, or a GOAWAY too short to be one."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """The peer opens no more streams; those above `last_stream_id` it has not touched (RFC 9113 6.8)."""

    last_stream_id: int
    error_code: int
    debug: bytes


class FrameReader:
    """Gathers octets until whole frames are there."""

    __slots__ = ("_gathered",)

    def __init__(self) -> None:
        self._gathered = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes | GoAway]:
        """Yield each complete frame, GOAWAY parsed, others as they came. Raises FrameSizeError."""
        self._gathered += data
        while len(self._gathered) >= _HEADER:
            length = int.from_bytes(self._gathered[:3], "big")
            if length > _MOST_OCTETS:
                raise FrameSizeError(f"a frame of {length} octets")
            end = _HEADER + length
            if len(self._gathered) < end:
                return
            frame = bytes(self._gathered[:end])
            del self._gathered[:end]
            yield _goaway(frame[_HEADER:]) if frame[3] == _GOAWAY else frame


def _goaway(payload: bytes) -> GoAway:
    if len(payload) < 8:
        raise FrameSizeError("a GOAWAY of less than 8 octets")
    last_stream_id, error_code = struct.unpack(">LL", payload[:8])
    return GoAway(last_stream_id & 0x7FFFFFFF, error_code, payload[8:])

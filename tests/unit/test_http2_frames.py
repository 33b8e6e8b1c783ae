"""Cutting a stream of octets into HTTP/2 frames, GOAWAY taken out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.push.connection.frames import FrameReader, FrameSizeError, GoAway

frames = st.builds(
    lambda kind, flags, stream, payload: (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    ),
    st.integers(0, 255).filter(lambda kind: kind != 7),
    st.integers(0, 255),
    st.integers(0, 2**31 - 1),
    st.binary(max_size=300),
)


def goaway(last: int, code: int, debug: bytes) -> bytes:
    payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + debug
    return len(payload).to_bytes(3, "big") + b"\x07\x00" + bytes(4) + payload


@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 40), max_size=60))
def test_frames_come_out_whole_however_the_octets_arrive(sent: list[bytes], cuts: list[int]) -> None:
    reader = FrameReader()
    octets = b"".join(sent)
    out: list[bytes | GoAway] = []
    for size in [*cuts, len(octets)]:
        piece, octets = octets[:size], octets[size:]
        out += reader.feed(piece)
    assert out == sent


@given(frames, frames, st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=50))
def test_a_goaway_is_read_and_what_follows_it_still_comes(
    before: bytes, after: bytes, last: int, code: int, debug: bytes
) -> None:
    out = list(FrameReader().feed(before + goaway(last, code, debug) + after))
    assert out == [before, GoAway(last, code, debug), after]


def test_the_reserved_bit_of_the_last_stream_is_ignored() -> None:
    (frame,) = FrameReader().feed(goaway(2**31 + 5, 0, b""))
    assert frame == GoAway(5, 0, b"")


def test_a_goaway_that_is_too_short_breaks_the_connection() -> None:
    with pytest.raises(FrameSizeError):
        list(FrameReader().feed(b"\x00\x00\x04\x07\x00\x00\x00\x00\x00abcd"))


def test_a_frame_longer_than_we_take_breaks_the_connection_before_it_is_gathered() -> None:
    with pytest.raises(FrameSizeError):
        list(FrameReader().feed((16385).to_bytes(3, "big") + b"\x00" * 6))
    longest = (16384).to_bytes(3, "big") + b"\x00" * (6 + 16384)
    assert list(FrameReader().feed(longest)) == [longest]

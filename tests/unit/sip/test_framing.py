"""Messages and keep-alives cut out of a stream, wherever the network tears it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.framing import KeepAlive, Oversized, StreamFramer

OPTIONS = b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length: 0\r\n\r\n"
MESSAGE = b"MESSAGE sip:a@h SIP/2.0\r\nl : 12\r\nX: y\r\n\r\nHi\r\n\r\nthere\x00"
FOLDED = b"INVITE sip:a@h SIP/2.0\r\nContent-Length:\r\n 3\r\nX: a\r\n b\r\n\r\nabc"
PING = b"\r\n\r\n"
PONG = b"\r\n"


def fed(*pieces: bytes) -> list[bytes | KeepAlive]:
    framer = StreamFramer()
    return [item for piece in pieces for item in framer.feed(piece)]


def test_a_message_is_cut_at_its_content_length() -> None:
    assert fed(OPTIONS + MESSAGE + FOLDED) == [OPTIONS, MESSAGE, FOLDED]


def test_an_incomplete_message_waits() -> None:
    framer = StreamFramer()
    assert framer.feed(MESSAGE[:-1]) == []
    assert framer.feed(b"") == []
    assert framer.feed(MESSAGE[-1:] + OPTIONS[:5]) == [MESSAGE]
    assert framer.feed(OPTIONS[5:]) == [OPTIONS]


def test_a_message_that_comes_byte_by_byte_is_found() -> None:
    stream = MESSAGE + FOLDED
    assert fed(*(stream[i : i + 1] for i in range(len(stream)))) == [MESSAGE, FOLDED]


def test_length_counts_bytes_and_not_characters() -> None:
    body = "üü".encode()
    message = b"MESSAGE sip:a@h SIP/2.0\r\nContent-Length: 4\r\n\r\n" + body
    assert fed(message + OPTIONS) == [message, OPTIONS]


def test_two_empty_lines_are_a_ping_and_one_is_a_pong() -> None:
    assert fed(PING) == [KeepAlive.PING]
    assert fed(PONG) == [KeepAlive.PONG]
    assert fed(OPTIONS + PING + OPTIONS + PONG + OPTIONS) == [
        OPTIONS,
        KeepAlive.PING,
        OPTIONS,
        KeepAlive.PONG,
        OPTIONS,
    ]


def test_a_pong_is_seen_at_once_although_it_may_be_half_a_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r") == []
    assert framer.feed(b"\n") == [KeepAlive.PONG]
    assert framer.feed(b"\r\n") == [KeepAlive.PING]
    assert framer.feed(b"\r\n") == [KeepAlive.PONG]


def test_a_ping_torn_after_three_bytes_is_answered() -> None:
    assert fed(b"\r\n\r", b"\n") == [KeepAlive.PONG, KeepAlive.PING]


def test_a_message_between_two_pongs_makes_no_ping_of_them() -> None:
    assert fed(PONG, OPTIONS, PONG) == [KeepAlive.PONG, OPTIONS, KeepAlive.PONG]


def without_torn_pings(items: list[bytes | KeepAlive]) -> list[bytes | KeepAlive]:
    kept: list[bytes | KeepAlive] = []
    for item in items:
        if item is KeepAlive.PING and kept and kept[-1] is KeepAlive.PONG:
            kept.pop()
        kept.append(item)
    return kept


@given(
    st.lists(st.sampled_from([OPTIONS, MESSAGE, FOLDED, PING]), max_size=12),
    st.lists(st.integers(min_value=0, max_value=1000), max_size=30),
)
def test_where_the_stream_is_torn_changes_nothing(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(borders)]
    expected = [KeepAlive.PING if part == PING else part for part in parts]
    assert without_torn_pings(fed(*pieces)) == expected


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"OPTIONS sip:a@h SIP/2.0\r\nX: y\r\n\r\n", 400),
        (b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length: 0\r\nl: 1\r\n\r\n", 400),
        (b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length: -1\r\n\r\n", 400),
        (b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length: 5 5\r\n\r\n", 400),
        (b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length:\r\n\r\n", 400),
        (b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length: 1\r\n 2\r\n\r\n", 400),
        (b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n", 400),
        (b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length: 99999999\r\n\r\n", 513),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ],
)
def test_a_stream_that_cannot_be_cut_is_refused(head: bytes, status: int) -> None:
    framer = StreamFramer()
    with pytest.raises(SipSyntaxError) as caught:
        framer.feed(head)
    assert caught.value.status == status
    assert framer.fault is caught.value
    with pytest.raises(SipSyntaxError):
        framer.feed(OPTIONS)


def test_equal_content_lengths_are_taken() -> None:
    message = b"OPTIONS sip:a@h SIP/2.0\r\nContent-Length: 1\r\nl: 01\r\n\r\nx"
    assert fed(message) == [message]


def test_a_length_named_within_another_header_is_not_one() -> None:
    message = b"OPTIONS sip:a@h SIP/2.0\r\nSubject: x\r\n l: 5\r\nX-l: 7\r\nl: 0\r\n\r\n"
    assert fed(message + OPTIONS) == [message, OPTIONS]


def test_what_was_whole_before_a_fault_is_not_lost() -> None:
    framer = StreamFramer()
    assert framer.feed(OPTIONS + b"rubbish\r\n\r\n") == [OPTIONS]
    assert framer.fault is not None
    with pytest.raises(SipSyntaxError):
        framer.feed(b"")


def test_headers_that_never_end_are_refused_at_the_limit() -> None:
    framer = StreamFramer(max_message=100)
    assert framer.feed(b"x" * 100) == []
    with pytest.raises(SipSyntaxError) as caught:
        framer.feed(b"x")
    assert caught.value.status == 513


def test_the_limit_holds_for_the_whole_message() -> None:
    head = b"M sip:a@h SIP/2.0\r\nl: 50\r\n\r\n"
    whole = head + b"x" * 50
    assert StreamFramer(max_message=len(whole)).feed(whole) == [whole]
    (found,) = StreamFramer(max_message=len(whole) - 1).feed(head)
    assert isinstance(found, Oversized)


@pytest.mark.parametrize("step", [1, 7, 40, 10_000])
def test_what_is_too_large_is_passed_over_and_the_stream_goes_on(step: int) -> None:
    """The stream of a PBX carries the calls of many: one long letter must not end it."""
    head = b"MESSAGE sip:a@h SIP/2.0\r\nContent-Length: 200\r\n\r\n"
    stream = OPTIONS + head + b"\r\n\r\n" * 50 + OPTIONS
    framer = StreamFramer(max_message=150)
    found: list[object] = []
    for at in range(0, len(stream), step):
        found += framer.feed(stream[at : at + step])
    assert found == [OPTIONS, head, OPTIONS]
    assert [isinstance(one, Oversized) for one in found] == [False, True, False]
    assert framer.fault is None


def test_the_end_of_a_head_that_comes_in_small_pieces_is_searched_once() -> None:
    """A stranger who sends his headers byte by byte must not make us read them all each time."""
    searched = 0

    class Counting(bytearray):
        def find(self, sub: bytes, start: int = 0) -> int:  # type: ignore[override]  # counts what find looks at
            nonlocal searched
            searched += len(self) - start
            return super().find(sub, start)

    framer = StreamFramer()
    framer._buffer = Counting()
    for _ in range(5000):
        framer.feed(b"x")
    assert searched < 5 * 5000


def test_over_a_connection_of_ours_every_lone_crlf_answers_a_ping() -> None:
    framer = StreamFramer(is_ours=True)
    assert [framer.feed(b"\r\n") for _ in range(3)] == [[KeepAlive.PONG]] * 3
    assert framer.feed(b"\r\n\r\n") == [KeepAlive.PING]

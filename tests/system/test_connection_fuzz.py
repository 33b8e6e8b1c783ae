"""Whatever a peer says, a connection has one outcome for each request, raises nothing, and waits for nothing.

The connections are driven without sockets: their transport is a record, the octets come from a seeded mutator
over conversations that were right, or from hypothesis.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from wakerobin.push.connection.connection import Connection
from wakerobin.push.connection.exchange import Answer, Failure, Request, Result
from wakerobin.push.connection.http1 import Http1Connection
from wakerobin.push.connection.http2 import Http2Connection

REQUESTS = 6
MUTATIONS = 1500


class Recorded(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


class Owner:
    """Notes what a connection reports and holds it to its promises."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.closed_times = 0

    def has_room(self, connection: Connection) -> None:
        assert not connection.is_closed

    def ended(self, connection: Connection, request: Request, result: Result) -> None:
        assert self.closed_times == 0
        assert isinstance(result, Answer | Failure)
        if isinstance(result, Answer):
            assert 100 <= result.status <= 999
            assert len(result.body) <= 8192
        request.copies_out -= 1
        request.finish(result)

    def leaves(self, connection: Connection, reason: str) -> None:
        assert reason

    def closed(self, connection: Connection, reason: str) -> None:
        assert reason
        self.closed_times += 1


class Clock:
    """Stands still."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def requests(owner: Owner, count: int) -> list[Request]:
    headers = (
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "push.example"),
        (":path", "/3/device/ab"),
        ("apns-id", "c3a4f9d2-5b6e-8a01-9c2d-3e4f5a6b7c8d"),
    )
    return [
        Request(headers=headers, body=b'{"aps":{}}', deadline=1010.0, on_done=owner.results.append)
        for _ in range(count)
    ]


async def play(
    kind: Callable[[Owner, int, Clock], Connection], speech: Iterator[bytes], greeting: bytes = b""
) -> tuple[Owner, int]:
    """Let a peer say all that, in these pieces; return what came of the requests, and how many there were."""
    owner, clock, transport = Owner(), Clock(), Recorded()
    connection = kind(owner, 1, clock)
    connection.connection_made(transport)
    if greeting:
        connection.data_received(greeting)
    sent = requests(owner, REQUESTS)
    begun = 0
    for request in sent:
        if connection.is_free:
            connection.send(request)
            begun += 1
    for piece in speech:
        if transport.is_closed:
            break
        connection.data_received(piece)
    clock.at = 1011.0
    connection.give_up(clock.at)
    assert connection.in_flight == 0
    connection.connection_lost(None)
    assert len(owner.results) == begun
    assert owner.closed_times == 1
    return owner, begun


def pieces(octets: bytes, chance: random.Random) -> Iterator[bytes]:
    """Cut octets anywhere."""
    while octets:
        length = chance.choice((1, 2, 7, 9, 40, 5000))
        yield octets[:length]
        octets = octets[length:]


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """Change, drop, double or insert here and there."""
    changed = bytearray(octets)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0 if at < len(changed):
                changed[at] = chance.randrange(256)
            case 1 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                del changed[at : at + chance.randrange(1, 12)]
            case 3:
                changed[at:at] = changed[max(0, at - 20) : at]
            case _:
                changed[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 20)))
    return bytes(changed)


def http2_conversation() -> tuple[bytes, bytes]:
    """Return what a good server says at first, and then to six requests."""
    client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    client.initiate_connection()
    server.initiate_connection()
    greeting = server.data_to_send()
    for _ in range(REQUESTS):
        stream = client.get_next_available_stream_id()
        client.send_headers(
            stream,
            [(":method", "POST"), (":scheme", "https"), (":authority", "x"), (":path", "/")],
            end_stream=True,
        )
    server.receive_data(client.data_to_send())
    for number, stream in enumerate(range(1, 2 * REQUESTS, 2)):
        if number % 3 == 2:
            server.reset_stream(stream, 7)
            continue
        status = (":status", "410" if number % 2 else "200")
        server.send_headers(stream, [status, ("apns-id", "c3a4f9d2")], end_stream=not number % 2)
        if number % 2:
            server.send_data(stream, b'{"reason":"Unregistered","timestamp":1}', end_stream=True)
    server.ping(b"12345678")
    server.close_connection(0, b'{"reason":"Shutdown"}')
    return greeting, server.data_to_send()


GREETING, SPEECH = http2_conversation()
SPEECH_1 = (
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    b"HTTP/1.1 410 Gone\r\ncontent-type: application/json\r\ncontent-length: 25\r\n\r\n"
    b'{"reason":"Unregistered"}'
)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n"


async def test_the_conversation_that_is_mutated_is_a_good_one() -> None:
    owner, begun = await play(Http2Connection, iter([SPEECH]), GREETING)
    assert begun == REQUESTS
    answers = [result for result in owner.results if isinstance(result, Answer)]
    assert [answer.status for answer in answers] == [200, 410, 410, 200]
    for speech in (SPEECH_1, CHUNKED):
        owner, begun = await play(Http1Connection, iter([speech]))
        assert begun == 1
        assert isinstance(owner.results[0], Answer)


@pytest.mark.parametrize("seed", range(4))
async def test_mutated_http2_is_always_an_outcome(seed: int) -> None:
    chance = random.Random(seed)
    kinds = set()
    for _ in range(MUTATIONS // 4):
        owner, begun = await play(Http2Connection, pieces(mutated(SPEECH, chance), chance), GREETING)
        assert begun == REQUESTS
        kinds |= {type(result) for result in owner.results}
    assert kinds == {Answer, Failure}


@pytest.mark.parametrize("seed", range(2))
async def test_a_mutated_greeting_is_an_end_or_a_connection(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(MUTATIONS // 8):
        await play(Http2Connection, pieces(mutated(GREETING, chance) + SPEECH, chance))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("speech", [SPEECH_1, CHUNKED])
async def test_mutated_http1_is_always_an_outcome(seed: int, speech: bytes) -> None:
    chance = random.Random(seed)
    for _ in range(MUTATIONS // 4):
        await play(Http1Connection, pieces(mutated(speech, chance), chance))


def headers_frame(block: bytes, stream: int = 1, flags: int = 0x05) -> bytes:
    return len(block).to_bytes(3, "big") + bytes([1, flags]) + stream.to_bytes(4, "big") + block


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_header_block_is_an_outcome(block: bytes) -> None:
    asyncio.run(_one(Http2Connection, headers_frame(block), GREETING))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60))
def test_any_frame_is_an_outcome(stream: int, kind: int, flags: int, payload: bytes) -> None:
    frame = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    asyncio.run(_one(Http2Connection, frame, GREETING))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="latin-1"), max_size=20),
            st.text(st.characters(codec="latin-1"), max_size=40),
        ),
        max_size=5,
    ),
    st.sampled_from(["200", "410", "000", "99", "1e3", "", "²00", "20000"]),
)
def test_any_header_and_status_is_an_outcome(headers: list[tuple[str, str]], status: str) -> None:
    fields = [(":status", status.encode("latin-1", "replace"))]
    fields += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]  # type: ignore[misc]  # hpack takes octets for both
    asyncio.run(_one(Http2Connection, headers_frame(Encoder().encode(fields)), GREETING))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_are_an_outcome_of_http1(octets: bytes) -> None:
    asyncio.run(_one(Http1Connection, b"HTTP/1.1 200 " + octets))
    asyncio.run(_one(Http1Connection, octets))


async def test_a_header_bomb_is_refused_and_not_kept() -> None:
    """Four kilobytes of references to one long entry would be megabytes of headers."""
    encoder = Encoder()
    block = encoder.encode([(":status", "200"), ("x", "y" * 3000)])
    reference = encoder.encode([("x", "y" * 3000)])
    assert len(reference) < 3
    owner, _ = await play(Http2Connection, iter([headers_frame(block + reference * 4000)]), GREETING)
    assert all(isinstance(result, Failure) for result in owner.results)


async def _one(kind: Callable[[Owner, int, Clock], Connection], speech: bytes, greeting: bytes = b"") -> None:
    await play(kind, iter([speech]) if speech else iter([]), greeting)

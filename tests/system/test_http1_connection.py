"""Requests over HTTP/1.1 under the same pool: kept connections, as many as needed, and every way to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.system.http1_peer import OK, Act, Http1Peer, Received, answering, http1_peer
from tests.system.pushing import LoopClock, soon
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.clock import Clock, Timers
from wakerobin.push.connection import (
    EITHER,
    MOST_BODY,
    Answer,
    Failure,
    Headers,
    Origin,
    Pool,
    PoolOptions,
    Request,
    Result,
    Surroundings,
    split_url,
)
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.pns_certificates import make_server_context


@contextlib.asynccontextmanager
async def pool_to(
    url: str,
    options: PoolOptions | None = None,
    *,
    ca_file: str = "",
    clock: ManualClock | None = None,
    on_date: Callable[[int], None] | None = None,
) -> AsyncIterator[Pool]:
    of_loop = LoopClock()
    time: Clock = clock or of_loop
    timers: Timers = clock or of_loop
    origin = Origin.from_url(url, ca_file, DestinationPolicy(), "apps.phone.webhook.url", protocols=EITHER)
    pool = Pool(
        origin,
        Surroundings(time, timers, os.urandom, on_date=on_date),
        options or PoolOptions(call_connections=0, bulk_rate=1e6),
    )
    try:
        yield pool
    finally:
        await pool.close()


def headers(pool: Pool, path: str = "/hook?x=1") -> Headers:
    return (
        (":method", "POST"),
        (":scheme", pool.origin.scheme),
        (":authority", pool.origin.authority),
        (":path", path),
        ("content-type", "application/json"),
    )


async def ask(
    pool: Pool,
    body: bytes = b"{}",
    *,
    is_urgent: bool = False,
    may_repeat: bool = False,
    deadline: float = 0.0,
    path: str = "/hook?x=1",
) -> Result:
    done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    pool.submit(
        Request(
            headers=headers(pool, path),
            body=body,
            deadline=deadline or soon(),
            on_done=done.set_result,
            is_urgent=is_urgent,
            may_repeat=may_repeat,
        )
    )
    return await done


@contextlib.asynccontextmanager
async def talking_to(
    act: Act, options: PoolOptions | None = None, clock: ManualClock | None = None
) -> AsyncIterator[tuple[Http1Peer, Pool]]:
    async with (
        http1_peer(act) as peer,
        pool_to(f"http://127.0.0.1:{peer.port}", options, clock=clock) as pool,
    ):
        yield peer, pool


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_request_arrives_with_host_path_and_length_and_its_answer_comes_back() -> None:
    async with talking_to(answering(OK)) as (peer, pool):
        assert await ask(pool, b'{"a": 1}') == Answer(200, {"content-length": "2"}, b"hi", 1)
        (one,) = peer.received
        assert one.head.startswith("POST /hook?x=1 HTTP/1.1\r\n")
        assert one.headers["host"] == f"127.0.0.1:{peer.port}"
        assert one.headers["content-length"] == "8"
        assert one.body == b'{"a": 1}'


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with talking_to(answering(OK)) as (peer, pool):
        for _ in range(20):
            assert isinstance(await ask(pool), Answer)
        assert peer.connections == 1


@pytest.mark.parametrize("named", [["http/1.1"], ["acme-tls/1"], []])
async def test_over_tls_the_peer_chooses_http_1_1_by_name_or_by_saying_nothing(
    tmp_path: Path, named: list[str]
) -> None:
    context, ca_file = make_server_context(tmp_path, "127.0.0.1")
    if named:
        context.set_alpn_protocols(named)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
    async with (
        http1_peer(answering(OK), context) as peer,
        pool_to(f"https://127.0.0.1:{peer.port}", ca_file=str(ca_file)) as pool,
    ):
        answer = await ask(pool)
        assert isinstance(answer, Answer)
        assert answer.body == b"hi"


async def test_many_requests_at_once_open_as_many_connections_as_allowed_and_all_are_answered() -> None:
    barrier = asyncio.Event()

    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        await barrier.wait()
        writer.write(OK)
        return True

    options = PoolOptions(call_connections=0, most_connections=5, bulk_rate=1e6)
    async with talking_to(act, options) as (peer, pool):
        answers = [asyncio.ensure_future(ask(pool)) for _ in range(40)]
        await until(lambda: len(peer.received) == 5)
        barrier.set()
        assert all(isinstance(answer, Answer) for answer in await asyncio.gather(*answers))
        assert peer.connections == 5
        assert len(peer.received) == 40


async def test_a_call_waits_for_no_bulk_and_has_connections_of_its_own() -> None:
    async def act(one: Received, writer: asyncio.StreamWriter) -> bool:
        if one.body == b"call":
            writer.write(OK)
        return True

    options = PoolOptions(call_connections=1, most_connections=2, bulk_rate=1e6)
    async with talking_to(act, options) as (peer, pool):
        await pool.warm()
        bulk = [asyncio.ensure_future(ask(pool, b"bulk", deadline=soon(30))) for _ in range(10)]
        await until(lambda: len(peer.received) == 2)
        for _ in range(3):
            assert isinstance(await ask(pool, b"call", is_urgent=True), Answer)
        calls = {one.connection for one in peer.received if one.body == b"call"}
        assert calls.isdisjoint({one.connection for one in peer.received if one.body == b"bulk"})
        assert len(calls) == 1
        await pool.close()
        assert all(isinstance(result, Failure) for result in await asyncio.gather(*bulk))


async def test_calls_at_once_get_a_connection_each() -> None:
    barrier = asyncio.Event()

    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        await barrier.wait()
        writer.write(OK)
        return True

    async with talking_to(act, PoolOptions(call_connections=1)) as (peer, pool):
        calls = [asyncio.ensure_future(ask(pool, is_urgent=True)) for _ in range(7)]
        await until(lambda: len(peer.received) == 7)  # none waits for another's answer
        barrier.set()
        assert all(isinstance(answer, Answer) for answer in await asyncio.gather(*calls))


async def test_a_connection_that_the_peer_closes_after_an_answer_is_replaced() -> None:
    closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with talking_to(answering(closing, keep=False)) as (peer, pool):
        for _ in range(5):
            assert isinstance(await ask(pool), Answer)
        assert peer.connections == 5


async def test_an_idle_connection_that_the_peer_closes_costs_the_next_request_nothing() -> None:
    async with talking_to(answering(OK)) as (peer, pool):
        assert isinstance(await ask(pool), Answer)
        peer.writers[0].close()
        await until(lambda: not pool._line_of)
        assert isinstance(await ask(pool), Answer)
        assert peer.connections == 2


async def test_an_idle_connection_is_closed_by_us_and_only_those_of_calls_are_opened_again() -> None:
    clock = ManualClock()
    options = PoolOptions(call_connections=1, ping_after=50.0)
    async with talking_to(answering(OK), options, clock) as (peer, pool):
        await pool.warm()
        deadline = clock.monotonic() + 1000
        assert isinstance(await ask(pool, deadline=deadline), Answer)
        assert peer.connections == 2
        clock.advance(51_000)
        await until(lambda: peer.connections == 3)
        await until(lambda: len(pool._line_of) == 1)
        assert isinstance(await ask(pool, is_urgent=True, deadline=deadline), Answer)
        assert peer.received[-1].connection == 3


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
            (200, b"hi!"),
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK, (200, b"hi")),
        (b"HTTP/1.1 307 x\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n", (307, b"")),
        (b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", (410, b"")),
        (b"HTTP/1.1 500 x\r\ncontent-length: 5\r\n\r\n<htm>", (500, b"<htm>")),
        (OK + b"HTTP/1.1 200 OK\r\n\r\nnobody asked", (200, b"hi")),
    ],
)
async def test_every_whole_answer_is_one_answer(answer: bytes, expected: tuple[int, bytes]) -> None:
    async with talking_to(answering(answer)) as (peer, pool):
        result = await ask(pool)
        assert isinstance(result, Answer)
        assert (result.status, result.body) == expected
        assert len(peer.received) == 1  # and a redirect is not followed
        assert isinstance(await ask(pool), Answer)


async def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    async with talking_to(answering(b"HTTP/1.0 200 OK\r\n\r\nall of it", keep=False)) as (_, pool):
        result = await ask(pool)
        assert isinstance(result, Answer)
        assert result.body == b"all of it"


async def test_answers_octet_by_octet_are_answers() -> None:
    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        for octet in OK:
            writer.write(bytes([octet]))
            await writer.drain()
        return True

    async with talking_to(act) as (_, pool):
        assert isinstance(await ask(pool), Answer)


async def test_no_more_than_eight_kib_of_a_body_is_read() -> None:
    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x" * 4096)
                await writer.drain()
        return False

    async with talking_to(act) as (_, pool):
        result = await ask(pool)
        assert isinstance(result, Answer)
        assert result.body == b"x" * MOST_BODY


@pytest.mark.parametrize(
    "speech",
    [
        b"",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 99999 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000,
        b"\x00" * 20_000,
    ],
)
async def test_what_is_no_answer_is_an_unknown_outcome_and_the_next_request_goes_on(speech: bytes) -> None:
    turn = [speech, OK]

    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        writer.write(turn[0])
        return len(turn.pop(0)) == len(OK)

    async with talking_to(act) as (peer, pool):
        result = await ask(pool)
        assert isinstance(result, Failure)
        assert result.processed is None
        assert len(peer.received) == 1  # what may have been processed is not sent again
        assert isinstance(await ask(pool), Answer)


async def test_what_may_be_repeated_goes_out_once_more_over_another_connection() -> None:
    turn = iter([False, True, True])

    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        if next(turn):
            writer.write(OK)
            return True
        return False

    async with talking_to(act, PoolOptions(call_connections=1)) as (peer, pool):
        assert isinstance(await ask(pool, is_urgent=True, may_repeat=True), Answer)
        assert [one.connection for one in peer.received] == [1, 2]


async def test_a_call_without_an_answer_is_repeated_over_a_connection_opened_for_it() -> None:
    async def act(one: Received, writer: asyncio.StreamWriter) -> bool:
        if one.connection > 1:
            writer.write(OK)
        return True

    options = PoolOptions(call_connections=1, repeat_after=0.05)
    async with talking_to(act, options) as (peer, pool):
        assert isinstance(await ask(pool, is_urgent=True, may_repeat=True), Answer)
        assert [one.connection for one in peer.received][:2] == [1, 2]


async def test_silence_ends_at_the_deadline_and_takes_the_connection_with_it() -> None:
    turn = iter([False, True])

    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        if next(turn):
            writer.write(OK)
        return True

    clock = ManualClock()
    async with talking_to(act, clock=clock) as (peer, pool):
        waiting = asyncio.ensure_future(ask(pool, deadline=clock.monotonic() + 7))
        await until(lambda: len(peer.received) == 1)
        clock.advance(6_900)
        await clock.settle()
        assert not waiting.done()
        clock.advance(200)
        assert await waiting == Failure("no answer in time", processed=None)
        assert isinstance(await ask(pool, deadline=clock.monotonic() + 7), Answer)
        assert peer.connections == 2


async def test_a_request_that_no_header_can_carry_is_an_outcome() -> None:
    async with talking_to(answering(OK)) as (peer, pool):
        result = await ask(pool, path="/a b\r\nx: y")
        assert isinstance(result, Failure)
        assert result.processed is False
        assert isinstance(await ask(pool), Answer)
        assert len(peer.received) == 1


async def test_http_goes_to_no_public_address() -> None:
    async with pool_to("http://203.0.114.7:80") as pool:
        result = await ask(pool)
    assert isinstance(result, Failure)
    assert result.processed is False
    assert "use https" in result.reason


async def test_the_date_of_a_push_service_is_passed_on_once_a_minute() -> None:
    dated = b"HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 0\r\n\r\n"
    odd = b"HTTP/1.1 200 OK\r\ndate: yesterday\r\ncontent-length: 0\r\n\r\n"
    clock, heard = ManualClock(), list[int]()
    async with (
        http1_peer(answering(odd, dated)) as peer,
        pool_to(f"http://127.0.0.1:{peer.port}", clock=clock, on_date=heard.append) as pool,
    ):
        deadline = clock.monotonic() + 1000
        for _ in range(4):
            await ask(pool, deadline=deadline)
        assert heard == [784_111_777_000]
        clock.advance(61_000)
        await ask(pool, deadline=deadline)
        assert heard == [784_111_777_000] * 2


def test_http_is_no_origin_of_a_service_that_speaks_http2_only() -> None:
    with pytest.raises(ConfigurationError, match=r"apps\.phone\.apns\.url.*no https address"):
        Origin.from_url("http://127.0.0.1", "", DestinationPolicy(), "apps.phone.apns.url")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://hook.example/a/b?c=d", ("https://hook.example", "/a/b?c=d")),
        ("https://hook.example", ("https://hook.example", "/")),
        ("http://127.0.0.1:8080/x", ("http://127.0.0.1:8080", "/x")),
    ],
)
def test_a_url_is_an_origin_and_a_path(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts

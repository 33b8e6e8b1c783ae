"""Every wait of a connection on a clock that is moved by hand: to open, to be ready, to be tried again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.system.http1_peer import OK, answering, http1_peer
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.push.connection import EITHER, Answer, Failure, Origin, Pool, PoolOptions, Request, Result
from wakerobin.push.connection.line import Surroundings
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.pns_certificates import make_server_context


def longest(count: int) -> bytes:
    """Chance that makes every pause as long as it can be."""
    return b"\xff" * count


@contextlib.asynccontextmanager
async def silent_server(folder: Path, *, with_tls: bool) -> AsyncIterator[str]:
    """Take connections, with TLS or before it, and say nothing."""
    context, _ = make_server_context(folder, "127.0.0.1")
    writers: list[asyncio.StreamWriter] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context if with_tls else None)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def pool_to(
    url: str,
    clock: ManualClock,
    ca_file: str = "",
    options: PoolOptions | None = None,
    most: int = 1000,
) -> AsyncIterator[tuple[Pool, list[float], list[str]]]:
    """Open a pool; it notes when it looks for the address, and why it fails. After `most` it finds none."""
    looked: list[float] = []
    failed: list[str] = []

    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        looked.append(round(clock.monotonic(), 2))
        if len(looked) > most:
            raise ConnectionRefusedError("no more")
        return [(host, port)]

    def on_line(event: str, reason: str) -> None:
        if event == "failed":
            failed.append(reason)

    origin = Origin.from_url(url, ca_file, DestinationPolicy(), "key.url", protocols=EITHER)
    pool = Pool(origin, Surroundings(clock, clock, longest, resolve), options or ONE, on_line)
    try:
        yield pool, looked, failed
    finally:
        await pool.close()


ONE = PoolOptions(call_connections=1)


def begin(pool: Pool, deadline: float, *, is_urgent: bool = True) -> list[Result]:
    """Submit a request; the list gets its result."""
    results: list[Result] = []
    headers = ((":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/"))
    request = Request(
        headers=headers,
        body=b"",
        deadline=deadline,
        on_done=results.append,
        is_urgent=is_urgent,
        may_repeat=is_urgent,
    )
    pool.submit(request)
    return results


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("with_tls", "seconds", "words"),
    [(False, 10, "no connection in time"), (True, 5, "no SETTINGS from the peer in time")],
)
async def test_a_server_that_says_nothing_is_given_up(
    tmp_path: Path, *, with_tls: bool, seconds: int, words: str
) -> None:
    clock = ManualClock()
    async with (
        silent_server(tmp_path, with_tls=with_tls) as url,
        pool_to(url, clock, str(tmp_path / "ca.pem")) as (pool, looked, failed),
    ):
        begin(pool, clock.monotonic() + 1000)
        await until(lambda: looked)
        if with_tls:
            line = next(iter(pool._call_lines))
            await until(lambda: clock.next_timer() is not None and line.is_opening)
            await _handshake_is_done(clock, clock.monotonic() + 5.0)
        clock.advance(seconds * 1000 - 100)
        await clock.settle()
        assert failed == []
        clock.advance(200)
        await until(lambda: failed)
        assert words in failed[0]


async def _handshake_is_done(clock: ManualClock, when: float) -> None:
    """Wait until the time of TLS has ended and that of SETTINGS runs, the only timer 5 s from now."""
    await until(lambda: any(abs(at - when) < 0.01 and timer.is_pending for at, _, timer in clock._due))


async def test_pauses_double_from_a_twentieth_of_a_second_to_half_a_minute() -> None:
    clock = ManualClock()
    async with pool_to("http://127.0.0.1:1", clock) as (pool, looked, failed):
        line = next(iter(pool._call_lines))
        line.open()
        for number in range(1, 14):
            while len(failed) < number:
                await asyncio.sleep(0)
            due = clock.next_timer()
            assert due is not None
            clock.advance(round((due - clock.monotonic()) * 1000) + 1)
    pauses = [after - before for before, after in itertools.pairwise(looked)]
    assert pauses[:10] == pytest.approx([0.05 * 2**number for number in range(10)], abs=0.02)
    assert pauses[10:] == pytest.approx([30.0, 30.0], abs=0.02)


async def test_with_a_call_waiting_the_pause_is_a_second_at_most() -> None:
    clock = ManualClock()
    async with pool_to("http://127.0.0.1:1", clock) as (pool, looked, failed):
        results = begin(pool, clock.monotonic() + 20)
        for _ in range(420):
            clock.advance(50)
            await clock.settle()
            await asyncio.sleep(0)
            if results:
                break
        (result,) = results
    assert isinstance(result, Failure)
    assert result.processed is False
    pauses = [after - before for before, after in itertools.pairwise(looked)]
    assert max(pauses) <= 1.2
    assert 15 <= len(failed) <= 30  # and no storm


async def test_a_call_is_repeated_after_a_second_to_the_tenth_and_not_before() -> None:
    async def silent(_one: object, _writer: asyncio.StreamWriter) -> bool:
        return True

    clock = ManualClock()
    options = PoolOptions(call_connections=2)
    async with (
        http1_peer(silent) as peer,
        pool_to(f"http://127.0.0.1:{peer.port}", clock, options=options) as (pool, _, _),
    ):
        await pool.warm()
        results = begin(pool, clock.monotonic() + 10)
        await until(lambda: len(peer.received) == 1)
        clock.advance(900)
        await clock.settle()
        assert len(peer.received) == 1
        clock.advance(200)
        await until(lambda: len(peer.received) == 2)
        clock.advance(8_800)
        await clock.settle()
        assert results == []
        clock.advance(200)
        assert results == [Failure("no answer in time", processed=None)]
        assert len(peer.received) == 2


async def test_bulk_waits_for_its_turn_by_the_same_clock() -> None:
    clock = ManualClock()
    options = PoolOptions(call_connections=0, bulk_rate=20.0)
    async with (
        http1_peer(answering(OK)) as peer,
        pool_to(f"http://127.0.0.1:{peer.port}", clock, options=options) as (pool, _, _),
    ):
        results = [begin(pool, clock.monotonic() + 60, is_urgent=False) for _ in range(3)]
        await until(lambda: results[0])
        await clock.settle()
        assert len(peer.received) == 1
        clock.advance(60)
        await until(lambda: results[1])
        assert len(peer.received) == 2
        clock.advance(60)
        await until(lambda: results[2])
        assert all(isinstance(result, Answer) for (result,) in results)


async def test_a_peer_that_takes_one_connection_is_not_asked_for_more_at_every_turn() -> None:
    """Many requests wait; those that the one connection cannot carry wait with them."""
    release = asyncio.Event()

    async def act(_one: object, writer: asyncio.StreamWriter) -> bool:
        await release.wait()
        writer.write(OK)
        return True

    clock = ManualClock()
    options = PoolOptions(call_connections=1, repeat_after=1000.0)
    async with (
        http1_peer(act) as peer,
        pool_to(f"http://127.0.0.1:{peer.port}", clock, options=options, most=1) as (pool, looked, failed),
    ):
        results = [begin(pool, clock.monotonic() + 60) for _ in range(6)]
        await until(lambda: peer.received)
        for _ in range(30):  # three seconds
            clock.advance(100)
            await clock.settle()
        assert len(failed) == len(looked) - 1
        assert 5 <= len(failed) <= 20  # five at once, three times
        release.set()
        await until(lambda: all(results))
        assert all(isinstance(result, Answer) for (result,) in results)
        assert peer.connections == 1

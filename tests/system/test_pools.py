"""Pools for origins that apps choose: opened when used, closed when not, never more than allowed."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from tests.system.http1_peer import OK, Http1Peer, Received, answering, http1_peer
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.push.connection import (
    EITHER,
    Answer,
    Failure,
    Pool,
    PoolOptions,
    Pools,
    Request,
    Result,
    Surroundings,
    client_context,
)
from wakerobin.push.connection.origin import Resolve, system_resolve
from wakerobin.testing.clock import ManualClock

LOOPBACK = DestinationPolicy(named=frozenset({"127.0.0.1"}))
TLS = client_context("", "apps.phone.webpush.hosts", EITHER)


@contextlib.asynccontextmanager
async def pools(
    clock: ManualClock,
    *,
    policy: DestinationPolicy = LOOPBACK,
    most: int = 200,
    resolve: Resolve = system_resolve,
) -> AsyncIterator[Pools]:
    around = Surroundings(clock, clock, os.urandom, resolve)
    options = PoolOptions(call_connections=1)
    made = Pools(around, policy, TLS, options, most=most, idle_after=300.0)
    try:
        yield made
    finally:
        await made.close()


async def ask(pool: Pool | None, clock: ManualClock) -> Result:
    assert pool is not None
    done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    authority = pool.origin.authority
    headers = ((":method", "POST"), (":scheme", "http"), (":authority", authority), (":path", "/"))
    pool.submit(Request(headers=headers, body=b"", deadline=clock.monotonic() + 60, on_done=done.set_result))
    return await done


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_an_origin_keeps_its_pool_and_its_connection() -> None:
    clock = ManualClock()
    async with http1_peer(answering(OK)) as peer, pools(clock) as made:
        for _ in range(3):
            assert isinstance(await ask(made.of("127.0.0.1", peer.port, is_plain=True), clock), Answer)
        assert len(made) == 1
        assert peer.connections == 1


async def test_a_pool_that_is_not_used_for_long_is_closed_and_opened_again_when_needed() -> None:
    clock = ManualClock()
    async with http1_peer(answering(OK)) as peer, pools(clock) as made:
        await ask(made.of("127.0.0.1", peer.port, is_plain=True), clock)
        clock.advance(290_000)
        assert len(made) == 1
        clock.advance(60_000)
        assert len(made) == 0
        await until(lambda: peer.writers[0].is_closing())
        assert isinstance(await ask(made.of("127.0.0.1", peer.port, is_plain=True), clock), Answer)


async def test_beyond_the_most_the_one_that_was_used_longest_ago_goes() -> None:
    clock = ManualClock()
    async with (
        http1_peer(answering(OK)) as one,
        http1_peer(answering(OK)) as two,
        pools(clock, most=2) as made,
    ):
        await ask(made.of("127.0.0.1", one.port, is_plain=True), clock)
        await ask(made.of("127.0.0.1", two.port, is_plain=True), clock)
        await ask(made.of("127.0.0.1", one.port, is_plain=True), clock)
        made.of("third.example")
        assert len(made) == 2
        await until(lambda: two.writers[0].is_closing())
        assert not one.writers[0].is_closing()


async def test_where_all_are_busy_a_further_origin_is_refused_and_nothing_is_cut_short() -> None:
    release = asyncio.Event()

    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        await release.wait()
        writer.write(OK)
        return True

    clock = ManualClock()
    async with http1_peer(act) as peer, pools(clock, most=1) as made:
        waiting = asyncio.ensure_future(ask(made.of("127.0.0.1", peer.port, is_plain=True), clock))
        await until(lambda: len(peer.received) == 1)
        assert made.of("other.example") is None
        clock.advance(40_000)
        release.set()
        assert isinstance(await waiting, Answer)
        assert made.of("other.example") is not None


async def test_each_connect_asks_the_policy_with_the_address_that_the_name_has_then() -> None:
    """A name that was harmless when it was enrolled may be 127.0.0.1 when it is used."""
    clock = ManualClock()

    async def rebound(host: str, port: int) -> list[tuple[str, int]]:
        return [("127.0.0.1", port)]

    async with http1_peer(answering(OK)) as peer, pools(clock, resolve=rebound) as made:
        result = await ask(made.of("push.example", peer.port, is_plain=True), clock)
        assert isinstance(result, Answer)  # named by the operator
    async with http1_peer(answering(OK)) as peer, _strict(clock, rebound) as made:
        asking = asyncio.ensure_future(ask(made.of("push.example", peer.port, is_plain=True), clock))
        await clock.run_until_true(asking.done, within=10_000)
        result = await asking
        assert isinstance(result, Failure)
        assert result.processed is False
        assert "loopback" in result.reason
        assert peer.connections == 0


def _strict(clock: ManualClock, resolve: Resolve) -> contextlib.AbstractAsyncContextManager[Pools]:
    return pools(clock, policy=replace(LOOPBACK, named=frozenset()), resolve=resolve)


async def test_closing_ends_everything_and_no_pool_is_made_after_it() -> None:
    clock = ManualClock()

    async def silent(_one: Received, _writer: asyncio.StreamWriter) -> bool:
        return True

    async with http1_peer(silent) as peer, pools(clock) as made:
        waiting = asyncio.ensure_future(ask(made.of("127.0.0.1", peer.port, is_plain=True), clock))
        await until(lambda: _has_come(peer))
        before = asyncio.all_tasks()
        await made.close()
        assert isinstance(await waiting, Failure)
        assert made.of("127.0.0.1", peer.port, is_plain=True) is None
        assert asyncio.all_tasks() <= before


def _has_come(peer: Http1Peer) -> bool:
    return bool(peer.received)

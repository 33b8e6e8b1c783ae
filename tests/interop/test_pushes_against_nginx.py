"""Our connections, HTTP/2 and HTTP/1.1, against nginx: its GOAWAYs, its limits, its way to close."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import Counter

import pytest

from tests.interop.peers.lab import Certificate, Lab
from tests.interop.peers.nginx import Nginx
from tests.system.pushing import LoopClock, soon
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.push.connection import (
    EITHER,
    Answer,
    Failure,
    Origin,
    Pool,
    PoolOptions,
    Request,
    Result,
    Surroundings,
)

PORTS = {"HTTP/2": 0, "HTTP/1.1 with TLS": 1, "HTTP/1.1": 2}


async def nginx(
    lab: Lab, requests: int = 1000, streams: int = 128, idle: int = 75
) -> tuple[Nginx, Certificate]:
    ip, port = lab.place()
    certificate = lab.certificate(ip)
    server = await lab.start(
        Nginx(ip, port, certificate.chain, certificate.key, requests=requests, streams=streams, idle=idle)
    )
    return server, certificate


def pool_to(server: Nginx, certificate: Certificate, spoken: str = "HTTP/2") -> Pool:
    port = server.port + PORTS[spoken]
    scheme = "http" if spoken == "HTTP/1.1" else "https"
    url = f"{scheme}://{server.ip}:{port}"
    origin = Origin.from_url(
        url, str(certificate.authority), DestinationPolicy(), "key.url", protocols=EITHER
    )
    clock = LoopClock()
    return Pool(origin, Surroundings(clock, clock, os.urandom), PoolOptions(bulk_rate=1e6))


async def post(pool: Pool, number: int, *, is_urgent: bool = False, path: str = "/push") -> Result:
    done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    headers = (
        (":method", "POST"),
        (":scheme", pool.origin.scheme),
        (":authority", pool.origin.authority),
        (":path", path),
        ("apns-id", str(uuid.UUID(int=number))),
    )
    request = Request(
        headers=headers,
        body=b'{"aps": {}}' * 20,
        deadline=soon(20),
        on_done=done.set_result,
        is_urgent=is_urgent,
        may_repeat=is_urgent,
    )
    pool.submit(request)
    return await done


async def post_many(pool: Pool, count: int) -> list[Result]:
    numbers = iter(range(count))
    results: list[Result] = []

    async def run() -> None:
        results.extend([await post(pool, number) for number in numbers])

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(run())
    return results


@pytest.mark.parametrize("spoken", PORTS)
async def test_two_thousand_arrive_once_each_over_the_connections_that_it_ends(lab: Lab, spoken: str) -> None:
    """After so many requests it says GOAWAY, or `Connection: close`."""
    server, certificate = await nginx(lab, requests=100)
    pool = pool_to(server, certificate, spoken)
    results = await post_many(pool, 2000)
    await pool.close()
    assert Counter(type(result) for result in results) == {Answer: 2000}
    assert {result.status for result in results if isinstance(result, Answer)} == {200}
    served = await server.wait_served(2000)
    assert set(Counter(one.id for one in served).values()) == {1}
    assert len(served) == 2000
    connections = {one.connection for one in served}
    assert 20 <= len(connections) < 60


@pytest.mark.parametrize("streams", [1, 4])
async def test_its_limit_of_streams_is_kept_and_nothing_is_refused(lab: Lab, streams: int) -> None:
    server, certificate = await nginx(lab, streams=streams)
    pool = pool_to(server, certificate)
    results = await post_many(pool, 300)
    await pool.close()
    assert Counter(type(result) for result in results) == {Answer: 300}
    assert len(await server.wait_served(300)) == 300


@pytest.mark.parametrize("spoken", PORTS)
async def test_a_connection_that_it_closes_for_being_idle_costs_no_call(lab: Lab, spoken: str) -> None:
    server, certificate = await nginx(lab, idle=1)
    pool = pool_to(server, certificate, spoken)
    await pool.warm()
    assert isinstance(await post(pool, 1, is_urgent=True), Answer)
    before = {connection.number for connection in pool._line_of}
    async with asyncio.timeout(10):
        while before <= {connection.number for connection in pool._line_of}:
            await asyncio.sleep(0)  # the one that was used is the one that it calls idle
    assert isinstance(await post(pool, 2, is_urgent=True), Answer)
    await pool.close()
    assert [one.id for one in await server.wait_served(2)] == [str(uuid.UUID(int=n)) for n in (1, 2)]


@pytest.mark.parametrize("spoken", PORTS)
async def test_killed_and_started_again_it_is_found_again(lab: Lab, spoken: str) -> None:
    server, certificate = await nginx(lab)
    pool = pool_to(server, certificate, spoken)
    assert isinstance(await post(pool, 1), Answer)
    await server.stop()
    result = await post(pool, 2)
    assert isinstance(result, Failure)
    call = asyncio.ensure_future(post(pool, 3, is_urgent=True))
    await lab.start(Nginx(server.ip, server.port, certificate.chain, certificate.key))
    assert isinstance(await call, Answer)
    await pool.close()


@pytest.mark.parametrize("spoken", PORTS)
async def test_a_redirect_is_an_answer_and_not_followed(lab: Lab, spoken: str) -> None:
    server, certificate = await nginx(lab)
    pool = pool_to(server, certificate, spoken)
    result = await post(pool, 1, path="/refused")
    await pool.close()
    assert isinstance(result, Answer)
    assert result.status == 307
    assert len(await server.wait_served(1)) == 1

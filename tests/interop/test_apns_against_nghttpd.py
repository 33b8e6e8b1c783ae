"""Our HTTP/2 connections against nghttpd, whose every line is other people's."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.interop.peers.lab import Certificate, Lab
from tests.interop.peers.nghttpd import Nghttpd
from tests.system.pushing import LoopClock, message, send_all, soon
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import Accepted, PushType, Unavailable
from wakerobin.ports.options import ApnsOptions
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions, Surroundings
from wakerobin.push.jwt import TeamToken, read_signing_key
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.pns_certificates import make_signing_key


@contextlib.asynccontextmanager
async def pushing_to(server: Nghttpd, authority: Path, folder: Path) -> AsyncIterator[ApnsService]:
    key_file = folder / "key.p8"
    make_signing_key(key_file)
    options = ApnsOptions(
        key_file=str(key_file),
        key_id="ABCDEFGH12",
        team_id="TEAMTEAM12",
        topic="com.example.phone",
        url=f"https://{server.ip}:{server.port}",
        ca_file=str(authority),
    )
    clock = LoopClock()
    token = TeamToken(read_signing_key(options, "apps.phone.apns"), MemoryStore(), clock, clock)
    around = Surroundings(clock, clock, os.urandom)
    service = ApnsService(options, token, around, DestinationPolicy(), pool=PoolOptions(bulk_rate=1e6))
    try:
        await service.warm()
        yield service
    finally:
        await service.close()


async def nghttpd(lab: Lab, max_streams: int) -> tuple[Nghttpd, Certificate]:
    ip, port = lab.place()
    certificate = lab.certificate(ip)
    server = await lab.start(Nghttpd(ip, port, certificate.chain, certificate.key, max_streams=max_streams))
    return server, certificate


async def test_a_call_arrives_as_apple_documents_it(lab: Lab, tmp_path: Path) -> None:
    server, certificate = await nghttpd(lab, 100)
    async with pushing_to(server, certificate.authority, tmp_path) as service:
        assert isinstance(await service.send(message(), soon()), Accepted)
        [request] = await server.wait_requests()
    assert request.headers[":method"] == "POST"
    assert request.headers[":scheme"] == "https"
    assert request.headers[":authority"] == f"{server.ip}:{server.port}"
    assert request.headers[":path"] == "/3/device/" + "ab" * 32
    assert request.headers["apns-push-type"] == "voip"
    assert request.headers["apns-topic"] == "com.example.phone.voip"
    assert request.headers["authorization"].startswith("bearer ey")
    assert request.body_length > 0
    # Never indexed on the way (RFC 7541 7.1.3): nghttpd calls that sensitive.
    for name in (":path", "authorization"):
        assert f"sensitive) {name}: " in server.log_text()


@pytest.mark.parametrize("max_streams", [1, 3, 100])
async def test_hundreds_of_pushes_arrive_once_each_within_the_streams_that_the_peer_allows(
    lab: Lab, tmp_path: Path, max_streams: int
) -> None:
    server, certificate = await nghttpd(lab, max_streams)
    tokens = [f"{number:064x}" for number in range(300)]
    async with pushing_to(server, certificate.authority, tmp_path) as service:
        outcomes = await send_all(service, [message(PushType.RENEW, token) for token in tokens])
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        requests = await server.wait_requests(300)
    assert sorted(request.headers[":path"] for request in requests) == [f"/3/device/{t}" for t in tokens]


async def test_long_bodies_pass_the_windows_of_both_sides(lab: Lab, tmp_path: Path) -> None:
    """Two hundred bodies of 4 kB and their echoes are far beyond the 64 kB of a connection's window."""
    server, certificate = await nghttpd(lab, 100)
    async with pushing_to(server, certificate.authority, tmp_path) as service:
        long = {"v": 1, "type": "renew", "text": "x" * 3900}
        pushes = [message(PushType.RENEW, f"{number:064x}", payload=long) for number in range(200)]
        outcomes = await send_all(service, pushes)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        requests = await server.wait_requests(200)
    assert {request.body_length for request in requests} == {requests[0].body_length}
    assert requests[0].body_length > 3900


async def test_a_server_that_was_away_is_found_again_and_calls_go_through(lab: Lab, tmp_path: Path) -> None:
    server, certificate = await nghttpd(lab, 100)
    async with pushing_to(server, certificate.authority, tmp_path) as service:
        assert isinstance(await service.send(message(), soon()), Accepted)
        await server.stop()
        outcome = await service.send(message(PushType.RENEW), soon(10))
        assert isinstance(outcome, Unavailable)
        assert outcome.processed is False
        call = asyncio.ensure_future(service.send(message(), soon(20)))
        again = Nghttpd(server.ip, server.port, certificate.chain, certificate.key)
        await lab.start(again)
        assert isinstance(await call, Accepted)

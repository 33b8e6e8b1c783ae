"""Connections that ask for nothing do not stay, and do not take what calls need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.served import World, serving
from wakerobin.server import connections

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, "127.81.0.10") as running:
        yield running


async def connect(world: World, octets: bytes = b"") -> Streams:
    reader, writer = await asyncio.open_connection(world.api.host, world.api.port)
    writer.write(octets)
    return reader, writer


async def ended(streams: Streams) -> bytes:
    """Wait for the end of a connection and return what came before it."""
    reader, writer = streams
    came = b""
    async with asyncio.timeout(10):
        try:
            while octets := await reader.read(65536):
                came += octets
        except ConnectionResetError:
            pass
    writer.close()
    return came


GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("octets", [b"", GET, b"GET /healthz HTTP/1.1\r\nHost: x"])
async def test_a_head_that_stays_away_ends_the_connection(
    world: World, octets: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_PATIENCE_S", 0.1)
    assert await ended(await connect(world, octets)) == b""


async def test_a_second_head_has_no_more_time_than_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_PATIENCE_S", 0.3)
    streams = await connect(world, GET + b"\r\n")
    assert (await streams[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    streams[1].write(GET)
    assert b"HTTP/1.1" not in await ended(streams)


async def test_a_request_that_waits_for_its_answer_may_take_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_PATIENCE_S", 1.0)
    world.pbx.rules.is_silent = True
    answer = await world.api.enrol(world.fields(), wait=2)
    assert (answer.status, answer.json["binding"]["state"]) == (201, "unproven"), answer.text


async def test_beyond_the_most_connections_none_is_taken_and_those_that_are_there_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await connect(world, GET + b"\r\n")
    assert (await first[0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    monkeypatch.setattr(connections, "most_connections", lambda: 1)
    assert await ended(await connect(world, GET + b"\r\n")) == b""
    first[1].write(GET + b"\r\n")
    assert (await first[0].readuntil(b"HTTP/1.1 200")).endswith(b"200")
    first[1].close()


async def test_what_is_no_http_is_answered_and_not_logged(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (await ended(await connect(world, b"\x16\x03\x01hello\r\n\r\n"))).startswith(b"HTTP/1.1 400")
    assert "Invalid HTTP" not in "".join(capfd.readouterr())

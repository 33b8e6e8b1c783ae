"""An endpoint on the loopback for each test, and connections to it that are closed after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.system.net.sockets import (
    PEER,
    POLICY,
    US,
    Dial,
    Server,
    Start,
    Streams,
    Witness,
)
from wakerobin.core.gate import Gate
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.guard import Guard
from wakerobin.net.limits import StreamLimits
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import SipOptions
from wakerobin.testing.clock import ManualClock


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    running: list[Server] = []

    async def start(
        limits: StreamLimits | None = None,
        clock: ManualClock | None = None,
        allowed: Gate | None = None,
        **options: Any,
    ) -> Server:
        loop = asyncio.get_running_loop()
        wheel = Wheel(loop)
        sip = SipOptions(**{"listen": (f"udp:{US}:0", f"tcp:{US}:0"), **options})
        watch = clock or SystemClock(loop)
        endpoint = Endpoint(sip, POLICY, watch, clock or wheel, limits, Guard(watch, allowed))
        witness = Witness()
        await endpoint.start(witness)
        running.append(Server(endpoint, witness, wheel))
        return running[-1]

    yield start
    for server in running:
        await server.endpoint.close()
        server.wheel.close()


@pytest.fixture
async def server(start: Start) -> Server:
    return await start()


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    writers: list[asyncio.StreamWriter] = []

    async def dial(server: Server, source: str = PEER) -> Streams:
        reader, writer = await asyncio.open_connection(*server.tcp, local_addr=(source, 0))
        writers.append(writer)
        return reader, writer

    yield dial
    for writer in writers:
        writer.transport.abort()
        with contextlib.suppress(OSError):  # how it ended is the test's business
            await writer.wait_closed()

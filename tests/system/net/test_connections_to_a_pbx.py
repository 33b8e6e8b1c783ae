"""What we do with connections that we make: several to one PBX, and keep-alives that must be answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.system.net.sockets import PATIENCE, PEER, Server, Start
from wakerobin.core.values import Flow, Transport
from wakerobin.testing.clock import ManualClock

PING, PONG = b"\r\n\r\n", b"\r\n"


class Pbx:
    """Accepts connections, reads, and answers keep-alives while it is told to."""

    def __init__(self) -> None:
        self.answers = True
        self.pings = 0
        self.changed = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while data := await reader.read(100):
            self.pings += data.count(PING)
            if self.answers:
                writer.write(PONG)
            self.changed.set()
        writer.close()

    async def until_pinged(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.pings < times:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def pbx() -> AsyncIterator[Pbx]:
    made = Pbx()
    listening = await asyncio.start_server(made.accept, PEER, 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    for writer in made.writers:
        writer.transport.abort()
    await listening.wait_closed()


async def test_each_lane_to_a_pbx_is_a_connection_of_its_own(server: Server, pbx: Pbx) -> None:
    flows = [server.endpoint.flow_to(Transport.TCP, PEER, pbx.port, lane=lane) for lane in (0, 1, 2, 0, 1)]
    assert flows[0] == flows[3]
    assert flows[1] == flows[4]
    assert len({flow.connection for flow in flows}) == 3
    for count, flow in enumerate(flows[:3], 1):
        server.endpoint.send(flow, PING)
        await server.witness.until_kept_alive(count)
    assert len(pbx.writers) == 3
    # One that ends leaves the others as they are.
    pbx.writers[0].transport.abort()
    await server.witness.until(lambda: server.witness.closed)
    assert sum(server.endpoint.is_open(flow) for flow in flows[:3]) == 2


async def pinged(server: Server, pbx: Pbx, flow: Flow) -> None:
    """Send a keep-alive and see its answer come."""
    heard = len(server.witness.kept_alive)
    assert server.endpoint.send(flow, PING)
    await pbx.until_pinged(pbx.pings + 1)
    await server.witness.until_kept_alive(heard + 1)


async def test_a_pbx_that_stops_to_answer_keep_alives_is_left_in_ten_seconds(start: Start, pbx: Pbx) -> None:
    clock = ManualClock()
    server = await start(clock=clock)
    flow = server.endpoint.flow_to(Transport.TCP, PEER, pbx.port)
    await pinged(server, pbx, flow)
    clock.advance(25_000)
    await pinged(server, pbx, flow)
    pbx.answers = False
    clock.advance(25_000)
    assert server.endpoint.send(flow, PING)
    await pbx.until_pinged(3)
    clock.advance(9_000)
    assert server.endpoint.is_open(flow)
    clock.advance(1_500)
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed == [(flow, "the peer answers keep-alives no more")]


async def test_a_pbx_that_never_answers_keep_alives_is_not_held_to_them(start: Start, pbx: Pbx) -> None:
    clock = ManualClock()
    server = await start(clock=clock)
    pbx.answers = False
    flow = server.endpoint.flow_to(Transport.TCP, PEER, pbx.port)
    for count in range(1, 5):
        assert server.endpoint.send(flow, PING)
        await pbx.until_pinged(count)
        clock.advance(25_000)
    assert server.endpoint.is_open(flow)


async def test_pbxs_of_several_names_at_one_address_have_a_connection_for_each_identity(
    server: Server, pbx: Pbx
) -> None:
    names = ("a.example", "b.example", "a.example")
    flows = [server.endpoint.flow_to(Transport.TLS, PEER, pbx.port, name=name) for name in names]
    assert flows[0] == flows[2]
    assert flows[0] != flows[1]
    plain = [server.endpoint.flow_to(Transport.TCP, PEER, pbx.port, name=name) for name in names]
    assert len({flow.connection for flow in plain}) == 1, "without a certificate a name makes no difference"

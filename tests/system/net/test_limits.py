"""Strangers that connect, shake hands, talk too much or not at all: they end, and others are served."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.system.net.sockets import (
    PATIENCE,
    PEER,
    US,
    Dial,
    Peer,
    Server,
    Start,
    ended,
    message_from,
    options,
)
from tests.system.net.test_streams import refused
from tests.system.net.test_tls import Files, connect, tls_options
from wakerobin import metrics
from wakerobin.core.gate import Allowances, Gate
from wakerobin.core.sip.message import Message, parse, respond
from wakerobin.core.values import Flow
from wakerobin.net.limits import StreamLimits
from wakerobin.testing.clock import ManualClock

OTHER = "127.21.0.3"


@pytest.fixture
def files(tmp_path: object) -> Files:
    return Files(tmp_path)  # type: ignore[arg-type]  # a pytest path is a Path


def count(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"wakerobin_{name}", labels) or 0.0


def via(number: int, source: str = PEER, kind: str = "TCP") -> bytes:
    source = f"[{source}]" if ":" in source else source
    return options(f"SIP/2.0/{kind} {source}:5060;branch=z9hG4bK{number};rport")


def answering(server: Server) -> None:
    """Let the server answer what it gets."""

    def serve(message: Message, flow: Flow) -> None:
        server.endpoint.send(flow, respond(message, 200).encode())

    server.witness.on_message = serve


async def silent(server: Server, source: str) -> socket.socket:
    """Connect, and say nothing."""
    one = socket.socket()
    one.settimeout(0)
    one.bind((source, 0))
    await asyncio.get_running_loop().sock_connect(one, server.tcp)
    return one


async def test_handshakes_that_never_end_make_room_for_one_that_does(start: Start, files: Files) -> None:
    server = await start(StreamLimits(handshakes=3), **tls_options(files))
    answering(server)
    evicted = count("sip_connections_evicted_total", kind="handshake")
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.callback((await silent(server, OTHER)).close)
        reader, writer = await connect(server, files.trust())
        writer.write(via(1, kind="TLS"))
        assert (await message_from(reader)).status == 200
        assert count("sip_handshakes") <= 3
        assert count("sip_connections_evicted_total", kind="handshake") >= evicted + 5
        writer.close()
    await server.endpoint.close()
    assert count("sip_handshakes") == 0


async def test_a_source_that_holds_too_many_handshakes_open_is_reset_before_it_costs_one(
    start: Start, files: Files, dial: Dial
) -> None:
    server = await start(StreamLimits(unproven_from_one=2), **tls_options(files))
    before = count("sip_connections_refused_total", reason="source-unproven")
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.callback((await silent(server, PEER)).close)
        await refused(server, dial)
        assert count("sip_connections_refused_total", reason="source-unproven") == before + 1
        assert count("sip_handshakes") == 2


async def test_handshakes_cost_a_stranger_its_allowance(start: Start, files: Files, dial: Dial) -> None:
    server = await start(allowed=Gate(Allowances(source_burst=16, source_rate=0.001)), **tls_options(files))
    before = count("sip_connections_refused_total", reason="source")
    for _ in range(2):
        with contextlib.suppress(ssl.SSLError, OSError):
            (await silent(server, PEER)).close()
    await refused(server, dial)
    assert count("sip_connections_refused_total", reason="source") == before + 1


async def test_a_connection_over_which_nobody_proves_himself_ends_and_a_phones_does_not(
    start: Start, dial: Dial
) -> None:
    clock = ManualClock()
    server = await start(StreamLimits(unproven=60.0), clock)
    chatting, _ = reader, writer = await dial(server)
    writer.write(via(1))
    _, phone = await dial(server)
    phone.write(via(2))
    await server.witness.until(lambda: len(server.witness.messages) == 2)
    flows = {message.branch: flow for message, flow in server.witness.messages}
    server.endpoint.proven(flows["z9hG4bK2"])
    clock.advance(59_000)
    writer.write(via(3))
    await server.witness.until(lambda: len(server.witness.messages) == 3)
    clock.advance(1_100)
    await ended(chatting)
    assert server.witness.closed == [(flows["z9hG4bK1"], "nobody has proved himself over it")]
    assert server.endpoint.is_open(flows["z9hG4bK2"])
    assert reader is chatting


async def test_where_all_places_are_taken_the_oldest_stranger_goes_and_phones_stay(
    start: Start, dial: Dial
) -> None:
    server = await start(StreamLimits(connections=2))
    _, phone = await dial(server)
    phone.write(via(1))
    await server.witness.until(lambda: server.witness.messages)
    flow = server.witness.messages[0][1]
    server.endpoint.proven(flow)
    stranger, _ = await dial(server, OTHER)
    _, second = await dial(server, OTHER)
    second.write(via(2, OTHER))
    await server.witness.until(lambda: len(server.witness.messages) == 2)
    await ended(stranger)
    server.endpoint.proven(server.witness.messages[1][1])
    await refused(server, dial)
    assert server.endpoint.is_open(flow)


async def test_a_stream_that_brings_too_much_is_read_later_and_not_cut_off(start: Start, dial: Dial) -> None:
    clock = ManualClock()
    allowed = Gate(Allowances(source_rate=10, source_burst=12))
    server = await start(clock=clock, allowed=allowed)
    answering(server)
    reader, writer = await dial(server)
    writer.write(b"".join(via(number) for number in range(25)))
    await server.witness.until(lambda: len(server.witness.messages) == 25)
    slowed = count("sip_slowed_total")
    writer.write(b"".join(via(number) for number in range(25, 30)))
    _, other = await dial(server, OTHER)
    other.write(via(99, OTHER))
    await server.witness.until(lambda: server.witness.messages[-1][0].branch == "z9hG4bK99")
    assert len(server.witness.messages) == 26
    assert slowed >= 1
    clock.advance(10_000)
    await server.witness.until(lambda: len(server.witness.messages) == 31)
    assert server.endpoint.is_open(server.witness.messages[0][1])
    assert (await message_from(reader)).status == 200


async def test_a_source_that_sends_garbage_is_dropped_unread_and_a_phone_beside_it_is_heard(
    start: Start,
) -> None:
    clock = ManualClock()
    server = await start(clock=clock, allowed=Gate(Allowances()))
    answering(server)
    with Peer() as phone, Peer() as vandal, Peer(OTHER) as neighbour:
        await phone.send(via(1, kind="UDP"), server.udp)
        await server.witness.until(lambda: server.witness.messages)
        for number in range(300):
            await vandal.send(b"no SIP at all, and long enough to be no keep-alive %d" % number, server.udp)
            if number % 50 == 0:
                await asyncio.sleep(0)
        await neighbour.send(via(2, OTHER, "UDP"), server.udp)
        assert parse(await neighbour.receive()).status == 200
        bans = count("sip_shed_total", reason="banned")
        # The first one was heard before anybody knew it: now it is a phone, whatever its neighbour did.
        await vandal.send(via(3, kind="UDP"), server.udp)
        await neighbour.send(via(4, OTHER, "UDP"), server.udp)
        assert parse(await neighbour.receive()).branch == "z9hG4bK4"
        assert count("sip_shed_total", reason="banned") == bans + 1
        server.endpoint.proven(server.witness.messages[0][1])
        await phone.send(via(5, kind="UDP"), server.udp)
        await server.witness.until(lambda: server.witness.messages[-1][0].branch == "z9hG4bK5")


async def test_forged_garbage_in_the_name_of_a_pbx_or_a_phone_costs_them_nothing(start: Start) -> None:
    clock = ManualClock()
    server = await start(clock=clock, allowed=Gate(Allowances(phone_burst=5_000, phone_rate=100)))
    with Peer() as pbx, Peer(OTHER) as phone:
        for peer in (pbx, phone):
            await peer.send(via(1, peer.at[0], "UDP"), server.udp)
        await server.witness.until(lambda: len(server.witness.messages) == 2)
        flows = {flow.remote[0]: flow for _, flow in server.witness.messages}
        server.endpoint.pbx(flows[PEER])
        server.endpoint.proven(flows[OTHER])
        for number in range(1_000):
            for peer in (pbx, phone):
                await peer.send(b"as if it came from here, but it did not %d" % number, server.udp)
            if number % 20 == 0:
                await asyncio.sleep(0)
        for peer in (pbx, phone):
            await peer.send(via(2, peer.at[0], "UDP"), server.udp)
        await server.witness.until(lambda: len(server.witness.messages) == 4)


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    spare: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            spare.append(os.dup(0))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in spare:
            os.close(one)


async def test_without_file_descriptors_nobody_is_accepted_until_there_are_some(start: Start) -> None:
    clock = ManualClock()
    server = await start(clock=clock)
    with socket.socket() as one:
        one.settimeout(0)
        one.bind((PEER, 0))
        with no_more_files():
            await asyncio.get_running_loop().sock_connect(one, server.tcp)
            await asyncio.get_running_loop().sock_sendall(one, via(1))
            for _ in range(10):
                await asyncio.sleep(0)
            assert server.witness.messages == []
        clock.advance(1_100)
        await server.witness.until(lambda: server.witness.messages)


async def test_thousands_of_pings_in_one_segment_are_answered_each(server: Server, dial: Dial) -> None:
    reader, writer = await dial(server)
    writer.write(b"\r\n\r\n" * 3_000 + via(1))
    await server.witness.until(lambda: server.witness.messages)
    async with asyncio.timeout(PATIENCE):
        assert await reader.readexactly(6_000) == b"\r\n" * 3_000


async def test_both_families_are_served_on_every_address_of_the_machine(start: Start) -> None:
    server = await start(listen=("udp:0.0.0.0:0", "udp:[::]:0", "tcp:0.0.0.0:0", "tcp:[::]:0"))
    answering(server)
    for listener in server.endpoint.listeners:
        target = "::1" if ":" in listener.address else US
        if listener.transport == "udp":
            with Peer("::1" if ":" in listener.address else PEER) as peer:
                await peer.send(via(1, peer.at[0], "UDP"), (target, listener.port))
                assert parse(await peer.receive()).status == 200
        else:
            reader, writer = await asyncio.open_connection(target, listener.port)
            writer.write(via(2))
            assert (await message_from(reader)).status == 200
            writer.close()


async def test_an_alias_in_a_via_makes_no_connection_ours(server: Server, dial: Dial) -> None:
    """RFC 5923 lets a peer offer its connection for our requests: whoever connects could take any name's."""
    reader, writer = await dial(server)
    there = await asyncio.start_server(lambda _r, _w: None, OTHER, 0)
    port = there.sockets[0].getsockname()[1]
    writer.write(options(f"SIP/2.0/TCP {OTHER}:{port};branch=z9hG4bK1;alias"))
    await server.witness.until(lambda: server.witness.messages)
    accepted = server.witness.messages[0][1]
    flow = server.endpoint.flow_to(accepted.transport, OTHER, port)
    assert flow.connection != accepted.connection
    back = server.endpoint.flow_to(accepted.transport, *accepted.remote)
    assert back.connection != accepted.connection
    there.close()
    reader.feed_eof()

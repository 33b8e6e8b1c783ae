"""SIP over TCP on real sockets, with peers that cut, flood, stall and leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct

from tests.system.net.sockets import (
    PATIENCE,
    PEER,
    POLICY,
    US,
    Dial,
    Server,
    Start,
    ended,
    message_from,
    options,
)
from wakerobin.core.sip.message import parse, respond
from wakerobin.core.sip.timers import Timers
from wakerobin.core.values import Flow, Transport
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.limits import StreamLimits
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.clock import ManualClock


async def test_messages_come_whole_however_the_stream_is_cut(server: Server, dial: Dial) -> None:
    data = options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1", body=b"one") + options(
        f"SIP/2.0/TCP {PEER};branch=z9hG4bK2"
    )
    reader, writer = await dial(server)
    for octet in data:
        writer.write(bytes((octet,)))
        await writer.drain()
    await server.witness.until(lambda: len(server.witness.messages) == 2)
    (first, flow), (second, other) = server.witness.messages
    assert (first.branch, first.body, second.branch) == ("z9hG4bK1", b"one", "z9hG4bK2")
    assert flow == other
    assert flow.local == server.tcp
    assert flow.remote == writer.get_extra_info("sockname")
    assert server.endpoint.send(flow, b"back")
    assert await reader.readexactly(4) == b"back"


async def test_many_messages_in_one_segment_come_one_by_one_in_order(server: Server, dial: Dial) -> None:
    _, writer = await dial(server)
    writer.write(
        b"\r\n\r\n".join(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK{index}") for index in range(100))
    )
    await server.witness.until(lambda: len(server.witness.messages) == 100)
    branches = [message.branch for message, _ in server.witness.messages]
    assert branches == [f"z9hG4bK{index}" for index in range(100)]
    assert len(server.witness.kept_alive) == 99


async def test_a_ping_gets_its_pong(server: Server, dial: Dial) -> None:
    reader, writer = await dial(server)
    writer.write(b"\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert await reader.readexactly(2) == b"\r\n"
    await server.witness.until(lambda: server.witness.kept_alive)


async def test_a_bad_request_in_a_whole_frame_is_answered_and_the_stream_goes_on(
    server: Server, dial: Dial
) -> None:
    reader, writer = await dial(server)
    good = options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1")
    writer.write(good.replace(b"CSeq: 1 OPTIONS", b"CSeq: one") + good)
    assert (await message_from(reader)).status == 400
    await server.witness.until(lambda: server.witness.messages)
    assert server.witness.closed == []


async def test_a_broken_stream_gets_an_answer_and_is_closed(server: Server, dial: Dial) -> None:
    reader, writer = await dial(server)
    good = options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1")
    writer.write(good.replace(b"Content-Length: 0\r\n", b""))
    answer = await message_from(reader)
    assert (answer.status, answer.branch) == (400, "z9hG4bK1")
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed[0][1] == "the stream broke: Content-Length is missing"


async def test_good_messages_before_the_break_in_one_segment_are_served(server: Server, dial: Dial) -> None:
    reader, writer = await dial(server)
    good = options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1")
    writer.write(good + good.replace(b"Content-Length: 0\r\n", b""))
    await server.witness.until(lambda: server.witness.closed)
    assert [message.branch for message, _ in server.witness.messages] == ["z9hG4bK1"]
    await ended(reader)


async def test_garbage_on_a_stream_ends_that_stream_only(server: Server, dial: Dial) -> None:
    _, other = await dial(server)
    chance = random.Random(1)
    reader, writer = await dial(server)
    writer.write(chance.randbytes(200_000))
    await ended(reader)
    other.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
    await server.witness.until(lambda: server.witness.messages)
    writer.close()


async def test_a_peer_that_does_not_read_is_cut_off(start: Start, dial: Dial) -> None:
    server = await start(StreamLimits(unread=50_000))
    _, writer = await dial(server)
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport reads
    writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
    await server.witness.until(lambda: server.witness.messages)
    flow = server.witness.messages[0][1]
    sent = 0
    while server.endpoint.send(flow, b"x" * 10_000):
        sent += 1
        assert sent < 2_000, "twenty megabytes wait for a peer that does not read"
        await asyncio.sleep(0)
    assert not server.endpoint.is_open(flow)
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed == [(flow, "the peer does not read")]


async def test_a_peer_that_leaves_is_told_once_and_its_flow_takes_nothing_more(
    server: Server, dial: Dial
) -> None:
    _, writer = await dial(server)
    writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
    await server.witness.until(lambda: server.witness.messages)
    flow = server.witness.messages[0][1]
    assert server.endpoint.is_open(flow)
    writer.close()
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed == [(flow, "the peer closed the connection")]
    assert not server.endpoint.is_open(flow)
    assert server.endpoint.send(flow, b"late") is False


async def test_a_reset_is_told_in_words(server: Server, dial: Dial) -> None:
    _, writer = await dial(server)
    writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
    await server.witness.until(lambda: server.witness.messages)
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed[0][1] == "Connection reset by peer"


async def test_a_connection_that_never_brings_a_message_is_ended(start: Start, dial: Dial) -> None:
    clock = ManualClock()
    server = await start(clock=clock)
    reader, writer = await dial(server)
    writer.write(b"\r\n\r\n" + options()[:100])
    await server.witness.until(lambda: server.witness.kept_alive)
    clock.advance(29_900)
    assert server.endpoint.is_open(server.witness.kept_alive[0])
    clock.advance(200)
    await ended(reader)
    assert [reason for _, reason in server.witness.closed] == ["no message came"]


async def test_a_silent_connection_is_ended_in_time_and_one_with_keep_alives_is_not(
    start: Start, dial: Dial
) -> None:
    clock = ManualClock()
    server = await start(StreamLimits(idle=600.0), clock)
    reader, writer = await dial(server)
    writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
    await server.witness.until(lambda: server.witness.messages)
    for count in range(1, 6):
        clock.advance(599_000)
        writer.write(b"\r\n\r\n")
        await server.witness.until_kept_alive(count)
    clock.advance(599_000)
    assert server.endpoint.is_open(server.witness.kept_alive[0])
    clock.advance(2_000)
    await ended(reader)
    assert [reason for _, reason in server.witness.closed] == ["nothing came for too long"]


async def refused(server: Server, dial: Dial) -> None:
    """Connect, and see that the connection is reset at once."""
    with contextlib.suppress(ConnectionResetError):
        reader, _ = await dial(server)
        await ended(reader)


async def test_connections_beyond_the_limits_are_refused_and_leave_room_when_they_end(
    start: Start, dial: Dial
) -> None:
    server = await start(StreamLimits(connections=3, connections_from_one=2))
    held = [await dial(server) for _ in range(2)]
    for _, writer in held:
        writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
    await server.witness.until(lambda: len(server.witness.messages) == 2)
    await refused(server, dial)
    _, stranger = await dial(server, "127.21.0.3")
    stranger.write(options("SIP/2.0/TCP 127.21.0.3;branch=z9hG4bK1"))
    await server.witness.until(lambda: len(server.witness.messages) == 3)
    held[0][1].close()
    await server.witness.until(lambda: server.witness.closed)
    _, fourth = await dial(server)
    fourth.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK4"))
    await server.witness.until(lambda: len(server.witness.messages) == 4)


async def test_a_stream_to_a_peer_is_shared_and_carries_what_was_sent_before_it_stood(server: Server) -> None:
    came: list[bytes] = []
    done = asyncio.Event()
    accepted: list[tuple[str, int]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer.get_extra_info("peername"))
        came.append(await reader.readexactly(6))
        writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
        done.set()
        await reader.read()
        writer.close()

    pbx = await asyncio.start_server(accept, PEER, 0)
    port = pbx.sockets[0].getsockname()[1]
    flow = server.endpoint.flow_to(Transport.TCP, PEER, port)
    assert server.endpoint.send(flow, b"one")
    assert server.endpoint.flow_to(Transport.TCP, PEER, port) == flow
    assert server.endpoint.send(flow, b"two")
    await asyncio.wait_for(done.wait(), PATIENCE)
    await server.witness.until(lambda: server.witness.messages)
    assert came == [b"onetwo"]
    assert [address for address, _ in accepted] == [US]
    assert server.witness.messages[0][1] == flow
    assert flow.local == server.tcp
    server.endpoint.close_flow(flow)
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed == [(flow, "closed by this server")]
    again = server.endpoint.flow_to(Transport.TCP, PEER, port)
    assert again.connection != flow.connection
    await asyncio.wait_for(server.endpoint.close(), PATIENCE)
    pbx.close()
    await pbx.wait_closed()


async def test_a_peer_that_refuses_the_connection_is_told_after_the_flow_was_given(server: Server) -> None:
    with socket.socket() as taken:
        taken.bind((PEER, 0))  # bound, not listening: nobody else gets this port meanwhile
        flow = server.endpoint.flow_to(Transport.TCP, *taken.getsockname())
        assert server.endpoint.send(flow, b"hello")
        assert server.witness.closed == []
        await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed == [(flow, "no connection: Connection refused")]
    assert server.endpoint.send(flow, b"hello") is False


async def test_a_peer_that_never_accepts_is_given_up(start: Start) -> None:
    server = await start(StreamLimits(connect=0.05))
    with socket.socket() as full:
        full.bind((PEER, 0))
        full.listen(0)
        with socket.socket() as first:
            first.connect(full.getsockname())  # the one place in the queue; the next SYN is not answered
            flow = server.endpoint.flow_to(Transport.TCP, *full.getsockname())
            assert server.endpoint.send(flow, b"hello")
            await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed == [(flow, "no connection within 0.05 s")]


async def test_a_flow_of_an_earlier_run_with_the_number_of_another_connection_is_dead(
    server: Server, dial: Dial
) -> None:
    _, writer = await dial(server)
    writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1"))
    await server.witness.until(lambda: server.witness.messages)
    flow = server.witness.messages[0][1]
    stored = Flow(flow.transport, flow.local, ("192.0.2.1", 5060), flow.connection)
    assert not server.endpoint.is_open(stored)
    assert server.endpoint.send(stored, b"hello") is False


async def test_transactions_answer_over_a_connection_that_died_by_a_new_one() -> None:
    loop = asyncio.get_running_loop()
    clock, wheel = SystemClock(loop), Wheel(loop)
    endpoint = Endpoint(SipOptions(listen=(f"tcp:{US}:0",)), POLICY, clock, wheel)
    transactions = Transactions(endpoint, wheel, clock, os.urandom, Timers())
    asked: asyncio.Queue[ServerTransactionHandle] = asyncio.Queue()
    closed = asyncio.Event()
    transactions.on_request = asked.put_nowait
    transactions.on_flow_closed = lambda _flow, _reason: closed.set()
    came: asyncio.Future[bytes] = loop.create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    await endpoint.start(transactions)
    pbx = await asyncio.start_server(accept, PEER, 0)
    port = pbx.sockets[0].getsockname()[1]
    async with asyncio.timeout(PATIENCE):
        _, writer = await asyncio.open_connection(US, endpoint.listeners[0].port, local_addr=(PEER, 0))
        writer.write(options(f"SIP/2.0/TCP {PEER}:{port};branch=z9hG4bK1"))
        transaction = await asked.get()
        writer.close()
        await closed.wait()
        transaction.respond(respond(transaction.request, 200, to_tag="b1"))
        assert parse(await came).status == 200
    pbx.close()
    await pbx.wait_closed()
    await endpoint.close()
    wheel.close()

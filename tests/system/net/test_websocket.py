"""SIP over WebSocket (RFC 7118) on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.system.net.sockets import PATIENCE, PEER, US, Dial, Server, Start, options
from tests.system.net.test_tls import Files
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import parse
from wakerobin.core.values import Transport
from wakerobin.net.wires import MOST_OCTETS, WebSocketWire

SIP = Subprotocol("sip")


@pytest.fixture
async def server(start: Start) -> Server:
    return await start(listen=(f"udp:{US}:0", f"ws:{US}:0"))


def to(server: Server) -> connect:
    host, port = server.tcp
    return connect(f"ws://{host}:{port}/", subprotocols=[SIP], proxy=None)


async def received(phone: ClientConnection) -> bytes:
    async with asyncio.timeout(PATIENCE):
        data = await phone.recv()
    return data if isinstance(data, bytes) else data.encode()


async def test_a_browser_is_heard_and_answered(server: Server) -> None:
    async with to(server) as phone:
        assert phone.subprotocol == "sip"
        data = options(f"SIP/2.0/WS {PEER};branch=z9hG4bK1", body="ü".encode() * 10_000)
        await phone.send(data.decode())
        await phone.send(options(f"SIP/2.0/WS {PEER};branch=z9hG4bK2"))
        await phone.send([data[:100], data[100:5000], data[5000:]])  # in fragments
        await server.witness.until(lambda: len(server.witness.messages) == 3)
        (first, flow), (second, _), (third, _) = server.witness.messages
        assert (first.branch, second.branch) == ("z9hG4bK1", "z9hG4bK2")
        assert first.body == third.body == "ü".encode() * 10_000
        assert flow.transport is Transport.WS
        assert server.endpoint.send(flow, options(f"SIP/2.0/WS {US};branch=z9hG4bK3"))
        assert parse(await received(phone)).branch == "z9hG4bK3"
        assert server.endpoint.send(flow, b"\xff\xfe no UTF-8")
        assert await received(phone) == b"\xff\xfe no UTF-8"
    await server.witness.until(lambda: server.witness.closed)
    assert not server.endpoint.send(flow, data)


async def test_keep_alives_of_both_kinds_show_that_it_is_there(server: Server) -> None:
    async with to(server) as phone:
        await phone.send("\r\n\r\n")
        assert await received(phone) == b"\r\n"
        async with asyncio.timeout(PATIENCE):
            await (await phone.ping())
        await server.witness.until_kept_alive(2)
        assert server.witness.messages == []


async def test_a_flow_that_is_closed_says_goodbye(server: Server) -> None:
    async with to(server) as phone:
        await phone.send(options(f"SIP/2.0/WS {PEER};branch=z9hG4bK1"))
        await server.witness.until(lambda: server.witness.messages)
        server.endpoint.close_flow(server.witness.messages[0][1])
        with pytest.raises(ConnectionClosed) as ended:
            await received(phone)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1001


@pytest.mark.parametrize("subprotocols", [None, [Subprotocol("mqtt")]])
async def test_who_does_not_speak_sip_gets_no_websocket(
    server: Server, subprotocols: list[Subprotocol] | None
) -> None:
    host, port = server.tcp
    with pytest.raises(InvalidStatus, match="400"):
        await connect(f"ws://{host}:{port}/", subprotocols=subprotocols, proxy=None)
    assert server.witness.messages == []


async def test_a_message_that_is_too_large_ends_the_connection_and_no_other(server: Server) -> None:
    async with to(server) as good, to(server) as bad:
        await bad.send(b"x" * (MOST_OCTETS + 1))
        with pytest.raises(ConnectionClosed) as ended:
            await received(bad)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1009
        await good.send("\r\n\r\n")
        assert await received(good) == b"\r\n"


async def test_a_bad_request_is_answered_and_the_websocket_goes_on(server: Server) -> None:
    async with to(server) as phone:
        good = options(f"SIP/2.0/WS {PEER};branch=z9hG4bK1")
        await phone.send(good.replace(b"CSeq: 1 OPTIONS", b"CSeq: one"))
        assert parse(await received(phone)).status == 400
        await phone.send(good)
        await server.witness.until(lambda: server.witness.messages)


async def test_what_is_no_websocket_is_refused_as_http(server: Server, dial: Dial) -> None:
    for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", options(f"SIP/2.0/TCP {PEER};branch=z9hG4bK1")):
        reader, writer = await dial(server)
        writer.write(request)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert server.witness.messages == []


async def test_a_browser_comes_by_wss(start: Start, tmp_path: Path) -> None:
    files = Files(tmp_path)
    cert, key = files.issue("push.example.com")
    server = await start(listen=(f"udp:{US}:0", f"wss:{US}:0"), tls_cert=cert, tls_key=key)
    host, port = server.tcp
    async with connect(
        f"wss://push.example.com:{port}/", subprotocols=[SIP], host=host, ssl=files.trust(), proxy=None
    ) as phone:
        await phone.send(options(f"SIP/2.0/WSS {PEER};branch=z9hG4bK1"))
        await server.witness.until(lambda: server.witness.messages)
        assert server.witness.messages[0][1].transport is Transport.WSS


async def test_we_never_dial_a_browser(server: Server) -> None:
    flow = server.endpoint.flow_to(Transport.WS, PEER, 80)
    assert not server.endpoint.send(flow, b"x")
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed[0][0] == flow


HELLO = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: sip\r\n\r\n"
)


def masked(opcode: int, data: bytes, *, fin: bool = True) -> bytes:
    mask = b"\x01\x02\x03\x04"
    length = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    body = bytes(octet ^ mask[index % 4] for index, octet in enumerate(data))
    return bytes(((0x80 if fin else 0) | opcode,)) + length + mask + body


@pytest.mark.parametrize("hello", [HELLO, HELLO.replace(b"-Key", b"-Kex"), HELLO.replace(b"sip", b"xmpp")])
@pytest.mark.parametrize("size", [1, 3, 50, 1000])
def test_what_comes_behind_a_handshake_is_read_when_that_has_been_answered(hello: bytes, size: int) -> None:
    """A bad frame in the segment of a bad handshake was an assertion of the library's."""
    wire = WebSocketWire()
    octets = hello + b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff"
    answers, at = b"", 0
    with contextlib.suppress(SipSyntaxError):
        while at < len(octets):
            wire.feed(octets[at : at + size])
            answers += wire.answers()
            at += size
    assert wire.fault is not None
    answers += wire.answers()
    assert answers.startswith(b"HTTP/1.1 400 " if b"Kex" in hello or b"xmpp" in hello else b"HTTP/1.1 101 ")
    assert answers.count(b"HTTP/1.1") == 1


@given(st.binary(max_size=300), st.integers(0, 2**32), st.booleans())
def test_no_octets_break_the_wire_but_in_words(noise: bytes, seed: int, after_hello: bool) -> None:
    luck = random.Random(seed)
    data = bytearray(HELLO if after_hello else b"")
    data += masked(1, options()) + masked(2, b"\r\n\r\n") + masked(9, b"x") + noise
    if luck.random() < 0.7:
        at = luck.randrange(len(data))
        data[at] ^= 1 << luck.randrange(8)
    wire = WebSocketWire()
    with contextlib.suppress(SipSyntaxError):
        while data:
            cut = luck.randint(1, 200)
            wire.feed(bytes(data[:cut]))
            wire.answers()
            del data[:cut]
    if wire.fault is not None:
        assert str(wire.fault)
        with pytest.raises(SipSyntaxError):
            wire.feed(b"x")
    wire.wrap(b"after")
    wire.farewell()

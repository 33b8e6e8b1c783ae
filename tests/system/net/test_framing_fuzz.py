"""Octets of every kind at every kind of listener: it goes on serving, and nothing is left of them.

What is sent is chosen by hypothesis, the same in each run.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.system.net.sockets import PATIENCE, PEER, POLICY, US, Witness, options
from tests.system.net.test_tls import NAME, Files
from tests.system.net.test_websocket import HELLO, masked
from wakerobin import metrics
from wakerobin.core.sip.message import Message, parse, respond
from wakerobin.core.values import Flow
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.limits import StreamLimits
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import SipOptions

KINDS = ("tcp", "tls", "ws", "wss")
LIMITS = StreamLimits(handshake=0.3, first_message=0.3, unproven=0.5)
CLIENT_HELLO = bytes.fromhex("16030100c6010000c20303") + bytes(range(32)) + bytes(160)


def gauges() -> tuple[float, ...]:
    """What must come back to what it was."""
    found = metrics.REGISTRY.get_sample_value
    return (
        found("wakerobin_sip_connections", {"direction": "accepted"}) or 0.0,
        found("wakerobin_sip_handshakes") or 0.0,
        found("wakerobin_faults_total", {"room": "net"}) or 0.0,
    )


def pieces(kind: str) -> list[bytes]:
    """What a stream of that kind may begin with, and go on with."""
    good = options(f"SIP/2.0/{kind.upper()} {PEER};branch=z9hG4bK1")
    if not kind.startswith("w"):
        return [good, b"\r\n\r\n", b"\r\n", good[:50], b"Content-Length: 99999999999\r\n\r\n", CLIENT_HELLO]
    return [
        HELLO,
        HELLO.replace(b"sip", b"xmpp"),
        HELLO[:60],
        masked(1, good),
        masked(2, b"\r\n\r\n"),
        masked(1, good[:100], fin=False),
        masked(0, good[100:]),
        masked(0, b"", fin=False),
        masked(8, b"\x03\xe8bye"),
        masked(9, b"ping"),
        masked(1, b"\xff\xfe\xfd"),
        b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xc1\x85",
    ]


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, bool, list[bytes]]:
    """A kind of listener, whether TLS is shaken hands with where it is spoken, and chunks of octets."""
    kind = draw(st.sampled_from(KINDS))
    luck = random.Random(draw(st.integers(0, 2**32)))
    parts = [luck.choice(pieces(kind)) for _ in range(draw(st.integers(1, 8)))]
    if kind.startswith("w") and luck.random() < 0.8:
        parts.insert(0, HELLO)
    octets = bytearray(b"".join(parts))
    for _ in range(draw(st.integers(0, 3))):
        octets[luck.randrange(len(octets))] ^= 1 << luck.randrange(8)
    octets += draw(st.binary(max_size=60))
    chunks = []
    while octets:
        cut = luck.randint(1, 400)
        chunks.append(bytes(octets[:cut]))
        del octets[:cut]
    return kind, luck.random() < 0.8, chunks


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    made = Files(Path(tmp_path_factory.mktemp("tls")))
    made.issue(NAME)
    return made


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(streams(), min_size=4, max_size=16))
def test_no_octets_stop_a_listener_or_stay_behind(
    files: Files, given_streams: list[tuple[str, bool, list[bytes]]]
) -> None:
    asyncio.run(survives(files, given_streams))


async def survives(files: Files, given_streams: list[tuple[str, bool, list[bytes]]]) -> None:
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: unhandled.append(context))
    before, wheel = gauges(), Wheel(loop)
    sip = SipOptions(
        listen=tuple(f"{kind}:{US}:0" for kind in KINDS),
        tls_cert=str(files.folder / "server.pem"),
        tls_key=str(files.folder / "server.key"),
    )
    endpoint, witness = Endpoint(sip, POLICY, SystemClock(loop), wheel, LIMITS), Witness()

    def serve(message: Message, flow: Flow) -> None:
        if message.is_request:
            endpoint.send(flow, respond(message, 200).encode())

    witness.on_message = serve
    await endpoint.start(witness)
    places = {str(one.transport): (one.address, one.port) for one in endpoint.listeners}
    work = [
        spoken(files, places[kind], has_tls and kind in ("tls", "wss"), chunks)
        for kind, has_tls, chunks in given_streams
    ]
    await asyncio.gather(*work)
    reader, writer = await asyncio.open_connection(*places["tcp"], local_addr=(PEER, 0))
    writer.write(options(f"SIP/2.0/TCP {PEER};branch=z9hG4bKgood"))
    async with asyncio.timeout(PATIENCE):
        assert parse(await reader.readuntil(b"\r\n\r\n")).status == 200
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(PATIENCE):
        while gauges() != before:
            await asyncio.sleep(0)
    await endpoint.close()
    wheel.close()
    assert unhandled == []


async def spoken(files: Files, place: tuple[str, int], has_tls: bool, chunks: list[bytes]) -> None:
    """Send the chunks, read what comes, and leave: well, or by a reset."""
    tls: ssl.SSLContext | None = files.trust() if has_tls else None
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(
                *place, ssl=tls, server_hostname=NAME if tls else None, local_addr=(PEER, 0)
            )
        for chunk in chunks:
            writer.write(chunk)
            await asyncio.sleep(0)
        if len(chunks) % 2:
            writer.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await reader.read()
        writer.close()
        async with asyncio.timeout(1.0):
            await writer.wait_closed()

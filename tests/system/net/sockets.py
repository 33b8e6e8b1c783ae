"""What the tests of the sockets share: an endpoint with its witness, and peers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.sip.message import Message, parse
from wakerobin.core.values import Flow
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.wheel import Wheel

PATIENCE = 5.0
US = "127.21.0.1"
PEER = "127.21.0.2"
POLICY = DestinationPolicy(named=frozenset((US, PEER, "127.21.0.3", "::1")))


@dataclass
class Witness:
    """`ports.sip.SipReceiver` that writes down what it is told."""

    messages: list[tuple[Message, Flow]] = field(default_factory=list)
    kept_alive: list[Flow] = field(default_factory=list)
    closed: list[tuple[Flow, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    on_message: Callable[[Message, Flow], None] = lambda _message, _flow: None

    def receive(self, message: Message, flow: Flow) -> None:
        self.messages.append((message, flow))
        self.changed.set()
        self.on_message(message, flow)

    def heard(self, flow: Flow) -> None:
        self.kept_alive.append(flow)
        self.changed.set()

    def flow_closed(self, flow: Flow, reason: str) -> None:
        self.closed.append((flow, reason))
        self.changed.set()

    async def until_kept_alive(self, times: int) -> None:
        await self.until(lambda: len(self.kept_alive) == times)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Server:
    """An endpoint that listens by UDP and TCP on one address."""

    endpoint: Endpoint
    witness: Witness
    wheel: Wheel

    @property
    def udp(self) -> tuple[str, int]:
        return self.endpoint.listeners[0].address, self.endpoint.listeners[0].port

    @property
    def tcp(self) -> tuple[str, int]:
        return self.endpoint.listeners[1].address, self.endpoint.listeners[1].port


class Peer:
    """A UDP socket of somebody else."""

    def __init__(self, address: str = PEER) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((address, 0))
        self.at: tuple[str, int] = self.socket.getsockname()[:2]

    async def send(self, data: bytes, to: tuple[str, int]) -> None:
        await asyncio.get_running_loop().sock_sendto(self.socket, data, to)

    async def receive(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self.socket, 65_535)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def can_bind(address: str) -> bool:
    """Whether this machine has the address."""
    try:
        with Peer(address):
            return True
    except OSError:
        return False


def options(via: str = f"SIP/2.0/UDP {PEER}:5060;branch=z9hG4bK1;rport", *, body: bytes = b"") -> bytes:
    return Message.request(
        "OPTIONS",
        f"sip:{US}",
        [
            ("Via", via),
            ("Max-Forwards", "70"),
            ("From", "<sip:alice@pbx.test>;tag=a1"),
            ("To", "<sip:bob@pbx.test>"),
            ("Call-ID", "c1@peer"),
            ("CSeq", "1 OPTIONS"),
        ],
        body,
    ).encode()


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait until the server has ended the stream, by a FIN or a reset."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionResetError):
            await reader.read()


async def message_from(reader: asyncio.StreamReader) -> Message:
    async with asyncio.timeout(PATIENCE):
        return parse(await reader.readuntil(b"\r\n\r\n"))


Start = Callable[..., Awaitable[Server]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[..., Awaitable[Streams]]

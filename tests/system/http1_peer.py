"""A server of HTTP/1.1 that does what a test says, octet for octet, and notes what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    connection: int
    head: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Its fields."""
        lines = self.head.split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}


Act: TypeAlias = Callable[[Received, asyncio.StreamWriter], Awaitable[bool]]
"""Answers a request; False closes the connection."""


@dataclass(slots=True)
class Http1Peer:
    """Listens on loopback; `act` answers."""

    act: Act
    host: str = "127.0.0.1"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection."""
        self.connections += 1
        number = self.connections
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                one = Received(number, head, b"")
                length = int(one.headers.get("content-length", "0"))
                one = Received(number, head, await reader.readexactly(length))
                self.received.append(one)
                if not await self.act(one, writer):
                    break
        writer.close()


def answering(*answers: bytes, keep: bool = True) -> Act:
    """Give these answers in turn, the last one for ever."""
    left = list(answers)

    async def act(_one: Received, writer: asyncio.StreamWriter) -> bool:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        return keep

    return act


@contextlib.asynccontextmanager
async def http1_peer(act: Act, tls: ssl.SSLContext | None = None) -> AsyncIterator[Http1Peer]:
    """Run one for the length of a test."""
    peer = Http1Peer(act)
    server = await asyncio.start_server(peer.serve, peer.host, 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in peer.writers:
            writer.transport.abort()

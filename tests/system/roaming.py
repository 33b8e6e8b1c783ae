"""A phone on real sockets that changes its network: one uplink at a time, over any transport."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from typing import Protocol, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from wakerobin.core.sip.framing import KeepAlive, StreamFramer
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.values import Flow, Transport
from wakerobin.net import edge
from wakerobin.net.clock import SystemClock
from wakerobin.net.wheel import Wheel
from wakerobin.ports.sip import SipReceiver
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.phone import FakePhone

Place = tuple[str, int]


class Link(Protocol):
    """A socket to the server."""

    @property
    def local(self) -> Place:
        """Our own end."""
        ...

    def send(self, data: bytes) -> None:
        """Send one message."""
        ...

    async def cut(self) -> None:
        """Be gone without a word."""
        ...


class Uplink:
    """Implements `ports.sip.SipEndpoint` over the one way that a phone has to its server."""

    _numbers = itertools.count(1)

    def __init__(self, transport: Transport, server: Place) -> None:
        self.transport, self.server = transport, server
        self.receiver: SipReceiver | None = None
        self.sent_messages = 0
        self._link: Link | None = None
        number = next(self._numbers) if transport.is_reliable else 0
        self._flow = Flow(transport, ("", 0), server, number)

    async def open(self, host: str, trusted: ssl.SSLContext | None) -> None:
        """Connect from an address of this machine."""
        tls = trusted if self.transport in (Transport.TLS, Transport.WSS) else None
        if self.transport is Transport.UDP:
            self._link = await _Datagrams.open(host, self.server, self.arrived)
        elif self.transport in (Transport.WS, Transport.WSS):
            self._link = await _WebSocket.open(host, self.server, tls, self.arrived)
        else:
            self._link = await _Stream.open(host, self.server, tls, self.arrived)
        self._flow = Flow(self.transport, self._link.local, self.server, self._flow.connection)

    async def cut(self) -> None:
        """Lose this network without a word."""
        if self._link is not None:
            link, self._link = self._link, None
            await link.cut()

    def arrived(self, data: bytes) -> None:
        """Take a message."""
        if self.receiver is not None and self._link is not None and not edge.is_keep_alive(data):
            self.receiver.receive(edge.read(data, self.server), self._flow)

    def send(self, flow: Flow, data: bytes) -> bool:
        """Send; False once the network is lost."""
        if self._link is None:
            return not flow.connection  # by UDP nobody notices
        self.sent_messages += 1
        self._link.send(data)
        return True

    def flow_to(
        self, transport: Transport, address: str, port: int, local: str = "", name: str = "", lane: int = 0
    ) -> Flow:
        """Return the one flow."""
        return self._flow

    def local_address(self, transport: Transport, remote: str) -> Place:
        """Return our own end."""
        return self._flow.local

    def is_open(self, flow: Flow) -> bool:
        """Whether the network is still there."""
        return self._link is not None

    def close_flow(self, flow: Flow) -> None:
        """The phone never closes its only way."""


class RoamingPhone(FakePhone):
    """A phone that `moves` from network to network; what it had before is gone."""

    def __init__(
        self, aor: str, password: str, *, trusted: ssl.SSLContext | None = None, instance: str = ""
    ) -> None:
        super().__init__(aor, password, instance=instance)
        self.uplink: Uplink | None = None
        self._trusted = trusted
        self._clock_and_wheel: tuple[SystemClock, Wheel] | None = None

    async def move(self, transport: Transport, server: Place, host: str) -> None:
        """Connect over another network; it does not register there yet."""
        await self.lose_network()
        loop = asyncio.get_running_loop()
        if self._clock_and_wheel is None:
            self._clock_and_wheel = SystemClock(loop), Wheel(loop)
        clock, wheel = self._clock_and_wheel
        self.transport = transport
        self.uplink = Uplink(transport, server)
        transactions = Transactions(self.uplink, wheel, clock, self.entropy, SipTimers())
        self.uplink.receiver = transactions
        await self.uplink.open(host, self._trusted)
        self.attach(server, transactions, self.uplink, clock, wheel)
        self.forget_challenge()

    async def lose_network(self) -> None:
        """Be out of reach from now on; nobody is told."""
        if self.uplink is not None:
            await self.uplink.cut()

    async def close(self) -> None:
        """End it."""
        await self.lose_network()
        if self._clock_and_wheel is not None:
            self._clock_and_wheel[1].close()


class Arrived(Protocol):
    """Who takes what came."""

    def __call__(self, data: bytes, /) -> None: ...


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, arrived: Arrived) -> None:
        self._arrived = arrived
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, host: str, server: Place, arrived: Arrived) -> _Datagrams:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_datagram_endpoint(
            lambda: cls(arrived), local_addr=(host, 0), remote_addr=server
        )
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Place) -> None:
        self._arrived(data)

    @property
    def local(self) -> Place:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.sendto(data)

    async def cut(self) -> None:
        assert self._transport is not None
        self._transport.close()


class _Stream:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, arrived: Arrived) -> None:
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader, arrived))

    @classmethod
    async def open(cls, host: str, server: Place, tls: ssl.SSLContext | None, arrived: Arrived) -> _Stream:
        reader, writer = await asyncio.open_connection(
            *server, ssl=tls, local_addr=(host, 0), server_hostname=server[0] if tls else None
        )
        return cls(reader, writer, arrived)

    async def _read(self, reader: asyncio.StreamReader, arrived: Arrived) -> None:
        framer = StreamFramer(is_ours=True)
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                for found in framer.feed(data):
                    if not isinstance(found, KeepAlive):
                        arrived(found)

    @property
    def local(self) -> Place:
        host, port = self._writer.get_extra_info("sockname")
        return host, port

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def cut(self) -> None:
        self._writer.transport.abort()
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading


class _WebSocket:
    def __init__(self, connection: ClientConnection, arrived: Arrived) -> None:
        self._connection = connection
        self._reading = asyncio.create_task(self._read(arrived))
        self._sending: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, host: str, server: Place, tls: ssl.SSLContext | None, arrived: Arrived) -> _WebSocket:
        scheme = "wss" if tls else "ws"
        connection = await connect(
            f"{scheme}://{server[0]}:{server[1]}/",
            subprotocols=[Subprotocol("sip")],
            proxy=None,
            ssl=tls,
            local_addr=(host, 0),
        )
        return cls(connection, arrived)

    async def _read(self, arrived: Arrived) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self._connection:
                arrived(data if isinstance(data, bytes) else data.encode())

    @property
    def local(self) -> Place:
        host, port = self._connection.local_address[:2]
        return host, port

    def send(self, data: bytes) -> None:
        async def send() -> None:
            with contextlib.suppress(ConnectionClosed):
                await self._connection.send(data.decode())

        task = asyncio.create_task(send())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def cut(self) -> None:
        self._connection.transport.abort()
        await self._reading

"""All SIP connections: who may connect to us, and one shared connection to each peer."""

from __future__ import annotations

import asyncio
import itertools
import os
import ssl
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.values import Flow, Transport
from wakerobin.net.stream import StreamConnection, StreamLimits
from wakerobin.ports.clock import Clock, Timers

_BACKLOG = 512

_log = log.get("net")
_ACCEPTED = metrics.SIP_CONNECTIONS.labels("accepted")
_MADE = metrics.SIP_CONNECTIONS.labels("made")


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How to make a TLS connection: what is trusted, and the name that the certificate must have."""

    context: ssl.SSLContext
    name: str


@dataclass(frozen=True, slots=True)
class Line:
    """Which of the connections to a peer is meant."""

    bind: str = ""
    """The address to connect from; empty for any."""
    lane: int = 0
    """Some peers get several."""
    tls: ClientTls | None = None


class StreamReader(Protocol):
    """Who reads what the connections bring."""

    def delivered(self, data: bytes, flow: Flow) -> None:
        """A message came whole."""
        ...

    def kept_alive(self, flow: Flow) -> None:
        """A keep-alive came; a ping has its pong already."""
        ...

    def broken(self, data: bytes, flow: Flow, fault: SipSyntaxError) -> None:
        """The stream broke at `data`; the connection is closed after what is sent now."""
        ...

    def closed(self, flow: Flow, reason: str) -> None:
        """A connection ended, or could not be made. Never told from within `connect` or `send`."""
        ...


class Streams:
    """The table of connections by number. It accepts after `listen` and connects on `connect`."""

    def __init__(self, reader: StreamReader, clock: Clock, timers: Timers, limits: StreamLimits) -> None:
        self.clock = clock
        self.timers = timers
        self.limits = limits
        self._reader = reader
        self._numbers = itertools.count(1)
        self._connections: dict[int, StreamConnection] = {}
        self._made: dict[tuple[str, int, Line], StreamConnection] = {}
        self._accepted_from: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._gone = asyncio.Event()

    def number(self) -> int:
        """Return a number that no connection ever had or will have."""
        return next(self._numbers)

    async def listen(
        self, kind: Transport, address: str, port: int, tls: ssl.SSLContext | None = None
    ) -> int:
        """Accept connections there; return the port. Raises OSError where it cannot be bound."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: StreamConnection(self, self.number(), kind=kind),
            address,
            port,
            backlog=_BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=self.limits.connect if tls is not None else None,
        )
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def connect(self, local: tuple[str, int], remote: tuple[str, int], line: Line) -> Flow:
        """Return the flow of our connection to `remote`, made now if there is none.

        `local` is what the flow says of our end. Another TLS identity is another connection.
        """
        kind = Transport.TCP if line.tls is None else Transport.TLS
        key = (*remote, line)
        known = self._made.get(key)
        if known is not None and known.is_open:
            return known.flow
        number = self.number()
        flow = Flow(kind, local, remote, number)
        connection = self._connections[number] = self._made[key] = StreamConnection(self, number, flow)
        _MADE.inc()
        task = asyncio.get_running_loop().create_task(self._connect(connection, remote, line))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return flow

    def send(self, flow: Flow, data: bytes) -> bool:
        """Send over a connection. False: it has ended."""
        connection = self._of(flow)
        return connection is not None and connection.send(data)

    def is_open(self, flow: Flow) -> bool:
        """Whether the connection is there, or about to be."""
        connection = self._of(flow)
        return connection is not None and connection.is_open

    def end(self, flow: Flow, reason: str) -> None:
        """Close a connection after what was written."""
        connection = self._of(flow)
        if connection is not None:
            connection.end(reason, flush=True)

    async def close(self) -> None:
        """Accept no more, end all connections and wait until they are gone."""
        for server in self._servers:
            server.close()
        for task in self._connecting:
            task.cancel()
        for connection in tuple(self._connections.values()):
            connection.end("this server stops")
        await asyncio.gather(*self._connecting, return_exceptions=True)
        if self._connections:
            self._gone.clear()
            await self._gone.wait()
        for server in self._servers:
            await server.wait_closed()

    def opened(self, connection: StreamConnection) -> str:
        """Count an accepted connection in, or say why it may not stay."""
        if not connection.is_accepted:
            return ""
        source = connection.flow.remote[0]
        if (
            self._accepted_from.total() >= self.limits.connections
            or self._accepted_from[source] >= self.limits.connections_from_one
        ):
            metrics.SIP_CONNECTIONS_REFUSED.inc()
            _log.debug("connection_refused", source=source)
            return "there are too many connections"
        self._connections[connection.flow.connection] = connection
        self._accepted_from[source] += 1
        _ACCEPTED.inc()
        return ""

    def delivered(self, connection: StreamConnection, data: bytes) -> None:
        """Hand a message on."""
        self._reader.delivered(data, connection.flow)

    def kept_alive(self, connection: StreamConnection) -> None:
        """Hand the news of a keep-alive on."""
        self._reader.kept_alive(connection.flow)

    def broken(self, connection: StreamConnection, data: bytes, fault: SipSyntaxError) -> None:
        """Hand on what broke a stream."""
        self._reader.broken(data, connection.flow, fault)

    def closed(self, connection: StreamConnection, reason: str) -> None:
        """Count a connection out and tell the reader, unless it was never let in."""
        flow = connection.flow
        if self._connections.pop(flow.connection, None) is None:
            return
        if not self._connections:
            self._gone.set()
        if connection.is_accepted:
            _ACCEPTED.dec()
            self._accepted_from[flow.remote[0]] -= 1
            if not self._accepted_from[flow.remote[0]]:
                del self._accepted_from[flow.remote[0]]
        else:
            _MADE.dec()
            self._made = {key: made for key, made in self._made.items() if made is not connection}
        _log.debug("connection_ended", flow=flow, reason=reason)
        self._reader.closed(flow, reason)

    def _of(self, flow: Flow) -> StreamConnection | None:
        connection = self._connections.get(flow.connection)
        # A flow that was stored by an earlier run may carry the number of somebody else's connection.
        return connection if connection is not None and connection.flow == flow else None

    async def _connect(self, connection: StreamConnection, remote: tuple[str, int], line: Line) -> None:
        loop, tls = asyncio.get_running_loop(), line.tls
        try:
            async with asyncio.timeout(self.limits.connect):
                await loop.create_connection(
                    lambda: connection,
                    *remote,
                    local_addr=(line.bind, 0) if line.bind else None,
                    ssl=tls.context if tls is not None else None,
                    server_hostname=tls.name if tls is not None else None,
                )
        except TimeoutError:
            connection.failed(f"no connection within {self.limits.connect:g} s")
        except asyncio.CancelledError:
            connection.failed("this server stops")
            raise
        except ssl.SSLError as error:
            words = getattr(error, "verify_message", None) or error.reason or str(error)
            connection.failed(f"no TLS connection: {words}")
        except OSError as error:
            words = os.strerror(error.errno) if error.errno else str(error)
            connection.failed(f"no connection: {words}")

"""All SIP connections: who may connect to us, and one shared connection to each peer."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.gate import source_of
from wakerobin.core.values import Flow, Transport
from wakerobin.net.census import Census
from wakerobin.net.door import Door, turn_away
from wakerobin.net.guard import Guard
from wakerobin.net.limits import StreamLimits
from wakerobin.net.stream import StreamConnection
from wakerobin.ports.clock import Clock, Timers

_log = log.get("net")
_ACCEPTED = metrics.SIP_CONNECTIONS.labels("accepted")
_MADE = metrics.SIP_CONNECTIONS.labels("made")
_HANDSHAKES = metrics.Tally(metrics.SIP_HANDSHAKES)


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
        """This is no message. Where the stream broke by it, the connection is closed after the answer."""
        ...

    def closed(self, flow: Flow, reason: str) -> None:
        """A connection ended, or could not be made. Never told from within `connect` or `send`."""
        ...


class Streams:
    """The table of connections by number. It accepts after `listen` and connects on `connect`."""

    def __init__(
        self, reader: StreamReader, clock: Clock, timers: Timers, limits: StreamLimits, guard: Guard
    ) -> None:
        self.clock = clock
        self.timers = timers
        self.limits = limits
        self._reader = reader
        self._guard = guard
        self._census = Census(limits)
        self._numbers = itertools.count(1)
        self._connections: dict[int, StreamConnection] = {}
        self._made: dict[tuple[str, int, Line], StreamConnection] = {}
        self._doors: list[Door] = []
        # What is being connected, or shakes hands, by the number of its connection.
        self._making: dict[int, asyncio.Task[None]] = {}
        self._gone = asyncio.Event()

    def number(self) -> int:
        """Return a number that no connection ever had or will have."""
        return next(self._numbers)

    def listen(self, kind: Transport, address: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Accept connections there; return the port. Raises OSError where it cannot be bound."""

        def accept(accepted: socket.socket, remote: tuple[str, int]) -> None:
            self._accept(kind, tls, accepted, remote)

        door = Door((address, port), self.clock, self.timers, accept)
        self._doors.append(door)
        return door.port

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
        connection = StreamConnection(self, flow, is_accepted=False)
        self._connections[number] = self._made[key] = connection
        _MADE.inc()
        self._make(connection, lambda: self._connect(connection, remote, line))
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

    def trust(self, flow: Flow) -> None:
        """Who is at the other end of a connection is a stranger no more."""
        connection = self._of(flow)
        if connection is not None and not connection.is_trusted:
            connection.is_trusted = True
            self._census.proven(flow.connection)

    async def close(self) -> None:
        """Accept no more, end all connections and wait until they are gone."""
        for door in self._doors:
            door.close()
        self._doors.clear()
        for connection in tuple(self._connections.values()):
            connection.end("this server stops")
        making = tuple(self._making.values())
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        if self._connections:
            self._gone.clear()
            await self._gone.wait()

    def opened(self, connection: StreamConnection) -> None:
        """Take the news that a connection stands."""
        if connection.is_accepted:
            self._shaken(connection)
            _ACCEPTED.inc()
            connection.is_told = True

    def took(self, connection: StreamConnection, requests: int, responses: int) -> float:
        """Say for how long a connection that has brought so much is to be left alone."""
        wait = self._guard.read(connection.flow, requests, responses)
        if wait:
            metrics.SIP_SLOWED.inc()
        return wait

    def delivered(self, connection: StreamConnection, data: bytes) -> None:
        """Hand a message on."""
        self._reader.delivered(data, connection.flow)

    def kept_alive(self, connection: StreamConnection) -> None:
        """Hand the news of a keep-alive on."""
        self._reader.kept_alive(connection.flow)

    def broken(self, connection: StreamConnection, data: bytes, fault: SipSyntaxError) -> None:
        """Hand on what is no message."""
        self._reader.broken(data, connection.flow, fault)

    def closed(self, connection: StreamConnection, reason: str) -> None:
        """Count a connection out, and tell the reader if he had heard of it."""
        flow = connection.flow
        if self._connections.pop(flow.connection, None) is None:
            return
        if not self._connections:
            self._gone.set()
        self._guard.closed(flow)
        if connection.is_accepted:
            self._shaken(connection)
            self._census.leave(flow.connection)
            if connection.is_told:
                _ACCEPTED.dec()
        else:
            _MADE.dec()
            self._made = {key: made for key, made in self._made.items() if made is not connection}
        _log.debug("connection_ended", flow=flow, reason=reason)
        if connection.is_told:
            self._reader.closed(flow, reason)

    def _accept(
        self, kind: Transport, tls: ssl.SSLContext | None, accepted: socket.socket, remote: tuple[str, int]
    ) -> None:
        """Let a connection in, or close it before it has cost anything."""
        source = source_of(remote[0])
        refusal = self._census.refusal(source) or self._guard.refusal(remote[0], is_tls=tls is not None)
        if refusal:
            metrics.SIP_CONNECTIONS_REFUSED.labels(refusal).inc()
            _log.debug("connection_refused", source=source, reason=refusal)
            turn_away(accepted)
            return
        self._make_room(is_tls=tls is not None)
        flow = Flow(kind, accepted.getsockname()[:2], remote, self.number())
        connection = self._connections[flow.connection] = StreamConnection(self, flow, is_accepted=True)
        connection.is_trusted = self._guard.is_pbx(remote[0])
        is_trusted = connection.is_trusted
        self._census.enter(flow.connection, source, is_shaking=tls is not None, is_proven=is_trusted)
        _HANDSHAKES.count += tls is not None
        self._make(connection, lambda: self._shake(connection, accepted, tls))

    def _make_room(self, *, is_tls: bool) -> None:
        while (found := self._census.to_evict(is_tls=is_tls)) is not None:
            number, kind = found
            metrics.SIP_CONNECTIONS_EVICTED.labels(kind).inc()
            connection = self._connections[number]
            self._shaken(connection)
            self._census.leave(number)
            connection.end("others need the room")
            task = self._making.get(number)
            if task is not None:
                task.cancel()

    def _shaken(self, connection: StreamConnection) -> None:
        _HANDSHAKES.count -= self._census.shaken(connection.flow.connection)

    def _make(self, connection: StreamConnection, making: Callable[[], Coroutine[None, None, None]]) -> None:
        number = connection.flow.connection
        task = asyncio.get_running_loop().create_task(making())
        self._making[number] = task
        task.add_done_callback(lambda _task: self._making.pop(number, None))

    def _of(self, flow: Flow) -> StreamConnection | None:
        connection = self._connections.get(flow.connection)
        # A flow that was stored by an earlier run may carry the number of somebody else's connection.
        return connection if connection is not None and connection.flow == flow else None

    async def _shake(
        self, connection: StreamConnection, accepted: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        patience = self.limits.handshake if tls is not None else None
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=tls, ssl_handshake_timeout=patience
            )
        except asyncio.CancelledError:
            connection.failed("this server stops")
            raise
        except OSError as error:
            connection.failed(f"no TLS connection: {_words(error)}")

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
            connection.failed(f"no TLS connection: {_words(error)}")
        except OSError as error:
            connection.failed(f"no connection: {_words(error)}")


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return getattr(error, "verify_message", None) or error.reason or str(error)
    return os.strerror(error.errno) if error.errno else str(error)

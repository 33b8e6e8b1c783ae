"""The SIP sockets as `ports.sip.SipEndpoint`: listeners, flows, and the edge that messages pass."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.values import Flow, Transport
from wakerobin.net import edge
from wakerobin.net.guard import Guard
from wakerobin.net.inbound import Inbound
from wakerobin.net.limits import StreamLimits
from wakerobin.net.routes import Routes
from wakerobin.net.streams import ClientTls, Line, Streams
from wakerobin.net.tls import ServerCertificate, client_context, spare_memory
from wakerobin.net.udp import UdpSocket
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import SipReceiver

_LISTENER = re.compile(r"(udp|tcp|tls|ws|wss):(\[[0-9a-fA-F:.%\w]+\]|[0-9.]+):([0-9]{1,5})")

_MOST_LOCAL = 256
_MOST_KEPT = 8192
_PAST_EXPIRY = 400.0
_MOST_NAMES = 4096
_CERTIFICATE_LOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class Listener:
    """Where SIP is spoken. Port 0 stands for one that the system chooses."""

    transport: Transport
    address: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listener:
        """Read `transport:address:port`, IPv6 in brackets. Raises ConfigurationError."""
        match = _LISTENER.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError(text)
            address = match[2].strip("[]")
            ipaddress.ip_address(address)
            if int(match[3]) > 65_535:
                raise ValueError(text)
        except ValueError:
            raise ConfigurationError(
                f"sip.listen: {text!r} is no listener; write it like udp:0.0.0.0:5060 or tcp:[::]:5060"
            ) from None
        return cls(Transport(match[1]), address, int(match[3]))

    @property
    def is_wildcard(self) -> bool:
        """Whether it listens on every address of the machine."""
        return self.address in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.transport}:{host}:{self.port}"


class Endpoint:
    """Implements `ports.sip.SipEndpoint` and `Gatekeeper`. Driven by its sockets between `start` and `close`.

    Without a guard everybody may take what he likes.

    Raises ConfigurationError for a listener or a network of `sip.towards` that cannot be read.
    """

    def __init__(
        self,
        options: SipOptions,
        policy: DestinationPolicy,
        clock: Clock,
        timers: Timers,
        limits: StreamLimits | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._policy = policy
        self._configured = tuple(Listener.parse(text) for text in options.listen)
        self._routes = Routes(clock, options.towards)
        self._guard = guard or Guard(clock)
        self._inbound = Inbound(self.send, self._guard.garbage)
        # A phone that registers for as long as it may must not lose its connection before it does so again.
        longest = options.phone_expires_max / 1000 + _PAST_EXPIRY
        limits = limits or StreamLimits(idle=longest)
        self._streams = Streams(self._inbound, clock, timers, limits, self._guard)
        self._timers = timers
        self._clock = clock
        has_tls = any(one.transport.is_secure for one in self._configured)
        self._certificate = ServerCertificate(options.tls_cert, options.tls_key) if has_tls else None
        self._pbx_tls = client_context(options)
        self._names: dict[tuple[str, int], str] = {}
        """By what name a TLS peer was asked for last: its certificate must have it."""
        self._look: Timer | None = None
        self._listeners: list[Listener] = []
        self._sockets: list[tuple[Listener, UdpSocket]] = []
        self._socket_of: dict[tuple[str, int], UdpSocket] = {}
        # What each message to a PBX needs, found out once while the routes hold (a tenth of its time).
        self._kept_until = 0.0
        self._local: dict[tuple[Transport, str], tuple[str, int]] = {}
        self._datagrams: dict[tuple[str, int, str], Flow] = {}

    def tell_undelivered(self, on_undelivered: Callable[[bytes, str], None]) -> None:
        """Call this with what ICMP quotes of a datagram of ours that did not arrive, and why it did not."""
        self._inbound.on_undelivered = on_undelivered

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Where it listens, with the ports that it got."""
        return tuple(self._listeners)

    async def start(self, receiver: SipReceiver) -> None:
        """Listen, and tell `receiver` from now on. Raises ConfigurationError where that fails."""
        self._inbound.receiver = receiver
        spare_memory()
        self._look_at_certificate()
        loop = asyncio.get_running_loop()
        for wanted in self._configured:
            try:
                if wanted.transport is Transport.UDP:
                    listener = self._listen_udp(loop, wanted)
                else:
                    tls = self._tls_of(wanted)
                    port = self._streams.listen(wanted.transport, wanted.address, wanted.port, tls)
                    listener = Listener(wanted.transport, wanted.address, port)
            except OSError as error:
                await self.close()
                raise ConfigurationError(f"sip.listen: cannot listen on {wanted}: {error.strerror}") from None
            self._listeners.append(listener)
        self._forget()

    async def close(self) -> None:
        """Stop listening and end all connections. Nobody is told anything from here on."""
        self._inbound.receiver = None
        if self._look is not None:
            self._look.cancel()
        for _, udp in self._sockets:
            udp.close()
        self._sockets.clear()
        self._socket_of.clear()
        await self._streams.close()

    def _listen_udp(self, loop: asyncio.AbstractEventLoop, wanted: Listener) -> Listener:
        def read(data: bytes, remote: tuple[str, int]) -> None:
            if not self._guard.admits(data, remote):
                return
            local = listener.address
            if listener.is_wildcard:
                local = self._routes.source(remote[0])
            self._inbound.datagram(data, Flow(Transport.UDP, (local, listener.port), remote))

        def undelivered(quoted: bytes, remote: tuple[str, int], reason: str) -> None:
            self._inbound.undelivered(quoted, reason)

        udp = UdpSocket(loop, wanted.address, wanted.port, read, undelivered, self._guard.pressed)
        listener = Listener(Transport.UDP, wanted.address, udp.port)
        self._sockets.append((listener, udp))
        return listener

    def send(self, flow: Flow, data: bytes) -> bool:
        """Send, or queue while the stream connects. False: the flow is known to be dead."""
        if flow.connection:
            return self._streams.send(flow, data)
        udp = self._socket(flow.local)
        if udp is None:
            return False
        reason = udp.send(data, flow.remote)
        if reason:
            self._later_closed(flow, reason)
        return not reason

    def flow_to(
        self, transport: Transport, address: str, port: int, local: str = "", name: str = "", lane: int = 0
    ) -> Flow:
        """Return a flow to a resolved address.

        `local` prefers one of our addresses; `name` is what a TLS peer's certificate must have, by default
        what it was asked for before, else the address; `lane` is which of several connections. What cannot
        be ends in `flow_closed` soon after, with the reason in words; such a flow takes nothing.
        """
        if transport is Transport.UDP:
            self._forget_old()
            kept = self._datagrams.get((address, port, local))
            if kept is not None:
                return kept
        asked = (address, port, local)
        address = address.strip("[]")
        reason = self._policy.refusal(address, port)
        listener = self._listener(transport, address, local)
        if not reason and transport.is_websocket:
            reason = "over WebSocket phones come to us, never we to them"
        if not reason and listener is None and transport is Transport.UDP:
            reason = f"there is no listener for {transport} to {address}"
        ours = self._address(listener, address)
        if reason:
            flow = Flow(transport, ours, (address, port), self._streams.number())
            self._later_closed(flow, reason)
            return flow
        if transport is Transport.UDP:
            self._datagrams[asked] = flow = Flow(transport, ours, (address, port))
            return flow
        # From the listener's own address, so that the peer sees the one that it may reach us at.
        bind = listener.address if listener is not None and not listener.is_wildcard else ""
        tls = self._tls_to(address, port, name) if transport is Transport.TLS else None
        return self._streams.connect(ours, (address, port), Line(bind, lane, tls))

    def _tls_of(self, listener: Listener) -> ssl.SSLContext | None:
        is_tls = listener.transport.is_secure
        return self._certificate.context if self._certificate is not None and is_tls else None

    def _tls_to(self, address: str, port: int, name: str) -> ClientTls:
        if name:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[address, port] = name.strip("[]")
        return ClientTls(self._pbx_tls, self._names.get((address, port), address))

    def _look_at_certificate(self) -> None:
        if self._certificate is not None:
            self._certificate.look()
            when = self._clock.monotonic() + _CERTIFICATE_LOOK_S
            self._look = self._timers.call_at(when, self._look_at_certificate)

    def local_address(self, transport: Transport, remote: str) -> tuple[str, int]:
        """Return the address and port under which `remote` can reach us."""
        self._forget_old()
        kept = self._local.get((transport, remote))
        if kept is None:
            plain = remote.strip("[]")
            address, port = self._address(self._listener(transport, plain), plain)
            kept = self._local[transport, remote] = (self._routes.configured(plain) or address, port)
        return kept

    def is_open(self, flow: Flow) -> bool:
        """Whether the flow can still carry a message, as far as is known."""
        return self._streams.is_open(flow) if flow.connection else self._socket(flow.local) is not None

    def close_flow(self, flow: Flow) -> None:
        """Close a stream, after what was sent; nothing happens for UDP."""
        self._streams.end(flow, "closed by this server")

    def pbx(self, flow: Flow) -> None:
        """See `ports.sip.Gatekeeper`."""
        self._guard.pbx(flow)
        self._streams.trust(flow)

    def proven(self, flow: Flow) -> None:
        """See `ports.sip.Gatekeeper`."""
        self._guard.proven(flow)
        self._streams.trust(flow)

    def blame(self, flow: Flow) -> None:
        """See `ports.sip.Gatekeeper`."""
        self._guard.blame(flow)

    def guessed(self, flow: Flow, *, is_seen: bool) -> None:
        """See `ports.sip.Gatekeeper`."""
        self._guard.guessed(flow, is_seen=is_seen)

    def _forget_old(self) -> None:
        """Forget what was kept of a time before the routes were looked up anew, or of too many peers."""
        until = self._routes.fresh_until()
        if until != self._kept_until or len(self._local) + len(self._datagrams) >= _MOST_KEPT:
            self._forget()
            self._kept_until = until

    def _forget(self) -> None:
        self._local.clear()
        self._datagrams.clear()

    def _later_closed(self, flow: Flow, reason: str) -> None:
        self._timers.call_at(self._clock.monotonic(), lambda: self._inbound.closed(flow, reason))

    def _listener(self, transport: Transport, remote: str, local: str = "") -> Listener | None:
        """Return the listener whose socket a message to `remote` leaves from, or that it can reach."""
        is_ipv6 = ":" in remote
        fitting = [
            listener
            for listener in self.listeners
            if listener.transport is transport and (":" in listener.address) is is_ipv6
        ]
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        source = self._routes.source(remote)
        return min(
            fitting, key=lambda one: (one.address != local, one.address != source, not one.is_wildcard)
        )

    def _address(self, listener: Listener | None, remote: str) -> tuple[str, int]:
        """Return our address and port towards `remote`."""
        if listener is None:
            # Nothing listens there, but a Via must still name a port: any listener's is the best guess.
            port = next((one.port for one in self.listeners), edge.DEFAULT_PORT)
            return self._routes.source(remote), port
        address = self._routes.source(remote) if listener.is_wildcard else listener.address
        return address, listener.port

    def _socket(self, local: tuple[str, int]) -> UdpSocket | None:
        """Return the socket of a flow's own end; a flow of before a restart gets the nearest one."""
        known = self._socket_of.get(local)
        if known is None:
            family = [pair for pair in self._sockets if (":" in pair[0].address) is (":" in local[0])]
            if not family:
                return None
            nearest = min(
                family,
                key=lambda pair: (
                    (pair[0].address, pair[0].port) != local,
                    pair[0].port != local[1],
                    not pair[0].is_wildcard,
                ),
            )
            if len(self._socket_of) >= _MOST_LOCAL:
                self._socket_of.clear()
            known = self._socket_of[local] = nearest[1]
        return known

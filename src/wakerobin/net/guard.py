"""The gate of the core in the service of the sockets: with a clock, counted, and its bans written down."""

from __future__ import annotations

from wakerobin import log, metrics
from wakerobin.core import gate
from wakerobin.core.values import Flow
from wakerobin.ports.clock import Clock

_RESPONSE = b"SIP/2.0 "

_log = log.get("net")
_SHED = {reason: metrics.SIP_SHED.labels(reason.value) for reason in gate.Shed}


class Guard:
    """Implements `ports.sip.Gatekeeper` for the services, and is asked by the sockets."""

    def __init__(self, clock: Clock, allowed: gate.Gate | None = None) -> None:
        self._clock = clock
        self._gate = allowed or gate.Gate(gate.UNLIMITED)

    # For the sockets

    def admits(self, data: bytes, remote: tuple[str, int]) -> bool:
        """Whether a datagram is to be read at all."""
        cost = gate.RESPONSE if data.startswith(_RESPONSE) else gate.MESSAGE
        shed = self._gate.datagram(remote, cost, self._clock.monotonic())
        if shed is not None:
            _SHED[shed].inc()
        return shed is None

    def pressed(self) -> None:
        """More datagrams wait than are read in a turn of the loop."""
        self._gate.pressed(self._clock.monotonic())

    def refusal(self, address: str, *, is_tls: bool) -> str:
        """Return why a connection is to be closed at once, or nothing."""
        cost = gate.HANDSHAKE if is_tls else gate.CONNECTION
        shed = self._gate.connection(address, cost, self._clock.monotonic())
        return shed.value if shed is not None else ""

    def read(self, flow: Flow, requests: int, responses: int) -> float:
        """Take what a stream has brought; return for how many seconds it is not to be read."""
        cost = requests * gate.MESSAGE + responses * gate.RESPONSE
        return self._gate.read(flow, cost, self._clock.monotonic())

    def is_pbx(self, address: str) -> bool:
        """Whether a PBX, or what is trusted like one, speaks from there."""
        return self._gate.is_pbx(address, self._clock.monotonic())

    def garbage(self, flow: Flow) -> None:
        """Something came that was no message."""
        self._blame(flow, gate.FAULT, "garbage")

    def closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._gate.closed(flow)

    # For the services

    def pbx(self, flow: Flow) -> None:
        """See `Gatekeeper`."""
        self._gate.pbx(flow.remote[0], self._clock.monotonic())

    def proven(self, flow: Flow) -> None:
        """See `Gatekeeper`."""
        self._gate.proven(flow, self._clock.monotonic())

    def blame(self, flow: Flow) -> None:
        """See `Gatekeeper`."""
        self._blame(flow, gate.FAULT, "requests")

    def guessed(self, flow: Flow, *, is_seen: bool) -> None:
        """See `Gatekeeper`."""
        self._blame(flow, gate.GUESS, "guessing", is_seen=is_seen)

    def _blame(self, flow: Flow, cost: float, cause: str, *, is_seen: bool = False) -> None:
        if self._gate.blame(flow, cost, self._clock.monotonic(), is_seen=is_seen):
            metrics.SIP_BANS.labels(cause).inc()
            source = gate.source_of(flow.remote[0])
            _log.warning("source_shut_out", source=source, transport=flow.transport, cause=cause)

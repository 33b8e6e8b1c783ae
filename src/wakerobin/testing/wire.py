"""A network in memory: SIP endpoints that reach each other without sockets, over links that can fail.

Messages pass the same edge check as those of real sockets. They arrive in a later turn of the loop, in
order; time does not pass by itself.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from wakerobin.core.values import Flow, Transport
from wakerobin.net import edge
from wakerobin.ports.sip import SipReceiver

Place = tuple[str, int]


class Wire:
    """Where endpoints meet. `drops` decides which messages are lost: by flow and bytes."""

    def __init__(self) -> None:
        self.drops: Callable[[Flow, bytes], bool] = lambda _flow, _data: False
        self.messages: list[tuple[Flow, bytes]] = []
        """Everything that was sent, lost messages too."""
        self._endpoints: dict[Place, WireEndpoint] = {}
        self._numbers = itertools.count(1)

    def endpoint(self, address: str, port: int = 5060, *, seen_as: Place | None = None) -> WireEndpoint:
        """Make an endpoint. `seen_as` is what a NAT in front of it shows to all others."""
        made = WireEndpoint(self, (address, port), seen_as or (address, port))
        self.place(made)
        return made

    def place(self, endpoint: WireEndpoint) -> None:
        """Let an endpoint be reached at its address, and at the one that it is seen as now."""
        self._endpoints[endpoint.place] = self._endpoints[endpoint.seen_as] = endpoint

    def at(self, place: Place) -> WireEndpoint | None:
        """Return who is reached at a place: nobody while it is down."""
        found = self._endpoints.get(place)
        return None if found is None or found.is_down else found

    def leave(self, place: Place) -> None:
        """Let nobody be reached at a place any more."""
        self._endpoints.pop(place, None)

    def number(self) -> int:
        """Return a connection number that was never used."""
        return next(self._numbers)


class WireEndpoint:
    """Implements `ports.sip.SipEndpoint` for one host with one address and port, UDP and TCP."""

    def __init__(self, wire: Wire, place: Place, seen_as: Place) -> None:
        self.place = place
        self.seen_as = seen_as
        self.is_down = False
        """While it is, nothing arrives here, and connections to it are refused."""
        self.receiver: SipReceiver | None = None
        self._wire = wire
        self._connections: dict[int, tuple[Flow, WireEndpoint]] = {}
        self._shared: dict[tuple[Place, str, int], Flow] = {}

    def send(self, flow: Flow, data: bytes) -> bool:
        """Send; False for a connection that is no more."""
        self._wire.messages.append((flow, data))
        if not flow.connection:
            far = self._wire.at(flow.remote)
            there = Flow(Transport.UDP, flow.remote, self.seen_as)
        elif flow.connection in self._connections:
            there, far = self._connections[flow.connection]
        else:
            return False
        if far is not None and not self._wire.drops(flow, data):
            _soon(far.arrive, data, there)
        return True

    def arrive(self, data: bytes, flow: Flow) -> None:
        """Take what a far end has sent over this flow of ours."""
        if self.receiver is None or self.is_down:
            return
        if edge.is_keep_alive(data):
            self.receiver.heard(flow)
            return
        try:
            message = edge.read(data, flow.remote)
        except edge.RefusedError as refused:
            if refused.answer is not None:
                self.send(flow, refused.answer.encode())
            return
        self.receiver.receive(message, flow)

    def flow_to(
        self, transport: Transport, address: str, port: int, local: str = "", name: str = "", lane: int = 0
    ) -> Flow:
        """Return the flow to a place: for streams the one connection to it by that name, on that lane."""
        remote = (address, port)
        if transport is Transport.UDP:
            return Flow(Transport.UDP, self.place, remote)
        shared = self._shared.get((remote, name, lane))
        if shared is not None and shared.connection in self._connections:
            return shared
        number = self._wire.number()
        flow = Flow(transport, self.place, remote, number)
        far = self._wire.at(remote)
        if far is None:
            _soon(self.closed, flow, "connection refused")
            return flow
        # The far end sees the connection come from a port that nobody listens on.
        source = (self.seen_as[0], 40_000 + number)
        self.join(flow, Flow(transport, remote, source, number), far)
        self._shared[remote, name, lane] = flow
        return flow

    def join(self, flow: Flow, there: Flow, far: WireEndpoint) -> None:
        """Make a connection between this endpoint and the far one."""
        self._connections[flow.connection] = (there, far)
        far._connections[flow.connection] = (flow, self)

    def cut_all(self, reason: str = "the peer closed the connection") -> None:
        """Close every connection, as a restart of this host does; the far ends are told, we are not."""
        for number, (there, far) in tuple(self._connections.items()):
            del self._connections[number]
            far._connections.pop(number, None)
            _soon(far.closed, there, reason)
        self._shared.clear()

    def roam(self, address: str) -> None:
        """Be at another address from now on. What is sent to the old one is lost; nobody is told."""
        for place in (self.place, self.seen_as):
            self._wire.leave(place)
        self.place = self.seen_as = (address, self.place[1])
        self._wire.place(self)
        for number, (there, far) in self._connections.items():
            far._connections[number] = (there, WireEndpoint(self._wire, self.place, self.seen_as))
        self._connections.clear()
        self._shared.clear()

    def closed(self, flow: Flow, reason: str) -> None:
        """Tell the receiver that a flow is no more."""
        if self.receiver is not None:
            self.receiver.flow_closed(flow, reason)

    def local_address(self, transport: Transport, remote: str) -> Place:
        """Return our own address; we do not know of a NAT."""
        return self.place

    def is_open(self, flow: Flow) -> bool:
        """Whether the flow can carry a message."""
        return not flow.connection or flow.connection in self._connections

    def close_flow(self, flow: Flow) -> None:
        """Close a connection; both ends are told."""
        joined = self._connections.pop(flow.connection, None)
        if joined is not None:
            there, far = joined
            far._connections.pop(flow.connection, None)
            _soon(far.closed, there, "the peer closed the connection")
            _soon(self.closed, flow, "closed by this server")


def _soon(callback: Callable[..., None], *args: object) -> None:
    asyncio.get_running_loop().call_soon(callback, *args)

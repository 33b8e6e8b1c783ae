"""Through which address of its PBX each account is bound, and over which connection."""

from __future__ import annotations

from typing import NamedTuple

from wakerobin.core.binding import phase
from wakerobin.core.sip.targets import Target
from wakerobin.core.values import Flow, Transport
from wakerobin.ports.sip import SipEndpoint
from wakerobin.services.fleet.schedule import Roster


class Hop(NamedTuple):
    """A way to a PBX that accounts share: over a stream one connection."""

    transport: Transport
    address: str
    port: int
    name: str = ""
    """What the certificate of a TLS peer must have."""
    lane: int = 0
    """Which of the connections to it."""

    def flow(self, endpoint: SipEndpoint) -> Flow:
        """Return the flow, opened if it is not there."""
        return endpoint.flow_to(self.transport, self.address, self.port, name=self.name, lane=self.lane)


def lane_of(account_id: int, transport: Transport, lanes: int) -> int:
    """Return which connection to its PBX is an account's: always the same, neighbours apart.

    A reset takes one connection and the accounts on it; the others stay bound.
    """
    return int(phase(account_id) * lanes) if transport.is_reliable else 0


def hop_to(target: Target, account_id: int, lanes: int) -> Hop:
    """Return an account's way to a target."""
    transport = Transport(target.transport)
    name = target.name if transport.is_secure else ""
    return Hop(transport, target.address, target.port, name, lane_of(account_id, transport, lanes))


class Hops:
    """Numbers the ways, so that the roster can hold them in a column."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._all: list[Hop] = []
        self._number: dict[Hop, int] = {}
        self._flow: dict[int, Flow] = {}
        self._of_connection: dict[int, int] = {}

    def note(self, row: int, hop: Hop, flow: Flow) -> None:
        """Note that a binding was made by this way, which is this flow now."""
        number = self._number.get(hop)
        if number is None:
            number = self._number[hop] = len(self._all)
            self._all.append(hop)
        self._roster.hop[row] = number
        before = self._flow.get(number)
        if before != flow:
            if before is not None:
                self._of_connection.pop(before.connection, None)
            self._flow[number] = flow
            if flow.connection:
                self._of_connection[flow.connection] = number

    def of(self, row: int) -> Hop | None:
        """Return the way by which a row was bound last."""
        number = self._roster.hop[row]
        return None if number == Roster.NO_HOP else self._all[number]

    def flows(self) -> tuple[Flow, ...]:
        """Return the flows over which bindings were made last, one for each way."""
        return tuple(self._flow.values())

    def cut(self, flow: Flow) -> list[int]:
        """Return the rows that were bound over a connection which is no more: the PBX has forgotten them.

        Asterisk drops a contact together with the connection that it came by.
        """
        number = self._of_connection.pop(flow.connection, None)
        if number is None:
            return []
        del self._flow[number]
        hop = self._roster.hop
        return [row for row in self._roster.rows() if hop[row] == number]

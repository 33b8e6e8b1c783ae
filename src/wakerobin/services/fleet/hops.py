"""Through which address of its PBX each account is bound, and over which connection."""

from __future__ import annotations

from typing import TypeAlias

from wakerobin.core.values import Flow, Transport
from wakerobin.services.fleet.schedule import Roster

Hop: TypeAlias = tuple[Transport, str, int]


class Hops:
    """Numbers the addresses, so that the roster can hold them in a column."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._all: list[Hop] = []
        self._number: dict[Hop, int] = {}
        self._flow: dict[int, Flow] = {}

    def note(self, row: int, flow: Flow) -> None:
        """Note that a binding was made over this flow."""
        hop = (flow.transport, *flow.remote)
        number = self._number.get(hop)
        if number is None:
            number = self._number[hop] = len(self._all)
            self._all.append(hop)
        self._roster.hop[row] = number
        self._flow[number] = flow

    def of(self, row: int) -> Hop | None:
        """Return the address that a row was bound through last."""
        number = self._roster.hop[row]
        return None if number == Roster.NO_HOP else self._all[number]

    def flows(self) -> tuple[Flow, ...]:
        """Return the flows over which bindings were made last, one for each address of a PBX."""
        return tuple(self._flow.values())

    def cut(self, flow: Flow) -> list[int]:
        """Return the rows that were bound over a connection which is no more: the PBX has forgotten them.

        Asterisk drops a contact together with the connection that it came by.
        """
        number = self._number.get((flow.transport, *flow.remote))
        if number is None or not flow.connection or self._flow.get(number) != flow:
            return []
        del self._flow[number]
        hop = self._roster.hop
        return [row for row in self._roster.rows() if hop[row] == number]

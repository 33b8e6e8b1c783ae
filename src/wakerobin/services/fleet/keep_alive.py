"""Keeping the ways from PBXs to us open between refreshes: NATs and firewalls forget in half a minute."""

from __future__ import annotations

from wakerobin.core.values import Flow
from wakerobin.ports.clock import Timer
from wakerobin.services.fleet.hops import Hops
from wakerobin.services.fleet.our_address import OurAddresses
from wakerobin.services.fleet.surroundings import Surroundings

_LEAST_S, _MOST_S = 25.0, 29.0
"""How often: RFC 5626 4.4.1 has 24 to 29 s for what goes through NATs."""
_PING = b"\r\n\r\n"
"""RFC 5626 3.5.1. Over UDP, where that asks for STUN, PBXs drop it unread, which is all that it takes."""


class KeepAlives:
    """Pings the flows that bindings were made over. Costs one timer, and none while nothing needs it."""

    def __init__(self, around: Surroundings, hops: Hops, addresses: OurAddresses) -> None:
        self._around = around
        self._hops = hops
        self._addresses = addresses
        self._timer: Timer | None = None

    def wake(self, flow: Flow) -> None:
        """Begin, if this flow needs it and nothing was kept alive before."""
        if self._timer is None and self._is_needed(flow):
            self._arm()

    def stop(self) -> None:
        """Ping nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        wait_s = _LEAST_S + (_MOST_S - _LEAST_S) * self._around.jitter()
        self._timer = self._around.timers.call_at(self._around.clock.monotonic() + wait_s, self._ping)

    def _ping(self) -> None:
        self._timer = None
        needed = [flow for flow in self._hops.flows() if self._is_needed(flow)]
        for flow in needed:
            self._around.endpoint.send(flow, _PING)
        if needed:
            self._arm()

    def _is_needed(self, flow: Flow) -> bool:
        if flow.connection:
            return self._around.endpoint.is_open(flow)
        return self._addresses.is_learnt(flow)

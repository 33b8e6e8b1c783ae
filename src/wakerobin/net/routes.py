"""Which address of ours a peer sees: the route's, or what the settings say."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

from wakerobin.core.addresses import Network, parse_address
from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.clock import Clock

_FRESH = 60.0
_MOST = 4096


class Routes:
    """Local addresses by peer, remembered for a minute; routes change when a machine moves."""

    def __init__(self, clock: Clock, towards: Mapping[str, str]) -> None:
        self._clock = clock
        self._towards = tuple((_network(text), address) for text, address in towards.items())
        self._known: dict[str, str] = {}
        self._known_until = 0.0

    def configured(self, remote: str) -> str:
        """Return our address as `sip.towards` says it is seen from there, or nothing."""
        address = parse_address(remote) if self._towards else None
        if address is None:
            return ""
        found = [(network, ours) for network, ours in self._towards if address in network]
        # Of several networks the narrowest says it best.
        return max(found, key=lambda pair: pair[0].prefixlen)[1] if found else ""

    def fresh_until(self) -> float:
        """Return until when what was told last holds: whoever keeps it forgets it when this changes."""
        now = self._clock.monotonic()
        if now >= self._known_until or len(self._known) >= _MOST:
            self._known.clear()
            self._known_until = now + _FRESH
        return self._known_until

    def source(self, remote: str) -> str:
        """Return the address that the kernel sends from to `remote`; loopback where there is no route."""
        self.fresh_until()
        known = self._known.get(remote)
        if known is None:
            known = self._known[remote] = _source(remote)
        return known


def _source(remote: str) -> str:
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    try:
        # Connecting a datagram socket sends nothing: it only asks the routing table.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))
            address: str = probe.getsockname()[0]
            return address
    except OSError:
        return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"sip.towards: {text!r} is not a network; write it like 192.168.1.0/24"
        ) from None

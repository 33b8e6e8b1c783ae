"""Who sends a request: the address to count by, and whether what they send can be read on the way."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wakerobin.core.addresses import Address, Network, Reach, parse_address, reach

_WITH_PORT = re.compile(r"(\[[^\]]*\]|[0-9.]+):[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Visitor:
    """The other end of a request, as far as it can be believed."""

    address: str
    """Empty for a Unix socket."""
    is_private: bool
    """Whether nobody can listen in: HTTPS, this machine, or a trusted proxy that speaks HTTPS."""
    is_near: bool
    """Whether it comes from this machine or a private network, and through no proxy that we do not know."""

    @property
    def key(self) -> str:
        """What requests are counted by: the address, of IPv6 the /64 that one customer has."""
        address = parse_address(self.address)
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
        return str(address) if address is not None else self.address


def visitor_of(scope: Mapping[str, Any], trusted: Iterable[Network]) -> Visitor:
    """Return who sent a request. What proxies say counts only where the proxy is trusted."""
    peer = str(scope["client"][0]) if scope.get("client") else ""
    address = parse_address(peer)
    forwarded_for = _values(scope, b"x-forwarded-for")
    if address is None:
        return Visitor(peer, is_private=not peer, is_near=not peer)
    is_https = scope.get("scheme") == "https"
    if not _is_in(address, trusted):
        # A proxy on this machine that nobody named may still say that its own client was not on TLS.
        is_loopback = reach(address) is Reach.LOOPBACK and _is_https_throughout(scope)
        is_near = not forwarded_for and reach(address) in (Reach.LOOPBACK, Reach.PRIVATE)
        return Visitor(str(address), is_private=is_https or is_loopback, is_near=is_near)
    client = _forwarded(address, forwarded_for, trusted)
    if forwarded_for or reach(address) is not Reach.LOOPBACK:
        # It has to say so: one that speaks HTTP, too, would else pass on what anybody could read.
        is_private = bool(_values(scope, b"x-forwarded-proto")) and _is_https_throughout(scope)
    else:
        is_private = _is_https_throughout(scope)
    is_near = reach(client) in (Reach.LOOPBACK, Reach.PRIVATE)
    return Visitor(str(client), is_private=is_private, is_near=is_near)


def _forwarded(peer: Address, chain: list[str], trusted: Iterable[Network]) -> Address:
    """Return the last address on the way that no trusted proxy has: further left anybody may write."""
    known = peer
    for entry in reversed(chain):
        with_port = _WITH_PORT.fullmatch(entry)
        address = parse_address(with_port[1] if with_port else entry)
        if address is None:
            return known
        known = address
        if not _is_in(address, trusted):
            return address
    return known


def _is_https_throughout(scope: Mapping[str, Any]) -> bool:
    return all(proto.lower() == "https" for proto in _values(scope, b"x-forwarded-proto"))


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _values(scope: Mapping[str, Any], name: bytes) -> list[str]:
    lines = [value.decode("latin-1") for header, value in scope["headers"] if header == name]
    return [part.strip() for line in lines for part in line.split(",") if part.strip()]

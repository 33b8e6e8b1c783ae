"""Where this server may send to: the destination policy, and the host patterns of the settings.

An app that enrols names a registrar, a push endpoint or a webhook of its own choice, so the server
must not become a way into the operator's network. `DestinationPolicy` is asked with the *resolved*
address before each connect or datagram: a name that was harmless when it was typed may resolve to
127.0.0.1 when it is used.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Reach(enum.Enum):
    """What kind of address this is; the value is the kind in words."""

    PUBLIC = "a public address"
    PRIVATE = "a private address"
    LOOPBACK = "a loopback address"
    LINK_LOCAL = "a link-local address"
    METADATA = "a cloud metadata service"
    UNSPECIFIED = "the unspecified address"
    MULTICAST = "a multicast or broadcast address"
    RESERVED = "a reserved address"


# Services that hand out a machine's own credentials. Some sit at link-local addresses, some at
# private and one (Azure's) at a public one, so that only a list tells them from others.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    )
)

# In the order in which they are asked: the narrower and stricter ones first.
_RANGES: tuple[tuple[Reach, tuple[Network, ...]], ...] = tuple(
    (reach, tuple(ipaddress.ip_network(text) for text in texts))
    for reach, texts in (
        (Reach.UNSPECIFIED, ("0.0.0.0/8", "::/128")),
        (Reach.LOOPBACK, ("127.0.0.0/8", "::1/128")),
        (Reach.LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
        (Reach.MULTICAST, ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")),
        (
            Reach.PRIVATE,
            (
                "10.0.0.0/8",
                "172.16.0.0/12",
                "192.168.0.0/16",
                "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
                "192.0.0.0/24",  # DS-Lite and other protocol assignments, RFC 6890
                "198.18.0.0/15",  # benchmarking, RFC 2544, in use inside data centres
                "fc00::/7",
                "fec0::/10",  # site-local, deprecated but still routed on old sites
                "64:ff9b:1::/48",  # local-use NAT64, RFC 8215
            ),
        ),
        # Of IPv6 only 2000::/3 is given out; 2001::/23 holds Teredo and other experiments.
        (Reach.RESERVED, ("240.0.0.0/4", "2001::/23", "::/3", "4000::/2", "8000::/1")),
    )
)

# An IPv6 address of full length with brackets and a zone.
_LONGEST_LITERAL = 64

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PATTERN_LABEL = re.compile(r"[a-z0-9_*-]{1,63}")
_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:]+):(?P<port>[0-9]{1,5})")
_LAST_LABEL = re.compile(r"(?![0-9]+$|0x[0-9a-f]*$).+")


def parse_address(text: str) -> Address | None:
    """The IPv4 or IPv6 address that `text` spells, or None; brackets around IPv6 are allowed.

    An IPv6 address that only wraps an IPv4 one (mapped, 6to4, NAT64) comes back as the IPv4
    address: that is where the packet ends.
    """
    # What a peer may send at any length must not fill the cache below.
    return _parse(text) if len(text) <= _LONGEST_LITERAL else None


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    try:
        if text.startswith("[") and text.endswith("]"):
            address: Address = ipaddress.IPv6Address(text[1:-1])
        else:
            address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return _wrapped(address) or address


def _wrapped(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


@lru_cache(maxsize=4096)
def reach(address: Address) -> Reach:
    """What kind of address `address` is."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        address = ipaddress.IPv6Address(int(address))
    if address in _METADATA:
        return Reach.METADATA
    for kind, networks in _RANGES:
        if any(address in network for network in networks):
            return kind
    return Reach.PUBLIC


@dataclass(frozen=True, slots=True)
class DestinationPolicy:
    """Which resolved addresses may be sent to; everything that is not public must be listed.

    `allow_private`: networks of private addresses that are allowed.
    `named`: what is allowed whatever its kind: an address (`127.0.0.1`), a host name as it stands
    in the settings, or `address:port` / `name:port` for that port only.
    `own_listeners`: (address, port) of our own sockets, each local address spelled out; they are
    allowed only where named with the port, so that naming a PBX on 127.0.0.1 does not open our own
    administration on the same address.
    """

    allow_private: tuple[Network, ...] = ()
    named: frozenset[str] = frozenset()
    own_listeners: frozenset[tuple[str, int]] = frozenset()

    def __post_init__(self) -> None:
        # Spellings differ ("::1", "0:0::1", "PBX.lan."), comparisons must not.
        spelled = frozenset(_spelling(text) for text in self.named)
        object.__setattr__(self, "named", spelled)
        own = frozenset((_spelling(address), port) for address, port in self.own_listeners)
        object.__setattr__(self, "own_listeners", own)

    def refusal(self, address: str, port: int, host: str = "") -> str | None:
        """None if this address and port may be sent to, else the reason in words.

        `host` is the name that resolved to the address, where there was one. What is not an
        address at all is refused, too.
        """
        parsed = parse_address(address)
        if parsed is None:
            return f"{address!r} is not an IP address"
        if not 0 < port < 65536:
            return f"{port} is not a port"
        spellings = {str(parsed), _spelling(host)} - {""}
        if any(_with_port(spelling, port) in self.named for spelling in spellings):
            return None
        if (str(parsed), port) in self.own_listeners:
            return f"{address} port {port} is this server itself"
        if not spellings.isdisjoint(self.named):
            return None
        return self._refusal_by_kind(parsed)

    def _refusal_by_kind(self, address: Address) -> str | None:
        kind = reach(address)
        if kind is Reach.PUBLIC:
            return None
        if kind is not Reach.PRIVATE:
            return f"{address} is {kind.value} and is not named in the settings"
        if any(address in network for network in self.allow_private):
            return None
        return f"{address} is {kind.value} that allow_private does not list"


def networks_in(patterns: Iterable[str]) -> tuple[Network, ...]:
    """The patterns that are addresses or networks: a registrar listed by address is allowed."""
    found = (_network(pattern) for pattern in patterns)
    return tuple(network for network in found if network is not None)


def matches_host(pattern: str, host: str) -> bool:
    """Whether `host`, a name or an address literal without port, is one that `pattern` lists.

    Patterns: a name (`pbx.example`); `*.pbx.example`, every name below it, not itself; `*` inside
    a label, which stays inside that label (`sip-*.example`); an address or network
    (`192.168.1.0/24`), which only an address literal can match; `*` alone, any host. What is not a
    host (it contains `/`, `@`, `:` or a blank) matches nothing.
    """
    address = parse_address(host)
    name = _host_name(host) if address is None else ""
    if address is None and not name:
        return False
    if pattern.strip() == "*":
        return True
    network = _network(pattern)
    if address is not None or network is not None:
        return address is not None and network is not None and address in network
    return _matches_name(pattern.strip().lower().removesuffix("."), name)


def is_host_pattern(text: str) -> bool:
    """Whether `text` is a pattern that `matches_host` can match with anything."""
    pattern = text.strip()
    if pattern == "*" or _network(pattern) is not None:
        return True
    return bool(_host_name(pattern.replace("*", "x")))


def _matches_name(pattern: str, name: str) -> bool:
    wanted = pattern.split(".")
    labels = name.split(".")
    if wanted[0] == "*":
        # The leading `*` stands for one label or more; the rest is compared label by label.
        surplus = len(labels) - len(wanted)
        if surplus < 0:
            return False
        wanted, labels = wanted[1:], labels[surplus + 1 :]
    return len(wanted) == len(labels) and all(map(_matches_label, wanted, labels))


def _matches_label(pattern: str, label: str) -> bool:
    if "*" not in pattern:
        return pattern == label
    if _PATTERN_LABEL.fullmatch(pattern) is None:
        return False
    expression = "[a-z0-9_-]*".join(re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(expression, label) is not None


def _host_name(text: str) -> str:
    """The host name in lower case without the final dot, or "" if this is none."""
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return ""
    # "127.1" and "0x7f.1" are addresses to some resolvers; no top-level domain is a number.
    return name if _LAST_LABEL.fullmatch(labels[-1]) else ""


@lru_cache(maxsize=1024)
def _network(pattern: str) -> Network | None:
    text = pattern.strip()
    address = parse_address(text)
    if address is not None:
        return ipaddress.ip_network(address)
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _spelling(text: str) -> str:
    """One spelling for one host: addresses canonical, names lower case, an IPv6 port outside []."""
    text = text.strip()
    with_port = _PORT.fullmatch(text)
    if with_port is not None:
        return _with_port(_spelling(with_port["host"]), int(with_port["port"]))
    address = parse_address(text)
    return str(address) if address is not None else text.lower().removesuffix(".")


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

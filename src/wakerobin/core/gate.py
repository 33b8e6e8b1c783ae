"""How much of this server each sender may take: strangers little, proven phones more, PBXs most.

A source is an IPv4 address or an IPv6 /64. What exceeds its allowance is dropped (datagrams) or read later
(streams). A stranger that sends what is no message, or guesses passwords, is shut out for a while. Over UDP
anybody can write any source into a datagram, so there it hits only datagrams and ends soon; it never hits a
PBX, a phone that has proved itself, or an address where one has. Pure; times are seconds of one clock.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from wakerobin.core.addresses import Network, parse_address
from wakerobin.core.pacing import TokenBucket
from wakerobin.core.values import Flow

MESSAGE = 1.0
RESPONSE = 0.05
"""What answers our own requests: there are no more of them than we asked for."""

CONNECTION = 2.0
HANDSHAKE = 8.0
"""A TLS handshake takes about a millisecond of a core, a refused REGISTER an eighth of that."""

PRESSED_S = 0.5
PRESSED_COST = 10.0
"""Of a stranger's message while more comes than is read: to drop it takes a fiftieth of an answer's time."""

FAULT = 1.0
GUESS = 5.0
FAULTS_AT_ONCE = 100.0
FAULTS_PER_SECOND = 0.1

LONGEST_WAIT_S = 30.0
"""How long a stream that has overspent is not read, at the most."""

FORGEABLE_BAN_S = 30.0
MOST_SOURCES = 20_000
MOST_KNOWN = 50_000
MOST_PHONES = 100_000
MOST_PBXS = 4_096

K = TypeVar("K")
V = TypeVar("V")


class Shed(enum.Enum):
    """Why something was not taken."""

    BANNED = "banned"
    """Its source is shut out for now."""
    SOURCE = "source"
    """Its source has used up its allowance."""
    STRANGERS = "strangers"
    """All strangers together have used up theirs."""
    PHONE = "phone"
    PBX = "pbx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowances:
    """Messages a second, and how many may come at once; how long one is shut out, seconds."""

    source_rate: float = 100.0
    source_burst: float = 250.0
    strangers_rate: float = 1_000.0
    strangers_burst: float = 500.0
    phone_rate: float = 20.0
    phone_burst: float = 200.0
    pbx_rate: float = 10_000.0
    pbx_burst: float = 20_000.0
    ban_s: float = 300.0


UNLIMITED = Allowances(
    **dict.fromkeys(("source_rate", "source_burst", "strangers_rate", "strangers_burst"), 1e12),
    **dict.fromkeys(("phone_rate", "phone_burst", "pbx_rate", "pbx_burst"), 1e12),
    ban_s=0.0,
)


@dataclass(slots=True)
class _Stranger:
    bucket: TokenBucket
    faults: TokenBucket | None = None
    banned_until: float = 0.0


@dataclass(slots=True)
class _Strangers:
    """All of one kind of transport: what is forged over UDP shuts nobody out who comes by a connection."""

    together: TokenBucket
    by_source: dict[str, _Stranger] = field(default_factory=dict)


@lru_cache(maxsize=8192)
def source_of(address: str) -> str:
    """Return what is counted as one sender: the IPv4 address, or the /64 of an IPv6 address."""
    parsed = parse_address(address.partition("%")[0])
    if not isinstance(parsed, ipaddress.IPv6Address):
        return address if parsed is None else str(parsed)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


class Gate:
    """Asked about each datagram, connection and chunk of a stream. All its tables are bounded."""

    def __init__(self, allowances: Allowances, trusted: Collection[Network] = ()) -> None:
        self._allowances = allowances
        self._trusted = tuple(trusted)
        self._pbxs: dict[str, TokenBucket] = {}
        # By address and port for UDP, by the number of the connection for streams.
        self._phones: dict[tuple[str, int] | int, TokenBucket] = {}
        self._known: dict[str, None] = {}
        self._pressed_until = 0.0
        self._by_udp, self._by_stream = (
            _Strangers(TokenBucket(allowances.strangers_rate, allowances.strangers_burst)) for _ in range(2)
        )

    def sizes(self) -> tuple[int, int, int, int, int]:
        """Return how many are remembered: sources by UDP and by stream, proven ones, phones, PBXs."""
        strangers = (len(self._by_udp.by_source), len(self._by_stream.by_source))
        return (*strangers, len(self._known), len(self._phones), len(self._pbxs))

    # Who is who

    def pbx(self, address: str, now: float) -> None:
        """A PBX speaks from this address: it knew what only a PBX of ours can know."""
        if address not in self._pbxs:
            bucket = TokenBucket(self._allowances.pbx_rate, self._allowances.pbx_burst, at=now)
            _put(self._pbxs, address, bucket, MOST_PBXS)

    def proven(self, flow: Flow, now: float) -> None:
        """A phone has shown its password over this flow."""
        source = source_of(flow.remote[0])
        self._known.pop(source, None)
        _put(self._known, source, None, MOST_KNOWN)
        for strangers in (self._by_udp, self._by_stream):
            stranger = strangers.by_source.get(source)
            if stranger is not None:
                stranger.banned_until = 0.0
        if _key(flow) not in self._phones:
            bucket = TokenBucket(self._allowances.phone_rate, self._allowances.phone_burst, at=now)
            _put(self._phones, _key(flow), bucket, MOST_PHONES)

    def closed(self, flow: Flow) -> None:
        """Forget a connection."""
        self._phones.pop(_key(flow), None)

    def is_pbx(self, address: str, now: float) -> bool:
        """Whether a PBX, or what the operator trusts like one, speaks from this address."""
        if address in self._pbxs:
            return True
        if not self._trusted:
            return False
        parsed = parse_address(address)
        if parsed is None or not any(parsed in network for network in self._trusted):
            return False
        self.pbx(address, now)
        return True

    # What may come

    def datagram(self, remote: tuple[str, int], cost: float, now: float) -> Shed | None:
        """Return why a datagram is to be dropped unread, or None."""
        bucket = self._pbxs.get(remote[0])
        if bucket is not None:
            return Shed.PBX if bucket.take(now, cost) else None
        bucket = self._phones.get(remote)
        if bucket is not None:
            return Shed.PHONE if bucket.take(now, cost) else None
        if self._trusted and self.is_pbx(remote[0], now):
            return None
        return self._stranger(self._by_udp, remote[0], MESSAGE, now)

    def pressed(self, now: float) -> None:
        """More datagrams come than are read: for a while strangers get a tenth of their share."""
        self._pressed_until = now + PRESSED_S

    def connection(self, address: str, cost: float, now: float) -> Shed | None:
        """Return why a connection is to be closed at once, or None."""
        if self.is_pbx(address, now):
            return None
        return self._stranger(self._by_stream, address, cost, now)

    def read(self, flow: Flow, cost: float, now: float) -> float:
        """Take what has come over a stream; return for how many seconds no more is to be read from it."""
        bucket = self._pbxs.get(flow.remote[0]) or self._phones.get(flow.connection)
        if bucket is not None:
            return bucket.spend(now, cost, LONGEST_WAIT_S)
        source = source_of(flow.remote[0])
        one = self._entry(self._by_stream, source, now)
        wait = max(one.bucket.spend(now, cost, LONGEST_WAIT_S), one.banned_until - now)
        if source not in self._known:
            wait = max(wait, self._by_stream.together.spend(now, cost, 1.0))
        return min(wait, LONGEST_WAIT_S)

    # What was bad

    def blame(self, flow: Flow, cost: float, now: float, *, is_seen: bool = False) -> bool:
        """A flow brought something bad. True: its source is shut out from now on.

        `is_seen`: it is certain that this source sent it, also over UDP: it answered what went there.
        """
        address = flow.remote[0]
        source = source_of(address)
        if source in self._known or _key(flow) in self._phones or self.is_pbx(address, now):
            return False
        one = self._entry(self._by_stream if flow.connection else self._by_udp, source, now)
        if one.faults is None:
            one.faults = TokenBucket(FAULTS_PER_SECOND, FAULTS_AT_ONCE, at=now)
        if not one.faults.take(now, cost) or not self._allowances.ban_s:
            return False
        began = one.banned_until <= now
        if flow.connection or is_seen:
            one.banned_until = now + self._allowances.ban_s
        else:
            one.banned_until = now + min(self._allowances.ban_s, FORGEABLE_BAN_S)
        if is_seen:
            for strangers in (self._by_udp, self._by_stream):
                self._entry(strangers, source, now).banned_until = one.banned_until
        return began

    def _stranger(self, strangers: _Strangers, address: str, cost: float, now: float) -> Shed | None:
        source = source_of(address)
        one = self._entry(strangers, source, now)
        if one.banned_until > now:
            return Shed.BANNED
        if one.bucket.take(now, cost):
            return Shed.SOURCE
        if source not in self._known:
            if strangers is self._by_udp and now < self._pressed_until:
                cost *= PRESSED_COST
            if strangers.together.take(now, cost):
                return Shed.STRANGERS
        return None

    def _entry(self, strangers: _Strangers, source: str, now: float) -> _Stranger:
        one = strangers.by_source.get(source)
        if one is None:
            allowed = self._allowances
            one = _Stranger(TokenBucket(allowed.source_rate, allowed.source_burst, at=now))
            _put(strangers.by_source, source, one, MOST_SOURCES)
        return one


def _key(flow: Flow) -> tuple[str, int] | int:
    return flow.connection or flow.remote


def _put(table: dict[K, V], key: K, value: V, most: int) -> None:
    """Set it, at the cost of the oldest where the table is full."""
    if len(table) >= most:
        del table[next(iter(table))]
    table[key] = value

"""Where a request goes (RFC 3263 section 4): from a host, port and transport to addresses in their order.

`located` asks and waits for nothing: it yields what it wants to know of the DNS and is sent the answers.
What it returns is the same for everybody; `ordered` draws the order of one account from it.
"""

from __future__ import annotations

import enum
import hashlib
import ipaddress
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

UDP, TCP, TLS, WS, WSS = "udp", "tcp", "tls", "ws", "wss"

_SERVICES = {"SIP+D2U": UDP, "SIP+D2T": TCP, "SIPS+D2T": TLS, "SIP+D2W": WS, "SIPS+D2W": WSS}
_PREFIXES = {UDP: "_sip._udp", TCP: "_sip._tcp", TLS: "_sips._tcp", WS: "_sip._ws", WSS: "_sips._ws"}
_PORTS = {UDP: 5060, TCP: 5060, TLS: 5061, WS: 80, WSS: 443}
_SECURED = {"": TLS, TCP: TLS, TLS: TLS, WS: WSS, WSS: WSS}

_MOST_RECORDS = 16
"""Of a kind that count for one name. Enrolments bring names, and a zone may hold any number of records."""

_MOST_ADDRESSES = 8
_LIGHTEST = 0.01
"""What weight 0 stands for: a very small chance beside any other weight (RFC 2782)."""

_NOT_IN_DNS = ("localhost", "local")


@dataclass(frozen=True, slots=True)
class Destination:
    """What a URI says of where it leads (RFC 3263, 4: the TARGET, and what stands beside it).

    `host` may have brackets; `port` None and `transport` "" are what it does not say.
    """

    host: str
    port: int | None = None
    transport: str = ""
    is_secure: bool = False
    """sips: only TLS, or WebSocket over it, will do."""


@dataclass(frozen=True, slots=True)
class Target:
    """One place to send a request to. `name` is what the certificate of a TLS peer must have (RFC 5922)."""

    transport: str
    address: str
    port: int
    name: str

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.transport}:{address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host that serves a destination. Those of one rank share the load by their weights (RFC 2782)."""

    rank: int
    weight: int
    host: str
    targets: tuple[Target, ...]


class Kind(enum.Enum):
    """What is asked for; of a host's addresses both A and AAAA."""

    NAPTR = "NAPTR"
    SRV = "SRV"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Question:
    """A question for the DNS. `name` is in lower case, without the final dot."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record (RFC 3403)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str
    regexp: str = ""


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record (RFC 2782). Of a service that is not offered `target` is empty: the root."""

    priority: int
    weight: int
    port: int
    target: str


Record: TypeAlias = Naptr | Srv | str
"""A record of an answer; a str is an address."""

Answers: TypeAlias = Mapping[Question, Sequence[Record]]
"""Empty, or left out, where there is no such record, or no answer."""

Asking: TypeAlias = Generator[frozenset[Question], Answers, tuple[Candidate, ...]]


def located(destination: Destination, usable: Sequence[str]) -> Asking:
    """Yield questions, be sent their answers, and return who serves a destination; nobody: it leads nowhere.

    `usable` are the transports that we speak, the one that we like best first.
    """
    host = name_of(destination.host)
    allowed = _allowed(destination, usable)
    if not host or not allowed:
        return ()
    known: dict[Question, Sequence[Record]] = {}
    if is_address(host):
        known[_address(host)] = (host,)
    elif destination.port is not None or not _may_have_services(host):
        yield from _learn(known, [_address(host)])
    else:
        return (yield from _by_services(host, allowed, known, has_said=bool(destination.transport)))
    return _host(host, known, allowed[0], destination.port, host)


def ordered(
    candidates: Iterable[Candidate],
    seed: bytes = b"",
    is_failing: Callable[[Target], bool] = lambda _target: False,
) -> list[Target]:
    """Return where to try, in order; what is failing comes last. The same `seed` draws the same order.

    Lots are drawn by weight as RFC 2782 has it. They hang on the hosts: one that is taken from the zone
    moves nobody but those who had it.
    """
    drawn: dict[Target, None] = {}
    for _, group in groupby(candidates, key=lambda one: one.rank):
        same = list(group)
        if len(same) > 1:
            same.sort(key=lambda one: _lot(one, seed))
        drawn.update((target, None) for one in same for target in one.targets)
    return sorted(drawn, key=is_failing) if len(drawn) > 1 else list(drawn)


def name_of(host: str) -> str:
    """Return the one spelling of a host: lower case, no brackets, no final dot."""
    return host.strip("[]").lower().removesuffix(".")


def is_address(host: str) -> bool:
    """Whether a host is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _allowed(destination: Destination, usable: Sequence[str]) -> list[str]:
    """Return the transports that may be used, the preferred one first (RFC 3263, 4.1)."""
    said = destination.transport
    if destination.is_secure:
        said = _SECURED.get(said, "none")  # there is no sips: over UDP
    if said:
        return [said] if said in usable else []
    if destination.port is not None or is_address(name_of(destination.host)):
        # 4.1: what a port or an address stands beside is spoken to over UDP.
        return [UDP] if UDP in usable else list(usable[:1])
    return list(usable)


def _may_have_services(host: str) -> bool:
    """Whether DNS is the place to ask for its services: not for a bare name, or one of mDNS (RFC 6762)."""
    return "." in host and host.rpartition(".")[2] not in _NOT_IN_DNS


def _by_services(
    host: str, allowed: Sequence[str], known: dict[Question, Sequence[Record]], *, has_said: bool
) -> Asking:
    """Go from a domain to its services; `has_said`: the URI names the transport: no NAPTR then."""
    services = [(transport, Question(Kind.SRV, f"{_PREFIXES[transport]}.{host}")) for transport in allowed]
    naptr = Question(Kind.NAPTR, host)
    # All at once: a second way around the world costs more than a question that was not needed.
    questions = [question for _, question in services]
    yield from _learn(known, [*questions, _address(host), *([] if has_said else [naptr])])
    found = yield from _by_naptr(_rules(known.get(naptr, ()), allowed), known, host)
    if found:
        return found
    offers = [(transport, _services(known[question])) for transport, question in services]
    for transport, offered in offers:
        if any(one.target for one in offered):
            yield from _learn(known, [_address(one.target) for one in offered if one.target])
            return _candidates(offered, known, transport, host, 0)
    if any(offered for _, offered in offers):
        return ()  # RFC 2782: a target of "." says that there is decidedly no such service
    return _host(host, known, allowed[0], None, host)


def _learn(
    known: dict[Question, Sequence[Record]], questions: Iterable[Question]
) -> Generator[frozenset[Question], Answers, None]:
    missing = frozenset(questions) - known.keys()
    if missing:
        answers = yield missing
        known.update((question, answers.get(question, ())) for question in missing)


def _rules(records: Iterable[Record], allowed: Sequence[str]) -> list[tuple[Naptr, str]]:
    """Return the NAPTR records that lead to a transport that may be used, in their order."""
    found = []
    for one in records:
        if not isinstance(one, Naptr) or one.regexp or not one.replacement:
            continue
        transport = _SERVICES.get(one.service.upper(), "")
        if transport in allowed and one.flags.lower() in ("s", "a"):
            found.append((one, transport))
    found.sort(key=lambda rule: (rule[0].order, rule[0].preference))
    return found[:_MOST_RECORDS]


def _by_naptr(rules: list[tuple[Naptr, str]], known: dict[Question, Sequence[Record]], name: str) -> Asking:
    """Follow the rules of the first order that leads anywhere; RFC 3403 4.1 forbids to go beyond it."""
    yield from _learn(known, [_asked_of(rule) for rule, _ in rules])
    offers = [(rule, transport, _services(known[_asked_of(rule)])) for rule, transport in rules]
    yield from _learn(
        known, [_address(one.target) for _, _, offered in offers for one in offered if one.target]
    )
    for _, same_order in groupby(offers, key=lambda offer: offer[0].order):
        found: list[Candidate] = []
        for rule, transport, offered in same_order:
            rank = found[-1].rank + 1 if found else 0
            if rule.flags.lower() == "a":
                found += _host(rule.replacement, known, transport, None, name, rank)
            else:
                found += _candidates(offered, known, transport, name, rank)
        if found:
            return tuple(found)
    return ()


def _asked_of(rule: Naptr) -> Question:
    return Question(Kind.SRV if rule.flags.lower() == "s" else Kind.ADDRESS, rule.replacement)


def _services(records: Iterable[Record]) -> list[Srv]:
    """Return the SRV records that make sense, in the order of their priorities."""
    found = [one for one in records if isinstance(one, Srv) and (one.port or not one.target)]
    found.sort(key=lambda one: one.priority)
    return found[:_MOST_RECORDS]


def _candidates(
    services: Iterable[Srv], known: Answers, transport: str, name: str, rank: int
) -> tuple[Candidate, ...]:
    found: list[Candidate] = []
    for step, (_, same) in enumerate(groupby(services, key=lambda one: one.priority)):
        for one in same:
            targets = tuple(_targets(one.target, known, transport, one.port, name))
            if targets:
                found.append(Candidate(rank + step, one.weight, one.target, targets))
    return tuple(found)


def _host(
    host: str, known: Answers, transport: str, port: int | None, name: str, rank: int = 0
) -> tuple[Candidate, ...]:
    """Return a host that is named itself, by no SRV record."""
    at = _PORTS[transport] if port is None else port
    targets = tuple(_targets(host, known, transport, at, name))
    return (Candidate(rank, 0, host, targets),) if targets else ()


def _targets(host: str, known: Answers, transport: str, port: int, name: str) -> Iterator[Target]:
    addresses = [one for one in known.get(_address(host), ()) if isinstance(one, str)]
    for address in addresses[:_MOST_ADDRESSES]:
        yield Target(transport, address, port, name)


def _address(host: str) -> Question:
    return Question(Kind.ADDRESS, host)


def _lot(candidate: Candidate, seed: bytes) -> float:
    """Return a number that is the smaller the earlier a candidate is drawn.

    Sorting by draws of exponential distributions whose rates are the weights is drawing by weight, one
    after the other, without putting back: RFC 2782's running sums, for a hash in place of dice.
    """
    first = candidate.targets[0]
    text = f"{candidate.host} {first.port} {first.transport}".encode()
    drawn = int.from_bytes(hashlib.blake2b(text, key=seed[:64], digest_size=8).digest(), "big")
    chance = (drawn + 1) / (2**64 + 1)
    return -math.log(chance) / (candidate.weight or _LIGHTEST)

"""The DNS itself, by dnspython: the system's name servers, or those of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from wakerobin import log
from wakerobin.core.addresses import parse_address
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.sip.targets import Kind, Naptr, Question, Record, Srv
from wakerobin.net.resolver.files import Changes
from wakerobin.net.resolver.memory import SHORTEST_S, Found

RESOLV_CONF = "/etc/resolv.conf"

_DNS_PORT = 53
_TRY_S = 1.2
"""After so long without an answer the question goes to the next server, or to the same once more."""

_TRIES = 4
_PAYLOAD = 1232
_TYPES = {
    Kind.NAPTR: (dns.rdatatype.NAPTR,),
    Kind.SRV: (dns.rdatatype.SRV,),
    Kind.ADDRESS: (dns.rdatatype.AAAA, dns.rdatatype.A),
}

_log = log.get("net")


class NameServers:
    """Asks name servers. Without `servers` those of the system, read anew when its file changes.

    `servers` are `address` or `address:port`. Raises ConfigurationError for one that is neither.
    """

    def __init__(
        self, servers: Iterable[str] = (), *, resolv_conf: str = RESOLV_CONF, try_s: float = _TRY_S
    ) -> None:
        self._try_s = try_s
        self._servers = [_server(text) for text in servers]
        self._changes = Changes(resolv_conf)
        self._resolver = self._made() if self._servers else None

    async def answer(self, question: Question) -> Found | None:
        """Return what the DNS has; None where no server answers. Never raises."""
        if not self._servers and self._changes.look():
            self._resolver = self._made()
        resolver = self._resolver
        if resolver is None:
            return None
        kinds = _TYPES[question.kind]
        answers = await asyncio.gather(*(_answer(resolver, question.name, kind) for kind in kinds))
        found = [one for one in answers if one is not None]
        records = tuple(record for one in found for record in one.records)
        if not records and len(found) < len(kinds):
            return None  # that there is nothing must be said of each kind
        return Found(records, min(one.ttl_s for one in found if one.records or not records))

    def _made(self) -> dns.asyncresolver.Resolver | None:
        resolver = dns.asyncresolver.Resolver(configure=False)
        if self._servers:
            resolver.nameservers = list(self._servers)
        else:
            try:
                resolver.read_resolv_conf(self._changes.path)
            except (dns.exception.DNSException, OSError, ValueError) as fault:
                _log.warning("no_name_server", reason=str(fault))
                return None
        resolver.timeout, resolver.lifetime = self._try_s, _TRIES * self._try_s
        resolver.use_edns(0, 0, _PAYLOAD)
        return resolver


async def _answer(
    resolver: dns.asyncresolver.Resolver, name: str, kind: dns.rdatatype.RdataType
) -> Found | None:
    try:
        answer = await resolver.resolve(f"{name}.", kind, raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN as nothing:
        return Found((), _ttl_of_nothing(nothing))
    except (dns.exception.DNSException, OSError, ValueError) as fault:
        _log.debug("dns_did_not_answer", name=name, kind=kind.name, reason=str(fault))
        return None
    records = tuple(_records(answer.rrset or ()))
    return Found(records, float(answer.chaining_result.minimum_ttl))


def _records(rrset: Iterable[Any]) -> Iterator[Record]:
    for one in rrset:
        if one.rdtype == dns.rdatatype.SRV:
            yield Srv(one.priority, one.weight, one.port, _name(one.target))
        elif one.rdtype == dns.rdatatype.NAPTR:
            flags, service, regexp = (_text(part) for part in (one.flags, one.service, one.regexp))
            yield Naptr(one.order, one.preference, flags, service, _name(one.replacement), regexp)
        else:
            yield str(one.address)


def _name(name: dns.name.Name) -> str:
    """Return a name as questions have it; the root is empty."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "replace")


def _ttl_of_nothing(nothing: dns.resolver.NXDOMAIN) -> float:
    """Return how long RFC 2308 lets us believe that there is no such name."""
    try:
        responses = nothing.kwargs["responses"].values()
        return float(min(one.resolve_chaining().minimum_ttl for one in responses))
    except (dns.exception.DNSException, KeyError, ValueError):
        return SHORTEST_S


def _server(text: str) -> dns.nameserver.Nameserver:
    host, separator, port = text.rpartition(":")
    if not separator or parse_address(text) is not None:
        host, port = text, str(_DNS_PORT)
    if parse_address(host) is None or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ConfigurationError(
            f"sip.dns: {text!r} is no name server; write it like 192.0.2.53 or [2001:db8::53]:5353"
        )
    return dns.nameserver.Do53Nameserver(host.strip("[]"), int(port))

"""Which accounts an app may enrol. Pure; every refusal is a problem of the API."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wakerobin.core.addresses import matches_host, parse_address
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip import uri as sip_uri
from wakerobin.core.sip.targets import Candidate, Destination
from wakerobin.core.values import Account, Duration, Transport
from wakerobin.ports.options import AppOptions
from wakerobin.services.enrolment.requests import EnrolRequest, Refusal

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?\Z")
_DEFAULT_PORT = 5060


@dataclass(frozen=True, slots=True)
class _Place:
    host: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """Which account an enrolment names, and where: normalised."""

    aor: str
    registrar: str
    transport: Transport | None


def named(request: EnrolRequest) -> Named | Refusal:
    """Return what a request names, or the first thing in it that is none."""
    aor = normal_aor(request.aor)
    if isinstance(aor, Refusal):
        return aor
    registrar = normal_registrar(request.registrar)
    if isinstance(registrar, Refusal):
        return registrar
    transport = transport_of(request.transport)
    return transport if isinstance(transport, Refusal) else Named(aor, registrar, transport)


def normal_aor(text: str) -> str | Refusal:
    """Return `sip:user@domain`, normalised."""
    try:
        aor = sip_uri.aor(text)
    except SipSyntaxError:
        return Refusal("invalid-field", "must be a SIP address such as sip:user@domain", "/aor")
    user, _, domain = aor.removeprefix("sip:").rpartition("@")
    if not user or not domain:
        return Refusal("invalid-field", "must name a user and a domain", "/aor")
    return f"sip:{user}@{_one_spelling(domain)}"


def normal_registrar(text: str) -> str | Refusal:
    """Return `host[:port]` in lower case; empty stays empty."""
    if not text:
        return ""
    shape = _HOST_PORT.match(text)
    if shape is None or (shape.group(2) and not 0 < int(shape.group(2)) < 65536):
        return Refusal("invalid-field", "must be host or host:port", "/registrar")
    port = f":{int(shape.group(2))}" if shape.group(2) else ""
    return f"{_one_spelling(shape.group(1))}{port}"


def asked_of_dns(app: AppOptions, named: Named) -> Destination | None:
    """Return what DNS is asked for the hosts of an allowed domain; None: this one is not allowed."""
    domain = named.aor.rpartition("@")[2]
    return Destination(domain, None, named.transport or "") if _is_listed(app, domain) else None


def refusal_of_registrar(
    app: AppOptions, request: EnrolRequest, aor: str, registrar: str, said: Iterable[Candidate] = ()
) -> Refusal | None:
    """Return why this app may not enrol at that registrar.

    Every host on the way must be allowed by the operator, or be one that DNS says serves the domain
    (`said`), at the port that it says.
    """
    if not app.registrars:
        return Refusal("enrolment-closed", "the operator has allowed no registrar for this app")
    places = [_Place(aor.rpartition("@")[2])]
    if registrar:
        places.append(_place(registrar))
    if request.outbound_proxy:
        try:
            proxy = sip_uri.SipUri.parse(request.outbound_proxy)
        except SipSyntaxError:
            return Refusal("invalid-field", "must be a SIP URI", "/outbound_proxy")
        if proxy.scheme != "sip":
            return Refusal("registrar-unusable", "only sip: is spoken to PBXs", "/outbound_proxy")
        places.append(_Place(proxy.host.lower(), proxy.port))
    serving = set(_served(said))
    for place in places:
        if not _is_listed(app, place.host) and place not in serving:
            return Refusal("registrar-not-allowed", "ask the operator to allow this PBX for the app")
    return None


def _is_listed(app: AppOptions, host: str) -> bool:
    return any(matches_host(pattern, host.strip("[]")) for pattern in app.registrars)


def _served(said: Iterable[Candidate]) -> Iterator[_Place]:
    """Yield the places of a domain as an enrolment may name them: host or address, with port or without."""
    for one in said:
        for target in one.targets:
            address = f"[{target.address}]" if ":" in target.address else target.address
            for host in (one.host, address):
                yield _Place(host)
                yield _Place(host, target.port)


def transport_of(text: str) -> Transport | Refusal | None:
    """Return the transport to the PBX that an app asks for; None: what DNS says."""
    if not text:
        return None
    if text in ("udp", "tcp", "tls"):
        return Transport(text)
    return Refusal("registrar-unusable", "udp, tcp and tls are spoken to PBXs", "/transport")


def lifetime_of(app: AppOptions, asked_s: int | None) -> Duration:
    """Return the lifetime, clamped to the operator's bounds; the answer says what it became.

    The app's own is always within them.
    """
    own = app.lifetime.lifetime
    if asked_s is None:
        return own
    shortest, longest = min(app.lifetime.lifetime_min, own), max(app.lifetime.lifetime_max, own)
    return Duration(max(shortest, min(asked_s * 1000, longest)))


def conflicts(account: Account, registrar: str) -> bool:
    """Whether an account of this AOR is proven at another registrar."""
    domain = account.aor.rpartition("@")[2]
    return account.proven and _with_port(account.registrar or domain) != _with_port(registrar or domain)


def _with_port(registrar: str) -> str:
    shape = _HOST_PORT.match(registrar)
    return registrar if shape is None or shape.group(2) else f"{registrar}:{_DEFAULT_PORT}"


def _one_spelling(host: str) -> str:
    """Return a host as all its spellings are kept: one PBX must not be taken for two."""
    address = parse_address(host) if host.startswith("[") else None
    if isinstance(address, ipaddress.IPv6Address):
        return f"[{address}]"
    return host.lower().removesuffix(".")


def _place(host_port: str) -> _Place:
    shape = _HOST_PORT.match(host_port)
    assert shape is not None
    return _Place(shape.group(1), int(shape.group(2)) if shape.group(2) else None)

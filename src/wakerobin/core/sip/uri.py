"""SIP, tel and other URIs (RFC 3261 section 19.1, RFC 3966): read, written, compared."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.grammar import HOST, PORT, SCHEME, parse_port

Params = tuple[tuple[str, str | None], ...]

_SCHEME = re.compile(rf"({SCHEME}):")
# Wider than the ABNF: "sip:*21#@pbx" is dialled every day. Nothing that would end a name-addr.
# A user may be empty: gateways write "sip:@10.0.0.1" for a caller who hides the number.
_USERINFO = re.compile(r"(?:([^\x00-\x20\x7f@:<>\"]++)(?::([^\x00-\x20\x7f@<>\"]*+))?+)?+@")
_HOSTPORT = re.compile(rf"({HOST})(?::({PORT}))?+")
_PARAM = re.compile(r";([^\x00-\x20\x7f;?=<>\"]++)(?:=([^\x00-\x20\x7f;?<>\"]*+))?+")
_NUMBER = re.compile(r"[^\x00-\x20\x7f;?@<>\"]++")
_HEADERS = re.compile(r"\?([^\x00-\x20\x7f<>\"]++)")
_OPAQUE = re.compile(r"[^\x00-\x20\x7f<>\"]++\Z")
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
# 19.1.4 names user, ttl, method and maddr, and its examples make transport another.
_NEVER_IGNORED = ("user", "ttl", "method", "maddr", "transport")
_LONGEST_KEPT = 256
_VISUAL_SEPARATORS = str.maketrans("", "", "-.()")


@dataclass(frozen=True, slots=True)
class SipUri:
    """A URI, kept as written (escapes, case of the host) except that the scheme is lower case.

    `user` is "" and `password` None where there is none; an IPv6 `host` keeps its brackets;
    `headers` is what follows "?". Of a `tel:` URI `user` is the number and `host` is "". Of any
    scheme that is not sip, sips or tel only `scheme` and `opaque` say something.
    """

    scheme: str
    user: str = ""
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Params = ()
    headers: str = ""
    opaque: str = ""

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Read a URI. Raises SipSyntaxError for one that breaks the grammar."""
        return _kept(text) if len(text) <= _LONGEST_KEPT else _parse(text)

    def __str__(self) -> str:
        if self.opaque:
            return f"{self.scheme}:{self.opaque}"
        text = f"{self.scheme}:{self.user}"
        if self.password is not None:
            text += f":{self.password}"
        if self.host:
            text += f"@{self.host}" if self.user else self.host
        if self.port is not None:
            text += f":{self.port}"
        for name, value in self.params:
            text += f";{name}" if value is None else f";{name}={value}"
        return f"{text}?{self.headers}" if self.headers else text

    def param(self, name: str) -> str | None:
        """Return a parameter's value as written; None if it is absent or has no value."""
        wanted = name.lower()
        for given, value in self.params:
            if given.lower() == wanted:
                return value
        return None

    def has_param(self, name: str) -> bool:
        """Tell whether a parameter is there, with a value or without (`;lr`, `;ob`)."""
        wanted = name.lower()
        return any(given.lower() == wanted for given, _ in self.params)

    def with_params(self, params: Mapping[str, str | None] | None = None, /, **named: str | None) -> SipUri:
        """Return a copy with these parameters set; they stand last, in the order given."""
        changes = {**(params or {}), **named}
        kept = self.without(*changes)
        return replace(kept, params=(*kept.params, *changes.items()))

    def without(self, *names: str) -> SipUri:
        """Return a copy that lacks the named parameters."""
        unwanted = {name.lower() for name in names}
        return replace(self, params=tuple(param for param in self.params if param[0].lower() not in unwanted))


def _parse(text: str) -> SipUri:
    match = _SCHEME.match(text)
    if not match:
        raise SipSyntaxError("A URI must begin with a scheme")
    scheme = match.group(1).lower()
    position = match.end()
    if scheme in ("sip", "sips"):
        return _parse_sip(scheme, text, position)
    if scheme == "tel":
        return _parse_tel(text, position)
    opaque = _OPAQUE.match(text, position)
    if not opaque:
        raise SipSyntaxError("A URI must not be empty or hold white space, quotes or brackets")
    return SipUri(scheme, opaque=opaque.group())


# A call brings each of its URIs fifteen times: to be known again takes a tenth of reading it.
_kept = lru_cache(maxsize=2048)(_parse)


def equivalent(first: str | SipUri, second: str | SipUri) -> bool:
    """Compare two URIs by the rules of RFC 3261 section 19.1.4. Raises SipSyntaxError."""
    a = SipUri.parse(first) if isinstance(first, str) else first
    b = SipUri.parse(second) if isinstance(second, str) else second
    if a.scheme != b.scheme:
        return False
    if a.opaque or b.opaque:
        return a.opaque == b.opaque
    if a.scheme == "tel":
        return _number(a) == _number(b) and _comparable(a.params) == _comparable(b.params)
    return (
        _normal(a.user) == _normal(b.user)
        and _normal(a.password or "") == _normal(b.password or "")
        and (a.password is None) == (b.password is None)
        and a.host.lower() == b.host.lower()
        and a.port == b.port
        and _params_match(a, b)
        and _comparable_headers(a.headers) == _comparable_headers(b.headers)
    )


def aor(text: str) -> str:
    """Return the address of record, `sip:user@host`: what an account is found by.

    The host is in lower case; port, password, parameters and headers are gone; needless escapes
    are undone; `sips:` names the same account as `sip:`. Raises SipSyntaxError, also for a URI
    that is not SIP's.
    """
    uri = SipUri.parse(text)
    if not uri.host:
        raise SipSyntaxError("An address of record is a SIP URI", 416)
    user = _normal(uri.user)
    host = uri.host.lower()
    return f"sip:{user}@{host}" if user else f"sip:{host}"


def _parse_sip(scheme: str, text: str, position: int) -> SipUri:
    user, password = "", None
    userinfo = _USERINFO.match(text, position)
    if userinfo:
        user, password = userinfo.group(1) or "", userinfo.group(2)
        position = userinfo.end()
    hostport = _HOSTPORT.match(text, position)
    if not hostport:
        raise SipSyntaxError("A SIP URI must name a host")
    host = checked_host(hostport.group(1))
    port = parse_port(hostport.group(2))
    params, position = _parse_params(text, hostport.end())
    headers = ""
    asked = _HEADERS.match(text, position)
    if asked:
        headers = asked.group(1)
        position = asked.end()
    if position != len(text):
        raise SipSyntaxError("A SIP URI holds something that does not belong there")
    return SipUri(scheme, user, password, host, port, params, headers)


def checked_host(host: str) -> str:
    """Return the host as it is. Raises SipSyntaxError for brackets without an IPv6 address."""
    if host[0] == "[":
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise SipSyntaxError("The brackets hold no IPv6 address") from None
    return host


def _parse_tel(text: str, position: int) -> SipUri:
    number = _NUMBER.match(text, position)
    if not number:
        raise SipSyntaxError("A tel URI must hold a number")
    params, end = _parse_params(text, number.end())
    if end != len(text):
        raise SipSyntaxError("A tel URI holds something that does not belong there")
    return SipUri("tel", number.group(), params=params)


def _parse_params(text: str, position: int) -> tuple[Params, int]:
    params: list[tuple[str, str | None]] = []
    match = _PARAM.match(text, position)
    while match:
        params.append((match.group(1), match.group(2)))
        position = match.end()
        match = _PARAM.match(text, position)
    return tuple(params), position


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match.group(1), 16))
    return character if character in _UNRESERVED else match.group().upper()


def _normal(text: str) -> str:
    """Undo the escapes that were not needed and spell the others alike (19.1.2)."""
    return _ESCAPED.sub(_unescape, text) if "%" in text else text


def _comparable(params: Params) -> dict[str, str]:
    """Parameters for comparison, without case; of a repeated name the first counts."""
    comparable: dict[str, str] = {}
    for name, value in params:
        comparable.setdefault(_normal(name).lower(), _normal(value or "").lower())
    return comparable


def _params_match(a: SipUri, b: SipUri) -> bool:
    ours, theirs = _comparable(a.params), _comparable(b.params)
    if any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys()):
        return False
    return all((name in ours) == (name in theirs) for name in _NEVER_IGNORED)


def _comparable_headers(headers: str) -> list[tuple[str, str]]:
    pairs = (header.partition("=") for header in headers.split("&") if header)
    return sorted((_normal(name).lower(), _normal(value)) for name, _, value in pairs)


def _number(uri: SipUri) -> str:
    return uri.user.translate(_VISUAL_SEPARATORS).lower()

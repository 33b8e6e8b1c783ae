"""Header names and the typed values behind them (RFC 3261 section 20)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.grammar import (
    HOST,
    PORT,
    QUOTED_STRING,
    SCHEME,
    SWS,
    TOKEN,
    format_params,
    is_token,
    parse_params,
    parse_port,
    quote,
    unquote,
)
from wakerobin.core.sip.uri import checked_host

_COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
# fmt: off
_WIRE_NAMES = (
    "Accept", "Accept-Contact", "Alert-Info", "Allow", "Allow-Events", "Authentication-Info",
    "Authorization", "Call-ID", "Call-Info", "Contact", "Content-Disposition", "Content-Encoding",
    "Content-Length", "Content-Type", "CSeq", "Date", "Diversion", "Event", "Expires",
    "Feature-Caps", "Flow-Timer", "From", "History-Info", "Identity", "In-Reply-To",
    "Max-Breadth", "Max-Forwards", "MIME-Version", "Min-Expires", "Min-SE", "P-Asserted-Identity",
    "P-Called-Party-ID", "P-Preferred-Identity", "Path", "Privacy", "Proxy-Authenticate",
    "Proxy-Authorization", "Proxy-Require", "RAck", "Reason", "Record-Route", "Refer-To",
    "Referred-By", "Reject-Contact", "Remote-Party-ID", "Replaces", "Request-Disposition",
    "Require", "Retry-After", "Route", "RSeq", "Server", "Service-Route", "Session-Expires",
    "SIP-ETag", "SIP-If-Match", "Subject", "Subscription-State", "Supported", "Timestamp", "To",
    "Unsupported", "User-Agent", "Via", "Warning", "WWW-Authenticate",
)
# fmt: on
_ON_THE_WIRE = {name.lower(): name for name in _WIRE_NAMES}


class _CanonicalNames(dict[str, str]):
    """Names that are written in an unusual way, and unknown ones, are worked out and not kept."""

    def __missing__(self, name: str) -> str:
        lower = name.lower()
        return _COMPACT.get(lower, lower)


CANONICAL: Mapping[str, str] = _CanonicalNames(
    {
        **_COMPACT,
        **{compact.upper(): name for compact, name in _COMPACT.items()},
        **{name: name.lower() for name in _WIRE_NAMES},
        **{name: name for name in _ON_THE_WIRE},
    }
)
"""`CANONICAL[name]` is `canonical_name(name)` for a third of its time; it has every name."""

_LONGEST_REASON = 200
_LONGEST_KEPT = 256

_VIA = re.compile(
    rf"{SWS}SIP{SWS}/{SWS}2\.0{SWS}/{SWS}({TOKEN})[ \t\r\n]++({HOST})(?:{SWS}:{SWS}({PORT}))?+",
    re.IGNORECASE | re.ASCII,
)
# The display name is anything unquoted (umlauts, dots) that holds none of the characters which
# would make the rest ambiguous. A URI without brackets may hold no ";", "," or "?" (20.10).
_NAME_ADDR = re.compile(
    rf"{SWS}(?:({QUOTED_STRING}|[^<>\",;:]*+){SWS}<({SCHEME}:[^ \t\r\n<>\"]++)>"
    rf"|({SCHEME}:[^ \t\r\n<>,;?\"]++|\*))",
    re.DOTALL,
)
# What nearly all peers send, each a part of what the two patterns above and the parameters of the grammar
# allow: the edge check looks at it in one step and builds nothing (a fifth of the time).
_PLAIN_VIA = re.compile(
    r"SIP/2\.0/[A-Z]++ [A-Za-z0-9][A-Za-z0-9.\-]*+"
    r"(?::(?:6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})(?![0-9]))?+"
    r"(?:;(?!branch[=;])[a-z]++(?:=[^ \t\r\n;,\"]++)?+)*+;branch=([^ \t\r\n;,\"]++)"
    r"(?:;[a-z]++(?:=[^ \t\r\n;,\"]++)?+)*+\Z"
)
_PLAIN_ADDRESS = re.compile(rf"<{SCHEME}:[^ \t\r\n<>\"]++>(?:;tag=[^ \t\r\n;,\"]++)?+\Z")
_NEXT = re.compile(rf"{SWS}(,|\Z)")
_CSEQ = re.compile(rf"([0-9]{{1,10}}+)[ \t\r\n]++({TOKEN})\Z")
_DELTA_SECONDS = re.compile(rf"{SWS}([0-9]++){SWS}(?:[;(].*)?+\Z", re.DOTALL)
_AUTH_SCHEME = re.compile(rf"[ \t\r\n,]*+({TOKEN})(?:[ \t\r\n]++|\Z)(?!=)")
_AUTH_PARAM = re.compile(
    rf"[ \t\r\n,]*+({TOKEN}){SWS}={SWS}(?:({QUOTED_STRING})|([^ \t\r\n,\"]*+)){SWS}(?=,|\Z)", re.DOTALL
)
_NOTHING_MORE = re.compile(r"[ \t\r\n,]*+\Z")
_TOKEN68 = re.compile(rf"{SWS}[A-Za-z0-9\-._~+/]++=*+{SWS}(?=,|\Z)")

_LONGEST_DELTA = 2**32 - 1


def canonical_name(name: str) -> str:
    """Return a header name in lower case and in full: `v`, `VIA` and `Via` are all `via`."""
    return CANONICAL[name]


def received_name(name: str) -> str | None:
    """Return the canonical name of a header as received, or None if it is no header name.

    White space before the colon is not part of the name (7.3.1).
    """
    known = CANONICAL.get(name)
    if known is not None:
        return known
    name = name.rstrip(" \t")
    return canonical_name(name) if is_token(name) else None


def wire_name(name: str) -> str:
    """Return a header name as it is usually written; an unknown one as the caller wrote it."""
    canonical = CANONICAL[name]
    return _ON_THE_WIRE.get(canonical) or (name.title() if name.islower() else name)


def plain_branch(value: str) -> str | None:
    """Return the branch of a Via line that is well formed beyond doubt; None: parse it to know more."""
    match = _PLAIN_VIA.match(value)
    return match.group(1) if match else None


def is_plain_address(value: str) -> bool:
    """Tell whether a line holds one address that is well formed beyond doubt; else parse it to know."""
    return _PLAIN_ADDRESS.match(value) is not None


@dataclass(frozen=True, slots=True)
class Via:
    """One hop of a Via header (20.42). An IPv6 `host` keeps its brackets."""

    protocol_transport: str
    host: str
    port: int | None = None
    params: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def parse_all(cls, value: str) -> list[Via]:
        """Read all hops of one header line. Raises SipSyntaxError."""
        hops: list[Via] = []
        position = 0
        while position >= 0:
            hop, position = _next_via(value, position)
            hops.append(hop)
        return hops

    @classmethod
    def parse_first(cls, value: str) -> Via:
        """Read the topmost hop of one header line. Raises SipSyntaxError."""
        return _next_via(value, 0)[0]

    @property
    def transport(self) -> str:
        """The transport in upper case: UDP, TCP, TLS, WS, WSS or something unknown."""
        return self.protocol_transport.upper()

    @property
    def branch(self) -> str | None:
        """The transaction's name; None or RFC 2543's where it lacks the magic cookie."""
        return self.params.get("branch") or None

    @property
    def received(self) -> str | None:
        """The address that the request came from, without brackets (18.2.1)."""
        value = self.params.get("received")
        return value.strip("[]") or None if value else None

    @property
    def rport(self) -> int | None:
        """The port that the request came from (RFC 3581); None if only asked for, or nonsense."""
        value = self.params.get("rport")
        if not value or len(value) > 5 or not (value.isascii() and value.isdigit()):
            return None
        return int(value) if 1 <= int(value) <= 65535 else None

    def with_params(self, params: Mapping[str, str | None] | None = None, /, **named: str | None) -> Via:
        """Return a copy with these parameters set, as `received` and `rport` are."""
        return replace(self, params={**self.params, **(params or {}), **named})

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        head = f"SIP/2.0/{self.protocol_transport} {self.host}{port}"
        return head + format_params(self.params)


def _next_via(value: str, position: int) -> tuple[Via, int]:
    """Read a hop; return it and where the next one begins, or -1."""
    match = _VIA.match(value, position)
    if not match:
        raise SipSyntaxError("Via is malformed")
    transport, host, port = match.groups()
    params, position = parse_params(value, match.end())
    via = Via(transport, checked_host(host), parse_port(port), params)
    return via, _next_position(value, position, "Via")


def _next_position(value: str, position: int, what: str) -> int:
    end = _NEXT.match(value, position)
    if not end:
        raise SipSyntaxError(f"{what} is malformed")
    return end.end() if end.group(1) else -1


@dataclass(frozen=True, slots=True)
class NameAddr:
    """An address with its parameters: From, To, Contact, Route and their like (20.10).

    `display` is what the quoted name says, "" without one; `uri` is as written and `*` in
    `Contact: *`. Parameter names are in lower case, values as written, quotation marks included.
    """

    display: str
    uri: str
    params: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: str) -> NameAddr:
        """Read a header line that holds one address. Raises SipSyntaxError, also for two."""
        return _kept_address(value) if len(value) <= _LONGEST_KEPT else _sole_address(value)

    @classmethod
    def parse_all(cls, value: str) -> list[NameAddr]:
        """Read all addresses of one header line. Raises SipSyntaxError."""
        addresses: list[NameAddr] = []
        position = 0
        while position >= 0:
            address, position = _next_address(value, position)
            addresses.append(address)
        return addresses

    @property
    def tag(self) -> str | None:
        """The party's half of the dialog's name; None without one."""
        return self.params.get("tag") or None

    def with_params(self, params: Mapping[str, str | None] | None = None, /, **named: str | None) -> NameAddr:
        """Return a copy with these header parameters set."""
        return replace(self, params={**self.params, **(params or {}), **named})

    def __str__(self) -> str:
        if self.uri == "*":
            return "*"
        name = f"{quote(self.display)} " if self.display else ""
        return f"{name}<{self.uri}>{format_params(self.params)}"


def _sole_address(value: str) -> NameAddr:
    address, position = _next_address(value, 0)
    if position >= 0:
        raise SipSyntaxError("Only one address may stand here")
    return address


# From, To and Route come again with each message of a call: to know them takes a tenth of reading them.
_kept_address = lru_cache(maxsize=2048)(_sole_address)


def _next_address(value: str, position: int) -> tuple[NameAddr, int]:
    """Read an address; return it and where the next one begins, or -1."""
    match = _NAME_ADDR.match(value, position)
    if not match:
        raise SipSyntaxError("An address is malformed")
    display, bracketed, bare = match.groups()
    params, position = parse_params(value, match.end())
    shown = unquote(display.strip(" \t\r\n")) if display else ""
    return NameAddr(shown, bracketed or bare, params), _next_position(value, position, "An address")


@dataclass(frozen=True, slots=True)
class CSeq:
    """The sequence number, below 2**31, and the method it numbers (20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, value: str) -> CSeq:
        """Read a CSeq. Raises SipSyntaxError."""
        match = _CSEQ.match(value)
        if not match:
            raise SipSyntaxError("CSeq is malformed")
        number = int(match.group(1))
        if number >= 1 << 31:
            raise SipSyntaxError("The number in CSeq must be below 2**31")
        return cls(number, match.group(2))

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def delta_seconds(value: str) -> int | None:
    """Read a number of seconds as in Expires or Retry-After, comments and parameters left aside.

    More than 2**32 - 1 counts as that (20.19); None for anything that is no number.
    """
    match = _DELTA_SECONDS.match(value)
    if not match:
        return None
    digits = match.group(1).lstrip("0")
    return min(int(digits or "0"), _LONGEST_DELTA) if len(digits) <= 10 else _LONGEST_DELTA


def auth_params(value: str) -> tuple[str, dict[str, str]]:
    """Read one challenge or one set of credentials: the scheme in lower case, and the parameters.

    Parameter names are in lower case, values without their quotation marks; of a repeated name
    the first counts. Raises SipSyntaxError, also where a second challenge follows.
    """
    challenges = auth_params_all(value)
    if len(challenges) != 1:
        raise SipSyntaxError("Only one set of credentials may stand here")
    return challenges[0]


def auth_params_all(value: str) -> list[tuple[str, dict[str, str]]]:
    """Read all challenges of one header line (RFC 7235 lets several share it), as `auth_params`."""
    challenges: list[tuple[str, dict[str, str]]] = []
    position = 0
    while not _NOTHING_MORE.match(value, position):
        scheme = _AUTH_SCHEME.match(value, position)
        if not scheme:
            raise SipSyntaxError("An authentication scheme is missing")
        params, position = _auth_params_from(value, scheme.end())
        challenges.append((scheme.group(1).lower(), params))
    if not challenges:
        raise SipSyntaxError("An authentication scheme is missing")
    return challenges


def _auth_params_from(value: str, position: int) -> tuple[dict[str, str], int]:
    """Read parameters until another scheme begins. `Basic` brings a lone token instead."""
    params: dict[str, str] = {}
    lone = _TOKEN68.match(value, position)
    if lone:
        return params, lone.end()
    match = _AUTH_PARAM.match(value, position)
    while match is not None:
        name, quoted, plain = match.groups()
        params.setdefault(name.lower(), plain if quoted is None else unquote(quoted))
        position = match.end()
        match = _AUTH_PARAM.match(value, position)
    return params, position


def reason_value(status: int, text: str = "") -> str:
    """Return a Reason header for a SIP status (RFC 3326), whatever a stranger put into `text`.

    Line breaks and other controls become spaces, octets that are no UTF-8 question marks.
    """
    said = text.encode("utf-8", "replace").decode("utf-8")
    said = " ".join("".join(c if c.isprintable() else " " for c in said).split())[:_LONGEST_REASON]
    return f"SIP;cause={status};text={quote(said)}" if said else f"SIP;cause={status}"

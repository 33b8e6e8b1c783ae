"""The small pieces of SIP's grammar (RFC 3261 section 25.1) that headers and URIs are read with.

The upper-case constants are regular-expression fragments named after the ABNF, widened only where
real peers break it harmlessly. No fragment can backtrack: reading is linear in the length of the
text, whatever a stranger sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from wakerobin.core.errors import SipSyntaxError

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]++"  # noqa: S105 - the ABNF's word, no password
SWS = r"[ \t\r\n]*+"
QUOTED_STRING = r'"(?:[^"\\]|\\.)*+"'
# Underscores are no host name, but "pbx_1.local" is what people call their PBX.
HOSTNAME = r"[A-Za-z0-9_][A-Za-z0-9._\-]*+"
IPV6_REFERENCE = r"\[[0-9A-Fa-f:.]++\]"
HOST = rf"(?:{IPV6_REFERENCE}|{HOSTNAME})"
PORT = r"[0-9]{1,5}+"
SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*+"

# generic-param. A value may hold "=" and ":" unquoted: base64 branches and "received=2001:db8::2".
_PARAM = re.compile(
    rf"{SWS};{SWS}([^ \t\r\n;=,\"<>]++)(?:{SWS}={SWS}({QUOTED_STRING}|[^ \t\r\n;,\"]*+))?+", re.DOTALL
)
_TOKEN_ONLY = re.compile(rf"{TOKEN}\Z")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r'(["\\])')
# What nearly all parameters look like, up to the end of the text: these are cut apart without a pattern.
_PLAIN_PARAMS = re.compile(r"(?:;[^ \t\r\n;=,\"<>]++(?:=[^ \t\r\n;,\"<>]*+)?+)*+\Z")
# An open quotation mark runs to the end: what follows it cannot be told apart from quoted text.
_LIST_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*+(?:"|\\?+\Z)|<[^<>]*+>|[^,"<]++|<)*+', re.DOTALL)


def is_token(text: str) -> bool:
    """Tell whether the text is a `token`: what methods, header names and tags are made of."""
    return _TOKEN_ONLY.match(text) is not None


def quote(text: str) -> str:
    """Return the text as a `quoted-string`."""
    if '"' in text or "\\" in text:
        text = _TO_ESCAPE.sub(r"\\\1", text)
    return f'"{text}"'


def unquote(text: str) -> str:
    """Return what a `quoted-string` says; a text without quotation marks is returned as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner


def split_list(value: str) -> list[str]:
    """Split a header value at its commas, but not at those within quotation marks or `<>`.

    Empty elements are dropped, and the white space around each one.
    """
    if "," not in value:
        alone = value.strip(" \t\r\n")
        return [alone] if alone else []
    items = []
    position = 0
    while position <= len(value):
        match = _LIST_ITEM.match(value, position)
        assert match is not None  # the pattern can match nothing at all
        item = match.group().strip(" \t\r\n")
        if item:
            items.append(item)
        position = match.end() + 1
    return items


def parse_params(text: str, position: int = 0) -> tuple[dict[str, str | None], int]:
    """Read `;name=value` parameters from a position on; return them and where they end.

    Names are lower-cased. Values stay as written, quotation marks included; a parameter without
    "=" has None. Of a repeated name the first counts.
    """
    params: dict[str, str | None] = {}
    if _PLAIN_PARAMS.match(text, position):
        for param in text[position + 1 :].split(";"):
            name, equals, value = param.partition("=")
            if name:
                params.setdefault(name.lower(), value if equals else None)
        return params, len(text)
    match = _PARAM.match(text, position)
    while match:
        name, value = match.groups()
        params.setdefault(name.lower(), value)
        position = match.end()
        match = _PARAM.match(text, position)
    return params, position


def format_params(params: Mapping[str, str | None]) -> str:
    """Write parameters as `;name=value`, in their order."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params.items())


def parse_port(text: str | None) -> int | None:
    """Return a port, or None where there is none. Raises SipSyntaxError outside 1 to 65535."""
    if text is None:
        return None
    port = int(text)
    if not 1 <= port <= 65535:
        raise SipSyntaxError("A port must lie between 1 and 65535")
    return port

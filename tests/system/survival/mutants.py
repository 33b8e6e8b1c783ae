"""Messages that are nearly right: SIP and JSON, changed in the ways that break parsers and their users."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

_ODD_TEXTS = (
    "",
    " ",
    "\x00",
    "%00",
    "0",
    "-1",
    "4294967296",
    "99999999999999999999",
    "é" * 40,
    "\udcff",
    "a" * 3000,
    "<>",
    '"',
    "\\",
    ";;;=",
    "sip:",
    "sip:%",
    "sip:@:0",
    "<sip:[::1]:99999;lr>",
    ";branch=z9hG4bK",
    ";tag=",
    "Digest ,,=",
    "\r\n ",
    "\r\nVia: SIP/2.0/UDP 127.0.0.1",
    "SIP/2.0",
    "INVITE",
    "{}",
    "[]",
)
_ODD_VALUES: tuple[Any, ...] = (None, True, -1, 0, 2**63, 1e308, "", "\x00", "a" * 5000, [], {}, [[[[]]]])


def sip_messages(user: str, domain: str, us: tuple[str, int], them: tuple[str, int]) -> list[bytes]:
    """Return one good message of each kind that may arrive; `user` is a Contact user of ours."""
    host, port = us
    via = f"Via: SIP/2.0/UDP {them[0]}:{them[1]};branch=z9hG4bKfuzz0000;rport"
    authorization = (
        f'Authorization: Digest username="anna",realm="{domain}",nonce="abc",uri="sip:{domain}",'
        'response="0123456789abcdef0123456789abcdef",algorithm=MD5,qop=auth,nc=00000001,cnonce="xyz"'
    )
    sdp = "v=0\r\no=a 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\n"

    def request(method: str, uri: str, *more: str, to_tag: str = "", body: str = "") -> bytes:
        tag = f";tag={to_tag}" if to_tag else ""
        lines = [
            f"{method} {uri} SIP/2.0",
            via,
            "Max-Forwards: 70",
            f'From: "Bob" <sip:bob@{domain}>;tag=from0000',
            f"To: <sip:anna@{domain}>{tag}",
            "Call-ID: fuzz0000",
            f"CSeq: 7 {method}",
            f'Contact: <sip:bob@{them[0]}:{them[1]}>;expires=60;+sip.instance="<urn:uuid:1>"',
            *more,
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def response(status: str, method: str) -> bytes:
        lines = [
            f"SIP/2.0 {status}",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKnobody;rport",
            via,
            f"From: <sip:anna@{domain}>;tag=from0000",
            f"To: <sip:anna@{domain}>;tag=to0000",
            "Call-ID: fuzz0000",
            f"CSeq: 7 {method}",
            "Contact: <sip:anna@127.0.0.1>;expires=60",
            f'WWW-Authenticate: Digest realm="{domain}",nonce="n",algorithm=SHA-256,qop="auth",stale=true',
            "Content-Length: 0",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    ours = f"sip:{user}@{host}:{port}"
    route = f"Route: <sip:p.AAAA.1.bbbb@{host}:{port};lr>"
    return [
        request("OPTIONS", ours),
        request("INVITE", ours, "Content-Type: application/sdp", body=sdp),
        request("INVITE", f"sip:nobody@{host}:{port}", "Require: 100rel", body=sdp),
        request("CANCEL", ours, 'Reason: SIP;cause=200;text="elsewhere"'),
        request("ACK", ours, route, to_tag="to0000"),
        request("BYE", ours, route, to_tag="to0000"),
        request("UPDATE", ours, route, to_tag="to0000", body=sdp),
        request("INVITE", f"sip:bob@{domain}", route, to_tag="to0000", body=sdp),
        request("INVITE", f"sip:bob@{domain}", f"Route: <sip:{host}:{port};lr>", body=sdp),
        request("REGISTER", f"sip:{domain}", "Expires: 300"),
        request(
            "REGISTER", f"sip:{domain}", authorization, "Path: <sip:edge;lr>", "Supported: path, outbound"
        ),
        request("MESSAGE", ours, "Content-Type: text/plain", body="hello"),
        request("SUBSCRIBE", ours, "Event: message-summary", "Expires: 60"),
        request("NOTIFY", ours, "Event: message-summary", "Subscription-State: active", body="x: y"),
        request("PRACK", ours, "RAck: 1 7 INVITE", to_tag="to0000"),
        response("200 OK", "REGISTER"),
        response("401 Unauthorized", "REGISTER"),
        response("180 Ringing", "INVITE"),
        response("200 OK", "INVITE"),
        response("503 Busy", "INVITE"),
    ]


def mutants(seeds: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Yield changed messages without end; one of ten is whole but for its branch and its Call-ID."""
    for number in range(1 << 30):
        message = chance.choice(seeds).replace(b"0000", f"{number:04x}".encode())
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            message = chance.choice(_MUTATIONS)(message, chance)
        yield message


def _flip(message: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + bytes([chance.randrange(256)]) + message[at + 1 :]


def _drop(message: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + message[at + chance.randrange(1, 30) :]


def _repeat(message: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + message[at : at + chance.randrange(1, 60)] * chance.randrange(2, 20) + message[at:]


def _cut(message: bytes, chance: random.Random) -> bytes:
    return message[: chance.randrange(len(message) + 1)]


def _insert(message: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + chance.choice(_ODD_TEXTS).encode("utf-8", "surrogateescape") + message[at:]


def _change_value(message: bytes, chance: random.Random) -> bytes:
    lines = message.split(b"\r\n")
    at = chance.randrange(len(lines))
    name, colon, _ = lines[at].partition(b":")
    odd = chance.choice(_ODD_TEXTS).encode("utf-8", "surrogateescape")
    lines[at] = name + colon + b" " + odd if colon else odd
    return b"\r\n".join(lines)


def _change_number(message: bytes, chance: random.Random) -> bytes:
    digits = [at for at, octet in enumerate(message) if 48 <= octet <= 57]
    if not digits:
        return message
    at = chance.choice(digits)
    return message[:at] + chance.choice((b"-", b"99999999999", b"x", b"")) + message[at + 1 :]


def _shuffle_lines(message: bytes, chance: random.Random) -> bytes:
    lines = message.split(b"\r\n")
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\r\n".join(lines)


def _double_line(message: bytes, chance: random.Random) -> bytes:
    lines = message.split(b"\r\n")
    at = chance.randrange(len(lines))
    return b"\r\n".join([*lines[:at], *[lines[at]] * chance.randrange(2, 6), *lines[at:]])


def _bare_line_ends(message: bytes, _chance: random.Random) -> bytes:
    return message.replace(b"\r\n", b"\n")


_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _drop,
    _repeat,
    _cut,
    _insert,
    _change_value,
    _change_value,
    _change_number,
    _shuffle_lines,
    _double_line,
    _bare_line_ends,
)


def bodies(seeds: list[dict[str, Any]], chance: random.Random) -> Iterator[bytes]:
    """Yield request bodies: JSON with odd values, odd keys, missing keys, and JSON that is none."""
    while True:
        value: Any = json.loads(json.dumps(chance.choice(seeds)))
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            _change_json(value, chance)
        body = json.dumps(value).encode()
        if chance.random() < 0.3:
            body = chance.choice(_MUTATIONS)(body, chance)
        yield body


def _change_json(value: Any, chance: random.Random) -> None:
    """Change one place somewhere in it."""
    while isinstance(value, dict | list) and value:
        key: Any = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.6:
            value = inner
            continue
        how = chance.random()
        if how < 0.15 and isinstance(value, dict):
            del value[key]
        elif how < 0.25 and isinstance(value, dict):
            value[chance.choice(_ODD_TEXTS).encode("utf-8", "replace").decode()] = inner
        elif how < 0.4 and isinstance(inner, str):
            at = chance.randrange(len(inner) + 1)
            value[key] = inner[:at] + chance.choice(_ODD_TEXTS) + inner[at:]
        else:
            value[key] = copy.deepcopy(chance.choice(_ODD_VALUES))
        return

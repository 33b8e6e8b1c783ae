"""Whatever bytes come: an answer or SipSyntaxError, soon, and nothing else."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.framing import StreamFramer
from wakerobin.core.sip.grammar import parse_params, split_list
from wakerobin.core.sip.header import CSeq, NameAddr, Via, auth_params_all, delta_seconds
from wakerobin.core.sip.message import MalformedMessageError, Message, check, parse, respond
from wakerobin.core.sip.uri import SipUri, aor, equivalent

_TAIL = (
    b'From: "A \\"B\\"" <sip:a@h.example>;tag=4f3e\r\nTo: <sip:b@[2001:db8::1]:5061;lr>;x="y,z"\r\n'
    b"Call-ID: 8d3c2b1a@h\r\n"
)
SEEDS = [
    b"INVITE sip:b8f2@10.8.8.8:5070;transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;rport;"
    b"branch=z9hG4bKPj1\r\n" + _TAIL + b"CSeq: 22187 INVITE\r\nMax-Forwards: 70\r\n"
    b"Contact: <sip:a@192.0.2.10>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
    b"REGISTER sip:h.example SIP/2.0\r\nv: SIP/2.0/TLS [2001:db8::2];branch=z9hG4bK=2;received=2001:db8::3"
    b"\r\n"
    + _TAIL
    + b'CSeq: 1 REGISTER\r\nm: "Me, too" <sip:a@h;pn-provider=apns;pn-prid=x:y>;+sip.instance="<urn:uuid:0>"'
    b';expires=60, <sip:c@h>\r\nExpires: 3600\r\nAuthorization: Digest username="a", realm="A, B",'
    b' nonce="n==", uri="sip:h", response="0", nc=00000001, qop=auth\r\nl: 0\r\n\r\n',
    b"REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h:5060;branch=z9hG4bK3\r\n"
    + _TAIL
    + b"CSeq: 2 REGISTER\r\nContact: *\r\nExpires: 0\r\nContent-Length: 0\r\n\r\n",
    b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK4;rport=5060;received=192.0.2.9\r\n"
    + _TAIL
    + b'CSeq: 1 REGISTER\r\nWWW-Authenticate: Basic realm="x", Digest realm="A", nonce="n", algorithm=MD5,'
    b' qop="auth,auth-int"\r\nContent-Length: 0\r\n\r\n',
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK5, SIP / 2.0 / WSS x.invalid ; branch = z9hG4bK6\r\n"
    + _TAIL
    + b"CSeq: 3 INVITE\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\nSubject: folded\r\n and more\r\n"
    b"Content-Length: 0\r\n\r\n",
    b"SIP/2.0 183 \r\nVia: SIP/2.0/WS h;branch=z9hG4bK7\r\n" + _TAIL + b"CSeq: 3 INVITE\r\n\r\n",
    b"MESSAGE tel:+4930123;phone-context=h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK8\r\n"
    + _TAIL
    + b"CSeq: 4 MESSAGE\r\nContent-Length: 4\r\n\r\n\xc3\xbc\xc3\xbc",
    b"BYE sip:*21#@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK9\r\nRoute: <sip:p;lr>\r\n"
    + _TAIL
    + b"CSeq: 5 BYE\r\nContent-Length: 0\r\n\r\n",
    b"CANCEL urn:service:sos SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n"
    + _TAIL
    + b'CSeq: 6 CANCEL\r\nReason: SIP;cause=200;text="Call completed elsewhere"\r\nContent-Length: 0\r\n\r\n',
    b"NOTIFY sip:b@h;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKb\r\nFrom: J\xfcrgen <sip:j@h>"
    b";TAG=1\r\nTo: sip:b@h;tag=2\r\nCall-ID :  odd\r\nCSeq: 7 NOTIFY\r\nContent-Length: 0\r\n\r\n",
]
_SPLICES = [
    b'"', b"\\", b"<", b">", b";", b",", b"=", b":", b"@", b"%", b"[", b"]", b"*", b"/", b"?", b" ", b"\t",
    b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\x00", b"\xff", b"\xc3", b"\xc5\xbf", b"\xd9\xa1",
    b"\xe2\x84\xaa",
    b"4294967296", b"-1", b"9" * 40, b";;", b",,", b"SIP/2.0", b"sip:", b"Via: ", b"l: 0\r\n",
]  # fmt: skip


def mutated(source: random.Random) -> bytes:
    data = bytearray(source.choice(SEEDS))
    for _ in range(source.choice((1, 1, 2, 3, 8))):
        at = source.randrange(len(data) + 1)
        to = min(len(data), at + source.choice((0, 1, 1, 2, 10, 60)))
        match source.randrange(4):
            case 0:
                del data[at:to]
            case 1:
                data[at:to] = bytes(source.randrange(256) for _ in range(to - at))
            case 2:
                data[at:to] = source.choice(_SPLICES) * source.choice((1, 1, 1, 3))
            case _:
                other = source.choice(SEEDS)
                cut = source.randrange(len(other))
                data[at:to] = other[cut : cut + source.choice((1, 5, 40))]
    return bytes(data)


T = TypeVar("T")


def survives(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except SipSyntaxError:
        return None


def look_at_everything(message: Message) -> None:
    survives(lambda: check(message))
    for view in (
        lambda: message.top_via,
        lambda: message.branch,
        lambda: message.from_tag,
        lambda: message.to_tag,
        lambda: message.call_id,
        lambda: message.cseq,
        lambda: message.contacts,
        lambda: message.max_forwards,
        lambda: message.expires,
    ):
        survives(view)
    for name, value in message.items():
        look_at_value(value)
        message.values(name)


def look_at_value(value: str) -> None:
    for hop in survives(lambda: Via.parse_all(value)) or []:
        assert str(Via.parse_first(str(hop))) == str(hop)
        _ = hop.received, hop.rport
    for address in survives(lambda: NameAddr.parse_all(value)) or []:
        again = NameAddr.parse(str(address))
        assert (again.display, again.uri, again.params) == (address.display, address.uri, address.params)
        look_at_uri(address.uri)
    look_at_uri(value)
    survives(lambda: CSeq.parse(value))
    survives(lambda: auth_params_all(value))
    delta_seconds(value)
    parse_params(value)


def look_at_uri(text: str) -> None:
    uri = survives(lambda: SipUri.parse(text))
    if uri is not None:
        assert SipUri.parse(str(uri)) == uri
        assert equivalent(uri, str(uri))
        survives(lambda: aor(text))


def edit_everything(message: Message) -> None:
    """Edit as a proxy does; what comes out can be read again."""
    count = len(message.values("via"))
    message.prepend("via", "SIP/2.0/UDP us;branch=z9hG4bKus")
    assert len(message.values("via")) == count + 1
    assert message.pop_first("via") == "SIP/2.0/UDP us;branch=z9hG4bKus"
    if message.pop_first("via") is not None:
        assert len(message.values("via")) == count - 1
    while message.pop_first("route") is not None:
        pass
    message.set("max-forwards", "69")
    assert parse(message.encode()).max_forwards == 69


def test_twenty_thousand_mutated_messages_break_nothing() -> None:
    source = random.Random(4475)
    read = answered = 0
    for _ in range(20_000):
        data = mutated(source)
        try:
            message = parse(data)
        except MalformedMessageError as error:
            if error.message is not None:
                answered += 1
                parse(respond(error.message, error.status, to_tag="t").encode())
            continue
        read += 1
        encoded = message.encode()
        assert parse(encoded).encode() == encoded
        look_at_everything(message)
        parse(respond(message, 400, to_tag="t", record_route=True).encode())
        edit_everything(message)
    # The mutations must reach both sides, or this test proves nothing.
    assert read > 5_000
    assert answered > 2_000


def test_the_seeds_themselves_are_right() -> None:
    for seed in SEEDS:
        message = parse(seed)
        check(message)
        look_at_everything(message)


@given(st.text())
def test_any_text_is_read_as_any_header_or_refused(text: str) -> None:
    look_at_value(text)
    split_list(text)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    message = survives(lambda: parse(data))
    if message is not None:
        look_at_everything(message)


@given(st.lists(st.one_of(st.sampled_from(SEEDS), st.binary(max_size=60)), max_size=6), st.integers(1, 200))
def test_any_stream_is_cut_the_same_wherever_it_is_torn_or_refused(parts: list[bytes], step: int) -> None:
    stream = b"".join(parts)
    whole = cut(StreamFramer(), [stream])
    torn = cut(StreamFramer(), [stream[i : i + step] for i in range(0, len(stream), step)])
    assert whole == torn


def cut(framer: StreamFramer, pieces: list[bytes]) -> list[bytes]:
    messages: list[bytes] = []
    for piece in pieces:
        try:
            messages += [item for item in framer.feed(piece) if isinstance(item, bytes)]
        except SipSyntaxError:
            break
    return messages


SLOW = {
    "spaces": " " * 60_000,
    "open quotes": '"\\' * 30_000,
    "quotes": '"' * 60_001,
    "escaped quotes": '\\"' * 30_000,
    "brackets": "<" * 120_000,
    "commas": "a," * 30_000,
    "commas in brackets": "<,>" * 20_000,
    "parameters": "sip:a@h" + ";a=b" * 15_000,
    "spaced parameters": "sip:a@h" + " ; a = b " * 6_000 + "x",
    "Via": "SIP/2.0/UDP h, " * 4_000,
    "Via that breaks at the end": "SIP/2.0/UDP h;a=b, " * 3_000 + "x",
    "a name without address": "a " * 30_000,
    "schemes": "a:" * 30_000,
    "schemes of authorization": "Digest a=b, " * 5_000 + '"',
    "words": "a " * 30_000 + ",",
    "digits": "1" * 60_000,
    "escapes": "sip:" + "%41" * 20_000 + "@h",
    "colons": ":" * 60_000,
    "at signs": "sip:" + "@" * 60_000,
}


@pytest.mark.parametrize("value", SLOW.values(), ids=SLOW)
def test_no_value_takes_long_to_read(value: str) -> None:
    """Reading is linear: 60,000 characters cost milliseconds; anything quadratic, many seconds."""
    began = time.process_time()
    look_at_value(value)
    split_list(value + ",")
    message = Message.request("INVITE", "sip:h", [("Via", value), ("Contact", value), ("From", value)])
    look_at_everything(parse(message.encode()))
    assert time.process_time() - began < 2.0

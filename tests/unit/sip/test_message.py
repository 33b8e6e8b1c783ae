"""Messages: what comes in untouched goes out untouched; what is edited is right."""

from __future__ import annotations

import pytest

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import CSeq, NameAddr
from wakerobin.core.sip.message import MalformedMessageError, Message, check, parse, respond

INVITE = (
    b"INVITE sip:b8f2@10.8.8.8:5070;transport=udp SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bKPj1\r\n"
    b'From: "Alice" <sip:1001@pbx.example>;tag=4f3e\r\n'
    b"To: <sip:b8f2@10.8.8.8>\r\n"
    b"Contact: <sip:asterisk@192.0.2.10:5060>\r\n"
    b"Call-ID: 8d3c2b1a\r\n"
    b"CSeq: 22187 INVITE\r\n"
    b"Max-Forwards: 70\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 5\r\n"
    b"\r\n"
    b"v=0\r\n"
)
RESPONSE = (
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=192.0.2.9\r\n"
    b"Via: SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK2\r\n"
    b"From: <sip:a@h>;tag=1\r\n"
    b"To: <sip:a@h>;tag=2\r\n"
    b"Call-ID: x\r\n"
    b"CSeq: 2 REGISTER\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def with_line(line: bytes, data: bytes = INVITE) -> bytes:
    """Put a header line in front of the others."""
    return data.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)


def without_line(name: bytes, data: bytes = INVITE) -> bytes:
    lines = data.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(name + b":"))


def instead(old: bytes, new: bytes, data: bytes = INVITE) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


# Reading


def test_a_request_is_read() -> None:
    message = parse(INVITE)
    assert message.is_request
    assert (message.method, message.uri) == ("INVITE", "sip:b8f2@10.8.8.8:5070;transport=udp")
    assert (message.status, message.reason) == (0, "")
    assert message.body == b"v=0\r\n"
    assert message.top_via.port == 5060
    assert message.branch == "z9hG4bKPj1"
    assert message.from_ == NameAddr("Alice", "sip:1001@pbx.example", {"tag": "4f3e"})
    assert (message.from_tag, message.to_tag) == ("4f3e", None)
    assert message.call_id == "8d3c2b1a"
    assert message.cseq == CSeq(22187, "INVITE")
    assert [contact.uri for contact in message.contacts] == ["sip:asterisk@192.0.2.10:5060"]
    assert message.max_forwards == 70
    assert message.expires is None
    check(message)


def test_a_response_is_read() -> None:
    message = parse(RESPONSE)
    assert not message.is_request
    assert (message.method, message.uri) == ("", "")
    assert (message.status, message.reason, message.body) == (200, "OK", b"")
    assert message.top_via.received == "192.0.2.9"
    check(message)


UNTOUCHED = {
    "plain": INVITE,
    "a response": RESPONSE,
    "folded lines": with_line(b"Subject: one\r\n\t two\r\n   three"),
    "white space before the colon": instead(b"Call-ID:", b"Call-ID :"),
    "compact forms": instead(b"Via:", b"v:", instead(b"Call-ID:", b"I:")),
    "odd spelling": instead(b"CSeq:", b"cSEQ:"),
    "no space after the colon": instead(b"CSeq: ", b"CSeq:"),
    "Latin-1": instead(b'"Alice"', b'"J\xfcrgen"'),
    "unquoted UTF-8": instead(b'"Alice"', "Jürgen Müller".encode()),
    "an empty header": with_line(b"Subject:"),
    "an unknown header": with_line(b"UnknownHeaderWithUnusualValue: ;;,,;;,;"),
    "an instance id": instead(
        b"5060>", b'5060>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";reg-id=1'
    ),
    "push parameters": instead(b"5060>", b"5060;pn-provider=fcm;pn-prid=x:y;pn-param=z>"),
    "Contact star": instead(b"<sip:asterisk@192.0.2.10:5060>", b"*"),
    "a star code": instead(b"sip:1001@", b"sip:*21#@"),
    "an upper-case tag": instead(b";tag=4f3e", b";TAG=4f3e"),
    "Replaces in a URI": instead(b"5060>", b"5060?Replaces=a%40b%3Bto-tag%3D1>"),
    "a binary body": instead(b"v=0\r\n", b"\x00\xff\r\n\r"),
    "a null byte in quotes": instead(b'"Alice"', b'"\\\x00"'),
    "a realm with commas": with_line(b'WWW-Authenticate: Digest realm="ACME, Inc.",qop="auth,auth-int"'),
    "leading zeros in lengths": instead(b"Content-Length: 5", b"Content-Length: 005"),
}


@pytest.mark.parametrize("data", UNTOUCHED.values(), ids=UNTOUCHED)
def test_what_nobody_touches_leaves_byte_for_byte(data: bytes) -> None:
    message = parse(data)
    check(message)
    _ = message.contacts
    assert message.encode() == data
    assert message.copy().encode() == data


def test_a_folded_value_is_read_as_one_line() -> None:
    message = parse(with_line(b"Subject: one\r\n\t two \r\n   three"))
    assert message.get("subject") == "one two  three"


def test_a_fold_can_hold_the_whole_value() -> None:
    message = parse(instead(b"From: ", b"From:\r\n  "))
    assert message.from_tag == "4f3e"


def test_compact_forms_are_found_by_their_full_names() -> None:
    message = parse(instead(b"Via:", b"v:", instead(b"To:", b"t:", instead(b"Contact:", b"M:"))))
    check(message)
    assert message.branch == "z9hG4bKPj1"
    assert message.get("CONTACT") == message.get("m") == "<sip:asterisk@192.0.2.10:5060>"


def test_a_latin_1_byte_survives_editing_around_it() -> None:
    message = parse(instead(b'"Alice"', b'"J\xfcrgen"'))
    message.set("Subject", "x")
    message.pop_first("via")
    assert b'From: "J\xfcrgen" <sip:1001@pbx.example>;tag=4f3e\r\n' in message.encode()
    assert message.from_tag == "4f3e"


def test_utf8_is_read_as_text() -> None:
    assert parse(instead(b'"Alice"', '"Jürgen"'.encode())).from_.display == "Jürgen"


def test_empty_lines_before_the_start_line_are_ignored() -> None:
    assert parse(b"\r\n\r\n\r\n" + INVITE).encode() == INVITE


@pytest.mark.parametrize("line", [b"SIP/2.0 200", b"SIP/2.0 200 ", b"sip/2.0 200"])
def test_a_status_line_without_phrase_is_read(line: bytes) -> None:
    message = parse(instead(b"SIP/2.0 200 OK", line, RESPONSE))
    assert (message.status, message.reason) == (200, "")
    assert message.encode().startswith(b"SIP/2.0 200 \r\n")


def test_a_phrase_may_be_any_text() -> None:
    phrase = "= 2**3 * 5**2 но сто девяносто девять".encode()
    message = parse(instead(b"OK", phrase, RESPONSE))
    assert message.encode().startswith(b"SIP/2.0 200 " + phrase + b"\r\n")


def test_bytes_after_the_content_length_of_a_datagram_are_dropped() -> None:
    assert parse(INVITE + b"\r\n\r\nINVITE").encode() == INVITE


def test_without_content_length_a_datagram_ends_the_body_and_one_is_added() -> None:
    message = parse(without_line(b"Content-Length"))
    assert message.body == b"v=0\r\n"
    assert b"\r\nContent-Length: 5\r\n\r\nv=0\r\n" in message.encode()


def test_content_length_counts_bytes() -> None:
    message = Message.request("MESSAGE", "sip:a@h", body="üü".encode())
    assert b"Content-Length: 4\r\n" in message.encode()
    assert parse(message.encode()).body == "üü".encode()


def test_a_new_body_gets_its_own_length_in_the_same_place() -> None:
    message = parse(instead(b"Content-Length: 5", b"l: 5"))
    message.body = b"longer body"
    assert message.encode().endswith(
        b"Content-Type: application/sdp\r\nContent-Length: 11\r\n\r\nlonger body"
    )
    assert message.count("l") == 1


def test_equal_content_lengths_become_one() -> None:
    message = parse(with_line(b"l: 5"))
    assert message.encode().lower().count(b"\r\nl: 5") + message.encode().count(b"Content-Length: 5") == 1


MALFORMED = {
    "nothing": (b"", 400),
    "only empty lines": (b"\r\n\r\n", 400),
    "noise": (b"\x00\xff\x00", 400),
    "no end of the head": (INVITE[: INVITE.index(b"\r\n\r\n")], 400),
    "cut within a line": (INVITE[:100], 400),
    "two spaces": (instead(b"INVITE sip", b"INVITE  sip"), 400),
    "space at the end of the request line": (instead(b" SIP/2.0", b" SIP/2.0 "), 400),
    "space in the URI": (instead(b";transport", b"; transport"), 400),
    "brackets around the URI": (
        instead(b"sip:b8f2@10.8.8.8:5070;transport=udp", b"<sip:b8f2@10.8.8.8>"),
        400,
    ),
    "no URI": (instead(b"sip:b8f2@10.8.8.8:5070;transport=udp ", b""), 400),
    "a method that is no token": (instead(b"INVITE s", b"INV{TE s"), 400),
    "another version": (instead(b"SIP/2.0", b"SIP/7.0"), 505),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "a version in another alphabet": (instead(b" SIP/2.0", " ſIP/2.0".encode()), 400),
    "a status that is too large": (instead(b"200 OK", b"4294967301 OK", RESPONSE), 400),
    "a status of no class": (instead(b"200 OK", b"700 OK", RESPONSE), 400),
    "a status that is too small": (instead(b"200 OK", b"099 OK", RESPONSE), 400),
    "a status line in another alphabet": (instead(b"SIP/2.0 2", "ſIP/2.0 2".encode(), RESPONSE), 400),
    "two spaces in the status line": (instead(b"200 OK", b" 200 OK", RESPONSE), 400),
    "a response of another version": (instead(b"SIP/2.0 ", b"SIP/7.0 ", RESPONSE), 400),
    "a header without colon": (with_line(b"Subject"), 400),
    "a header without name": (with_line(b": x"), 400),
    "a header name that is no token": (with_line(b"Sub ject: x"), 400),
    "a fold without a line to continue": (with_line(b" folded"), 400),
    "a bare line feed": (with_line(b"Subject: a\nVia: x"), 400),
    "a bare carriage return": (with_line(b"Subject: a\rVia: x"), 400),
    "line feeds only": (INVITE.replace(b"\r\n", b"\n"), 400),
    "a negative length": (instead(b"Content-Length: 5", b"Content-Length: -999"), 400),
    "a length that is no number": (instead(b"Content-Length: 5", b"Content-Length: five"), 400),
    "a length in other digits": (instead(b"Content-Length: 5", "Content-Length: ٥".encode()), 400),
    "an endless length": (instead(b"Content-Length: 5", b"Content-Length: " + b"9" * 5000), 400),
    "an empty length": (instead(b"Content-Length: 5", b"Content-Length:"), 400),
    "a length beyond the datagram": (instead(b"Content-Length: 5", b"Content-Length: 6"), 400),
    "two lengths": (with_line(b"Content-Length: 4"), 400),
}


@pytest.mark.parametrize(("data", "status"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_message_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        parse(data)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "data",
    [
        instead(b"SIP/2.0", b"SIP/7.0"),
        instead(b"INVITE sip", b"INVITE  sip"),
        with_line(b"no colon"),
        with_line(b"Content-Length: 4"),
        instead(b"Content-Length: 5", b"Content-Length: 6"),
    ],
)
def test_a_malformed_request_can_still_be_answered(data: bytes) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        parse(data)
    assert caught.value.message is not None
    answer = parse(respond(caught.value.message, caught.value.status, to_tag="x").encode())
    check(answer)
    assert answer.status == caught.value.status
    assert answer.get("via") == "SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bKPj1"
    assert answer.get("to") == "<sip:b8f2@10.8.8.8>;tag=x"
    assert answer.cseq == CSeq(22187, "INVITE")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        instead(b"200 OK", b"700 OK", RESPONSE),
        with_line(b"no colon", RESPONSE),
        with_line(b"Subject: a\nVia: x"),
    ],
)
def test_nothing_is_offered_to_answer_a_response_or_smuggled_lines(data: bytes) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        parse(data)
    assert caught.value.message is None


# The strict look

REFUSED = {
    "no Via": (without_line(b"Via"), 400),
    "no From": (without_line(b"From"), 400),
    "no To": (without_line(b"To"), 400),
    "no Call-ID": (without_line(b"Call-ID"), 400),
    "an empty Call-ID": (instead(b"8d3c2b1a", b""), 400),
    "no CSeq": (without_line(b"CSeq"), 400),
    "a Via of rubbish": (instead(b"192.0.2.10:5060;rport", b";;,;"), 400),
    "a branch that names nothing": (instead(b"z9hG4bKPj1", b"z9hG4bK"), 400),
    "a From of rubbish": (instead(b'"Alice"', b'"Alice'), 400),
    "a To of rubbish": (instead(b"<sip:b8f2@10.8.8.8>\r", b"<sip:b8f2@10.8.8.8\r"), 400),
    "a CSeq of rubbish": (instead(b"22187", b"x"), 400),
    "a CSeq that is too large": (instead(b"22187", b"2147483648"), 400),
    "another method in CSeq": (instead(b"22187 INVITE", b"22187 OPTIONS"), 400),
    "a method in other case in CSeq": (instead(b"22187 INVITE", b"22187 invite"), 400),
    "two From": (with_line(b"f: <sip:c@h>;tag=2"), 400),
    "two To": (with_line(b"t: <sip:c@h>"), 400),
    "two Call-ID": (with_line(b"i: other"), 400),
    "two CSeq": (with_line(b"CSeq: 1 INVITE"), 400),
    "two Max-Forwards": (with_line(b"Max-Forwards: 70"), 400),
    "Max-Forwards above 255": (instead(b"Max-Forwards: 70", b"Max-Forwards: 256"), 400),
    "Max-Forwards of rubbish": (instead(b"Max-Forwards: 70", b"Max-Forwards: -1"), 400),
    "Max-Forwards in other digits": (instead(b"Max-Forwards: 70", "Max-Forwards: ٧".encode()), 400),
    "Max-Forwards in powers": (instead(b"Max-Forwards: 70", "Max-Forwards: 7²".encode()), 400),
    "an endless Max-Forwards": (instead(b"Max-Forwards: 70", b"Max-Forwards: " + b"7" * 5000), 400),
    "a malformed Request-URI": (instead(b"sip:b8f2@10.8.8.8:5070", b"sip:b8f2@10.8.8.8:x"), 400),
    "a Request-URI without scheme": (instead(b"sip:b8f2@10.8.8.8:5070;transport=udp", b"alice"), 400),
    "headers in the Request-URI": (instead(b";transport=udp", b"?Route=%3Csip:h%3E"), 400),
    "an endless Request-URI": (instead(b"b8f2@", b"b" * 2048 + b"@"), 414),
    "an endless header": (with_line(b"Subject: " + b"x" * 16_384), 513),
    "too many headers": (with_line(b"\r\n".join([b"X: y"] * 200)), 513),
    "too large a body": (without_line(b"Content-Length") + b"x" * 49_152, 413),
    "a response without branch": (instead(b";branch=z9hG4bK1", b"", RESPONSE), 400),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_what_others_rely_on_is_checked_once(data: bytes, status: int) -> None:
    message = parse(data)
    with pytest.raises(SipSyntaxError) as caught:
        check(message)
    assert caught.value.status == status


ACCEPTED = {
    "no Max-Forwards": without_line(b"Max-Forwards"),
    "zero Max-Forwards": instead(b"Max-Forwards: 70", b"Max-Forwards: 0"),
    "leading zeros in Max-Forwards": instead(b"Max-Forwards: 70", b"Max-Forwards: 0068"),
    "no branch and no tag": instead(b";branch=z9hG4bKPj1", b"", instead(b";tag=4f3e", b"")),
    "a branch of RFC 2543": instead(b"z9hG4bKPj1", b"1"),
    "a Request-URI of an unknown scheme": instead(b"sip:b8f2@10.8.8.8:5070;transport=udp", b"tel:+491"),
    "a lower-case version": instead(b"SIP/2.0\r\n", b"sip/2.0\r\n"),
    "an unknown method": INVITE.replace(b"INVITE", b"!odd.Method'~"),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_rfc_allows_passes(data: bytes) -> None:
    check(parse(data))


def test_star_among_other_contacts_is_refused() -> None:
    message = parse(instead(b"Contact: <", b"Contact: *, <"))
    check(message)
    with pytest.raises(SipSyntaxError):
        _ = message.contacts


def test_an_expiry_of_rubbish_is_refused_and_a_large_one_is_bounded() -> None:
    message = parse(with_line(b"Expires: " + b"1" * 101))
    assert message.expires == 2**32 - 1
    message.set("expires", "never")
    with pytest.raises(SipSyntaxError):
        _ = message.expires

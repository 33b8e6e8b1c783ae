"""Messages edited and answered: right, and with no way to smuggle a header in."""

from __future__ import annotations

import pytest

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import REASONS, Message, check, parse, respond

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


def with_line(line: bytes, data: bytes = INVITE) -> bytes:
    """Put a header line in front of the others."""
    return data.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)


def instead(old: bytes, new: bytes, data: bytes = INVITE) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


# Editing


def edited() -> Message:
    return Message.request(
        "OPTIONS",
        "sip:h",
        [("Via", "a"), ("Route", "<sip:1;lr>, <sip:2;lr>"), ("Subject", "x"), ("Route", "<sip:3;lr>")],
    )


def lines(message: Message) -> list[str]:
    return message.encode().decode().split("\r\n")[1:-3]


def test_values_are_found_by_line_and_by_comma() -> None:
    message = edited()
    assert message.get("route") == "<sip:1;lr>, <sip:2;lr>"
    assert message.all("ROUTE") == ["<sip:1;lr>, <sip:2;lr>", "<sip:3;lr>"]
    assert message.values("Route") == ["<sip:1;lr>", "<sip:2;lr>", "<sip:3;lr>"]
    assert message.get("absent") is None
    assert message.all("absent") == message.values("absent") == []
    assert message.has("s")
    assert not message.has("absent")
    assert (message.count("route"), message.line_count) == (2, 4)
    assert list(message.items())[2] == ("subject", "x")


def test_a_line_is_added_at_the_end() -> None:
    message = edited()
    message.add("v", "b")
    assert lines(message)[-1] == "Via: b"


def test_a_line_is_put_above_its_like_or_at_the_top() -> None:
    message = edited()
    message.prepend("Route", "<sip:0;lr>")
    message.prepend("Record-Route", "<sip:me;lr>")
    assert lines(message) == [
        "Record-Route: <sip:me;lr>",
        "Via: a",
        "Route: <sip:0;lr>",
        "Route: <sip:1;lr>, <sip:2;lr>",
        "Subject: x",
        "Route: <sip:3;lr>",
    ]


def test_setting_leaves_one_line_where_the_first_stood() -> None:
    message = edited()
    message.set("route", "<sip:9;lr>")
    message.set("Expires", "60")
    assert lines(message) == ["Via: a", "Route: <sip:9;lr>", "Subject: x", "Expires: 60"]


def test_removing_takes_all_lines_of_the_name() -> None:
    message = edited()
    message.remove("ROUTE")
    message.remove("absent")
    assert lines(message) == ["Via: a", "Subject: x"]


def test_the_topmost_value_is_taken_out_of_a_list_too() -> None:
    message = edited()
    assert message.pop_first("route") == "<sip:1;lr>"
    assert lines(message) == ["Via: a", "Route: <sip:2;lr>", "Subject: x", "Route: <sip:3;lr>"]
    assert message.pop_first("route") == "<sip:2;lr>"
    assert lines(message) == ["Via: a", "Subject: x", "Route: <sip:3;lr>"]
    assert message.pop_first("route") == "<sip:3;lr>"
    assert message.pop_first("route") is None


def test_taking_the_topmost_value_passes_over_empty_lines() -> None:
    message = parse(with_line(b"Via:", with_line(b"v: ,")))
    assert message.pop_first("via") == "SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bKPj1"
    assert not message.has("via")


def test_the_rest_of_a_compact_line_keeps_its_name() -> None:
    message = parse(instead(b"Via: ", b"v: SIP/2.0/UDP top;branch=z9hG4bK0,"))
    message.pop_first("via")
    assert b"\r\nv: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bKPj1\r\n" in message.encode()


def test_the_topmost_value_is_replaced_and_the_rest_stays() -> None:
    message = edited()
    message.replace_first("route", "<sip:9;lr>")
    assert message.values("route") == ["<sip:9;lr>", "<sip:2;lr>", "<sip:3;lr>"]
    with pytest.raises(ValueError, match="not in list"):
        message.replace_first("absent", "x")


def test_a_copy_is_edited_alone() -> None:
    message = parse(INVITE)
    assert message.branch == "z9hG4bKPj1"
    copy = message.copy()
    copy.prepend("via", "SIP/2.0/TLS me;branch=z9hG4bKours")
    copy.set("to", "<sip:x@h>;tag=9")
    copy.uri = "sip:other@h"
    assert message.encode() == INVITE
    assert (message.branch, message.to_tag) == ("z9hG4bKPj1", None)
    assert (copy.branch, copy.to_tag) == ("z9hG4bKours", "9")
    assert copy.encode().startswith(b"INVITE sip:other@h SIP/2.0\r\nVia: SIP/2.0/TLS me;")


def test_what_was_understood_is_forgotten_when_edited() -> None:
    message = parse(INVITE)
    check(message)
    message.replace_first("via", "SIP/2.0/UDP x;branch=z9hG4bK7")
    message.set("cseq", "1 INVITE")
    message.set("from", "<sip:c@h>;tag=c")
    assert (message.branch, message.cseq.number, message.from_tag) == ("z9hG4bK7", 1, "c")
    message.remove("via")
    with pytest.raises(SipSyntaxError):
        _ = message.branch


def test_a_made_message_is_read_back() -> None:
    made = Message.response(183, None, [("v", "SIP/2.0/WSS x.invalid;branch=z9hG4bK1")], b"\x00")
    read = parse(made.encode())
    assert (read.status, read.reason, read.body) == (183, "Session Progress", b"\x00")
    assert read.top_via.transport == "WSS"


def test_a_message_shows_itself_without_its_headers() -> None:
    assert repr(parse(INVITE)) == "<Message INVITE 8d3c2b1a 22187 INVITE>"
    assert repr(respond(parse(INVITE), 200)) == "<Message 200 OK 8d3c2b1a 22187 INVITE>"


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nEvil: 1", "a\r", "\n", "\ud800"])
def test_no_header_can_be_smuggled_in_by_a_value(value: str) -> None:
    message = parse(INVITE)
    for edit in (message.add, message.prepend, message.set, message.replace_first):
        with pytest.raises(ValueError, match=r"break|surrogates"):
            edit("Contact", value)
    with pytest.raises(ValueError, match=r"break|surrogates"):
        respond(message, 200, headers=[("Contact", value)])
    with pytest.raises(ValueError, match=r"break|surrogates"):
        Message.request("INVITE", "sip:h", [("Contact", value)])
    assert message.encode() == INVITE


@pytest.mark.parametrize("name", ["", "a b", "Via:", "X\r\nEvil", "ü"])
def test_no_header_can_be_smuggled_in_by_a_name(name: str) -> None:
    message = parse(INVITE)
    for edit in (message.add, message.prepend, message.set):
        with pytest.raises(ValueError, match="token"):
            edit(name, "x")
    assert message.encode() == INVITE


@pytest.mark.parametrize("uri", ["sip:a@h\r\nEvil: 1", "sip:a@h SIP/2.0\r\n", "sip:a b@h"])
def test_no_start_line_can_be_broken_by_a_uri(uri: str) -> None:
    with pytest.raises(ValueError, match="break"):
        Message.request("INVITE", uri)
    message = parse(INVITE)
    message.uri = uri
    with pytest.raises(ValueError, match="break"):
        message.encode()


def test_no_start_line_can_be_broken_by_a_method_phrase_or_status() -> None:
    with pytest.raises(ValueError, match="break"):
        Message.request("INVITE sip:x SIP/2.0\r\nX:", "sip:h")
    with pytest.raises(ValueError, match="break"):
        Message.request("A B", "sip:h")
    with pytest.raises(ValueError, match="break"):
        Message.response(200, "OK\r\nEvil: 1")
    for status in (0, 99, 700):
        with pytest.raises(ValueError, match="status"):
            Message.response(status)


# Answering


def test_a_response_copies_what_names_its_transaction() -> None:
    more = [b"Timestamp: 54", b"v: SIP/2.0/TCP top;branch=z9hG4bK0", b"Record-Route: <sip:p;lr>"]
    request = parse(with_line(b"\r\n".join(more)))
    assert respond(request, 180, to_tag="ours").encode() == (
        b"SIP/2.0 180 Ringing\r\n"
        b"v: SIP/2.0/TCP top;branch=z9hG4bK0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bKPj1\r\n"
        b'From: "Alice" <sip:1001@pbx.example>;tag=4f3e\r\n'
        b"To: <sip:b8f2@10.8.8.8>;tag=ours\r\n"
        b"Call-ID: 8d3c2b1a\r\n"
        b"CSeq: 22187 INVITE\r\n"
        b"Content-Length: 0\r\n\r\n"
    )


def test_a_100_gets_the_timestamp_and_no_tag() -> None:
    response = respond(parse(with_line(b"Timestamp: 54")), 100, to_tag="ours")
    assert response.get("timestamp") == "54"
    assert response.to_tag is None


def test_a_tag_that_is_there_stays() -> None:
    request = parse(instead(b"<sip:b8f2@10.8.8.8>\r", b"<sip:b8f2@10.8.8.8>;TAG=theirs\r"))
    assert respond(request, 200, to_tag="ours").get("to") == "<sip:b8f2@10.8.8.8>;TAG=theirs"


def test_a_tag_is_added_to_a_to_without_brackets() -> None:
    request = parse(instead(b"<sip:b8f2@10.8.8.8>\r", b"sip:b8f2@10.8.8.8\r"))
    assert respond(request, 404, to_tag="ours").get("to") == "sip:b8f2@10.8.8.8;tag=ours"


def test_a_to_that_nobody_can_read_goes_back_as_it_came() -> None:
    request = parse(instead(b"<sip:b8f2@10.8.8.8>\r", b"<sip:b8f2@10.8.8.8\r"))
    assert respond(request, 400, to_tag="ours").get("to") == "<sip:b8f2@10.8.8.8"


def test_route_headers_and_body_are_given_where_asked_for() -> None:
    request = parse(with_line(b"Record-Route: <sip:p;lr>"))
    response = respond(
        request, 200, "Fine", to_tag="t", headers=[("contact", "<sip:me@h>")], body=b"v=0", record_route=True
    )
    read = parse(response.encode())
    assert (read.reason, read.get("record-route"), read.body) == ("Fine", "<sip:p;lr>", b"v=0")
    assert read.contacts[0].uri == "sip:me@h"


def test_a_response_to_a_request_without_headers_has_none() -> None:
    response = respond(Message.request("OPTIONS", "sip:h"), 400, to_tag="t")
    assert response.encode() == b"SIP/2.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("tag", ["a b", "a;b", "a\r\nb"])
def test_a_tag_that_is_no_token_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="token"):
        respond(parse(INVITE), 200, to_tag=tag)


def test_every_known_status_has_a_phrase_that_fits_a_status_line() -> None:
    for status, phrase in REASONS.items():
        read = parse(Message.response(status).encode())
        assert (read.status, read.reason) == (status, phrase)
    assert Message.response(299).reason == ""

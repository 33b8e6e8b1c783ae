"""The sections of RFC 4475, each with a message of our own that poses its problem."""

from __future__ import annotations

import pytest

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import MalformedMessageError, Message, check, parse
from wakerobin.core.sip.uri import SipUri, aor

SDP = b"v=0\r\no=lena 7 7 IN IP4 198.51.100.4\r\ns=-\r\nc=IN IP4 198.51.100.4\r\nt=0 0\r\n"


def request(
    start: str = "OPTIONS sip:tower@north.example SIP/2.0",
    *changed: str,
    body: bytes = b"",
    **headers: str | None,
) -> bytes:
    """Write a request that is right but for the lines given; None leaves a line out."""
    lines: dict[str, str | None] = {
        "Via": "SIP/2.0/UDP 198.51.100.4;branch=z9hG4bKt0r7",
        "From": "<sip:lena@south.example>;tag=s7",
        "To": "<sip:tower@north.example>",
        "Call-ID": "keeper.198.51.100.4",
        "CSeq": f"6 {start.split()[0]}",
        "Max-Forwards": "70",
        "Content-Length": str(len(body)),
    }
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    written = [f"{name}: {value}" for name, value in lines.items() if value is not None]
    return "\r\n".join([start, *written, *changed, "", ""]).encode("utf-8", "surrogateescape") + body


def accepted(data: bytes) -> Message:
    message = parse(data)
    check(message)
    assert message.encode() == data
    return message


def refused(data: bytes) -> int:
    with pytest.raises(SipSyntaxError) as caught:
        check(parse(data))
    return caught.value.status


# 3.1.1 Valid messages


def test_3_1_1_1_a_short_tortuous_invite() -> None:
    message = accepted(
        b"INVITE sip:keeper@tower-4.example.net;odd SIP/2.0\r\n"
        b"tO :\r\n sip:keeper@tower-4.example.net ;   tag    = 77n\r\n"
        b'fRoM   : "L \\\\\\"S\\\\\\""       <sip:lena@south.example>\r\n  ;\r\n  tag = 98x\r\n'
        b"mAx-FoRwArDs: 0068\r\n"
        b"CALL-id: keeper.ndax@198.51.100.1\r\n"
        b"content-LENGTH   : %d\r\n"
        b"cseq: 0009\r\n  INVITE\r\n"
        b"Via  : SIP  /   2.0\r\n /UDP\r\n    198.51.100.2;branch=390skx\r\n"
        b"s :\r\n"
        b"NewHeader:   first line\r\n second line\r\n"
        b"EmptyList: ;;,,;;,;\r\n"
        b"Route:\r\n <sip:edge.example.com;lr;unknown=value;bare>\r\n"
        b"v:  SIP  / 2.0  / TCP     spool.example.com   ;\r\n  branch  =   z9hG4bK9k  ,\r\n"
        b" SIP  /    2.0   / UDP  192.0.2.111   ; branch=\r\n z9hG4bK30x\r\n"
        b'm:"Quoted \\"\\"" <sip:lena@south.example> ; newparam =\r\n'
        b"      newvalue ;\r\n  secondparam ; q = 0.33\r\n"
        b"\r\n%s" % (len(SDP), SDP)
    )
    assert (message.to_tag, message.from_tag, message.max_forwards) == ("77n", "98x", 68)
    assert message.from_.display == 'L \\"S\\"'
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    assert message.branch == "390skx"
    assert len(message.values("via")) == 3
    assert message.get("newheader") == "first line second line"
    assert SipUri.parse(message.values("route")[0].strip("<>")).has_param("lr")
    (contact,) = message.contacts
    assert contact.display == 'Quoted ""'
    assert dict(contact.params) == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}


def test_3_1_1_2_a_wide_range_of_valid_characters() -> None:
    method = "!odd-Method0123456789_*+`.%indeed'~"
    uri = "sip:1_odd.URI~(to-be!sure)&isn't+it$/mad?,/;;*:&it+has=1,pas$wo~d_too.(no-it)@example.com"
    message = accepted(
        request(
            f"{method} {uri} SIP/2.0",
            "extensionHeader-!.%*+_`'~: \ufeff大停電",
            To='"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_odd~(yes)&isn\'t+it$/mad?,/;;*@example.com>',
            From="one~` two'+_ thr*%!.- <sip:plain@example.com>;p''~+*_!.-%=\"работающий\";tag=_t~1'+`*%!-.",
            Call_ID="word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
            Max_Forwards="255",
        )
    )
    assert message.method == method
    parsed = SipUri.parse(message.uri)
    assert (parsed.host, parsed.password) == ("example.com", "&it+has=1,pas$wo~d_too.(no-it)")
    assert message.from_tag == "_t~1'+`*%!-."
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.get("EXTENSIONHEADER-!.%*+_`'~") == "\ufeff大停電"


def test_3_1_1_3_escapes_in_uris_are_equal_to_what_they_stand_for() -> None:
    message = accepted(
        request(
            "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0",
            "Contact:\r\n  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>",
            To="sip:%75se%72@example.com",
            From="<sip:I%20have%20spaces@example.net>;tag=938",
        )
    )
    assert aor(message.to.uri) == "sip:user@example.com"
    assert aor(message.uri) == "sip:sips%3Auser%40example.com@example.net"
    assert not SipUri.parse(message.contacts[0].uri).has_param("lr")


def test_3_1_1_4_an_escaped_null_stays_escaped() -> None:
    message = accepted(request("REGISTER sip:h SIP/2.0", "Contact: <sip:%00%00@h>", To="<sip:n-%00-n@h>"))
    assert aor(message.to.uri) == "sip:n-%00-n@h"
    assert SipUri.parse(message.contacts[0].uri).user == "%00%00"


def test_3_1_1_5_a_percent_sign_where_it_escapes_nothing() -> None:
    message = accepted(
        request(
            "RE%47IST%45R sip:registrar.example.com SIP/2.0",
            "Contact: <sip:one@h>",
            "C%6Fntact: <sip:two@h>",
            "Contact: <sip:three@h>",
            To='"%Z%45" <sip:resource@example.com>',
        )
    )
    assert message.method == "RE%47IST%45R"
    assert message.to.display == "%Z%45"
    assert [contact.uri for contact in message.contacts] == ["sip:one@h", "sip:three@h"]


def test_3_1_1_6_no_space_between_name_and_bracket() -> None:
    assert accepted(request(From="lena<sip:lena@south.example>;tag=1")).from_.display == "lena"


def test_3_1_1_7_long_values_in_headers() -> None:
    tag, name = "12" * 300, "long" * 200
    message = accepted(
        request(
            f"INVITE sip:{name[:400]}@h SIP/2.0",
            f"X-{name}: {name}",
            From=f"sip:{name}@h;tag={tag};{name}={name}",
        )
    )
    assert message.from_tag == tag


def test_3_1_1_8_what_follows_the_first_message_in_a_datagram_is_not_part_of_it() -> None:
    first = request("REGISTER sip:example.com SIP/2.0")
    assert parse(first + b"\r\n" + request()).encode() == first


def test_3_1_1_9_semicolons_in_a_user_part() -> None:
    uri = SipUri.parse(accepted(request("OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0")).uri)
    assert (uri.user, uri.host, uri.params) == ("user;par=u%40example.net", "example.com", ())


def test_3_1_1_10_transports_nobody_knows() -> None:
    hops = ["SIP/2.0/SCTP t2", "SIP/2.0/TLS t3", "SIP/2.0/UNKNOWN t4", "SIP/2.0/TCP t5"]
    message = accepted(
        request("OPTIONS sip:a@h SIP/2.0", *(f"Via: {hop};branch=z9hG4bK{hop[-1]}" for hop in hops))
    )
    assert message.values("via")[3] == "SIP/2.0/UNKNOWN t4;branch=z9hG4bK4"


def test_3_1_1_11_a_multipart_body_with_binary_parts() -> None:
    body = b"--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\n\r\n0\x82\x01\x00\r\n\r\n\x00\xff--b--\r\n"
    assert accepted(request("MESSAGE sip:a@h SIP/2.0", body=body)).body == body


@pytest.mark.parametrize("phrase", ["= 2**3 * 5**2 но сто девяносто девять - простое", ""])
def test_3_1_1_12_and_13_unusual_reason_phrases(phrase: str) -> None:
    message = accepted(request(f"SIP/2.0 200 {phrase}", CSeq="35 INVITE"))
    assert (message.status, message.reason) == (200, phrase)


# 3.1.2 Invalid messages


def test_3_1_2_1_separators_that_separate_nothing() -> None:
    assert refused(request(Via="SIP/2.0/UDP 198.51.100.15;;,;,,")) == 400
    message = accepted(request("INVITE sip:a@h SIP/2.0", 'Contact: "Jo" <sip:jo@h>;;;;'))
    with pytest.raises(SipSyntaxError):
        _ = message.contacts


def test_3_1_2_2_a_content_length_larger_than_the_message() -> None:
    assert refused(request("INVITE sip:a@h SIP/2.0", body=SDP, Content_Length="9999")) == 400


def test_3_1_2_3_a_negative_content_length() -> None:
    assert refused(request("INVITE sip:a@h SIP/2.0", body=SDP, Content_Length="-999")) == 400


def test_3_1_2_4_a_request_with_scalars_that_overflow() -> None:
    assert refused(request("REGISTER sip:h SIP/2.0", CSeq="36893488147419103232 REGISTER")) == 400
    assert refused(request("REGISTER sip:h SIP/2.0", Max_Forwards="300")) == 400
    message = accepted(
        request(
            "REGISTER sip:h SIP/2.0",
            "Expires: 1" + "0" * 100,
            "Contact: <sip:a@h>\r\n  ;expires=280297596632815",
        )
    )
    assert message.expires == 2**32 - 1


def test_3_1_2_5_a_response_with_scalars_that_overflow() -> None:
    assert refused(request("SIP/2.0 503 Service Unavailable", CSeq="9292394834772304023312 OPTIONS")) == 400


@pytest.mark.parametrize("to", ['"Mr. J. User <sip:j.user@example.com>', '"<sip:a@h>', '<sip:a@h>;x="'])
def test_3_1_2_6_a_quoted_string_without_end(to: str) -> None:
    assert refused(request("INVITE sip:a@h SIP/2.0", To=to)) == 400


def test_3_1_2_7_brackets_around_the_request_uri() -> None:
    assert refused(request("INVITE <sip:user@example.com> SIP/2.0")) == 400


@pytest.mark.parametrize(
    "start",
    [
        "INVITE sip:user@example.com; lr SIP/2.0",  # 3.1.2.8
        "INVITE  sip:user@example.com  SIP/2.0",  # 3.1.2.9
        "OPTIONS sip:remote-target@example.com SIP/2.0  ",  # 3.1.2.10
    ],
)
def test_3_1_2_8_to_10_white_space_that_does_not_belong_in_a_request_line(start: str) -> None:
    assert refused(request(start)) == 400


def test_3_1_2_11_headers_in_the_request_uri() -> None:
    assert refused(request("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0")) == 400


def test_3_1_2_12_a_date_that_is_none_is_nobodys_business_here() -> None:
    accepted(request("INVITE sip:a@h SIP/2.0", "Date: Fri, 01 Jan 2010 16:00:00 EST"))


def test_3_1_2_13_headers_in_a_contact_without_brackets() -> None:
    message = accepted(request("REGISTER sip:h SIP/2.0", "Contact: sip:user@h?Route=%3Csip:x.example.com%3E"))
    with pytest.raises(SipSyntaxError):
        _ = message.contacts


def test_3_1_2_14_spaces_within_brackets() -> None:
    assert refused(request(To='"Watson, Thomas" < sip:t.watson@example.org >')) == 400


def test_3_1_2_15_commas_in_a_name_without_quotes() -> None:
    assert refused(request(From="Bell, Alexander <sip:a.g.bell@example.com>;tag=43")) == 400


def test_3_1_2_16_another_version() -> None:
    assert (
        refused(request("OPTIONS sip:t.watson@example.org SIP/7.0", Via="SIP/7.0/UDP h;branch=z9hG4bK1"))
        == 505
    )


@pytest.mark.parametrize("start", ["OPTIONS sip:a@h SIP/2.0", "NEWMETHOD sip:a@h SIP/2.0"])
def test_3_1_2_17_and_18_another_method_in_cseq(start: str) -> None:
    assert refused(request(start, CSeq="8 INVITE")) == 400


def test_3_1_2_19_a_status_code_that_overflows_is_nothing_to_answer() -> None:
    with pytest.raises(MalformedMessageError) as caught:
        parse(request("SIP/2.0 4294967301 better not break the receiver", CSeq="353494 INVITE"))
    assert caught.value.message is None


# 3.2 and 3.3 Transaction and application layer


def test_3_2_1_a_branch_that_names_nothing() -> None:
    assert refused(request(Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK")) == 400


@pytest.mark.parametrize("missing", ["From", "To", "Call-ID", "CSeq", "Via"])
def test_3_3_1_required_headers_that_are_missing(missing: str) -> None:
    lines = request("INVITE sip:a@h SIP/2.0").split(b"\r\n")
    kept = [line for line in lines if not line.startswith(missing.encode() + b":")]
    assert len(kept) == len(lines) - 1
    assert refused(b"\r\n".join(kept)) == 400


@pytest.mark.parametrize("uri", ["nobodyKnowsThis:totallyopaque", "soap.beep://192.0.2.103:3002"])
def test_3_3_2_and_3_unknown_schemes_in_the_request_uri_are_for_others_to_refuse(uri: str) -> None:
    message = accepted(request(f"OPTIONS {uri} SIP/2.0"))
    assert SipUri.parse(message.uri).scheme == uri.split(":")[0].lower()


def test_3_3_4_unknown_schemes_in_other_headers() -> None:
    message = accepted(
        request(
            "REGISTER sip:h SIP/2.0",
            "Contact: <name:John_Smith>",
            To="isbn:2983792873",
            From="<http://www.example.com>;tag=3",
        )
    )
    assert [message.to.uri, message.from_.uri, message.contacts[0].uri] == [
        "isbn:2983792873",
        "http://www.example.com",
        "name:John_Smith",
    ]


def test_3_3_5_and_6_unknown_extensions_and_schemes_of_authorization_are_read() -> None:
    message = accepted(
        request(
            "REGISTER sip:h SIP/2.0",
            "Require: nothing, more",
            "Proxy-Require: other",
            "Authorization: Unknown opaque-data=here",
        )
    )
    assert message.values("require") == ["nothing", "more"]


def test_3_3_8_single_headers_given_twice() -> None:
    for line in (
        "CSeq: 59 OPTIONS",
        "Call-ID: other",
        "To: <sip:c@h>",
        "From: <sip:d@h>;tag=2",
        "Max-Forwards: 5",
    ):
        assert refused(request("OPTIONS sip:a@h SIP/2.0", line)) == 400


def test_3_3_9_two_content_lengths() -> None:
    assert (
        refused(
            request(
                "OPTIONS sip:a@h SIP/2.0", "Content-Length: 5", body=b"no way to know", Content_Length="13"
            )
        )
        == 400
    )


def test_3_3_10_a_broadcast_address_in_a_second_via_is_read() -> None:
    message = accepted(
        request("SIP/2.0 200 OK", "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1", CSeq="35 INVITE")
    )
    assert message.values("via")[1].startswith("SIP/2.0/UDP 255.255.255.255")


def test_3_3_11_zero_max_forwards() -> None:
    assert accepted(request(Max_Forwards="0")).max_forwards == 0


@pytest.mark.parametrize(
    ("contact", "inner"),
    [("sip:+1972@gw1.example.net;odd", False), ("<sip:+1972@gw1.example.net;odd>", True)],
)
def test_3_3_12_and_13_parameters_belong_to_the_header_without_brackets(contact: str, *, inner: bool) -> None:
    (read,) = accepted(request("REGISTER sip:h SIP/2.0", f"Contact: {contact}")).contacts
    assert SipUri.parse(read.uri).has_param("odd") is inner
    assert ("odd" in read.params) is not inner


def test_3_3_14_escaped_headers_in_a_contact() -> None:
    (contact,) = accepted(
        request("REGISTER sip:h SIP/2.0", "M: <sip:user@h?Route=%3Csip:x.example%3E>")
    ).contacts
    assert SipUri.parse(contact.uri).headers == "Route=%3Csip:x.example%3E"


# 3.4 Backward compatibility


def test_3_4_1_an_invite_of_rfc_2543() -> None:
    data = request(
        "INVITE sip:UserB@example.com SIP/2.0",
        "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>",
        Via="SIP/2.0/UDP iftgw.example.com",
        From="<sip:+13035551111@ift.client.example.net;user=phone>",
        Max_Forwards=None,
        Content_Length=None,
        body=SDP,
    )
    message = parse(data)
    check(message)
    assert (message.branch, message.from_tag, message.max_forwards) == (None, None, None)
    assert message.body == SDP

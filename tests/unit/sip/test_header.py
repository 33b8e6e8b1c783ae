"""Via, addresses, CSeq, seconds and credentials as real peers write them."""

from __future__ import annotations

import pytest

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import (
    CSeq,
    NameAddr,
    Via,
    auth_params,
    auth_params_all,
    canonical_name,
    delta_seconds,
    received_name,
    wire_name,
)

INSTANCE = "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"


@pytest.mark.parametrize(
    ("name", "canonical"),
    [("v", "via"), ("V", "via"), ("VIA", "via"), ("Via", "via"), ("cAlL-iD", "call-id"), ("X-Foo", "x-foo")],
)
def test_header_names_are_known_in_any_case_and_in_short(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


def test_every_compact_form_stands_for_its_header() -> None:
    # IANA's list of compact forms.
    forms = (
        "accept-contact referred-by content-type request-disposition content-encoding from call-id "
        "reject-contact supported content-length contact event refer-to subject to allow-events via "
        "session-expires identity"
    )
    assert " ".join(canonical_name(short) for short in "abcdefijklmorstuvxy") == forms


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("via", "Via"),
        ("i", "Call-ID"),
        ("cseq", "CSeq"),
        ("www-authenticate", "WWW-Authenticate"),
        ("x-mine", "X-Mine"),
        ("X-mINE", "X-mINE"),
    ],
)
def test_header_names_are_written_as_people_expect_them(name: str, written: str) -> None:
    assert wire_name(name) == written


def test_white_space_before_the_colon_is_not_part_of_the_name() -> None:
    assert received_name("Call-ID ") == "call-id"
    assert received_name("v\t") == "via"


@pytest.mark.parametrize("name", ["", " ", " Via", "a b", "Üx", "a,b", "Via\r"])
def test_what_is_no_token_is_no_header_name(name: str) -> None:
    assert received_name(name) is None


def test_a_via_is_read_and_written() -> None:
    text = "SIP/2.0/UDP 192.0.2.1:5062;rport;branch=z9hG4bK776a=x"
    (via,) = Via.parse_all(text)
    assert (via.transport, via.host, via.port, via.branch) == ("UDP", "192.0.2.1", 5062, "z9hG4bK776a=x")
    assert "rport" in via.params
    assert via.rport is None
    assert str(via) == text


def test_what_the_next_hop_saw_is_added_to_a_via() -> None:
    via = Via.parse_first("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;rport").with_params(
        received="192.0.2.7", rport="4711"
    )
    assert (via.received, via.rport) == ("192.0.2.7", 4711)
    assert str(via) == "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;rport=4711;received=192.0.2.7"


def test_all_hops_of_a_line_are_read_with_white_space_anywhere() -> None:
    hops = Via.parse_all(
        "SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,"
        "\r\n sip  /    2.0   / udp  192.168.255.111   ; branch=\r\n z9hG4bK30239"
    )
    assert [(hop.transport, hop.host, hop.branch) for hop in hops] == [
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]


def test_ipv6_is_read_in_a_via_with_brackets_and_in_received_without() -> None:
    via = Via.parse_first("SIP/2.0/TLS [2001:db8::9]:5061;received=2001:db8::2;branch=z9hG4bK1")
    assert (via.host, via.port, via.received) == ("[2001:db8::9]", 5061, "2001:db8::2")
    assert Via.parse_first("SIP/2.0/UDP h;received=[2001:db8::2]").received == "2001:db8::2"


def test_an_underscore_in_a_host_is_forgiven() -> None:
    assert Via.parse_first("SIP/2.0/UDP pbx_1.local;branch=z9hG4bK1").host == "pbx_1.local"


@pytest.mark.parametrize("rport", ["", "=", "=0", "=65536", "=123456", "=x", "=²"])
def test_an_rport_without_a_usable_number_is_none(rport: str) -> None:
    assert Via.parse_first(f"SIP/2.0/UDP h;rport{rport}").rport is None


def test_an_empty_branch_or_received_is_none() -> None:
    via = Via.parse_first("SIP/2.0/UDP h;branch=;received=")
    assert (via.branch, via.received) == (None, None)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/3.0/UDP h",
        "SIP/2.0/UDP 192.0.2.15;;,;,,",
        "SIP/2.0/UDP h,",
        "SIP/2.0/UDP h;branch=a b",
        "SIP/2.0/UDP h:0",
        "SIP/2.0/UDP h:99999",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP [::::]",
        "SIP/2.0/ÜDP h",
        "HTTP/2.0/UDP h",
        "\N{LATIN SMALL LETTER LONG S}ip/2.0/UDP h",
        'SIP/2.0/UDP h;branch="open',
    ],
)
def test_a_malformed_via_is_refused(value: str) -> None:
    with pytest.raises(SipSyntaxError):
        Via.parse_all(value)


@pytest.mark.parametrize(
    ("value", "display", "uri", "tag"),
    [
        ("<sip:a@h>;tag=1", "", "sip:a@h", "1"),
        ("sip:a@h;tag=1", "", "sip:a@h", "1"),
        ('"Alice" <sip:a@h>;TAG=aB', "Alice", "sip:a@h", "aB"),
        ("Alice Example <sip:a@h>", "Alice Example", "sip:a@h", None),
        ("caller<sip:caller@example.com>;tag=323", "caller", "sip:caller@example.com", "323"),
        ("Jürgen Müller <sip:j@h>;tag=x", "Jürgen Müller", "sip:j@h", "x"),
        ("Dr. No <sip:no@h>", "Dr. No", "sip:no@h", None),
        ("DOMAIN\\user <sip:no@h>", "DOMAIN\\user", "sip:no@h", None),
        (r'"J \"R\" \\" <sip:j@h>', 'J "R" \\', "sip:j@h", None),
        ('"Bell, A. <x>" <sip:b@h>', "Bell, A. <x>", "sip:b@h", None),
        ('"" <sip:a@h>', "", "sip:a@h", None),
        ("<sip:a@h;tag=inner>;tag=outer", "", "sip:a@h;tag=inner", "outer"),
        ("<sip:a,b@h?Replaces=x%3Bto-tag%3D1>", "", "sip:a,b@h?Replaces=x%3Bto-tag%3D1", None),
        ("<sip:*21#@h>;tag=1", "", "sip:*21#@h", "1"),
        ("<tel:+4930123>;tag=1", "", "tel:+4930123", "1"),
        ("<urn:service:sos>", "", "urn:service:sos", None),
        ("isbn:2983792873", "", "isbn:2983792873", None),
        ("SIP:a@h ;\r\n  tag = 98asjd8", "", "SIP:a@h", "98asjd8"),
        ("<sip:a@h>;tag=", "", "sip:a@h", None),
    ],
)
def test_an_address_is_read(value: str, display: str, uri: str, tag: str | None) -> None:
    address = NameAddr.parse(value)
    assert (address.display, address.uri, address.tag) == (display, uri, tag)


def test_an_instance_id_is_kept_and_written_verbatim() -> None:
    value = f'<sip:a@192.0.2.2;pn-prid=x:y>;+sip.instance="{INSTANCE}";reg-id=1'
    address = NameAddr.parse(value)
    assert address.params["+sip.instance"] == f'"{INSTANCE}"'
    assert str(address) == value


def test_parameters_without_value_are_kept() -> None:
    assert str(NameAddr.parse("<sip:a@h>;self=1;audio;x=")) == "<sip:a@h>;self=1;audio;x="


def test_header_parameters_are_set_on_a_copy() -> None:
    address = NameAddr.parse('"A" <sip:a@h>;expires=60')
    assert str(address.with_params(expires="3600", tag="t")) == '"A" <sip:a@h>;expires=3600;tag=t'
    assert str(address) == '"A" <sip:a@h>;expires=60'


def test_a_name_that_needs_it_is_quoted_when_written() -> None:
    assert str(NameAddr('the "boss"', "sip:b@h")) == r'"the \"boss\"" <sip:b@h>'


def test_all_contacts_of_a_line_are_read() -> None:
    contacts = NameAddr.parse_all('"A, B" <sip:a@h>;q=0.5, <sip:c,d@h>, sip:e@h;expires=5')
    assert [contact.uri for contact in contacts] == ["sip:a@h", "sip:c,d@h", "sip:e@h"]
    assert contacts[2].params == {"expires": "5"}


def test_a_star_contact_is_read() -> None:
    assert NameAddr.parse_all(" * ") == [NameAddr("", "*")]
    assert str(NameAddr("", "*")) == "*"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "alice",
        "<alice>",
        "<>",
        "<sip:a@h",
        "sip:a@h>",
        "<sip:a@h>;;",
        '"Joe" <sip:joe@example.org>;;;;',
        '"Mr. J. User <sip:j.user@example.com>',
        '"Watson, Thomas" < sip:t.watson@example.org >',
        "Bell, Alexander <sip:a@h>",
        "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
        "<sip:a@h> trailing",
        "<sip:a@h>,",
        "<sip:a@h>, <sip:b@h>",
        '"a" b <sip:a@h>',
        "*x",
        "<sip:a b@h>",
    ],
)
def test_a_malformed_address_is_refused(value: str) -> None:
    with pytest.raises(SipSyntaxError):
        NameAddr.parse(value)


def test_a_sequence_number_is_read() -> None:
    assert CSeq.parse("0009\r\n  INVITE") == CSeq(9, "INVITE")
    assert CSeq.parse("2147483647 X-Y") == CSeq(2**31 - 1, "X-Y")
    assert str(CSeq(1, "ACK")) == "1 ACK"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        "INVITE",
        "2147483648 INVITE",
        "36893488147419103232 REGISTER",
        "-1 A",
        "1 A B",
        "١ INVITE",
        "1INVITE",
    ],
)
def test_a_malformed_sequence_number_is_refused(value: str) -> None:
    with pytest.raises(SipSyntaxError):
        CSeq.parse(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3600", 3600),
        (" 60 ", 60),
        ("0", 0),
        ("120 (in a meeting);duration=60", 120),
        ("18000;duration=3600", 18000),
        ("00000000000000000060", 60),
        ("4294967295", 2**32 - 1),
        ("4294967296", 2**32 - 1),
        ("1" + "0" * 100, 2**32 - 1),
        ("9" * 5000, 2**32 - 1),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("never", None),
        ("60s", None),
        ("²", None),
        ("Thu, 01 Dec 1994 16:00:00 GMT", None),
    ],
)
def test_seconds_are_read_and_bounded(value: str, seconds: int | None) -> None:
    assert delta_seconds(value) == seconds


def test_a_challenge_is_read_with_commas_in_quotes_and_any_case() -> None:
    scheme, params = auth_params(
        'DIGEST Realm="ACME, Inc.", nonce="a\\"b==", qop="auth,auth-int", stale=TRUE , algorithm=SHA-256'
    )
    assert scheme == "digest"
    assert params == {
        "realm": "ACME, Inc.",
        "nonce": 'a"b==',
        "qop": "auth,auth-int",
        "stale": "TRUE",
        "algorithm": "SHA-256",
    }


def test_spaces_around_the_equal_sign_and_empty_elements_are_forgiven() -> None:
    assert auth_params('Digest realm = "a",, nonce\t=x,') == ("digest", {"realm": "a", "nonce": "x"})


def test_of_a_repeated_parameter_the_first_counts() -> None:
    assert auth_params("Digest a=1, A=2") == ("digest", {"a": "1"})


def test_several_challenges_in_one_line_are_told_apart() -> None:
    assert auth_params_all('Basic realm="b", Digest realm="d, e", nonce="n" , NewScheme x=y, Bare') == [
        ("basic", {"realm": "b"}),
        ("digest", {"realm": "d, e", "nonce": "n"}),
        ("newscheme", {"x": "y"}),
        ("bare", {}),
    ]


def test_credentials_that_are_one_token_have_no_parameters() -> None:
    assert auth_params("Basic QWxhZGRpbjpvcGVu==") == ("basic", {})
    assert auth_params_all("Basic QWxhZGRpbg==, Digest a=b") == [("basic", {}), ("digest", {"a": "b"})]


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "realm=x",
        'Digest realm="open',
        'Digest realm="a" nonce="b"',
        "Digest =x",
        "Digest a=b c",
        "Ü x=y",
    ],
)
def test_malformed_credentials_are_refused(value: str) -> None:
    with pytest.raises(SipSyntaxError):
        auth_params(value)


def test_two_challenges_are_not_one() -> None:
    with pytest.raises(SipSyntaxError):
        auth_params("Digest a=b, Basic c=d")

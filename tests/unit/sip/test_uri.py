"""URIs: read, written, compared by RFC 3261 section 19.1.4."""

from __future__ import annotations

import pytest

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.uri import SipUri, aor, equivalent


def test_every_part_of_a_sip_uri_is_found() -> None:
    uri = SipUri.parse("sip:alice:secret@pbx.example.com:5061;transport=tls;lr?Subject=hi&Priority=urgent")
    assert uri == SipUri(
        scheme="sip",
        user="alice",
        password="secret",
        host="pbx.example.com",
        port=5061,
        params=(("transport", "tls"), ("lr", None)),
        headers="Subject=hi&Priority=urgent",
    )


@pytest.mark.parametrize(
    "text",
    [
        "sip:pbx.example.com",
        "sip:alice@pbx.example.com",
        "sips:alice@pbx.example.com:5061",
        "sip:*21#@h",
        "sip:bob@pbx_1.local",
        "sip:alice@[2001:db8::2]:5060;transport=tcp",
        "sip:+4930123456@192.0.2.1;user=phone",
        "sip:user;par=u%40example.net@example.com",
        "sip:1_unusual~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d@example.com",
        "sip:müller@h",
        "sip:a@h;Pn-Prid=x:y;pn-param=TEAM.app.voip",
        "sip:a@h?Replaces=abc%40h%3Bto-tag%3D1",
        "sip:a:@h",
        "sip:a@h.",
        "tel:+49-30-12345;phone-context=example.com",
        "tel:*21#",
        "urn:service:sos",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "soap.beep://192.0.2.103:3002",
        "mailto:a@b",
    ],
)
def test_a_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(SipUri.parse(text)) == text


def test_the_scheme_is_read_in_any_case() -> None:
    assert SipUri.parse("SIP:Alice@H").scheme == "sip"
    assert str(SipUri.parse("SIP:Alice@H")) == "sip:Alice@H"


def test_a_number_and_its_parameters_are_read_from_a_tel_uri() -> None:
    uri = SipUri.parse("tel:7042;phone-context=pbx.example")
    assert (uri.user, uri.host, uri.param("phone-context")) == ("7042", "", "pbx.example")


def test_of_an_unknown_scheme_the_rest_is_kept_and_not_guessed_at() -> None:
    uri = SipUri.parse("urn:service:sos;x=1")
    assert (uri.scheme, uri.opaque, uri.user, uri.host, uri.params) == ("urn", "service:sos;x=1", "", "", ())


def test_an_empty_user_of_a_hidden_caller_is_no_user() -> None:
    uri = SipUri.parse("sip:@10.0.0.1")
    assert (uri.user, uri.host) == ("", "10.0.0.1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "sip:",
        "sip:alice@",
        "sip:a b@h",
        "sip:alice@h h",
        "sip:alice@h\r\n",
        "sip:a@b@c",
        "sip:alice@h:",
        "sip:alice@h:0",
        "sip:alice@h:65536",
        "sip:alice@[::1",
        "sip:alice@[zz]",
        "sip:alice@[::::]",
        "sip:alice@[1:2:3]",
        "sip:alice@-h",
        "sip:alice@h;;lr",
        "sip:alice@h;",
        "sip:alice@h?",
        "sip::pw@h",
        "sip:<a>@h",
        'sip:"a"@h',
        "sip:a@h\x00",
        "tel:",
        "tel:1;;",
        "tel:1?x=y",
        "urn:",
        "urn:a b",
        "1sip:a@h",
        " sip:a@h",
        "\N{LATIN SMALL LETTER LONG S}ip:a@h",
        "sip:a@h\N{ARABIC-INDIC DIGIT ONE}:5",
        "sip:a@h:\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_a_malformed_uri_is_refused(text: str) -> None:
    with pytest.raises(SipSyntaxError):
        SipUri.parse(text)


def test_parameters_are_found_in_any_case() -> None:
    uri = SipUri.parse("sip:h;Transport=UDP;LR;pn-prid=")
    assert uri.param("transport") == "UDP"
    assert uri.param("lr") is None
    assert uri.param("maddr") is None
    assert uri.has_param("lr")
    assert uri.param("PN-PRID") == ""
    assert not uri.has_param("maddr")


def test_parameters_are_set_and_taken_away_on_a_copy() -> None:
    uri = SipUri.parse("sip:a@h;Transport=udp;ob")
    changed = uri.with_params({"pn-provider": "apns"}, transport="tcp", lr=None)
    assert str(changed) == "sip:a@h;ob;pn-provider=apns;transport=tcp;lr"
    assert str(changed.without("OB", "transport", "absent")) == "sip:a@h;pn-provider=apns;lr"
    assert str(uri) == "sip:a@h;Transport=udp;ob"
    assert uri.with_params() == uri


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a%2fb@h", "sip:a%2Fb@h"),
        ("tel:+49-30-123", "tel:+4930123"),
        ("tel:7042;phone-context=A.example", "tel:7042;Phone-Context=a.example"),
        ("urn:service:sos", "URN:service:sos"),
    ],
)
def test_uris_that_the_rfc_calls_equivalent_are(a: str, b: str) -> None:
    assert equivalent(a, b)
    assert equivalent(SipUri.parse(b), SipUri.parse(a))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a@h", "sip:a:@h"),
        ("sip:a:x@h", "sip:a:y@h"),
        ("sip:a@h;user=phone", "sip:a@h"),
        ("sip:a@h;maddr=192.0.2.1", "sip:a@h"),
        ("sip:a@h;ttl=1", "sip:a@h"),
        ("sip:a%40b@h", "sip:a%41b@h"),
        ("tel:7042;phone-context=a.example", "tel:7042"),
        ("urn:service:sos", "urn:service:sos.fire"),
    ],
)
def test_uris_that_the_rfc_calls_different_are(a: str, b: str) -> None:
    assert not equivalent(a, b)
    assert not equivalent(b, a)


def test_equivalence_is_not_transitive_as_the_rfc_says() -> None:
    plain, on, off = "sip:c@h", "sip:c@h;security=on", "sip:c@h;security=off"
    assert equivalent(plain, on)
    assert equivalent(plain, off)
    assert not equivalent(on, off)


def test_a_malformed_uri_is_equivalent_to_nothing() -> None:
    with pytest.raises(SipSyntaxError):
        equivalent("sip:a@h", "nonsense")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:Alice@PBX.Example.Com:5061;transport=tls?x=y", "sip:Alice@pbx.example.com"),
        ("sips:alice@pbx.example.com", "sip:alice@pbx.example.com"),
        ("SIP:%61lice:secret@h", "sip:alice@h"),
        ("sip:a%2fb@h", "sip:a%2Fb@h"),
        ("sip:null-%00@h", "sip:null-%00@h"),
        ("sip:sips%3Auser%40example.com@example.net", "sip:sips%3Auser%40example.com@example.net"),
        ("sip:PBX.example.com", "sip:pbx.example.com"),
        ("sip:alice@[2001:DB8::1]:5060", "sip:alice@[2001:db8::1]"),
    ],
)
def test_an_address_of_record_has_one_spelling(text: str, expected: str) -> None:
    assert aor(text) == expected
    assert aor(expected) == expected


@pytest.mark.parametrize("text", ["tel:+4930123", "urn:service:sos", "mailto:a@b"])
def test_what_is_not_a_sip_uri_is_no_address_of_record(text: str) -> None:
    with pytest.raises(SipSyntaxError) as caught:
        aor(text)
    assert caught.value.status == 416

"""Digest against published vectors, and against the formulas of RFC 7616 spelt out."""

import hashlib

import pytest

from wakerobin.core.sip.digest import (
    Algorithm,
    Challenge,
    answer,
    challenges,
    ha1,
    parse_authorization,
    verify,
)
from wakerobin.core.sip.header import auth_params
from wakerobin.core.sip.message import Message

MD5, SHA_256 = Algorithm.MD5, Algorithm.SHA_256


def offered(line: str) -> Challenge:
    (challenge,) = challenges(Message.response(401, headers=[("WWW-Authenticate", line)]))
    return challenge


def answered(value: str) -> dict[str, str]:
    scheme, params = auth_params(value)
    assert scheme == "digest"
    return params


def test_the_vector_of_rfc_2617_section_3_5() -> None:
    challenge = offered(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    value = answer(
        challenge,
        username="Mufasa",
        ha1=ha1(MD5, "Mufasa", "testrealm@host.com", "Circle Of Life"),
        method="GET",
        uri="/dir/index.html",
        nc=1,
        cnonce="0a4f113b",
    )
    assert answered(value) == {
        "username": "Mufasa",
        "realm": "testrealm@host.com",
        "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "uri": "/dir/index.html",
        "algorithm": "MD5",
        "qop": "auth",
        "nc": "00000001",
        "cnonce": "0a4f113b",
        "response": "6629fae49393a05397450978507c4ef1",
        "opaque": "5ccc069c403ebaf9f0171e9517f40e41",
    }


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        (MD5, "8ca523f5e9506fed4657c9700eebdbec"),
        (SHA_256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_vectors_of_rfc_7616_section_3_9_1(algorithm: Algorithm, response: str) -> None:
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    opaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    offer = f'realm="http-auth@example.org", qop="auth, auth-int", nonce="{nonce}"'
    challenge = offered(f'Digest {offer}, algorithm={algorithm.wire}, opaque="{opaque}"')
    value = answer(
        challenge,
        username="Mufasa",
        ha1=ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life"),
        method="GET",
        uri="/dir/index.html",
        nc=1,
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert answered(value)["response"] == response


SDP = b"\r\n".join(
    (
        b"v=0",
        b"o=bob 2890844526 2890844526 IN IP4 media.biloxi.com",
        b"s=-",
        b"c=IN IP4 media.biloxi.com",
        b"t=0 0",
        b"m=audio 49170 RTP/AVP 0",
        b"a=rtpmap:0 PCMU/8000",
        b"m=video 51372 RTP/AVP 31",
        b"a=rtpmap:31 H261/90000",
        b"m=video 53000 RTP/AVP 32",
        b"a=rtpmap:32 MPV/90000",
        b"",
    )
)


@pytest.mark.parametrize(
    ("offer", "response"),
    [
        ("", "bf57e4e0d0bffc0fbaedce64d59add5e"),
        (', qop="auth"', "89eb0059246c02b2f6ee02c7961d5ea3"),
        (', qop="auth", algorithm=MD5', "89eb0059246c02b2f6ee02c7961d5ea3"),
        (', qop="auth", algorithm=MD5-sess', "e4e4ea61d186d07a92c9e1f6919902e9"),
        (', qop="auth-int", algorithm=MD5', "bdbeebb2da6adb6bca02599c2239e192"),
        (', qop="auth-int", algorithm=MD5-sess', "91984da2d8663716e91554859c22ca70"),
    ],
)
def test_the_sip_vectors_of_draft_smith_sipping_auth_examples(offer: str, response: str) -> None:
    challenge = offered(f'Digest realm="biloxi.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"{offer}')
    secret = ha1(MD5, "bob", "biloxi.com", "zanzibar")
    value = answer(
        challenge,
        username="bob",
        ha1=secret,
        method="INVITE",
        uri="sip:bob@biloxi.com",
        nc=1,
        cnonce="0a4f113b",
        body=SDP,
    )
    assert answered(value)["response"] == response
    authorization = parse_authorization(value)
    assert authorization is not None
    assert verify(authorization, ha1=secret, method="INVITE", body=SDP)


def test_an_answer_as_before_rfc_2617_verifies() -> None:
    # The errata of RFC 2069 correct its own example to this.
    authorization = parse_authorization(
        'Digest username="Mufasa", realm="testrealm@host.com", uri="/dir/index.html", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'response="1949323746fe6a43ef61f9606e7febea"'
    )
    assert authorization is not None
    assert (authorization.qop, authorization.nc, authorization.cnonce) == ("", 0, "")
    secret = hashlib.md5(b"Mufasa:testrealm@host.com:CircleOfLife").hexdigest()
    assert verify(authorization, ha1=secret, method="GET")
    assert not verify(authorization, ha1=secret, method="POST")


def test_sha_256_sess_with_auth_int_is_what_rfc_7616_spells_out() -> None:
    def h(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    challenge = Challenge("pbx.example", "n0nce", SHA_256, session=True, qop=("auth-int",))
    value = answer(
        challenge,
        username="alice",
        ha1=h("alice:pbx.example:secret"),
        method="MESSAGE",
        uri="sip:bob@pbx.example",
        nc=0xAB,
        cnonce="c",
        body=b"\xff\x00hi",
    )
    session_key = h(h("alice:pbx.example:secret") + ":n0nce:c")
    body = hashlib.sha256(b"\xff\x00hi").hexdigest()
    request = h(f"MESSAGE:sip:bob@pbx.example:{body}")
    fields = answered(value)
    assert fields["response"] == h(f"{session_key}:n0nce:000000ab:c:auth-int:{request}")
    assert fields["algorithm"] == "SHA-256-sess"

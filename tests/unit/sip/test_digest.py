"""Digest: what real PBXs and phones write is understood, and nothing altered verifies."""

import hashlib
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wakerobin.core.sip.digest import (
    Algorithm,
    Authorization,
    Challenge,
    answer,
    challenge_value,
    challenges,
    ha1,
    next_nonce,
    parse_authorization,
    strongest,
    verify,
)
from wakerobin.core.sip.header import auth_params
from wakerobin.core.sip.message import Message, parse

MD5, SHA_256 = Algorithm.MD5, Algorithm.SHA_256


def refusal(*lines: str, proxy: bool = False) -> Message:
    header = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
    return Message.response(407 if proxy else 401, headers=[(header, line) for line in lines])


def only(message: Message) -> Challenge:
    (challenge,) = challenges(message)
    return challenge


def answered(value: str) -> dict[str, str]:
    scheme, params = auth_params(value)
    assert scheme == "digest"
    return params


# -- challenges as PBXs write them ------------------------------------------------------------


def test_several_challenges_in_several_lines_keep_their_order() -> None:
    found = challenges(
        refusal(
            'Digest realm="asterisk", nonce="1", algorithm=SHA-256, qop="auth"',
            'Digest realm="asterisk", nonce="1", algorithm=MD5, qop="auth"',
        )
    )
    assert [challenge.algorithm for challenge in found] == [SHA_256, MD5]


def test_several_challenges_in_one_line_are_told_apart() -> None:
    found = challenges(
        refusal(
            'Basic realm="old, tired", Digest realm="a, b", nonce="1", qop="auth,auth-int",'
            ' algorithm=MD5,Digest  nonce="2",realm="c",algorithm=SHA-256'
        )
    )
    assert found == [
        Challenge("a, b", "1", MD5, qop=("auth", "auth-int")),
        Challenge("c", "2", SHA_256),
    ]


def test_other_schemes_and_unknown_algorithms_are_passed_over() -> None:
    found = challenges(
        refusal(
            'Basic realm="pbx"',
            'Digest realm="pbx", nonce="1", algorithm=SHA-512-256, qop="auth"',
            'Digest realm="pbx", nonce="1", algorithm=AKAv1-MD5, qop="auth"',
            'NTLM realm="SIP Communications Service", nonce="1", targetname="lync", version=4',
            'Digest realm="pbx", nonce="2", algorithm=MD5, qop="auth"',
        )
    )
    assert [challenge.nonce for challenge in found] == ["2"]


def test_a_407_is_a_proxys_challenge_and_a_401_may_bring_both() -> None:
    proxy = refusal('Digest realm="edge", nonce="p"', proxy=True)
    assert only(proxy).proxy
    proxy.add("WWW-Authenticate", 'Digest realm="registrar", nonce="w"')
    assert [(challenge.realm, challenge.proxy) for challenge in challenges(proxy)] == [
        ("registrar", False),
        ("edge", True),
    ]


def test_a_response_without_challenges_has_none() -> None:
    assert challenges(Message.response(403)) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'DIGEST Realm="ACME, Inc.",NONCE="n",Algorithm="md5",QOP="AUTH"',
            Challenge("ACME, Inc.", "n", MD5, qop=("auth",)),
        ),
        ("Digest realm=asterisk, nonce=4f2e, qop=auth", Challenge("asterisk", "4f2e", MD5, qop=("auth",))),
        ('Digest  realm = "a" , nonce = "n"', Challenge("a", "n")),
        (r'Digest realm="the \"red\" one", nonce="n"', Challenge('the "red" one', "n")),
        ('Digest realm="", nonce="n", opaque=""', Challenge("", "n", opaque="")),
        ('Digest realm="a", nonce="n", qop=""', Challenge("a", "n")),
        ('Digest realm="a", nonce="n", qop="auth-conf, auth-int"', Challenge("a", "n", qop=("auth-int",))),
        (
            'Digest realm="a", nonce="n", algorithm=sha-256-SESS, qop="auth"',
            Challenge("a", "n", SHA_256, session=True, qop=("auth",)),
        ),
        ('Digest realm="Zürich", nonce="n"', Challenge("Zürich", "n")),
        ('Digest domain="sip:a sip:b", realm="a", nonce="n"', Challenge("a", "n")),
        ('Digest realm="a",, nonce="n",', Challenge("a", "n")),
    ],
)  # fmt: skip
def test_what_pbxs_write_is_understood(line: str, expected: Challenge) -> None:
    assert only(refusal(line)) == expected


@pytest.mark.parametrize(
    ("written", "stale"),
    [
        ("TRUE", True),
        ("true", True),
        ('"true"', True),
        ('"True"', True),
        ("FALSE", False),
        ('""', False),
        ("1", False),
    ],
)
def test_stale_is_understood_however_it_is_written(written: str, stale: bool) -> None:
    assert only(refusal(f'Digest realm="a", nonce="n", stale={written}')).stale is stale


def test_a_challenge_over_folded_lines_of_the_wire_is_understood() -> None:
    message = parse(
        b"SIP/2.0 401 Unauthorized\r\n"
        b'WWW-Authenticate: Digest realm="asterisk",\r\n  nonce="n",\r\n\tstale=TRUE\r\n'
        b"Content-Length: 0\r\n\r\n"
    )
    assert only(message) == Challenge("asterisk", "n", stale=True)


@pytest.mark.parametrize(
    "line",
    [
        'Digest nonce="n"',
        'Digest realm="a"',
        'Digest realm="a", nonce="n", qop="auth-conf"',
        'Digest realm="a", nonce="n", algorithm=MD4',
        'Digest realm="a", nonce="n", algorithm=MD5-sess-sess',
        'Digest realm="a nonce="n',
        'Digest realm="a" nonce="n"',
        "Digest",
        'realm="a", nonce="n"',
        "",
        ", ,",
        "=",
    ],
)
def test_what_cannot_be_answered_is_no_challenge(line: str) -> None:
    assert challenges(refusal(line)) == []


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n")))
def test_nonsense_is_no_challenge_and_no_exception(text: str) -> None:
    assert challenges(refusal(text)) == []
    assert challenges(refusal("Digest " + text)) == []
    assert parse_authorization(text) is None
    assert parse_authorization("Digest " + text) is None


def test_the_strongest_known_challenge_wins_and_the_first_of_equals() -> None:
    weak, strong, later = (
        Challenge("a", "1", MD5),
        Challenge("a", "2", SHA_256),
        Challenge("a", "3", SHA_256, session=True),
    )
    assert strongest([weak, strong, later]) is strong
    assert strongest([weak]) is weak
    assert strongest([]) is None


# -- our answers ------------------------------------------------------------------------------


def answer_to(challenge: Challenge) -> dict[str, str]:
    value = answer(
        challenge,
        username="alice",
        ha1="0" * 32,
        method="REGISTER",
        uri="sip:pbx.example",
        nc=1,
        cnonce="c",
    )
    return answered(value)


def test_auth_is_preferred_and_auth_int_used_only_where_nothing_else_is_offered() -> None:
    assert answer_to(Challenge("a", "n", qop=("auth-int", "auth")))["qop"] == "auth"
    assert answer_to(Challenge("a", "n", qop=("auth-int",)))["qop"] == "auth-int"


def test_an_answer_to_an_old_server_has_no_qop_count_or_cnonce() -> None:
    fields = answer_to(Challenge("a", "n"))
    assert fields.keys() == {"username", "realm", "nonce", "uri", "response", "algorithm"}


def test_a_session_key_without_qop_still_tells_its_cnonce() -> None:
    fields = answer_to(Challenge("a", "n", session=True))
    assert fields["cnonce"] == "c"
    assert "qop" not in fields


def test_opaque_comes_back_as_it_was_also_when_empty() -> None:
    assert answer_to(Challenge("a", "n", opaque=""))["opaque"] == ""
    assert answer_to(Challenge("a", "n", opaque='x"y'))["opaque"] == 'x"y'
    assert "opaque" not in answer_to(Challenge("a", "n"))


def test_tokens_are_not_quoted_because_small_parsers_take_the_quotes_for_content() -> None:
    value = answer(
        Challenge("a", "n", SHA_256, qop=("auth",)),
        username="alice",
        ha1="0" * 64,
        method="REGISTER",
        uri="sip:pbx.example",
        nc=17,
        cnonce="c",
    )
    assert ", algorithm=SHA-256, " in value
    assert ", qop=auth, nc=00000011" in value


def test_a_realm_in_the_peers_own_character_set_is_hashed_as_it_came() -> None:
    message = parse(
        b'SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm="Z\xfcrich", nonce="n"\r\n'
        b"Content-Length: 0\r\n\r\n"
    )
    realm = only(message).realm
    assert ha1(MD5, "alice", realm, "s") == hashlib.md5(b"alice:Z\xfcrich:s").hexdigest()


# -- answers of phones ------------------------------------------------------------------------

WELL_FORMED = (
    'Digest username="alice", realm="pbx.example", nonce="n", uri="sip:pbx.example", '
    'response="0123456789abcdef0123456789abcdef", algorithm=MD5, cnonce="c", qop=auth, nc=00000009'
)


def test_an_authorization_is_read_as_written() -> None:
    assert parse_authorization(WELL_FORMED) == Authorization(
        username="alice",
        realm="pbx.example",
        nonce="n",
        uri="sip:pbx.example",
        response="0123456789abcdef0123456789abcdef",
        algorithm=MD5,
        qop="auth",
        nc=9,
        cnonce="c",
        nc_text="00000009",
    )


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("Digest ", "Basic "),
        ("Digest ", ""),
        ('username="alice", ', ""),
        ('realm="pbx.example", ', ""),
        ('nonce="n", ', ""),
        ('uri="sip:pbx.example", ', ""),
        ('response="0123456789abcdef0123456789abcdef", ', ""),
        ("0123456789abcdef0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF"),
        ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcde\u0664"),
        ("algorithm=MD5", "algorithm=SHA-256"),
        ("algorithm=MD5", "algorithm=MD6"),
        ('cnonce="c", ', ""),
        ("qop=auth", "qop=auth-conf"),
        (", nc=00000009", ""),
        ("nc=00000009", "nc=9"),
        ("nc=00000009", "nc=0000000g"),
        ("nc=00000009", "nc=+0000009"),
        ("nc=00000009", "nc=000000009"),
    ],
)
def test_an_answer_that_can_never_be_right_is_none(written: str, instead: str) -> None:
    assert written in WELL_FORMED
    assert parse_authorization(WELL_FORMED.replace(written, instead)) is None


def test_an_authorization_does_not_show_its_response() -> None:
    assert "0123456789abcdef" not in repr(parse_authorization(WELL_FORMED))


def test_a_session_key_needs_a_cnonce() -> None:
    value = WELL_FORMED.replace("=MD5", "=MD5-sess").replace(", qop=auth, nc=00000009", "")
    assert parse_authorization(value) is not None
    assert parse_authorization(value.replace('cnonce="c"', 'cnonce=""')) is None


@pytest.mark.parametrize("nc_text", ["0000000A", "0000000a", "00000010"])
def test_the_count_is_hashed_as_the_phone_wrote_it(nc_text: str) -> None:
    secret = ha1(MD5, "alice", "r", "s")
    request = hashlib.md5(b"REGISTER:sip:r").hexdigest()
    covered = f"{secret}:n:{nc_text}:c:auth:{request}"
    authorization = parse_authorization(
        f'Digest username=alice, realm=r, nonce=n, uri="sip:r", qop="auth", nc={nc_text}, '
        f"cnonce=c, response={hashlib.md5(covered.encode()).hexdigest()}"
    )
    assert authorization is not None
    assert authorization.nc == int(nc_text, 16)
    assert verify(authorization, ha1=secret, method="REGISTER")


def test_an_authorization_made_here_hashes_its_number() -> None:
    secret = ha1(MD5, "alice", "pbx.example", "s")
    value = answer(
        Challenge("pbx.example", "n", qop=("auth",)),
        username="alice",
        ha1=secret,
        method="REGISTER",
        uri="sip:pbx.example",
        nc=255,
        cnonce="c",
    )
    made = Authorization(
        "alice", "pbx.example", "n", "sip:pbx.example", answered(value)["response"],
        qop="auth", nc=255, cnonce="c",
    )  # fmt: skip
    assert verify(made, ha1=secret, method="REGISTER")


# -- laws -------------------------------------------------------------------------------------

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=20)
OFFERS = st.builds(
    Challenge,
    realm=WORDS,
    nonce=WORDS,
    algorithm=st.sampled_from(Algorithm),
    session=st.booleans(),
    opaque=st.none() | WORDS,
    qop=st.sampled_from([(), ("auth",), ("auth-int",), ("auth-int", "auth")]),
)
NAMES = WORDS.filter(bool)


@given(OFFERS, NAMES, WORDS, WORDS, NAMES, st.integers(1, 2**32 - 1), st.binary(max_size=50))
def test_any_answer_of_ours_verifies(
    challenge: Challenge,
    username: str,
    password: str,
    uri: str,
    cnonce: str,
    nc: int,
    body: bytes,
) -> None:
    secret = ha1(challenge.algorithm, username, challenge.realm, password)
    value = answer(
        challenge,
        username=username,
        ha1=secret,
        method="INVITE",
        uri=uri,
        nc=nc,
        cnonce=cnonce,
        body=body,
    )
    authorization = parse_authorization(value)
    assert authorization is not None
    assert authorization.username == username
    assert authorization.realm == challenge.realm
    assert authorization.opaque == challenge.opaque
    assert authorization.nc == (nc if challenge.qop else 0)
    assert verify(authorization, ha1=secret, method="INVITE", body=body)
    assert not verify(authorization, ha1=secret, method="REGISTER", body=body)
    other = ha1(challenge.algorithm, username, challenge.realm, password + "!")
    assert not verify(authorization, ha1=other, method="INVITE", body=body)
    if authorization.qop == "auth-int":
        assert not verify(authorization, ha1=secret, method="INVITE", body=body + b" ")


PRINTABLE = st.sampled_from([chr(code) for code in range(33, 127)])
COVERED = ["username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce"]


@given(
    st.sampled_from(list(product(Algorithm, (False, True), ("auth", "auth-int")))),
    st.sampled_from(COVERED),
    st.integers(0),
    PRINTABLE,
)
def test_an_answer_with_one_character_changed_does_not_verify(
    kind: tuple[Algorithm, bool, str], name: str, at: int, char: str
) -> None:
    algorithm, session, qop = kind
    challenge = Challenge("pbx.example", "f84f1cec", algorithm, session=session, qop=(qop,))
    value = answer(
        challenge,
        username="alice",
        ha1=ha1(algorithm, "alice", "pbx.example", "secret"),
        method="INVITE",
        uri="sip:bob@pbx.example",
        nc=1,
        cnonce="0a4f113b",
    )
    start = value.index(f" {name}=") + len(name) + 2
    end = value.index(",", start) if "," in value[start:] else len(value)
    at = start + at % (end - start)
    # Algorithm and qop are read in any case; a backslash before a character means that character.
    assume(char.lower() != value[at].lower() if name in ("algorithm", "qop") else char != value[at])
    changed = parse_authorization(value[:at] + char + value[at + 1 :])
    if changed is not None:
        # As a server does: the HA1 that it holds for the user, realm and algorithm named.
        held = ha1(changed.algorithm, changed.username, changed.realm, "secret")
        assert not verify(changed, ha1=held, method="INVITE")


# -- our challenges ---------------------------------------------------------------------------


def test_our_challenge_is_one_that_we_would_answer() -> None:
    value = challenge_value('the "red" one', "n", SHA_256, stale=True, opaque="o")
    assert only(refusal(value)) == Challenge(
        'the "red" one', "n", SHA_256, opaque="o", qop=("auth",), stale=True
    )


def test_our_challenge_says_no_more_than_needed() -> None:
    assert challenge_value("pbx.example", "n", MD5) == (
        'Digest realm="pbx.example", nonce="n", algorithm=MD5, qop="auth"'
    )


# -- nextnonce --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "value", "nonce"),
    [
        ("Authentication-Info", 'nextnonce="47364c23432d2e131a5fb210812c"', "47364c23432d2e131a5fb210812c"),
        ("Authentication-Info", 'qop=auth, rspauth="6629", NextNonce="a,b", nc=00000001', "a,b"),
        ("Proxy-Authentication-Info", "nextnonce=abc", "abc"),
        ("Authentication-Info", 'rspauth="6629"', None),
        ("Authentication-Info", 'nextnonce=""', None),
        ("Authentication-Info", "nonsense,,=", None),
        ("Subject", 'nextnonce="x"', None),
    ],
)  # fmt: skip
def test_the_next_nonce_is_found(header: str, value: str, nonce: str | None) -> None:
    assert next_nonce(Message.response(200, headers=[(header, value)])) == nonce

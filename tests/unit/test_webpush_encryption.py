"""Message encryption for Web Push, against RFC 8291 and against a receiver written from RFC 8188."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.system.pushing import target
from tests.system.webpush_double import decrypted
from wakerobin.core.values import Secret
from wakerobin.push.webpush.encryption import (
    MOST_PLAINTEXT,
    SubscriptionKeys,
    base64url,
    encrypt,
    octets,
    padding,
)
from wakerobin.push.webpush.ephemeral import CURVE, KeyPair, make_key_pair

# RFC 8291 section 5 and appendix A.
UA_PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
UA_PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
AS_PRIVATE = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK"
    "6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)
PLAINTEXT = b"When I grow up, I want to be a watermelon"


def private_key(text: str) -> ec.EllipticCurvePrivateKey:
    value = int.from_bytes(base64.urlsafe_b64decode(text + "="), "big")
    return ec.derive_private_key(value, CURVE)


def keys(p256dh: str = UA_PUBLIC, auth: str = AUTH) -> SubscriptionKeys | None:
    return SubscriptionKeys.of(target(p256dh=p256dh, auth=Secret(auth)))


def test_the_example_of_rfc_8291_comes_out_to_the_octet() -> None:
    of_app = keys()
    assert of_app is not None
    salt = octets(SALT)
    assert salt is not None
    body = encrypt(PLAINTEXT, of_app, KeyPair.of(private_key(AS_PRIVATE)), salt)
    assert base64url(body) == BODY


def test_the_receiver_of_these_tests_reads_the_example_of_rfc_8291() -> None:
    body, auth = octets(BODY), octets(AUTH)
    assert body is not None
    assert auth is not None
    assert decrypted(body, private_key(UA_PRIVATE), auth) == PLAINTEXT


@given(plaintext=st.binary(max_size=MOST_PLAINTEXT - 1).map(lambda octets: octets + b"}"))
def test_whatever_is_sent_is_what_the_app_reads_and_fits_into_one_record(plaintext: bytes) -> None:
    of_app, auth = keys(), octets(AUTH)
    assert of_app is not None
    assert auth is not None
    salt = hashlib.sha256(plaintext).digest()[:16]
    body = encrypt(plaintext, of_app, make_key_pair(), salt, padding(len(plaintext)))
    assert len(body) <= 4096
    assert decrypted(body, private_key(UA_PRIVATE), auth) == plaintext


def test_lengths_are_hidden_in_steps_of_512_octets() -> None:
    sizes = {length + padding(length) for length in range(1, MOST_PLAINTEXT + 1)}
    assert sizes == {512, 1024, 1536, 2048, 2560, 3072, 3584, MOST_PLAINTEXT}


def test_more_than_a_record_holds_is_a_bug_of_ours() -> None:
    of_app = keys()
    assert of_app is not None
    with pytest.raises(ValueError, match="one record"):
        encrypt(bytes(MOST_PLAINTEXT), of_app, make_key_pair(), bytes(16), pad=1)
    with pytest.raises(ValueError, match="salt"):
        encrypt(b"", of_app, make_key_pair(), bytes(15))


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        ("", AUTH),
        (UA_PUBLIC, ""),
        (UA_PUBLIC[:-4], AUTH),
        (UA_PUBLIC + "AAAA", AUTH),
        (UA_PUBLIC, AUTH[:-2]),
        ("A" + UA_PUBLIC[1:], AUTH),
        (base64url(b"\x04" + b"\x01" * 64), AUTH),
        (base64url(b"\x00" * 65), AUTH),
        ("not base64!", AUTH),
        (UA_PUBLIC, "\ud800é"),
        (UA_PUBLIC, "+/" * 11),
    ],
)
def test_keys_that_are_none_are_told_apart_from_keys(p256dh: str, auth: str) -> None:
    assert keys(p256dh, auth) is None


def test_padded_base64url_is_read_too() -> None:
    assert keys(UA_PUBLIC + "=", AUTH + "==") == keys()

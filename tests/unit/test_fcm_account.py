"""The key file of a service account: what is signed with it, and what the operator reads where it is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import ConfigurationError
from wakerobin.push.fcm import read_service_account

KEY = "apps.phone.fcm.service_account_file"
NOW = 1_800_000_000_500
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


GOOD: dict[str, Any] = {
    "type": "service_account",
    "project_id": "phones-4711",
    "private_key_id": "k1",
    "private_key": pem(RSA),
    "client_email": "push@phones-4711.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


def written(folder: Path, **changes: Any) -> str:
    values = {name: value for name, value in (GOOD | changes).items() if value is not None}
    path = folder / "account.json"
    path.write_text(json.dumps(values))
    return str(path)


def test_it_claims_to_be_the_account_for_an_hour_and_for_messaging_only(tmp_path: Path) -> None:
    account = read_service_account(written(tmp_path), KEY)
    assertion = account.assertion(NOW)
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    claims = jwt.decode(
        assertion,
        RSA.public_key(),
        algorithms=["RS256"],
        audience=GOOD["token_uri"],
        options={"verify_iat": False},
    )
    assert claims == {
        "iss": GOOD["client_email"],
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": NOW // 1000,
        "exp": NOW // 1000 + 3600,
    }


def test_a_key_without_an_id_is_named_by_none(tmp_path: Path) -> None:
    account = read_service_account(written(tmp_path, private_key_id=None), KEY)
    assert "kid" not in jwt.get_unverified_header(account.assertion(NOW))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "authorized_user"}, "is not of type service_account"),
        ({"project_id": None}, "project_id is missing"),
        ({"project_id": "../x"}, "project_id in"),
        ({"client_email": ""}, "client_email is missing"),
        ({"private_key": None}, "private_key is missing"),
        ({"private_key": "-----BEGIN"}, "is no private key in PEM"),
        ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "is no RSA key"),
        ({"private_key": 5}, "private_key is missing"),
        ({"token_uri": None}, "token_uri is missing"),
        ({"token_uri": "http://oauth.example/token"}, "token_uri in"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_where_to_get_a_right_one(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_service_account(written(tmp_path, **changes), KEY)
    assert words in str(raised.value)
    assert str(raised.value).startswith(KEY)
    assert "Generate new private key" in str(raised.value)
    assert "PRIVATE" not in str(raised.value)


def test_no_file_is_said(tmp_path: Path) -> None:
    for file, words in (
        ("", "is empty"),
        (str(tmp_path / "none"), "cannot be read"),
        (str(tmp_path), "cannot"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            read_service_account(file, KEY)


@given(st.binary(max_size=300))
def test_no_file_makes_it_crash(tmp_path_factory: pytest.TempPathFactory, octets: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "account-fuzz.json"
    path.write_bytes(octets)
    with pytest.raises(ConfigurationError):
        read_service_account(str(path), KEY)

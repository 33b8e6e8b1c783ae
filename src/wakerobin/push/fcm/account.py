"""A Google service account: the key file from the Firebase console, and what is signed with it (RFC 7523)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from wakerobin.core.errors import ConfigurationError

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
ASSERTION_S: Final = 3600
"""Google takes no assertion that is valid for longer."""

_MOST_OCTETS: Final = 100_000
_LEAST_BITS: Final = 2048
_RIGHT: Final = (
    "it must be the JSON file of a service account; Firebase console, Project settings, "
    "Service accounts, Generate new private key"
)
_PROJECT: Final = re.compile(r"[a-z0-9:.-]{1,100}")


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Who we are to Google, for one Firebase project."""

    project: str
    email: str
    key_id: str
    key: rsa.RSAPrivateKey
    token_url: str
    """Where its access tokens come from."""

    def assertion(self, now: int) -> str:
        """Sign a claim to be this account (RS256); `now` is epoch milliseconds."""
        issued_at = now // 1000
        claims = {
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url,
            "iat": issued_at,
            "exp": issued_at + ASSERTION_S,
        }
        headers = {"kid": self.key_id} if self.key_id else None
        return jwt.encode(claims, self.key, algorithm="RS256", headers=headers)


def read_service_account(file: str, key: str) -> ServiceAccount:
    """Load the file named by the setting `key`; ConfigurationError says what is wrong with it."""
    if not file:
        raise ConfigurationError(f"{key} is empty; {_RIGHT}")
    values = _read(file, key)
    if values.get("type") != "service_account":
        raise ConfigurationError(f"{key}: {file} is not of type service_account; {_RIGHT}")
    project, email = _text(values, "project_id", file, key), _text(values, "client_email", file, key)
    if _PROJECT.fullmatch(project) is None:
        raise ConfigurationError(f"{key}: project_id in {file} is no id of a project; {_RIGHT}")
    private = _private_key(_text(values, "private_key", file, key), file, key)
    key_id = values.get("private_key_id")
    token_url = _text(values, "token_uri", file, key)
    if not token_url.startswith("https://"):
        raise ConfigurationError(f"{key}: token_uri in {file} is no https address; {_RIGHT}")
    return ServiceAccount(project, email, key_id if isinstance(key_id, str) else "", private, token_url)


def _read(file: str, key: str) -> dict[str, Any]:
    try:
        with Path(file).open("rb") as opened:
            octets = opened.read(_MOST_OCTETS)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{key}: {file!r} cannot be read ({reason}); {_RIGHT}") from None
    try:
        values = json.loads(octets)
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{key}: {file} holds no JSON; {_RIGHT}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{key}: {file} holds no JSON object; {_RIGHT}")
    return values


def _text(values: dict[str, Any], name: str, file: str, key: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{key}: {name} is missing in {file}; {_RIGHT}")
    return value


def _private_key(text: str, file: str, key: str) -> rsa.RSAPrivateKey:
    try:
        private = load_pem_private_key(text.encode("utf-8", "replace"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{key}: private_key in {file} is no private key in PEM; {_RIGHT}") from None
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < _LEAST_BITS:
        raise ConfigurationError(
            f"{key}: private_key in {file} is no RSA key of {_LEAST_BITS} bits or more; {_RIGHT}"
        )
    return private

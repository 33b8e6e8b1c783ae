"""Who we are to a push service (VAPID, RFC 8292): a key of the app, and tokens signed with it.

A subscription belongs to the key it was made with, for life: whoever loses the key file loses every
subscription. A token names the origin of one push service and is good for twelve hours.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.values import Secret
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import HOUR, SECOND, WebPushOptions
from wakerobin.push.pem import read_p256_key
from wakerobin.push.webpush.encryption import base64url
from wakerobin.push.webpush.ephemeral import KeyPair, make_key_pair

GOOD_FOR: Final = 12 * HOUR
"""RFC 8292 section 2 allows a day."""
RENEWED_AFTER: Final = GOOD_FOR // 2
MOST_ORIGINS: Final = 1000
"""More push services than that are there by mischief; the longest unused token is made anew."""


@dataclass(frozen=True, slots=True)
class VapidKey:
    """The key of one app. `public` is what web apps subscribe with, base64url."""

    pair: KeyPair
    subject: str

    @property
    def public(self) -> str:
        """The public point, base64url without padding: `applicationServerKey`."""
        return base64url(self.pair.point)

    def sign(self, origin: str, expires_at: int) -> str:
        """Return a token for one push service; `expires_at` is epoch seconds."""
        claims: dict[str, str | int] = {"aud": origin, "exp": expires_at}
        if self.subject:
            claims["sub"] = self.subject
        return jwt.encode(claims, self.pair.private, algorithm="ES256")


def read_vapid_key(options: WebPushOptions, key: str) -> VapidKey:
    """Load the key of the setting group `key` (`apps.NAME.webpush`); ConfigurationError where it is none."""
    subject = options.subject
    if not subject.startswith(("mailto:", "https:")):
        raise ConfigurationError(
            f"{key}.subject = {subject!r}: push services want an address to complain to; "
            "write mailto:you@example.com or https://…"
        )
    return VapidKey(_read_pem(options.vapid_key_file, f"{key}.vapid_key_file"), subject)


def public_key(options: WebPushOptions, key: str) -> str:
    """Return what web apps subscribe with; ConfigurationError where the key file is none."""
    return VapidKey(_read_pem(options.vapid_key_file, f"{key}.vapid_key_file"), "").public


def make_key_file(file: Path) -> str:
    """Write a new private key, readable by its owner only, and return its public key.

    Raises OSError: FileExistsError where there is such a file, which is never written over.
    """
    pair = make_key_pair()
    pem = pair.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(pem)
    return base64url(pair.point)


def _read_pem(file: str, key: str) -> KeyPair:
    right = "make one with `wakerobin push webpush-key APP --make FILE`"
    return KeyPair.of(read_p256_key(file, key, right, unlocked="store it without one"))


@dataclass(frozen=True, slots=True)
class _Token:
    field: Secret
    signed_at: int


class Vapid:
    """The Authorization field for each push service, signed at first use and again after six hours."""

    def __init__(self, key: VapidKey, clock: Clock) -> None:
        self.key = key
        self._clock = clock
        self._tokens: OrderedDict[str, _Token] = OrderedDict()

    def authorization(self, origin: str) -> str:
        """Return the field's value for an origin such as `https://push.example`."""
        now = self._clock.now()
        token = self._tokens.get(origin)
        if token is None or not 0 <= now - token.signed_at < RENEWED_AFTER:
            token = self._sign(origin, now)
        self._tokens[origin] = token
        self._tokens.move_to_end(origin)
        if len(self._tokens) > MOST_ORIGINS:
            self._tokens.popitem(last=False)
        return token.field.reveal()

    def forget(self, origin: str) -> None:
        """The push service did not like the token: sign another one next time."""
        self._tokens.pop(origin, None)

    def _sign(self, origin: str, now: int) -> _Token:
        token = self.key.sign(origin, (now + GOOD_FOR) // SECOND)
        return _Token(Secret(f"vapid t={token}, k={self.key.public}"), now)

"""Message encryption for Web Push (RFC 8291): one `aes128gcm` record (RFC 8188) that only the app can open.

What is encrypted is padded to a few sizes, so that the push service cannot tell a call from a warning
by the length.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wakerobin.core.values import PushTarget
from wakerobin.push.webpush.ephemeral import CURVE, KeyPair

SALT_OCTETS: Final = 16
MOST_PLAINTEXT: Final = 3993
"""A push service must take 4096 octets (RFC 8030 7.2); header, delimiter and tag of the record are 103."""

BARE: Final = "bare"
"""`token_kind` of a target that came without keys: it is sent nothing to read (RFC 8599 section 12)."""

_POINT_OCTETS: Final = 65
_AUTH_OCTETS: Final = 16
_KEY_OCTETS: Final = 16
_NONCE_OCTETS: Final = 12
_RECORD_SIZE: Final = 4096
_LAST_RECORD: Final = b"\x02"
_PADDING_STEP: Final = 512


@dataclass(frozen=True, slots=True)
class SubscriptionKeys:
    """The keys of a subscription: the app's public key and the secret that only we share with it."""

    public: ec.EllipticCurvePublicKey
    point: bytes
    """The same key as 65 octets."""
    auth: bytes

    @classmethod
    def of(cls, target: PushTarget) -> SubscriptionKeys | None:
        """Read the keys of a target; None where they are none."""
        point, auth = octets(target.p256dh), octets(target.auth.reveal())
        if point is None or auth is None or len(point) != _POINT_OCTETS or len(auth) != _AUTH_OCTETS:
            return None
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)
        except ValueError:  # not on the curve
            return None
        return cls(public, point, auth)


def encrypt(plaintext: bytes, keys: SubscriptionKeys, ephemeral: KeyPair, salt: bytes, pad: int = 0) -> bytes:
    """Return the body of the push: header and record of RFC 8188, `pad` octets longer than it must be.

    `ephemeral` and the 16 octets of `salt` are for this message only. The plaintext is at most 3993 octets.
    """
    if len(plaintext) + pad > MOST_PLAINTEXT or len(salt) != SALT_OCTETS:
        raise ValueError("more than one record holds, or no salt")
    shared = ephemeral.private.exchange(ec.ECDH(), keys.public)
    input_key = _derived(keys.auth, shared, b"WebPush: info\x00" + keys.point + ephemeral.point)
    key = _derived(salt, input_key, b"Content-Encoding: aes128gcm\x00")[:_KEY_OCTETS]
    nonce = _derived(salt, input_key, b"Content-Encoding: nonce\x00")[:_NONCE_OCTETS]
    record = AESGCM(key).encrypt(nonce, plaintext + _LAST_RECORD + bytes(pad), None)
    header = salt + _RECORD_SIZE.to_bytes(4, "big") + bytes((len(ephemeral.point),)) + ephemeral.point
    return header + record


def padding(length: int) -> int:
    """Return how many octets hide the length of a plaintext."""
    return min(-length % _PADDING_STEP, MOST_PLAINTEXT - length)


def octets(text: str) -> bytes | None:
    """Read base64url (RFC 4648 section 5), padded or not; None where it is none."""
    bare = text.rstrip("=")
    if "+" in bare or "/" in bare:
        return None
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def base64url(value: bytes) -> str:
    """Return octets as base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _derived(salt: bytes, input_key: bytes, info: bytes) -> bytes:
    """HKDF (RFC 5869) with SHA-256, for the one block that is needed."""
    extracted = hmac.digest(salt, input_key, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)

"""Identifiers: made from entropy that the caller brings, or derived from what they identify.

Everything here is a plain function of its arguments; `Entropy` has the shape of `os.urandom`, so
that a test or a replay brings its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import TypeAlias

Entropy: TypeAlias = Callable[[int], bytes]
"""Give so many octets that nobody can predict."""

_UUID_OCTETS = 16
_LENGTH_OCTETS = 8


def token(entropy: Entropy, octets: int = 16) -> str:
    """Return fresh octets as base64url without padding (128 bits: 22 characters)."""
    return base64.urlsafe_b64encode(entropy(octets)).rstrip(b"=").decode("ascii")


def hex_token(entropy: Entropy, octets: int = 16) -> str:
    """Return fresh octets in lower-case hexadecimal, for peers that fold the case of an echo."""
    return entropy(octets).hex()


def uuid_from(digest: bytes) -> str:
    """Return the first 16 octets of a digest as a UUID of version 8 (RFC 9562 5.8), in lower case.

    The same digest gives the same UUID everywhere. Fewer than 16 octets are a ValueError.
    """
    if len(digest) < _UUID_OCTETS:
        raise ValueError(f"a UUID needs {_UUID_OCTETS} octets, not {len(digest)}")
    octets = bytearray(digest[:_UUID_OCTETS])
    octets[6] = octets[6] & 0x0F | 0x80  # the version, 8: "vendor-specific"
    octets[8] = octets[8] & 0x3F | 0x80  # the variant of RFC 9562
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def keyed_hash(key: bytes, *parts: str | bytes, size: int = 16) -> bytes:
    """Return a keyed BLAKE2b over the parts, each told apart from the next by its length.

    Text counts as its UTF-8. Key and hash have 1 to 64 octets; anything else is a ValueError.
    """
    if not key:
        raise ValueError("without a key this would be a plain hash that anybody can compute")
    told_apart: list[bytes] = []
    for part in parts:
        octets = _octets(part)
        told_apart += (len(octets).to_bytes(_LENGTH_OCTETS, "big"), octets)
    return hashlib.blake2b(b"".join(told_apart), key=key, digest_size=size).digest()


def same(a: str | bytes, b: str | bytes) -> bool:
    """Compare two secrets in a time that does not tell where they differ; text counts as UTF-8."""
    return hmac.compare_digest(_octets(a), _octets(b))


def _octets(part: str | bytes) -> bytes:
    # "surrogatepass" maps every str to octets, and no two to the same: what a peer sent that was
    # not UTF-8 comes to us as lone surrogates and must neither raise nor collide.
    return part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part

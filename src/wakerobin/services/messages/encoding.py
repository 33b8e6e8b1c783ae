"""Bodies that their writer has compressed (RFC 3261 section 20.12). linphone does so with its receipts."""

from __future__ import annotations

import zlib

from wakerobin.core.sip.message import Message

MOST_OCTETS = 262_144
"""What comes out of a body is no longer: a few octets can be made to swell without end."""

_EITHER = 32 + zlib.MAX_WBITS
"""zlib tells its own format from gzip's."""
_KNOWN = frozenset({"deflate", "gzip", "x-gzip"})


def encodings(message: Message) -> list[str]:
    """Return how the body is encoded, in lower case; nothing where it is as it was written."""
    named = (one.strip().lower() for one in message.values("content-encoding"))
    return [one for one in named if one not in ("", "identity")]


def decoded(message: Message) -> bytes | None:
    """Return the body as it was written; None where that cannot be told."""
    named = encodings(message)
    if not named:
        return message.body
    if len(named) > 1 or named[0] not in _KNOWN:
        return None
    inflater = zlib.decompressobj(_EITHER)
    try:
        body = inflater.decompress(message.body, MOST_OCTETS)
    except zlib.error:
        return None
    return body if inflater.eof else None

"""What goes out of a push that is longer than its push service takes: first payload, then text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from wakerobin.core.pushes import PushMessage

SHORTENED_TEXT: Final = 200
"""Characters of a text that is cut, the ellipsis among them."""

# What an app cannot do without; the rest goes when a payload is too long.
_ESSENTIAL: Final = frozenset(
    (
        *("v", "type", "id", "registration", "generation", "sent_at", "expires_at", "life"),
        *("call_id", "api", "nonce", "test", "encrypted"),
    )
)

Build: TypeAlias = Callable[[dict[str, Any], str], bytes]
"""Makes the body from payload and text."""


def fit(message: PushMessage, limit: int, build: Build) -> bytes | None:
    """Build the body in at most `limit` octets; None if it is too long without all that can be left out."""
    full = build(message.payload, message.text)
    if len(full) <= limit:
        return full
    short = build(essential(message.payload), shortened(message.text))
    return short if len(short) <= limit else None


def essential(payload: dict[str, Any]) -> dict[str, Any]:
    """Return what an app cannot do without."""
    return {name: value for name, value in payload.items() if name in _ESSENTIAL}


def shortened(text: str) -> str:
    """Cut a long text."""
    return text if len(text) <= SHORTENED_TEXT else text[: SHORTENED_TEXT - 1] + "…"


def encoded(value: object) -> bytes:
    """Return JSON without blanks. What a peer sent that was no UTF-8, lone surrogates here, becomes `?`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

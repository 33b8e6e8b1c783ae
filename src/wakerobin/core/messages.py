"""What a MESSAGE is (RFC 3428): something to read, a sign that somebody writes, or a receipt. Pure."""

from __future__ import annotations

import enum
import re
from typing import Final

from wakerobin.core.sip.message import Message

PLAIN: Final = "text/plain"
CPIM: Final = "message/cpim"

_COMPOSING: Final = "application/im-iscomposing+xml"
_RECEIPT: Final = "message/imdn+xml"
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_CONTENT_TYPE: Final = re.compile(rb"^content-type[ \t]*:[ \t]*([^;\s]*)", re.IGNORECASE | re.MULTILINE)


class Kind(enum.StrEnum):
    """How much of it is somebody's words."""

    TEXT = "text"
    COMPOSING = "composing"
    """Somebody writes just now (RFC 3994): worth nothing a moment later."""
    RECEIPT = "receipt"
    """A disposition notification (RFC 5438): the app shows it beside the message that it is about."""


def content_type(message: Message) -> str:
    """Return the media type of the body, in lower case and without parameters; of none it is plain text."""
    said = (message.get("content-type") or "").partition(";")[0].strip().lower()
    return said or PLAIN


def kind_of(message: Message, body: bytes | None = None) -> Kind:
    """Return the kind of a MESSAGE; of one in an envelope (RFC 3862), the kind of what is inside.

    `body` is what its body says where that is encoded.
    """
    type_ = content_type(message)
    if type_ == CPIM:
        type_ = _enclosed(message.body if body is None else body)
    if type_ == _COMPOSING:
        return Kind.COMPOSING
    return Kind.RECEIPT if type_ == _RECEIPT else Kind.TEXT


def _enclosed(body: bytes) -> str:
    """Return the media type inside an envelope: it stands in the headers after the first blank line."""
    parts = _BLANK_LINE.split(body, 2)
    found = _CONTENT_TYPE.search(parts[1]) if len(parts) > 1 else None
    return found[1].decode("ascii", "replace").lower() if found else PLAIN

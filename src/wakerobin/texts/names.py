"""Names that others chose, made fit to stand inside a text: one line, no trickery, their own direction.

A name may be anything that a caller's telephone sends. In a text that runs the other way it would carry
punctuation and numbers around it along, so it is isolated there (Unicode Standard Annex 9, section 2.4.2).
"""

from __future__ import annotations

import unicodedata
from typing import Final

LONGEST: Final = 64
"""Characters of a name that are shown; a telephone cuts its lines itself, but at the end of the text."""

_FIRST_STRONG_ISOLATE: Final = "\u2068"
_POP_ISOLATE: Final = "\u2069"
_REPLACEMENT: Final = "\ufffd"
_STEERING: Final = frozenset(
    (*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x2070)))  # embeddings, overrides, isolates
)
_UNSEEN: Final = frozenset(("Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"))
_JOINERS: Final = "\u200c\u200d"
_READ: Final = 8 * LONGEST


def cleaned(name: str) -> str:
    """Return a name on one line, without controls and bidi overrides, and not too long; else as it came.

    Empty if nothing of it can be seen.
    """
    words = " ".join("".join(_kept(character) for character in name[:_READ]).split())
    if all(unicodedata.category(character) in _UNSEEN for character in words):
        return ""
    if len(words) > LONGEST:
        return words[: LONGEST - 1].rstrip(f" {_JOINERS}") + "…"
    return words


def isolated(name: str, *, right_to_left: bool) -> str:
    """Return a name for the middle of a text of this direction, with isolates where either needs them."""
    if right_to_left or any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in name):
        return f"{_FIRST_STRONG_ISOLATE}{name}{_POP_ISOLATE}"
    return name


def _kept(character: str) -> str:
    if character.isspace():
        return " "
    if character in _STEERING:
        return ""
    match unicodedata.category(character):
        case "Cc":
            return ""
        case "Cs":  # an octet of a peer that was no UTF-8
            return _REPLACEMENT
        case _:
            return character

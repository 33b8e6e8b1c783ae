"""The words that users read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.pushes import LocKeys, PushType


@dataclass(frozen=True, slots=True)
class Text:
    """A notification's title and body."""

    title: str
    body: str
    loc_keys: LocKeys | None = None
    """Where the app brings its own words, and the push service can ask for them by key."""


class Texts(Protocol):
    """The catalogues: one text for a type of push in the user's language."""

    def text(self, type_: PushType, locale: str, app: str, values: dict[str, str]) -> Text:
        """Return the text, with fallback from the locale to its language to English.

        `values` fill the placeholders: `account` (display name or AOR), `caller`, `count`. They may be
        whatever a peer sent.
        """
        ...

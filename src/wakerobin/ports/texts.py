"""The words that users read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.pushes import PushType


@dataclass(frozen=True, slots=True)
class Text:
    """A notification's title and body."""

    title: str
    body: str


class Texts(Protocol):
    """The catalogues: one text for a type of push in the user's language."""

    def text(self, type_: PushType, locale: str, app: str, values: dict[str, str]) -> Text:
        """Return the text, with fallback from the locale to its language to English.

        `values` fill the placeholders: `account` (display name or AOR), `caller`, `count`.
        """
        ...

"""The words that users read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.pushes import LocKeys, PushType, Wording


@dataclass(frozen=True, slots=True)
class Text:
    """A notification's title and body."""

    title: str
    body: str
    loc_keys: LocKeys | None = None
    """Where the app brings its own words, and the push service can ask for them by key."""
    generic: Wording | None = None
    """The same without any name, for an app whose push services are not to read names."""


class Texts(Protocol):
    """The catalogues: one text for a type of push in the user's language."""

    def text(
        self,
        type_: PushType,
        locale: str,
        app: str,
        values: Mapping[str, str],
        *,
        variant: str = "",
        accounts: Sequence[str] = (),
    ) -> Text:
        """Return the text, with fallback from the locale to its language to English.

        `values` fill the placeholders: `account` (display name or AOR), `caller`, `count`. They may be
        whatever a peer sent. `variant` is that of `core.pushes.variant_of`. `accounts` are the names of all
        where one push is for several; they stand for `account`.
        """
        ...

"""The text for one type of push in one language, and what may stand in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wakerobin.core.pushes import PushType
from wakerobin.ports.texts import Text
from wakerobin.texts.languages import is_right_to_left
from wakerobin.texts.names import isolated
from wakerobin.texts.plurals import OTHER, plural_form

ACCOUNT: Final = "account"
CALLER: Final = "caller"
COUNT: Final = "count"

PLACEHOLDERS: Final[dict[PushType, tuple[str, ...]]] = {
    PushType.CALL: (CALLER, ACCOUNT),
    PushType.EXPIRY_WARNING: (ACCOUNT,),
    PushType.EXPIRED: (ACCOUNT,),
    PushType.MISSED_CALL: (CALLER, COUNT, ACCOUNT),
    PushType.TARGETS_NEEDED: (ACCOUNT,),
    PushType.CREDENTIALS_NEEDED: (ACCOUNT,),
}
"""What the text of each type may name. Nothing else of an account or a call can get into a text."""

SILENT: Final = frozenset(PushType) - PLACEHOLDERS.keys()
"""Types that show nothing and so have no text."""

PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_WHITE_SPACE: Final = re.compile(r"[ \t\r\n]+")  # the spaces that some languages put before a colon stay


@dataclass(frozen=True, slots=True)
class Entry:
    """A title and the forms of a body, with their placeholders; `forms` has `other` at least."""

    language: str
    title: str
    forms: Mapping[str, str]

    def filled(self, values: Mapping[str, str]) -> Text:
        """Return the text with names in place of the placeholders; what is missing is left out."""
        form = plural_form(self.language, count_in(values))
        body = self.forms.get(form, self.forms[OTHER])
        return Text(self._filled(self.title, values), self._filled(body, values))

    def _filled(self, text: str, values: Mapping[str, str]) -> str:
        is_alone = PLACEHOLDER.fullmatch(text.strip()) is not None
        right_to_left = is_right_to_left(self.language)

        def value(found: re.Match[str]) -> str:
            # It is never read as a placeholder itself: it comes from callers and displays.
            name = values.get(found[1], "")
            # Alone it decides the direction of its line, which an isolated name would not.
            if not name or is_alone or found[1] == COUNT:
                return name
            return isolated(name, right_to_left=right_to_left)

        return _WHITE_SPACE.sub(" ", PLACEHOLDER.sub(value, text)).strip(" ")


def count_in(values: Mapping[str, str]) -> int:
    """Return how many calls were missed; one, where nothing or nonsense is said."""
    text = values.get(COUNT, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 1

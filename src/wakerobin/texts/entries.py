"""The text for one type of push in one language, and what may stand in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
    PushType.MESSAGE: (CALLER, ACCOUNT),
    PushType.MWI: (COUNT, ACCOUNT),
    PushType.TARGETS_NEEDED: (ACCOUNT,),
    PushType.CREDENTIALS_NEEDED: (ACCOUNT,),
    PushType.REGISTRATION_TROUBLE: (ACCOUNT,),
    PushType.REGISTRATION_TROUBLE_OVER: (ACCOUNT,),
    PushType.STILL_REACHABLE: (ACCOUNT,),
    PushType.CALL_OVER: (CALLER, ACCOUNT),
    PushType.TEST: (ACCOUNT,),
}
"""What the text of each type may name. Nothing else of an account or a call can get into a text."""

SILENT: Final = frozenset(PushType) - PLACEHOLDERS.keys()
"""Types that show nothing and so have no text."""

VARIANTS: Final[dict[PushType, tuple[str, ...]]] = {
    PushType.EXPIRY_WARNING: ("unregistered",),
    PushType.REGISTRATION_TROUBLE: ("unreachable", "ended"),
    PushType.CALL_OVER: ("elsewhere",),
    PushType.MWI: ("none", "uncounted"),
}
"""Texts of a type for when its plain one would not be true, in tables such as `[call-over-elsewhere]`."""

WARNED: Final = "warned"
"""The variant of what came beside a warning, which adds a sentence: made of the plain text, so without a
table."""
MAY_BE_WARNED: Final = (PushType.MISSED_CALL, PushType.MESSAGE)

WORDS: Final[dict[str, tuple[str, ...]]] = {
    "unknown_caller": (),
    "private_title": (),
    WARNED: ("text",),
    "list_next": ("names", "next"),
    "list_last": ("names", "last"),
    "list_more": ("names", "count"),
}
"""What a catalogue has beside its tables, with the placeholders of each."""

PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_WHITE_SPACE: Final = re.compile(r"[ \t\r\n]+")  # the spaces that some languages put before a colon stay


def table_of(type_: PushType, variant: str = "") -> str:
    """Return the name of the table that a text stands in."""
    return f"{type_.value}-{variant}" if variant in VARIANTS.get(type_, ()) else type_.value


def every_table() -> Iterator[tuple[str, PushType]]:
    """Yield the name of each table of a catalogue with its type."""
    for type_ in PLACEHOLDERS:
        yield type_.value, type_
        for variant in VARIANTS.get(type_, ()):
            yield table_of(type_, variant), type_


@dataclass(frozen=True, slots=True)
class Entry:
    """A title and the forms of a body, with their placeholders; `forms` has `other` at least."""

    language: str
    title: str
    forms: Mapping[str, str]
    several: str = ""
    """The body where it is about several accounts; empty: the same."""
    private: str = ""
    """The body that names nobody; empty: `other`, if that names nobody."""

    @property
    def nameless(self) -> str:
        """The body that names nobody, empty where there is none."""
        return self.private or ("" if PLACEHOLDER.search(self.forms[OTHER]) else self.forms[OTHER])

    def filled(self, values: Mapping[str, str], *, of_several: bool = False) -> Text:
        """Return the text with names in place of the placeholders; what is missing is left out."""
        form = plural_form(self.language, count_in(values))
        body = self.forms.get(form, self.forms[OTHER])
        body = self.several if of_several and self.several else body
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

        return one_line(PLACEHOLDER.sub(value, text))


def filled_words(words: str, **values: str) -> str:
    """Return the words of a catalogue with what is given in their places; that is never read again."""
    return one_line(PLACEHOLDER.sub(lambda found: values.get(found[1], ""), words))


def one_line(text: str) -> str:
    """Return a text on one line, without blanks at its ends."""
    return _WHITE_SPACE.sub(" ", text).strip(" ")


def count_in(values: Mapping[str, str]) -> int:
    """Return how many calls were missed; one, where nothing or nonsense is said."""
    text = values.get(COUNT, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 1

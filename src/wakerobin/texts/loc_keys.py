"""Keys of an app's own string table, for an app that brings its texts itself (`loc-key` of APNs).

A key says the type of the push, the part of the text, and for counts the form that the user's language
has for it: a system fills numbers into a text, but does not choose its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from wakerobin.core.pushes import LocKeys, PushType
from wakerobin.texts.entries import ACCOUNT, COUNT, PLACEHOLDERS, count_in
from wakerobin.texts.languages import canonical, is_right_to_left
from wakerobin.texts.names import isolated
from wakerobin.texts.plurals import OTHER, plural_form

FORMS: Final = ("one", "two", "few", "many", OTHER)
"""The forms that a count of one or more can take in any language."""


def loc_keys(type_: PushType, locale: str, values: Mapping[str, str]) -> LocKeys:
    """Return keys and arguments for a push that shows something; `values` are cleaned."""
    language = canonical(locale)
    form = plural_form(language, count_in(values)) if COUNT in PLACEHOLDERS[type_] else ""
    right_to_left = is_right_to_left(language)
    inside = {
        name: value if name == COUNT or not value else isolated(value, right_to_left=right_to_left)
        for name, value in values.items()
    }
    return LocKeys(
        title_key=title_key(type_),
        title_args=tuple(values.get(name, "") for name in title_args(type_)),
        body_key=body_key(type_, form),
        body_args=tuple(inside.get(name, "") for name in PLACEHOLDERS[type_]),
    )


def title_key(type_: PushType) -> str:
    """Return the key of a title."""
    return f"sip_push_{type_.value.replace('-', '_')}_title"


def body_key(type_: PushType, form: str = "") -> str:
    """Return the key of a body, in one form where there is a count."""
    key = f"sip_push_{type_.value.replace('-', '_')}_body"
    return f"{key}_{form}" if form else key


def title_args(type_: PushType) -> tuple[str, ...]:
    """Return what the arguments of a title are: the account first, which most titles are."""
    return (ACCOUNT, *(name for name in PLACEHOLDERS[type_] if name != ACCOUNT))


def every_key() -> Iterator[tuple[PushType, str, tuple[str, ...]]]:
    """Yield each key that can be sent, with its type and the names of its arguments."""
    for type_, names in PLACEHOLDERS.items():
        yield type_, title_key(type_), title_args(type_)
        for form in FORMS if COUNT in names else ("",):
            yield type_, body_key(type_, form), names

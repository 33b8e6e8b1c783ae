"""Keys of an app's own string table, for an app that brings its texts itself (`loc-key` of APNs).

A key says the type of the push, the part of the text, and for counts the form that the user's language
has for it: a system fills numbers into a text, but does not choose its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from wakerobin.core.pushes import LocKeys, PushType
from wakerobin.texts.entries import ACCOUNT, COUNT, MAY_BE_WARNED, PLACEHOLDERS, VARIANTS, WARNED, count_in
from wakerobin.texts.languages import canonical, is_right_to_left
from wakerobin.texts.names import isolated
from wakerobin.texts.plurals import OTHER, plural_form

FORMS: Final = ("one", "two", "few", "many", OTHER)
"""The forms that a count of one or more can take in any language."""


SEVERAL: Final = "several"
PRIVATE_TITLE: Final = "sip_push_private_title"


def loc_keys(
    type_: PushType, locale: str, values: Mapping[str, str], variant: str = "", *, of_several: bool = False
) -> LocKeys:
    """Return keys and arguments for a push that shows something; `values` are cleaned."""
    language = canonical(locale)
    form = plural_form(language, count_in(values)) if COUNT in PLACEHOLDERS[type_] else ""
    right_to_left = is_right_to_left(language)
    inside = {
        name: value if name == COUNT or not value else isolated(value, right_to_left=right_to_left)
        for name, value in values.items()
    }
    name = _name(type_, variant)
    return LocKeys(
        title_key=title_key(name),
        title_args=tuple(values.get(name, "") for name in title_args(type_)),
        body_key=body_key(name, SEVERAL if of_several and _may_be_several(type_) else form),
        body_args=tuple(inside.get(name, "") for name in PLACEHOLDERS[type_]),
    )


def private_loc_keys(type_: PushType, variant: str) -> LocKeys:
    """Return the keys of a text that names nobody, and so has no arguments."""
    return LocKeys(PRIVATE_TITLE, (), body_key(_name(type_, variant), "private"), ())


def title_key(name: str) -> str:
    """Return the key of a title; `name` is that of the text."""
    return f"sip_push_{name.replace('-', '_')}_title"


def body_key(name: str, form: str = "") -> str:
    """Return the key of a body, in one form where there is a count."""
    key = f"sip_push_{name.replace('-', '_')}_body"
    return f"{key}_{form}" if form else key


def title_args(type_: PushType) -> tuple[str, ...]:
    """Return what the arguments of a title are: the account first, which most titles are."""
    return (ACCOUNT, *(name for name in PLACEHOLDERS[type_] if name != ACCOUNT))


def every_key() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each key that can be sent to read names, with the names of its arguments."""
    for type_, names in PLACEHOLDERS.items():
        forms = (*(FORMS if COUNT in names else ("",)), *((SEVERAL,) if _may_be_several(type_) else ()))
        for variant in _variants(type_):
            name = _name(type_, variant)
            yield title_key(name), title_args(type_)
            for form in forms:
                yield body_key(name, form), names


def every_private_key() -> Iterator[str]:
    """Yield each key that can be sent where the push service is to read no names."""
    yield PRIVATE_TITLE
    for type_ in PLACEHOLDERS:
        for variant in _variants(type_):
            yield private_loc_keys(type_, variant).body_key


def _name(type_: PushType, variant: str) -> str:
    return f"{type_.value}-{variant}" if variant in _variants(type_) and variant else type_.value


def _variants(type_: PushType) -> tuple[str, ...]:
    return ("", *VARIANTS.get(type_, ()), *((WARNED,) if type_ in MAY_BE_WARNED else ()))


def _may_be_several(type_: PushType) -> bool:
    """Whether one push of this type may be for several accounts: what the clock brings about."""
    return type_ in (PushType.EXPIRY_WARNING, PushType.EXPIRED, PushType.STILL_REACHABLE)

"""Finding the text for a push in the user's language: an app's own catalogues, and then the shipped ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Final

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import PushType, Wording
from wakerobin.ports.options import AppOptions
from wakerobin.ports.texts import Text
from wakerobin.texts.entries import (
    ACCOUNT,
    CALLER,
    COUNT,
    PLACEHOLDER,
    PLACEHOLDERS,
    WARNED,
    Entry,
    count_in,
    filled_words,
    one_line,
    table_of,
)
from wakerobin.texts.languages import fallbacks, is_right_to_left
from wakerobin.texts.loc_keys import loc_keys, private_loc_keys
from wakerobin.texts.names import cleaned, isolated
from wakerobin.texts.reading import Catalogue, read_folder

LOC_KEYS: Final = "loc-keys"
"""The value of `texts` for an app that brings its texts itself."""

MOST_NAMED: Final = 3
"""So many accounts are named in one text; of more, two are, and the others are counted."""


class Catalogues:
    """`ports.texts.Texts`.

    `own` gives, by app, a folder of catalogues that go before the shipped ones; `keyed` are the apps that
    bring their texts themselves, `private` those whose push services read no names. Everything is read and
    checked here, once: raises ConfigurationError, naming the app, file, key and remedy.
    """

    def __init__(
        self,
        own: Mapping[str, Path] | None = None,
        keyed: Collection[str] = (),
        private: Collection[str] = (),
    ) -> None:
        self._shipped = read_folder(resources.files("wakerobin.texts").joinpath("catalogues"))
        self._own = {app: _read_own(app, folder) for app, folder in (own or {}).items()}
        self._keyed = frozenset(keyed)
        self._private = frozenset(private)

    @classmethod
    def of_apps(cls, apps: Mapping[str, AppOptions]) -> Catalogues:
        """Return the catalogues as the options of the apps say."""
        said = {name: app.texts for name, app in apps.items() if app.texts}
        return cls(
            own={name: Path(texts) for name, texts in said.items() if texts != LOC_KEYS},
            keyed=[name for name, texts in said.items() if texts == LOC_KEYS],
            private=[name for name, app in apps.items() if app.push_privacy != "full"],
        )

    @property
    def languages(self) -> frozenset[str]:
        """The languages that are shipped, as canonical tags."""
        return frozenset(self._shipped)

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
        """Return the text for a push; see the port. A type that shows nothing has an empty one.

        The nearest language goes first, and in it the app's own words.
        """
        entry = self._entry(table_of(type_, variant), locale, app)
        if entry is None:
            return Text("", "")
        named = {name: cleaned(values.get(name, "")) for name in PLACEHOLDERS[type_]}
        if COUNT in named:
            named[COUNT] = str(count_in(named))
        if CALLER in named:
            named[CALLER] = named[CALLER] or self._word("unknown_caller", entry.language, app)
        of_several = len(accounts) > 1
        if of_several:
            named[ACCOUNT] = self._listed(accounts, entry.language, app)
        text = entry.filled(named, of_several=of_several)
        if variant == WARNED:
            text = replace(text, body=filled_words(self._word(WARNED, entry.language, app), text=text.body))
        if app in self._keyed:
            text = replace(text, loc_keys=loc_keys(type_, locale, named, variant, of_several=of_several))
        return (
            replace(text, generic=self._generic(type_, locale, app, variant))
            if app in self._private
            else text
        )

    def _generic(self, type_: PushType, locale: str, app: str, variant: str) -> Wording:
        name = table_of(type_, variant)
        entries = (one.entries.get(name) for one in self._nearest(locale, app))
        nameless = next(entry for entry in entries if entry is not None and entry.nameless)
        title = nameless.title
        if PLACEHOLDER.search(title):
            title = self._word("private_title", nameless.language, app)
        keys = private_loc_keys(type_, variant) if app in self._keyed else None
        return Wording(one_line(title), one_line(nameless.nameless), keys)

    def _listed(self, accounts: Sequence[str], language: str, app: str) -> str:
        """Return names as the language lists them: all of three, else two and how many more."""
        right_to_left = is_right_to_left(language)
        names = [isolated(cleaned(name), right_to_left=right_to_left) for name in accounts]
        shown = len(names) if len(names) <= MOST_NAMED else MOST_NAMED - 1
        last = "" if shown < len(names) else names[shown - 1]
        listed = names[0]
        for name in names[1 : shown - 1 if last else shown]:
            listed = filled_words(self._word("list_next", language, app), names=listed, next=name)
        if last:
            return filled_words(self._word("list_last", language, app), names=listed, last=last)
        more = str(len(names) - shown)
        return filled_words(self._word("list_more", language, app), names=listed, count=more)

    def _entry(self, table: str, locale: str, app: str) -> Entry | None:
        found = (one.entries.get(table) for one in self._nearest(locale, app))
        return next((entry for entry in found if entry is not None), None)

    def _word(self, name: str, language: str, app: str) -> str:
        found = (one.words.get(name, "") for one in self._nearest(language, app))
        return next(word for word in found if word)

    def _nearest(self, locale: str, app: str) -> Iterator[Catalogue]:
        own = self._own.get(app, {})
        for language in fallbacks(locale):
            for catalogues in (own, self._shipped):
                if language in catalogues:
                    yield catalogues[language]


def _read_own(app: str, folder: Path) -> dict[str, Catalogue]:
    try:
        return read_folder(folder)
    except ConfigurationError as error:
        raise ConfigurationError(f"apps.{app}.texts: {error}") from None

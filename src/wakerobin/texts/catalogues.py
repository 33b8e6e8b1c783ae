"""Finding the text for a push in the user's language: an app's own catalogues, and then the shipped ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Final

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import PushType
from wakerobin.ports.options import AppOptions
from wakerobin.ports.texts import Text
from wakerobin.texts.entries import CALLER, COUNT, PLACEHOLDERS, Entry, count_in
from wakerobin.texts.languages import fallbacks
from wakerobin.texts.loc_keys import loc_keys
from wakerobin.texts.names import cleaned
from wakerobin.texts.reading import Catalogue, read_folder

LOC_KEYS: Final = "loc-keys"
"""The value of `texts` for an app that brings its texts itself."""


class Catalogues:
    """`ports.texts.Texts`.

    `own` gives, by app, a folder of catalogues that go before the shipped ones; `keyed` are the apps that
    bring their texts themselves. Everything is read and checked here, once: raises ConfigurationError,
    naming the app, file, key and remedy.
    """

    def __init__(self, own: Mapping[str, Path] | None = None, keyed: Collection[str] = ()) -> None:
        self._shipped = read_folder(resources.files("wakerobin.texts").joinpath("catalogues"))
        self._own = {app: _read_own(app, folder) for app, folder in (own or {}).items()}
        self._keyed = frozenset(keyed)

    @classmethod
    def of_apps(cls, apps: Mapping[str, AppOptions]) -> Catalogues:
        """Return the catalogues as the options of the apps say."""
        said = {name: app.texts for name, app in apps.items() if app.texts}
        return cls(
            own={name: Path(texts) for name, texts in said.items() if texts != LOC_KEYS},
            keyed=[name for name, texts in said.items() if texts == LOC_KEYS],
        )

    @property
    def languages(self) -> frozenset[str]:
        """The languages that are shipped, as canonical tags."""
        return frozenset(self._shipped)

    def text(self, type_: PushType, locale: str, app: str, values: dict[str, str]) -> Text:
        """Return the text for a push; see the port. A type that shows nothing has an empty one.

        The nearest language goes first, and in it the app's own words.
        """
        entry = self._entry(type_, locale, app)
        if entry is None:
            return Text("", "")
        named = {name: cleaned(values.get(name, "")) for name in PLACEHOLDERS[type_]}
        if COUNT in named:
            named[COUNT] = str(count_in(named))
        if CALLER in named:
            named[CALLER] = named[CALLER] or self._unknown_caller(entry.language, app)
        text = entry.filled(named)
        return replace(text, loc_keys=loc_keys(type_, locale, named)) if app in self._keyed else text

    def _entry(self, type_: PushType, locale: str, app: str) -> Entry | None:
        found = (one.entries.get(type_) for one in self._nearest(locale, app))
        return next((entry for entry in found if entry is not None), None)

    def _unknown_caller(self, language: str, app: str) -> str:
        return next(one.unknown_caller for one in self._nearest(language, app) if one.unknown_caller)

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

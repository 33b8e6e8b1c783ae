"""Reading catalogues and finding the text for a push in the user's language.

A file is named for its language (`de.toml`, `pt-br.toml`) and has one table for each type of push with
`title` and `body`, and `body_one` where a count of one reads differently. Placeholders: `{account}`,
`{caller}`, `{count}`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeAlias

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import PushType
from wakerobin.ports.texts import Text

PLACEHOLDERS = frozenset({"account", "caller", "count"})
SILENT = frozenset({PushType.RENEW})
"""Types that show nothing and so have no text."""

_ENGLISH = "en"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_FIELDS = frozenset({"title", "body", "body_one"})


@dataclass(frozen=True, slots=True)
class Entry:
    """The text for one type of push, with its placeholders."""

    title: str
    body: str
    body_one: str

    def filled(self, values: Mapping[str, str]) -> Text:
        """Return the text with values in place of the placeholders; what is missing is left out."""
        body = self.body_one if values.get("count") == "1" else self.body
        return Text(_filled(self.title, values), _filled(body, values))


Catalogue: TypeAlias = dict[PushType, Entry]


class Catalogues:
    """`ports.texts.Texts`. `own` gives, by app, a folder of catalogues that go before the shipped ones.

    Everything is read and checked here, once: raises ConfigurationError, naming file, key and remedy.
    """

    def __init__(self, own: Mapping[str, Path] | None = None) -> None:
        shipped = resources.files("wakerobin.texts").joinpath("catalogues")
        self._shipped = _read_all(shipped)
        self._own = {app: _read_all(folder) for app, folder in (own or {}).items()}

    @property
    def languages(self) -> frozenset[str]:
        """The languages that are shipped, lower case."""
        return frozenset(self._shipped)

    def text(self, type_: PushType, locale: str, app: str, values: dict[str, str]) -> Text:
        """Return the text for a push; see the port. A type that shows nothing has an empty one.

        The nearest language goes first, and in it the app's own words.
        """
        for language in _fallbacks(locale):
            for catalogues in (self._own.get(app, {}), self._shipped):
                entry = catalogues.get(language, {}).get(type_)
                if entry is not None:
                    return entry.filled(values)
        return Text("", "")


def _fallbacks(locale: str) -> Iterator[str]:
    """Yield `de-at`, `de`, `en` for `de_AT.UTF-8` or `de-AT` (BCP 47; the POSIX form is accepted)."""
    parts = locale.partition(".")[0].replace("_", "-").lower().split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])
    yield _ENGLISH


def _read_all(folder: Traversable) -> dict[str, Catalogue]:
    try:
        files = sorted(folder.iterdir(), key=lambda file: file.name)
    except OSError as error:
        raise ConfigurationError(f"{folder}: the folder of texts cannot be read: {error.strerror}") from error
    return {file.name[:-5].lower(): _read(file) for file in files if file.name.endswith(".toml")}


def _read(file: Traversable) -> Catalogue:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # broken TOML, or not UTF-8
        raise ConfigurationError(f"{file}: is no TOML in UTF-8: {error}") from error
    visible = {type_.value: type_ for type_ in PushType if type_ not in SILENT}
    catalogue: Catalogue = {}
    for name, table in tables.items():
        if name not in visible:
            raise ConfigurationError(f"{file}: [{name}] is no push with a text; there are {_list(visible)}")
        catalogue[visible[name]] = _entry(f"{file}: [{name}]", table)
    return catalogue


def _entry(place: str, table: Any) -> Entry:
    if not isinstance(table, dict) or not {"title", "body"} <= table.keys() <= _FIELDS:
        raise ConfigurationError(f"{place} needs `title` and `body`, and may have `body_one`, nothing else")
    for name, text in table.items():
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f"{place} `{name}` must be a text, and not an empty one")
        unknown = set(_PLACEHOLDER.findall(text)) - PLACEHOLDERS
        if unknown:
            raise ConfigurationError(
                f"{place} `{name}` has {_list(f'{{{one}}}' for one in sorted(unknown))}; "
                f"the placeholders are {_list(f'{{{one}}}' for one in sorted(PLACEHOLDERS))}"
            )
    return Entry(str(table["title"]), str(table["body"]), str(table.get("body_one", table["body"])))


def _filled(text: str, values: Mapping[str, str]) -> str:
    # What stands in a value is never read as a placeholder: it comes from callers and displays.
    return " ".join(_PLACEHOLDER.sub(lambda found: values.get(found[1], ""), text).split())


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)

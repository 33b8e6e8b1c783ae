"""Reading catalogues: a folder with one TOML file a language, checked to the last brace.

A file is named for its language (`de.toml`, `pt-br.toml`) and has one table for each text with `title` and
`body`, where there is a count the other forms of its language (`body_one`, `body_few`, …), and perhaps a body
for `several` accounts and a `private` one that names nobody. Before the tables stand its words, such as
`unknown_caller` for a caller who did not say who is calling.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any, Final

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import PushType
from wakerobin.texts.entries import COUNT, PLACEHOLDER, PLACEHOLDERS, WORDS, Entry, every_table
from wakerobin.texts.languages import canonical, is_language
from wakerobin.texts.plurals import OTHER, plural_forms

_SUFFIX: Final = ".toml"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one file says."""

    entries: Mapping[str, Entry]
    """By the name of the table."""
    words: Mapping[str, str] = field(default_factory=dict)


def read_folder(folder: Traversable) -> dict[str, Catalogue]:
    """Return the catalogues of a folder by canonical language.

    Raises ConfigurationError, naming file, key and remedy.
    """
    try:
        files = sorted(folder.iterdir(), key=lambda file: file.name)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: cannot be read ({error.strerror}); it must be a folder of texts, such as de.toml"
        ) from None
    catalogues: dict[str, Catalogue] = {}
    for file in files:
        if not file.name.endswith(_SUFFIX) or file.name.startswith("."):
            continue
        language = canonical(file.name.removesuffix(_SUFFIX))
        if not is_language(language):
            raise ConfigurationError(
                f"{file}: is not named for a language, such as de.toml, pt-br.toml or zh-hant.toml"
            )
        if language in catalogues:
            raise ConfigurationError(f"{file}: another file of this folder is for {language}, too")
        catalogues[language] = _read(file, language)
    if not catalogues:
        raise ConfigurationError(f"{folder}: no texts are in this folder; they are in files such as de.toml")
    return catalogues


def _read(file: Traversable, language: str) -> Catalogue:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # broken TOML, not UTF-8, or brackets without end
        raise ConfigurationError(f"{file}: is no TOML in UTF-8: {error}") from None
    words = {
        name: _text(f"{file}:", name, tables.pop(name), allowed)
        for name, allowed in WORDS.items()
        if name in tables
    }
    known = dict(every_table())
    entries: dict[str, Entry] = {}
    for name, table in tables.items():
        if name not in known:
            raise ConfigurationError(f"{file}: [{name}] is no push with a text; there are {_list(known)}")
        entries[name] = _entry(f"{file}: [{name}]", known[name], language, table)
    return Catalogue(entries, words)


def _entry(place: str, type_: PushType, language: str, table: Any) -> Entry:
    names = PLACEHOLDERS[type_]
    forms = {f"body_{form}": form for form in plural_forms(language)} if COUNT in names else {}
    forms["body"] = OTHER
    more = sorted({*(forms.keys() - {"body"}), "private", "several"})
    if not isinstance(table, dict) or not {"title", "body"} <= table.keys() <= {"title", "body", *more}:
        may = _list(f"`{name}`" for name in more)
        raise ConfigurationError(f"{place} needs `title` and `body`, may have {may}, and has nothing else")
    private = _text(place, "private", table["private"], ()) if "private" in table else ""
    texts = {name: _text(place, name, text, names) for name, text in table.items() if name != "private"}
    title, several = texts.pop("title"), texts.pop("several", "")
    bodies = {forms[name]: text for name, text in texts.items()}
    return Entry(language, title, bodies, several, private)


def _text(place: str, name: str, text: Any, names: tuple[str, ...]) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"{place} `{name}` must be a text, and not an empty one")
    allowed = _list(f"{{{one}}}" for one in names) or "none"
    for one in PLACEHOLDER.findall(text):
        if one not in names:
            raise ConfigurationError(
                f"{place} `{name}` has {{{one}}}, which is not known here; the placeholders are {allowed}"
            )
    if "{" in PLACEHOLDER.sub("", text) or "}" in PLACEHOLDER.sub("", text):
        raise ConfigurationError(f"{place} `{name}` has half a placeholder; the placeholders are {allowed}")
    return text


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)

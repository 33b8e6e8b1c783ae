"""Reading catalogues: a folder with one TOML file a language, checked to the last brace.

A file is named for its language (`de.toml`, `pt-br.toml`) and has one table for each type of push with
`title` and `body`, and where there is a count the other forms of its language: `body_one`, `body_few`, ….
`unknown_caller` stands in for a caller who did not say who is calling.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any, Final

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import PushType
from wakerobin.texts.entries import COUNT, PLACEHOLDER, PLACEHOLDERS, Entry
from wakerobin.texts.languages import canonical, is_language
from wakerobin.texts.plurals import OTHER, plural_forms

_SUFFIX: Final = ".toml"
_UNKNOWN_CALLER: Final = "unknown_caller"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one file says."""

    entries: Mapping[PushType, Entry]
    unknown_caller: str = ""


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
    unknown_caller = ""
    if _UNKNOWN_CALLER in tables:
        unknown_caller = _text(f"{file}:", _UNKNOWN_CALLER, tables.pop(_UNKNOWN_CALLER), ())
    visible = {type_.value: type_ for type_ in PLACEHOLDERS}
    entries: dict[PushType, Entry] = {}
    for name, table in tables.items():
        if name not in visible:
            raise ConfigurationError(f"{file}: [{name}] is no push with a text; there are {_list(visible)}")
        entries[visible[name]] = _entry(f"{file}: [{name}]", visible[name], language, table)
    return Catalogue(entries, unknown_caller)


def _entry(place: str, type_: PushType, language: str, table: Any) -> Entry:
    names = PLACEHOLDERS[type_]
    forms = {f"body_{form}": form for form in plural_forms(language)} if COUNT in names else {}
    forms["body"] = OTHER
    if not isinstance(table, dict) or not {"title", "body"} <= table.keys() <= {"title", *forms}:
        more = sorted(forms.keys() - {"body"})
        may = f", may have {_list(f'`{name}`' for name in more)}" if more else ""
        raise ConfigurationError(f"{place} needs `title` and `body`{may}, and has nothing else")
    texts = {name: _text(place, name, text, names) for name, text in table.items()}
    title = texts.pop("title")
    return Entry(language, title, {forms[name]: text for name, text in texts.items()})


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

"""Reads the three sources, the later over the earlier: TOML file, environment, flags."""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.values import Duration, Secret
from wakerobin.ports.options import (
    AcrobitsOptions,
    ApnsOptions,
    AppOptions,
    ClockOptions,
    FcmOptions,
    HttpOptions,
    LifetimeOptions,
    LimitOptions,
    LogOptions,
    Options,
    SipOptions,
    StoreOptions,
    WebhookOptions,
    WebPushOptions,
)
from wakerobin.settings.checks import check
from wakerobin.settings.durations import parse_duration

ENVIRONMENT = "WAKEROBIN_"
CONFIG_VARIABLE = "WAKEROBIN_CONFIG"
"""Names the file; it is no option itself."""


def default_file(environ: Mapping[str, str]) -> Path | None:
    """Return `wakerobin.toml` here, else in the platform's configuration folder, else None."""
    named = environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    here = Path("wakerobin.toml")
    for candidate in (here, config_folder(environ) / "wakerobin.toml"):
        if candidate.is_file():
            return candidate
    return None


def config_folder(environ: Mapping[str, str]) -> Path:
    """Return where configuration and keys live: never inside the data folder."""
    if os.geteuid() == 0 and "XDG_CONFIG_HOME" not in environ:
        return Path("/etc/wakerobin")
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    return Path(base) / "wakerobin"


def data_folder(environ: Mapping[str, str]) -> Path:
    """Return where the database lives by default."""
    if os.geteuid() == 0 and "XDG_DATA_HOME" not in environ:
        return Path("/var/lib/wakerobin")
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "/")) / ".local" / "share")
    return Path(base) / "wakerobin"


def load(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Options:
    """Return the options. Raises ConfigurationError that names place and key, and says what is right."""
    raw: dict[str, Any] = _read(path) if path is not None else {}
    place = str(path) if path is not None else "the configuration"
    for variable, text in sorted(environ.items()):
        if variable.startswith(ENVIRONMENT) and variable != CONFIG_VARIABLE:
            _put(raw, variable.removeprefix(ENVIRONMENT).lower().split("_", 1), text, variable)
    for flag, text in (flags or {}).items():
        _put(raw, flag.split(".", 1), text, f"--{flag.replace('.', '-')}")
    prepared = _prepare(raw, Options, place, ())
    return _validated(prepared, place)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: this is no TOML: {error}") from None


def _put(raw: dict[str, Any], keys: list[str], text: str, source: str) -> None:
    """Set one option of a table by environment or flag; `[apps]` is for the file alone."""
    tables = {field.name for field in dataclasses.fields(Options)} - {"apps"}
    if len(keys) != 2 or keys[0] not in tables:
        raise ConfigurationError(f"{source}: there is no such option; they are {ENVIRONMENT}TABLE_KEY")
    hints = typing.get_type_hints(_table_type(keys[0]))
    if keys[1] not in hints:
        raise ConfigurationError(f"{source}: there is no option {keys[1]} in [{keys[0]}]")
    table = raw.setdefault(keys[0], {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"[{keys[0]}] is a table of options and has no value of its own")
    table[keys[1]] = _from_text(text, hints[keys[1]])


def _table_type(name: str) -> type:
    hints: dict[str, type] = typing.get_type_hints(Options)
    return hints[name]


def _from_text(text: str, hint: Any) -> Any:
    """Turn the text of an environment variable into what TOML would have brought."""
    if hint is bool:
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
    if typing.get_origin(hint) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if typing.get_origin(hint) is dict:
        parts = [part.partition("=") for part in text.split(",") if part.strip()]
        is_table = all(name.strip() and equals for name, equals, _ in parts)
        return {name.strip(): value.strip() for name, _, value in parts} if is_table else text
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            return text
    return text


def _prepare(raw: Any, hint: Any, place: str, at: tuple[str, ...]) -> Any:
    """Turn texts into durations and secrets, wherever the records ask for them."""
    hint = _without_none(hint)
    if hint is Duration:
        return _duration(raw, place, at)
    if hint is Secret:
        return Secret(raw) if isinstance(raw, str) else raw
    if typing.get_origin(hint) is tuple and isinstance(raw, list):
        item = typing.get_args(hint)[0]
        return tuple(_prepare(one, item, place, at) for one in raw)
    if typing.get_origin(hint) is dict and isinstance(raw, dict):
        item = typing.get_args(hint)[1]
        return {key: _prepare(one, item, place, (*at, key)) for key, one in raw.items()}
    if dataclasses.is_dataclass(hint) and isinstance(raw, dict):
        hints = typing.get_type_hints(hint)
        for key in raw:
            if key not in hints:
                raise ConfigurationError(f"{place}: unknown key {'.'.join((*at, key))}{_near(key, hints)}")
        return {key: _prepare(one, hints[key], place, (*at, key)) for key, one in raw.items()}
    return raw


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _duration(raw: Any, place: str, at: tuple[str, ...]) -> Duration:
    key = ".".join(at)
    if not isinstance(raw, str):
        raise ConfigurationError(f'{place}: {key} = {raw!r}: a duration is text with a unit, such as "12h"')
    try:
        return parse_duration(raw)
    except ValueError as error:
        raise ConfigurationError(f"{place}: {key}: {error}") from None


def _near(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


_RECORDS: tuple[type, ...] = (
    SipOptions,
    LimitOptions,
    HttpOptions,
    StoreOptions,
    LogOptions,
    ClockOptions,
    LifetimeOptions,
    ApnsOptions,
    FcmOptions,
    WebPushOptions,
    WebhookOptions,
    AcrobitsOptions,
    AppOptions,
    Options,
)
for _record in _RECORDS:
    # pydantic reads its settings from the class; the ports themselves do not know pydantic.
    setattr(_record, "__pydantic_config__", ConfigDict(arbitrary_types_allowed=True, extra="forbid"))  # noqa: B010


_WORDS = {
    "tuple_type": 'must be a list, such as ["…", "…"]',
    "dict_type": 'must be a table, such as { "…" = "…" }',
    "dataclass_type": "must be a table of options",
    "dataclass_exact_type": "must be a table of options",
    "is_instance_of": "must be text",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
}


def _words(kind: str, otherwise: str) -> str:
    """Return what would be right, in the words of TOML rather than of Python."""
    return _WORDS.get(kind, otherwise)


def _validated(prepared: dict[str, Any], place: str) -> Options:
    adapter = TypeAdapter(Options)
    try:
        options = adapter.validate_python(prepared)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{place}: {key}: {_words(first['type'], first['msg'])}") from None
    check(options, place)
    return options

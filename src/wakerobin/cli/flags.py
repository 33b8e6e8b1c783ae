"""Every option as a flag: `[sip] listen` is `--sip-listen`. `[apps]` is for the file alone."""

from __future__ import annotations

import dataclasses
import functools
import os
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from wakerobin.cli.failures import Misconfigured
from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.options import Options
from wakerobin.settings import config_folder, default_file, load

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Configured:
    """The options, and the file that they came from or would come from."""

    options: Options
    file: Path
    is_read: bool
    """Whether there is such a file."""


def configured(*tables: str) -> Callable[[F], F]:
    """Give a command `--config` and the flags of these tables of the configuration, and it a `Configured`."""

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def run(config: Path | None, **given: Any) -> Any:
            flags = {_KEYS[name]: given.pop(name) for name in list(given) if name in _KEYS}
            present = {key: text for key, text in flags.items() if text is not None}
            return command(_load(config, present), **given)

        options = [option for table in tables for option in _OPTIONS[table]]
        decorated: Any = run
        for option in reversed([_CONFIG, *options]):
            decorated = option(decorated)
        return typing.cast(F, decorated)

    return decorate


def _load(config: Path | None, flags: dict[str, str]) -> Configured:
    file = config or default_file(os.environ)
    try:
        options = load(file, os.environ, flags)
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None
    if file is None:
        return Configured(options, config_folder(os.environ) / "wakerobin.toml", is_read=False)
    return Configured(options, file, is_read=True)


_CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The configuration; by default wakerobin.toml here, else in the platform's folder.",
)


def _options_of(table: str, record: type) -> list[Callable[[F], F]]:
    found = []
    for field in dataclasses.fields(record):
        flag = f"--{table}-{field.name.replace('_', '-')}"
        help_ = str(field.metadata.get("help", "")).replace("`", "")
        found.append(click.option(flag, f"{table}_{field.name}", metavar="VALUE", help=help_))
    return found


_TABLES: dict[str, type] = {
    name: hint
    for name, hint in typing.get_type_hints(Options).items()
    if isinstance(hint, type) and dataclasses.is_dataclass(hint)
}
_OPTIONS: dict[str, list[Callable[..., Any]]] = {
    name: list(_options_of(name, record)) for name, record in _TABLES.items()
}
_KEYS = {
    f"{table}_{field.name}": f"{table}.{field.name}"
    for table, record in _TABLES.items()
    for field in dataclasses.fields(record)
}

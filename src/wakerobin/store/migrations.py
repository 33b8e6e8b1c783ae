"""Brings a database to this program's schema: numbered SQL files, each in a transaction of its own.

`NNNN_pre_what.sql` may run while an older program still uses the database, `NNNN_post_what.sql` only
after all of them are gone. One process alone runs both kinds in order, with a backup before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

from wakerobin.core.errors import ConfigurationError
from wakerobin.store.engine import Connection

_NAME = re.compile(r"(\d{4})_(pre|post)_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    phase: str
    what: str
    sql: str


def shipped() -> list[Migration]:
    """Return the migrations of this program in order. Raises ValueError where the numbers have a gap."""
    found = []
    for file in resources.files("wakerobin.store").joinpath("sql", "migrations").iterdir():
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise ValueError(f"{file.name} is not called NNNN_pre_what.sql or NNNN_post_what.sql")
        found.append(Migration(int(match[1]), match[2], match[3], file.read_text("utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("the numbers of the migrations are not 1, 2, 3 …")
    return found


def apply(
    connection: Connection, steps: Sequence[Migration], back_up: Callable[[int], None], *, name: str
) -> None:
    """Run what is missing; before it `back_up(schema)`, unless the database is new.

    Raises ConfigurationError where a newer program wrote the database. A step that fails leaves the
    database as it was before that step.
    """
    present = int(connection.execute("PRAGMA user_version").fetchone()[0])
    newest = steps[-1].number
    if present > newest:
        raise ConfigurationError(
            f"[store] url: a newer Wakerobin wrote {name} (schema {present}; this one knows {newest}). "
            "Install that version again, or restore the backup that it made before its update."
        )
    missing = [step for step in steps if step.number > present]
    if missing and present:
        back_up(present)
    for step in missing:
        _run(connection, step)


def _run(connection: Connection, step: Migration) -> None:
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{step.sql}\n;PRAGMA user_version = {step.number};\nCOMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

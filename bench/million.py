"""A million push registrations in a store: as many as asked for are real, the others are copies of one.

A copy has rows of its own in every table, with keys of its own; only what is sealed in it cannot be opened,
for a seal belongs to its row. Nothing that a benchmark measures opens one of a copy.
"""

from __future__ import annotations

from pathlib import Path

from bench.machine import OTHERS, OURS, pin
from wakerobin.store.engine import Connection, connect_writer

_NUMBERS = "WITH RECURSIVE number(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM number WHERE n < :last)"
_SPREAD_MS = 3_600_000
_TABLES: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "account",
        "id",
        {
            "id": "n",
            "slot": "n % 4096",
            "aor": "'sip:m' || n || '@pbx.test'",
            "auth_user": "'m' || n",
            "contact_user": "printf('%032x', n)",
            "instance": "printf('urn:uuid:00000000-0000-0000-0000-%012x', n)",
        },
    ),
    ("credentials", "account_id", {"account_id": "n"}),
    (
        "registration",
        "id",
        {
            "id": "n",
            "account_id": "n",
            "public_id": "printf('pr_m%015d', n)",
            "installation": "printf('m-%012d', n)",
            "sip_instance": "printf('urn:uuid:00000001-0000-0000-0000-%012x', n)",
        },
    ),
    (
        "target",
        "registration_id",
        {
            "id": "NULL",
            "registration_id": "n",
            "token_hash": "CAST(printf('%s %d', purposes, n) AS BLOB)",
        },
    ),
    (
        "life",
        "id",
        {
            "id": "n",
            "slot": "n % 4096",
            "expires_at": "expires_at + n % :spread",
            "next_at": "next_at + n % :spread",
            "renewed_at": "renewed_at + n % :spread",
        },
    ),
)
"""Each table, the column by which the copied row is found, and what a copy has of its own."""


def copy(database: Path, *, of: int, up_to: int) -> None:
    """Copy the registration with this id, which is the last one, until there are so many."""
    connection = connect_writer(database, 0)
    pin(0, OTHERS)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA wal_autocheckpoint = 50000")
    connection.execute("BEGIN")
    values = {"of": of, "first": of + 1, "last": up_to, "spread": _SPREAD_MS}
    for table, key, own in _TABLES:
        connection.execute(_copied(connection, table, key, own), values)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    pin(0, OURS)


def _copied(connection: Connection, table: str, key: str, own: dict[str, str]) -> str:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    chosen = ", ".join(own.get(column, f"{table}.{column}") for column in columns)
    return (
        f"{_NUMBERS} INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {chosen} FROM number CROSS JOIN {table} WHERE {table}.{key} = :of"
    )

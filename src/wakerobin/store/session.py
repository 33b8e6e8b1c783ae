"""A connection as the tables see it: statements with named values, secrets sealed on the way."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from wakerobin.store.engine import Connection, Cursor, IntegrityError
from wakerobin.store.vault import Vault

Row: TypeAlias = tuple[Any, ...]

_encode = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` makes an encoder for each value


class Session:
    """One connection. It notes which groups were written, and whether a secret was erased."""

    def __init__(self, connection: Connection, vault: Vault, *, is_read: bool) -> None:
        self._execute = connection.execute
        self._execute_many = connection.executemany
        self._vault = vault
        self._is_read = is_read
        self.touched: set[str] = set()
        self.has_erased = False

    def one(self, sql: str, **values: Any) -> Row | None:
        """Return the first row, or None."""
        try:
            row: Row | None = self._execute(sql, values).fetchone()
        except UnicodeEncodeError:
            # A peer's octets that are no UTF-8, kept as surrogates: no column of text holds such.
            return None
        return row

    def all(self, sql: str, **values: Any) -> list[Row]:
        """Return every row."""
        try:
            return self._execute(sql, values).fetchall()
        except UnicodeEncodeError:
            return []

    def write(self, group: str, sql: str, values: dict[str, Any]) -> int:
        """Change rows of a group; return how many. A broken rule of the schema is a ValueError."""
        count = self._change(sql, values).rowcount
        if count:
            self.touched.add(group)
        return count

    def write_all(self, group: str, sql: str, values: list[dict[str, Any]]) -> int:
        """Do the same for many rows, by one statement; return how many were changed."""
        if self._is_read:
            raise RuntimeError("this is a read; writing takes Store.transact")
        try:
            count = self._execute_many(sql, values).rowcount
        except IntegrityError as error:
            raise ValueError(f"a rule of the store is broken: {error}") from error
        if count > 0:
            self.touched.add(group)
        return count

    def insert(self, group: str, sql: str, values: dict[str, Any]) -> int:
        """Add a row with RETURNING id; return the id, or 0 where ON CONFLICT did nothing."""
        row = self._change(sql, values).fetchone()
        if row is None:
            return 0
        self.touched.add(group)
        return int(row[0])

    def change(self, group: str, sql: str, values: dict[str, Any]) -> None:
        """Replace one row. A row that is not there is a ValueError."""
        if not self.write(group, sql, values):
            raise ValueError(f"there is no row {values['id']} to update in {group}")

    def erase(self, group: str, sql: str, values: dict[str, Any]) -> int:
        """Remove rows that held secrets, also from the write-ahead log, soon; return how many."""
        count = self.write(group, sql, values)
        self.has_erased = self.has_erased or count > 0
        return count

    def seal(self, plain: bytes, place: str) -> bytes:
        """Seal a secret for `table:column:row`."""
        return self._vault.seal(plain, place)

    def unseal(self, sealed: bytes, place: str) -> bytes:
        """Open a secret. Raises SealBrokenError."""
        return self._vault.unseal(sealed, place)

    def lookup(self, text: str) -> bytes:
        """Return a keyed hash that finds a sealed text again."""
        return self._vault.lookup(text)

    def begin_work(self) -> None:
        """Forget what was noted of the work before."""
        self.touched.clear()
        self.has_erased = False

    def _change(self, sql: str, values: dict[str, Any]) -> Cursor:
        if self._is_read:
            raise RuntimeError("this is a read; writing takes Store.transact")
        try:
            return self._execute(sql, values)
        except IntegrityError as error:
            raise ValueError(f"a rule of the store is broken: {error}") from error


def to_json(value: dict[str, Any]) -> str:
    """Return JSON that any database can hold: pure ASCII, so that a peer's broken octets survive."""
    return _encode(value) if value else "{}"


def from_json(text: str) -> dict[str, Any]:
    """Return the object of `to_json`."""
    if text == "{}":
        return {}
    value: dict[str, Any] = json.loads(text)
    return value

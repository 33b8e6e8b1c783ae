"""Troubles, held uses, those who stepped aside, receipts and tallies of `MemoryStore`."""

# ruff: noqa: D102 - each method is described once, in ports/upkeep.py

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from wakerobin.ports.upkeep import AccountTrouble, ReceiptRow, TallyRow
from wakerobin.testing.memory_tables import Tables

_REFUSED = "refused"


class MemoryTroubles:
    """`ports.upkeep.Troubles` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.trouble

    def get(self, account_id: int) -> AccountTrouble | None:
        return self._rows.rows.get(account_id)

    def put(self, trouble: AccountTrouble) -> None:
        self._all.expect_account(trouble.account_id)
        self._rows.put(trouble.account_id, trouble)

    def remove(self, account_id: int) -> None:
        self._rows.drop(account_id)

    def due(self, now: int, limit: int) -> list[AccountTrouble]:
        armed = [(row.next_at, row.account_id) for row in self._rows.rows.values() if row.next_at is not None]
        return [self._rows.rows[id_] for next_at, id_ in sorted(armed)[:limit] if next_at <= now]

    def refused_at(self, registrar: str) -> int:
        return len(self._refused(registrar))

    def count(self) -> dict[str, int]:
        return dict(Counter(row.cause for row in self._rows.rows.values()))

    def registrars(self) -> list[tuple[str, int, int]]:
        names = {row.registrar for row in self._rows.rows.values() if row.cause == _REFUSED}
        found = [(name, self._refused(name)) for name in sorted(names)]
        return [(name, len(rows), max(row.peers for row in rows)) for name, rows in found]

    def _refused(self, registrar: str) -> list[AccountTrouble]:
        return self._rows.where(lambda row: (row.cause, row.registrar) == (_REFUSED, registrar))


class MemoryHeldUses:
    """`ports.upkeep.HeldUses` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.held_use

    def add(self, registration_id: int) -> None:
        self._all.expect_registration(registration_id)
        self._rows.put(registration_id, registration_id)

    def first(self, limit: int) -> list[int]:
        return sorted(self._rows.rows)[:limit]

    def remove(self, registration_id: int) -> None:
        self._rows.drop(registration_id)


class MemorySteppedAside:
    """`ports.upkeep.SteppedAside` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.stepped_aside

    def put(self, registration_id: int, since_at: int) -> None:
        self._all.expect_registration(registration_id)
        self._rows.put(registration_id, since_at)

    def get(self, registration_id: int) -> int:
        return self._rows.rows.get(registration_id, 0)

    def page(self, after: int, limit: int) -> list[tuple[int, int]]:
        return sorted(row for row in self._rows.rows.items() if row[0] > after)[:limit]

    def remove(self, registration_id: int) -> None:
        self._rows.drop(registration_id)


class MemoryReceipts:
    """`ports.upkeep.Receipts` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.receipt

    def add(self, row: ReceiptRow) -> None:
        self._all.expect_registration(row.registration_id)
        self._rows.put(self._rows.next_id(), row)

    def of(self, registration_id: int, limit: int = 500) -> list[ReceiptRow]:
        rows = [(r.at, id_, r) for id_, r in self._rows.rows.items() if r.registration_id == registration_id]
        return [row for _, _, row in sorted(rows, key=lambda entry: entry[:2])[-limit:]]

    def forget(self, before: int, limit: int) -> int:
        old = sorted((row.at, id_) for id_, row in self._rows.rows.items() if row.at < before)[:limit]
        for _, id_ in old:
            self._rows.drop(id_)
        return len(old)


class MemoryTallies:
    """`ports.upkeep.Tallies` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.tally

    def add(self, app: str, platform: str, day: int, name: str, count: int = 1) -> None:
        key = (app, platform, day, name)
        row = self._rows.rows.get(key)
        row = row or TallyRow(app=app, platform=platform, day=day, name=name, count=0)
        self._rows.put(key, replace(row, count=row.count + count))

    def since(self, day: int) -> list[TallyRow]:
        return [row for key, row in sorted(self._rows.rows.items()) if row.day >= day]

    def forget(self, before: int) -> int:
        return self._rows.drop_where(lambda row: row.day < before)

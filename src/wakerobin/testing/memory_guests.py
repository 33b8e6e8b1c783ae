"""Guests of `MemoryStore`."""

# ruff: noqa: D102 - each method is described once, in ports/guests.py

from __future__ import annotations

from wakerobin.core.guests import Guest
from wakerobin.core.values import Secret
from wakerobin.testing.memory_tables import Tables


class MemoryGuests:
    """`ports.guests.Guests` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.guest

    def get(self, number: int) -> Guest | None:
        return self._rows.rows.get(number)

    def of_aor(self, aor: str) -> list[Guest]:
        return sorted(self._rows.where(lambda one: one.aor == aor), key=lambda one: one.number)

    def of_resource(self, resource: Secret) -> list[Guest]:
        found = self._rows.where(lambda one: one.resource == resource)
        return sorted(found, key=lambda one: one.number) if resource else []

    def page(self, after: int, limit: int) -> list[Guest]:
        found = self._rows.where(lambda one: one.number > after)
        return sorted(found, key=lambda one: one.number)[:limit]

    def put(self, guest: Guest) -> None:
        self._rows.put(guest.number, guest)

    def remove(self, number: int) -> None:
        self._rows.drop(number)

    def due(self, now: int, limit: int) -> list[Guest]:
        found = self._rows.where(lambda one: one.next_at <= now)
        return sorted(found, key=lambda one: (one.next_at, one.number))[:limit]

    def next_due(self) -> int | None:
        return min((one.next_at for one in self._rows.rows.values()), default=None)

    def count(self) -> int:
        return len(self._rows.rows)

"""Guests in the store: phones that nobody enrolled, with their push resources sealed by the vault."""

from __future__ import annotations

from typing import Protocol

from wakerobin.core.guests import Guest
from wakerobin.core.values import Secret


class Guests(Protocol):
    """By the number that stands for each in our Path."""

    def get(self, number: int) -> Guest | None:
        """Return one guest."""
        ...

    def of_aor(self, aor: str) -> list[Guest]:
        """Return the guests that registered as this AOR, by number."""
        ...

    def of_resource(self, resource: Secret) -> list[Guest]:
        """Return the guests with this push resource (`Guest.resource`), by number."""
        ...

    def page(self, after: int, limit: int) -> list[Guest]:
        """Return guests with a number > `after`, in order of number."""
        ...

    def put(self, guest: Guest) -> None:
        """Store or replace a guest."""
        ...

    def remove(self, number: int) -> None:
        """Forget a guest."""
        ...

    def due(self, now: int, limit: int) -> list[Guest]:
        """Return guests with `next_at` ≤ now, the longest due first."""
        ...

    def next_due(self) -> int | None:
        """Return the smallest `next_at`."""
        ...

    def count(self) -> int:
        """Return how many there are."""
        ...

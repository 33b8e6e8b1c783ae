"""What is kept beside the lives: troubles of accounts, uses that wait for the clock, receipts, tallies.

Also which apps take their calls over at the PBX themselves, for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTrouble:
    """That a PBX refuses an account, or cannot be reached for it, since when (life.md law 7)."""

    account_id: int
    cause: str
    """`refused` or `unreachable`: the words of `core.lifetime.TroubleCause`."""
    code: str
    reason: str
    """In words, for people."""
    registrar: str
    """Whom the account is registered with, by a name that all of its accounts share."""
    peers: int
    """How many accounts that registrar has here, as was last counted."""
    since_at: int
    refusals: int = 0
    refused_at: int = 0
    """The last refusal; 0 for none."""
    told: int = 0
    """How far it has gone: nothing yet, the users were told, it is over with the lives."""
    next_at: int | None = None
    """When to look at it again; None: nothing follows any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyRow:
    """How often something happened to lives of an app on a platform within a day."""

    app: str
    platform: str
    day: int
    """Days since 1970-01-01, UTC."""
    name: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRow:
    """What a phone reported of a push."""

    registration_id: int
    at: int
    """When it was reported."""
    push_id: str
    kind: str
    push_type: str = ""
    """What was pushed; empty where that is not known any more."""


class Troubles(Protocol):
    """The troubles of accounts, one for each at most."""

    def get(self, account_id: int) -> AccountTrouble | None: ...
    def put(self, trouble: AccountTrouble) -> None:
        """Store or replace the trouble of an account. It goes with its account."""
        ...

    def remove(self, account_id: int) -> None: ...
    def due(self, now: int, limit: int) -> list[AccountTrouble]:
        """Return those with `next_at` ≤ now, the longest due first."""
        ...

    def refused_at(self, registrar: str) -> int:
        """Return how many accounts a registrar refuses at present."""
        ...

    def count(self) -> dict[str, int]:
        """Return how many there are, by cause."""
        ...

    def registrars(self) -> list[tuple[str, int, int]]:
        """Return each registrar that refuses anybody, how many, and how many accounts it has here."""
        ...


class HeldUses(Protocol):
    """Uses whose end is not written yet, because the clock is in doubt (life.md law 8)."""

    def add(self, registration_id: int) -> None:
        """Note that a life gets its end when the clock is believed again; twice is once."""
        ...

    def first(self, limit: int) -> list[int]:
        """Return some of them, by registration."""
        ...

    def remove(self, registration_id: int) -> None: ...


class SteppedAside(Protocol):
    """Push registrations whose app registers at the PBX itself, and since when."""

    def put(self, registration_id: int, since_at: int) -> None:
        """Note it, or note it anew. It goes with its registration."""
        ...

    def get(self, registration_id: int) -> int:
        """Return since when; 0 where it does not."""
        ...

    def page(self, after: int, limit: int) -> list[tuple[int, int]]:
        """Return registrations with id > `after` and since when, in order of id."""
        ...

    def remove(self, registration_id: int) -> None: ...


class Receipts(Protocol):
    """What phones reported of pushes."""

    def add(self, row: ReceiptRow) -> None: ...
    def of(self, registration_id: int, limit: int = 500) -> list[ReceiptRow]:
        """Return the last `limit` of a registration, oldest first."""
        ...

    def forget(self, before: int, limit: int) -> int:
        """Remove up to `limit` older than that, the oldest first; returns how many."""
        ...


class Tallies(Protocol):
    """Counts for operators, by app, platform and day."""

    def add(self, app: str, platform: str, day: int, name: str, count: int = 1) -> None:
        """Count something."""
        ...

    def since(self, day: int) -> list[TallyRow]:
        """Return all counts of that day and later, in the order of their fields."""
        ...

    def forget(self, before: int) -> int:
        """Remove the counts of days before that; returns how many."""
        ...

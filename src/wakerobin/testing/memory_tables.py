"""The tables of `MemoryStore`: dictionaries whose changes can be undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from wakerobin.core.guests import Guest
from wakerobin.core.mailbox import Mailbox
from wakerobin.core.values import Account, Credentials, Life, PushRegistration, PushTarget
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.messages import KeptMessage, SentMessage
from wakerobin.ports.store import CallRecord, HeldCall, OutboxRow, StoryRow, Trial, Unregister
from wakerobin.ports.upkeep import AccountTrouble, ReceiptRow, TallyRow

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class Journal:
    """What the running work has done, so that it can be undone, and which groups it touched."""

    undo: list[Callable[[], object]] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    is_read: bool = False


class Table(Generic[K, V]):
    """Rows by key. Every change is journalled; ids are not used again after their row is gone."""

    def __init__(self, journal: Journal, group: str) -> None:
        self.rows: dict[K, V] = {}
        self._journal = journal
        self._group = group
        self._last_id = 0

    def next_id(self) -> int:
        """Give out an id; one of a work that is undone is given out again."""
        last = self._last_id
        self._journal.undo.append(lambda: setattr(self, "_last_id", last))
        self._last_id += 1
        return self._last_id

    def put(self, key: K, row: V) -> None:
        """Store or replace a row."""
        self._note(key)
        self.rows[key] = row

    def change(self, key: K, row: V) -> None:
        """Replace a row that is there."""
        if key not in self.rows:
            raise ValueError(f"there is no row {key!r} to update")
        self.put(key, row)

    def drop(self, key: K) -> None:
        """Remove a row, if it is there."""
        if key in self.rows:
            self._note(key)
            del self.rows[key]

    def drop_where(self, condition: Callable[[V], bool]) -> int:
        """Remove all rows for which the condition holds; return how many."""
        keys = [key for key, row in self.rows.items() if condition(row)]
        for key in keys:
            self.drop(key)
        return len(keys)

    def where(self, condition: Callable[[V], bool]) -> list[V]:
        """Return the rows for which the condition holds, in the order of their keys' arrival."""
        return [row for row in self.rows.values() if condition(row)]

    def _note(self, key: K) -> None:
        if self._journal.is_read:
            raise RuntimeError("this is a read; writing takes Store.transact")
        if key in self.rows:
            before = self.rows[key]
            self._journal.undo.append(lambda: self.rows.__setitem__(key, before))
        else:
            self._journal.undo.append(lambda: self.rows.pop(key))
        self._journal.touched.add(self._group)


class Tables:
    """All tables of a store."""

    def __init__(self) -> None:
        self.journal = journal = Journal()
        self.account: Table[int, Account] = Table(journal, "accounts")
        self.credentials: Table[int, Credentials] = Table(journal, "accounts")
        self.registration: Table[int, PushRegistration] = Table(journal, "registrations")
        self.target: Table[int, PushTarget] = Table(journal, "targets")
        self.life: Table[int, Life] = Table(journal, "lives")
        self.outbox: Table[int, OutboxRow] = Table(journal, "outbox")
        self.lease: Table[int, int] = Table(journal, "outbox")
        self.story: Table[int, StoryRow] = Table(journal, "stories")
        self.trial: Table[int, Trial] = Table(journal, "bindings")
        self.unregister: Table[int, Unregister] = Table(journal, "bindings")
        self.held: Table[str, HeldCall] = Table(journal, "calls")
        self.record: Table[str, CallRecord] = Table(journal, "calls")
        self.kept: Table[str, bytes] = Table(journal, "kept")
        self.trouble: Table[int, AccountTrouble] = Table(journal, "troubles")
        self.held_use: Table[int, int] = Table(journal, "lives")
        self.stepped_aside: Table[int, int] = Table(journal, "stepped_aside")
        self.receipt: Table[int, ReceiptRow] = Table(journal, "receipts")
        self.tally: Table[tuple[str, str, int, str], TallyRow] = Table(journal, "tallies")
        self.alarm: Table[str, Alarm] = Table(journal, "alarms")
        self.message: Table[int, KeptMessage] = Table(journal, "messages")
        self.message_for: Table[tuple[int, int], int] = Table(journal, "messages")
        self.mailbox: Table[int, tuple[Mailbox, int]] = Table(journal, "mailboxes")
        self.sent_message: Table[tuple[int, str], SentMessage] = Table(journal, "sent_messages")
        self.guest: Table[int, Guest] = Table(journal, "guests")

    def forget_leases(self) -> None:
        """Begin another run: what an earlier one was sending may be sent again."""
        self.lease.rows.clear()

    def expect_account(self, account_id: int) -> None:
        """Raise ValueError where there is no such account."""
        if account_id not in self.account.rows:
            raise ValueError(f"there is no account {account_id}")

    def expect_registration(self, registration_id: int) -> None:
        """Raise ValueError where there is no such push registration."""
        if registration_id not in self.registration.rows:
            raise ValueError(f"there is no push registration {registration_id}")

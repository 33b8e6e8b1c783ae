"""The fleet in memory: one row of numbers an account, and a wheel of the seconds at which they are due.

A million accounts fit into columns of 32 bits; whatever else a REGISTER needs is read by primary key
when it is sent. Seconds here are whole seconds of the fleet's own time, which begins at 1.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

NEVER = 0
"""What `due` says of a row that waits for something other than time."""

_SLOTS = 4096
_NONE = 0xFFFF_FFFF


class Roster:
    """The accounts that are kept bound, by row. A row's number is used again after its removal."""

    def __init__(self) -> None:
        self.account = array("q")
        self.registrar = array("I")
        self.hop = array("I")
        """Which hop the binding was made through; `NO_HOP` before the first."""
        self.due = array("I")
        self.refresh = array("I")
        """When the binding is refreshed; `due` is earlier where it is looked at before."""
        self.bound_until = array("I")
        self.cseq = array("I")
        """The last CSeq number used."""
        self.called = array("I")
        """The minute (since 1970) of the last call to the account; 0 where none is known."""
        self.is_busy = bytearray()
        """Not 0 while a conversation, or the wait for its turn, is under way; `RECOVERS` where it is one of
        many that have lost their binding together."""
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []
        self._counted: dict[int, tuple[int, int]] = {}

    NO_HOP = _NONE
    RECOVERS = 2

    def __len__(self) -> int:
        return len(self._row_of)

    def row(self, account_id: int) -> int | None:
        """Return the row of an account, None for one that is not kept bound."""
        return self._row_of.get(account_id)

    def rows(self) -> Iterator[int]:
        """Go through the rows in use."""
        return iter(tuple(self._row_of.values()))

    def count_of(self, registrar: int) -> int:
        """Return how many accounts a registrar has, near enough: counted anew when a hundredth changed."""
        size, count = self._counted.get(registrar, (-1, 0))
        if abs(len(self) - size) > max(size, 0) // 100:
            count = self.registrar.count(registrar)
            self._counted[registrar] = (len(self), count)
        return count

    def add(self, account_id: int, registrar: int) -> int:
        """Add an account and return its row; the one that it has where it is there already."""
        row = self._row_of.get(account_id)
        if row is None:
            row = self._free.pop() if self._free else self._grow()
            self._row_of[account_id] = row
            self.account[row] = account_id
            self.hop[row] = _NONE
            self.due[row] = self.refresh[row] = self.bound_until[row] = self.cseq[row] = 0
            self.called[row] = 0
            self.is_busy[row] = 0
        self.registrar[row] = registrar
        return row

    def remove(self, account_id: int) -> None:
        """Forget an account."""
        row = self._row_of.pop(account_id, None)
        if row is not None:
            self.due[row] = NEVER
            self.account[row] = 0
            self.registrar[row] = _NONE
            self._free.append(row)

    def _grow(self) -> int:
        numbers = (self.registrar, self.hop, self.due, self.refresh, self.bound_until, self.cseq, self.called)
        for column in numbers:
            column.append(0)
        self.account.append(0)
        self.is_busy.append(0)
        return len(self.account) - 1


class RefreshWheel:
    """Which rows are due when. The column `due` of the roster decides; old entries here are passed over."""

    def __init__(self, roster: Roster, now: int) -> None:
        self._roster = roster
        self._now = now
        self._slots = [array("I") for _ in range(_SLOTS)]

    def put(self, row: int, at: int) -> None:
        """Let a row be due at second `at`, in place of what was said before."""
        at = max(at, self._now + 1)
        if self._roster.due[row] != at:
            self._roster.due[row] = at
            self._slots[at % _SLOTS].append(row)

    def take(self, now: int) -> list[int]:
        """Return the rows that became due until `now`; they are due no more."""
        first, last = self._now + 1, now
        if last - first >= _SLOTS:
            first = last - _SLOTS + 1  # after a long sleep every slot is looked through once
        due = self._roster.due
        taken: list[int] = []
        for second in range(first, last + 1):
            slot = second % _SLOTS
            rows = self._slots[slot]
            if not rows:
                continue
            self._slots[slot] = later = array("I")
            for row in rows:
                at = due[row]
                if at == NEVER:
                    continue
                if at <= now:
                    due[row] = NEVER
                    taken.append(row)
                elif at % _SLOTS == slot:
                    later.append(row)
        self._now = max(self._now, now)
        return taken

    def next_look(self) -> int | None:
        """Return the next second at which `take` may find something; None while the wheel is empty."""
        for second in range(self._now + 1, self._now + 1 + _SLOTS):
            if self._slots[second % _SLOTS]:
                return second
        return None

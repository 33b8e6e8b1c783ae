"""A store in memory: the port of the real ones, transactions included, gone with the process.

The demo runs on it, and so do tests of what stands above a store. It can fail on demand and be
"restarted", so that a test may cut the server between any two steps.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from wakerobin.core.errors import StoreUnavailableError
from wakerobin.ports.store import Transaction
from wakerobin.testing.memory_alarms import MemoryAlarms
from wakerobin.testing.memory_groups import (
    MemoryAccounts,
    MemoryBindingWork,
    MemoryCalls,
    MemoryKept,
    MemoryRegistrations,
    MemoryTargets,
)
from wakerobin.testing.memory_guests import MemoryGuests
from wakerobin.testing.memory_messages import MemoryMailboxes, MemoryMessages, MemorySentMessages
from wakerobin.testing.memory_tables import Tables
from wakerobin.testing.memory_time import MemoryLives, MemoryOutbox, MemoryStories
from wakerobin.testing.memory_upkeep import (
    MemoryHeldUses,
    MemoryReceipts,
    MemorySteppedAside,
    MemoryTallies,
    MemoryTroubles,
)

T = TypeVar("T")


class Fault(enum.Enum):
    """Where a transaction breaks."""

    BEFORE_COMMIT = "the work ran, nothing was kept"
    AFTER_COMMIT = "everything was kept, and nobody was told"


class MemoryTransaction:
    """One attribute for each table group (`ports.store.Transaction`)."""

    def __init__(self, tables: Tables) -> None:
        self.accounts = MemoryAccounts(tables)
        self.registrations = MemoryRegistrations(tables)
        self.targets = MemoryTargets(tables)
        self.lives = MemoryLives(tables)
        self.outbox = MemoryOutbox(tables)
        self.stories = MemoryStories(tables)
        self.binding_work = MemoryBindingWork(tables)
        self.calls = MemoryCalls(tables)
        self.kept = MemoryKept(tables)
        self.troubles = MemoryTroubles(tables)
        self.held_uses = MemoryHeldUses(tables)
        self.stepped_aside = MemorySteppedAside(tables)
        self.receipts = MemoryReceipts(tables)
        self.tallies = MemoryTallies(tables)
        self.alarms = MemoryAlarms(tables)
        self.messages = MemoryMessages(tables)
        self.mailboxes = MemoryMailboxes(tables)
        self.sent_messages = MemorySentMessages(tables)
        self.guests = MemoryGuests(tables)


class MemoryStore:
    """`ports.store.Store` without a disk."""

    def __init__(self, tables: Tables | None = None) -> None:
        self._tables = tables or Tables()
        self._transaction: Transaction = MemoryTransaction(self._tables)
        self._waiting: deque[tuple[Callable[[Transaction], Any], asyncio.Future[Any]]] = deque()
        self._callbacks: list[Callable[[frozenset[str]], None]] = []
        self._faults: deque[Fault] = deque()
        self._is_closed = False

    def transact(self, work: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run `work` in a transaction of its own in the next turn of the loop; see the port."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        if self._is_closed:
            answer.set_exception(StoreUnavailableError("The store is closed."))
            return answer
        if not self._waiting:
            loop.call_soon(self._commit)
        self._waiting.append((work, answer))
        return answer

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a read at once; see the port."""
        if self._is_closed:
            raise StoreUnavailableError("The store is closed.")
        journal = self._tables.journal
        was_read, journal.is_read = journal.is_read, True
        try:
            return work(self._transaction)
        finally:
            journal.is_read = was_read

    def on_commit(self, callback: Callable[[frozenset[str]], None]) -> None:
        """Call back after each commit with the groups that it wrote; see the port."""
        self._callbacks.append(callback)

    async def close(self) -> None:
        """Finish what was begun and answer nothing more."""
        if self._waiting:
            self._commit()
        self._is_closed = True

    def break_next(self, *faults: Fault) -> None:
        """Let the next transactions fail, one for each fault, with StoreUnavailableError."""
        self._faults.extend(faults)

    def restarted(self) -> MemoryStore:
        """Return the store as another run of the server finds it; this one is dead, as after kill -9."""
        self._is_closed = True
        while self._waiting:
            _, answer = self._waiting.popleft()
            answer.cancel()
        self._tables.forget_leases()
        return MemoryStore(self._tables)

    def _commit(self) -> None:
        touched: set[str] = set()
        while self._waiting:
            work, answer = self._waiting.popleft()
            fault = self._faults.popleft() if self._faults else None
            try:
                result = self._run(work, fault)
            except Exception as error:  # the caller's, whatever it is
                if not answer.done():
                    answer.set_exception(_carried(error))
                continue
            touched |= self._tables.journal.touched
            if not answer.done():
                answer.set_result(result)
        if touched:
            loop = asyncio.get_running_loop()
            for callback in self._callbacks:
                loop.call_soon(callback, frozenset(touched))

    def _run(self, work: Callable[[Transaction], T], fault: Fault | None) -> T:
        journal = self._tables.journal
        journal.undo.clear()
        journal.touched.clear()
        try:
            result = work(self._transaction)
            if fault is Fault.BEFORE_COMMIT:
                raise StoreUnavailableError("The store was told to fail before the commit.")
        except BaseException:
            for undo in reversed(journal.undo):
                undo()
            raise
        if fault is Fault.AFTER_COMMIT:
            raise StoreUnavailableError("The store was told to fail after the commit.")
        return result


def _carried(error: Exception) -> Exception:
    if isinstance(error, StopIteration):  # a future refuses to carry it
        bug = RuntimeError("the work raised StopIteration")
        bug.__cause__ = error
        return bug
    return error

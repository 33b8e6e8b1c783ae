"""The one thread that writes: many works under one COMMIT, each in its own SAVEPOINT.

Works that arrive while others run share their COMMIT, so that the disk is asked to flush once for all of
them. The thread also does the checkpoints, when nobody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from wakerobin import metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.store.engine import Connection, DatabaseError, Error, checkpoint, is_outage, unavailable
from wakerobin.store.session import Session
from wakerobin.store.transaction import SqlTransaction
from wakerobin.store.vault import Vault

_MOST_WORKS = 512
_SLICE = 0.02
"""Seconds after which a group is committed although more works wait."""

_IDLE = 0.1
"""Seconds without work after which the log may be moved into the file."""

_IDLE_LOG_OCTETS = 4 << 20
_OUTCOMES = {name: metrics.WORKS.labels(name) for name in ("done", "failed", "refused")}
_ERASE_WITHIN = 1.0
"""Seconds after which an erased secret leaves the log although works wait."""


class Work:
    """A work function on its way: who asked, and how it went."""

    __slots__ = ("answer", "call", "error", "has_erased", "loop", "result", "touched")

    def __init__(self, call: Callable[[SqlTransaction], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.loop = loop
        self.answer: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        self.touched: frozenset[str] = frozenset()
        self.has_erased = False

    def settle(self) -> None:
        """Tell who asked. On the loop's thread."""
        if self.answer.done():
            return  # whoever asked has gone; the work was done all the same
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class Writer:
    """Runs works in the order in which they were handed in."""

    def __init__(self, path: Path, on_commit: Callable[[frozenset[str]], None]) -> None:
        self._log = path.with_name(f"{path.name}-wal")
        self._on_commit = on_commit
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._opened: Future[Vault] = Future()
        self._ended: Future[None] = Future()
        self._is_closing = False
        self._has_grown = False
        self._erased_at: float | None = None
        self._connection: Connection
        self._session: Session
        self._transaction: SqlTransaction

    def start(self, open_database: Callable[[], tuple[Connection, Vault]]) -> Vault:
        """Open the database in the thread that will use it. Raises what `open_database` raised."""
        threading.Thread(
            target=self._main, args=(open_database,), name="wakerobin-writer", daemon=True
        ).start()
        return self._opened.result()

    def hand_in(self, work: Work) -> None:
        """Queue a work. Its `answer` is settled after COMMIT."""
        self._queue.put(work)
        if self._ended.done():
            self._refuse_rest()

    def finish(self) -> Future[None]:
        """Do what was handed in, checkpoint, close; the future ends with the thread's last deed."""
        self._queue.put(None)
        return self._ended

    def _main(self, open_database: Callable[[], tuple[Connection, Vault]]) -> None:
        try:
            self._connection, vault = open_database()
        except BaseException as error:  # whatever it is, it is for the caller of `start`
            self._opened.set_exception(error)
            return
        self._session = Session(self._connection, vault, is_read=False)
        self._transaction = SqlTransaction(self._session)
        self._opened.set_result(vault)
        try:
            while (work := self._next()) is not None:
                self._commit_group(work)
        finally:
            with contextlib.suppress(DatabaseError):
                checkpoint(self._connection)
            self._connection.close()
            self._ended.set_result(None)
            self._refuse_rest()

    def _next(self) -> Work | None:
        """Wait for work, keeping house meanwhile."""
        if self._is_closing:
            return None
        while self._has_grown or self._erased_at is not None:
            try:
                return self._queue.get(timeout=_IDLE)
            except queue.Empty:
                self._keep_house()
        return self._queue.get()

    def _commit_group(self, first: Work) -> None:
        works: list[Work] = []
        try:
            self._execute("BEGIN IMMEDIATE")
            for work in self._gather(first):
                works.append(work)
                self._run(work)
            self._commit()
        except Error as error:
            # The database gave up the whole group: a full disk rolls back everything. Those that fit
            # on their own are done on their own.
            self._roll_back()
            if works:
                for work in works:
                    self._commit_alone(work)
            else:
                works = [first]
                first.error = _outage(error)
        self._tell(works)
        self._note(works)

    def _gather(self, first: Work) -> Iterator[Work]:
        until = time.monotonic() + _SLICE
        yield first
        for _ in range(_MOST_WORKS - 1):
            if time.monotonic() > until:
                return
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                return
            if work is None:
                self._is_closing = True
                return
            yield work

    def _commit_alone(self, work: Work) -> None:
        try:
            self._execute("BEGIN IMMEDIATE")
            self._run(work)
            self._commit()
        except Error as error:
            self._roll_back()
            work.error = work.error or _outage(error)

    def _commit(self) -> None:
        began = time.perf_counter()
        self._execute("COMMIT")
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - began)

    def _run(self, work: Work) -> None:
        """Run one work in its savepoint. Raises Error only where the transaction itself is lost."""
        work.result, work.error = None, None
        self._session.begin_work()
        self._execute("SAVEPOINT work")
        try:
            work.result = work.call(self._transaction)
        except BaseException as error:  # the caller's, whatever it is; its neighbours go on
            work.error = _explained(error)
            self._execute("ROLLBACK TO work")
        self._execute("RELEASE work")
        work.touched = frozenset(self._session.touched)
        work.has_erased = self._session.has_erased

    def _refuse_rest(self) -> None:
        """Answer what came too late, rather than let it wait for ever."""
        with contextlib.suppress(queue.Empty):
            while True:
                work = self._queue.get_nowait()
                if work is not None:
                    work.error = StoreUnavailableError("The store has ended. Start the server again.")
                    self._tell([work])

    def _roll_back(self) -> None:
        with contextlib.suppress(Error):
            if self._connection.in_transaction:
                self._execute("ROLLBACK")

    def _tell(self, works: list[Work]) -> None:
        touched: frozenset[str] = frozenset().union(*(work.touched for work in works if work.error is None))
        for outcome, count in Counter(map(_outcome, works)).items():
            _OUTCOMES[outcome].inc(count)
        by_loop: dict[asyncio.AbstractEventLoop, list[Work]] = {}
        for work in works:
            by_loop.setdefault(work.loop, []).append(work)
        for loop, asked in by_loop.items():
            with contextlib.suppress(RuntimeError):  # a loop that was closed waits for nothing
                loop.call_soon_threadsafe(self._settle, asked, touched)

    def _settle(self, works: list[Work], touched: frozenset[str]) -> None:
        for work in works:
            work.settle()
        if touched:
            self._on_commit(touched)

    def _note(self, works: list[Work]) -> None:
        kept = [work for work in works if work.error is None]
        self._has_grown = self._has_grown or any(work.touched for work in kept)
        if any(work.has_erased for work in kept):
            self._erased_at = self._erased_at or time.monotonic()
        if self._erased_at is not None:
            is_overdue = time.monotonic() - self._erased_at > _ERASE_WITHIN
            if is_overdue or self._queue.empty():
                self._keep_house()

    def _keep_house(self) -> None:
        # A disk in trouble is told to the next one who commits.
        with contextlib.suppress(DatabaseError, OSError):
            if self._erased_at is not None:
                if checkpoint(self._connection):
                    self._erased_at = None
                    self._has_grown = False
                return
            self._has_grown = False
            if self._log.stat().st_size >= _IDLE_LOG_OCTETS:
                checkpoint(self._connection)

    def _execute(self, sql: str) -> None:
        self._connection.execute(sql)


def _outcome(work: Work) -> str:
    if work.error is None:
        return "done"
    return "refused" if isinstance(work.error, StoreUnavailableError) else "failed"


def _outage(error: BaseException) -> StoreUnavailableError:
    outage = unavailable(error)
    outage.__cause__ = error
    return outage


def _explained(error: BaseException) -> BaseException:
    """Return the error as the caller may see it."""
    if is_outage(error):
        return _outage(error)
    if isinstance(error, StopIteration):  # a future refuses to carry it
        bug = RuntimeError("the work raised StopIteration")
        bug.__cause__ = error
        return bug
    return error

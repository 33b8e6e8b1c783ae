"""The store on SQLite: one writer in a thread, readers wherever they are asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from wakerobin.core.errors import StoreUnavailableError
from wakerobin.ports.store import Transaction
from wakerobin.store.engine import Connection, DatabaseError, connect_reader, is_outage, unavailable
from wakerobin.store.session import Session
from wakerobin.store.transaction import SqlTransaction
from wakerobin.store.vault import Vault
from wakerobin.store.writer import Work, Writer

T = TypeVar("T")

_CLOSED = "The store is closed; the server is stopping. Try again when it has started."


class SqliteStore:
    """`ports.store.Store` in one SQLite file. Made by `open_store`."""

    def __init__(self, path: Path, locks: list[IO[str]], remarks: tuple[str, ...] = ()) -> None:
        self.remarks = remarks
        """What the operator should know, in words."""
        self._path = path
        self._locks = locks
        self._callbacks: list[Callable[[frozenset[str]], None]] = []
        self._writer = Writer(path, self._committed)
        self._vault: Vault
        self._mine = threading.local()
        self._readers: list[Connection] = []
        self._is_closed = False

    def start(self, open_database: Callable[[], tuple[Connection, Vault]]) -> None:
        """Open the database. Raises what `open_database` raises."""
        self._vault = self._writer.start(open_database)

    def transact(self, work: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run `work` in the writer's thread; see the port. A caller that is cancelled cancels no work."""
        loop = asyncio.get_running_loop()
        handed = Work(work, loop)
        if self._is_closed:
            handed.answer.set_exception(StoreUnavailableError(_CLOSED))
        else:
            self._writer.hand_in(handed)
        return handed.answer

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a read at once, on a read-only connection of the calling thread; see the port."""
        if self._is_closed:
            raise StoreUnavailableError(_CLOSED)
        try:
            connection, transaction = self._reader()
            if connection.in_transaction:
                return work(transaction)  # a read inside a read sees what that one sees
            connection.execute("BEGIN")
            try:
                return work(transaction)
            finally:
                connection.execute("COMMIT")
        except DatabaseError as error:
            if is_outage(error):
                raise unavailable(error) from error
            raise

    def on_commit(self, callback: Callable[[frozenset[str]], None]) -> None:
        """Call back on the loop after each commit with the groups that it changed; see the port."""
        self._callbacks.append(callback)

    async def close(self) -> None:
        """Do what was handed in, move the log into the file, and give the data folder free."""
        if self._is_closed:
            return
        self._is_closed = True
        for connection in self._readers:
            connection.close()
        await asyncio.wrap_future(self._writer.finish())
        for lock in self._locks:
            lock.close()

    def _committed(self, touched: frozenset[str]) -> None:
        loop = asyncio.get_running_loop()
        for callback in self._callbacks:
            loop.call_soon(callback, touched)  # on its own: one that raises keeps the word from nobody

    def _reader(self) -> tuple[Connection, SqlTransaction]:
        mine: tuple[Connection, SqlTransaction] | None = getattr(self._mine, "reader", None)
        if mine is None:
            connection = connect_reader(self._path)
            self._readers.append(connection)
            mine = connection, SqlTransaction(Session(connection, self._vault, is_read=True))
            self._mine.reader = mine
        return mine

"""The SQLite library: which one, how its connections are set up, and its failures in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from wakerobin.core.errors import ConfigurationError, StoreUnavailableError

if TYPE_CHECKING:
    import sqlite3
else:
    # The distribution's SQLite may carry the WAL-reset bug; this wheel brings a fixed one, same interface.
    try:
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:
        import sqlite3

Connection = sqlite3.Connection
Cursor = sqlite3.Cursor
Error = sqlite3.Error
DatabaseError = sqlite3.DatabaseError
IntegrityError = sqlite3.IntegrityError

VERSION: Final = sqlite3.sqlite_version
LEAST = (3, 37, 0)
"""The first with STRICT tables and all that the statements use."""
SOUND = (3, 51, 3)
"""The first without the WAL-reset bug, which can corrupt a file that two connections write or checkpoint."""

_BUSY_SECONDS = 5.0
_CHECKPOINT_WAIT_MS = 20
_STATEMENTS = 256
_WAL_PAGES = 2000
_WAL_KEPT_OCTETS = 64 << 20
_CACHE_KIB = 65536
_MAPPED_OCTETS = 256 << 20

_WORDS = {
    "SQLITE_FULL": "There is no room left for the database (disk or [store] max_pages). Make room.",
    "SQLITE_IOERR": "The disk does not read or write the database. Look at the disk.",
    "SQLITE_READONLY": "The database cannot be written. Look at the rights of the data folder and its mount.",
    "SQLITE_CANTOPEN": "The database cannot be opened. Look at the data folder, its rights and its mount.",
    "SQLITE_BUSY": "Another program holds the database. End it, or wait for it.",
    "SQLITE_LOCKED": "Another connection holds the database. Try again.",
    "SQLITE_CORRUPT": "The database is damaged. Stop the server and restore the database from a backup.",
    "SQLITE_NOTADB": "The file is no database. Stop the server and restore the database from a backup.",
    "SQLITE_NOMEM": "There is no memory left for the database.",
    "SQLITE_INTERRUPT": "The work on the database was interrupted.",
}


def connect_writer(path: Path, max_pages: int) -> Connection:
    """Open the one connection that writes and checkpoints. It works in the calling thread only."""
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, cached_statements=_STATEMENTS
    )
    try:
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise ConfigurationError(
                f"[store] url: the file system of {path} cannot keep a write-ahead log; network file systems "
                "often cannot. Put the data folder on a local disk."
            )
        _set_up(
            connection,
            "PRAGMA synchronous = FULL",
            "PRAGMA secure_delete = ON",
            "PRAGMA foreign_keys = ON",
            f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}",
            f"PRAGMA journal_size_limit = {_WAL_KEPT_OCTETS}",
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            f"PRAGMA mmap_size = {_MAPPED_OCTETS}",
            f"PRAGMA max_page_count = {max_pages or 0xFFFFFFFE}",
        )
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> Connection:
    """Open a connection that cannot write, not even by mistake."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        cached_statements=_STATEMENTS,
        check_same_thread=False,
    )
    _set_up(connection, f"PRAGMA mmap_size = {_MAPPED_OCTETS}")
    return connection


def copy(connection: Connection, target: Path) -> None:
    """Copy the whole database into a file, which must be empty."""
    copied = sqlite3.connect(target)
    try:
        connection.backup(copied)
    finally:
        copied.close()


def checkpoint(connection: Connection) -> bool:
    """Move the write-ahead log into the file and cut it; return whether all of it went.

    Waits for no reader for long.
    """
    _set_up(connection, f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_MS}")
    try:
        is_busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        _set_up(connection, f"PRAGMA busy_timeout = {round(_BUSY_SECONDS * 1000)}")
    return not is_busy and pages == moved


def version_info() -> tuple[int, ...]:
    """Return the version of the SQLite library in use."""
    return tuple(int(part) for part in VERSION.split("."))


def is_outage(error: BaseException) -> bool:
    """Whether it is the database that failed, rather than the statement or the program."""
    return isinstance(error, DatabaseError) and _kind(error) in _WORDS


def unavailable(error: BaseException) -> StoreUnavailableError:
    """Return the failure in words that say what to do."""
    kind = _kind(error)
    words = _WORDS.get(kind, f"The database failed: {error}.")
    return StoreUnavailableError(f"{words} Nothing of this work was kept. ({kind})")


def in_words(error: BaseException) -> str:
    """Return what is wrong with a database that cannot even be opened."""
    return _WORDS.get(_kind(error), str(error))


def _kind(error: BaseException) -> str:
    # Extended codes add to the name of the plain one: SQLITE_IOERR_WRITE.
    name: str = getattr(error, "sqlite_errorname", "")
    return "_".join(name.split("_")[:2])


def _set_up(connection: Connection, *pragmas: str) -> None:
    for pragma in pragmas:
        connection.execute(pragma).fetchall()

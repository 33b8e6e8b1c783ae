"""Opens the store: the data folder and its lock, the file, the schema and the vault, or words why not."""

from __future__ import annotations

import contextlib
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import StoreOptions
from wakerobin.store import engine, migrations, vault
from wakerobin.store.engine import Connection
from wakerobin.store.sqlite import SqliteStore
from wakerobin.store.statements import load
from wakerobin.store.vault import SealBrokenError, Vault

LOCK = "wakerobin.lock"

_SCHEME = "sqlite:"
_CHECKED_OCTETS = 64 << 20
"""A file up to this size is checked as a whole at each start; a larger one would delay it."""

_PROOF = "vault"
_PROOF_PLACE = "meta:value:vault"
_PROOF_TEXT = b"wakerobin"


def open_store(options: StoreOptions, data_dir: Path, key_file: Path, clock: Clock) -> SqliteStore:
    """Open the store, making data folder, database and key where there are none.

    Raises ConfigurationError. `remarks` of the store tell what else the operator should know.
    """
    path = _database(options.url, data_dir)
    _expect_outside(key_file, data_dir)
    remarks = _remarks()
    locks = _lock(data_dir, path.parent)
    store = SqliteStore(path, locks, remarks)
    try:
        store.start(lambda: _open(path, options.max_pages, key_file, clock))
    except engine.Error as error:
        _release(locks)
        raise ConfigurationError(f"[store] url: {path}: {engine.in_words(error)}") from error
    except BaseException:
        _release(locks)
        raise
    return store


def back_up(connection: Connection, target: Path) -> None:
    """Copy the database, readable by its owner only; it is at `target` as a whole or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    _make_private(partial)
    engine.copy(connection, partial)
    partial.replace(target)


def _database(url: str, data_dir: Path) -> Path:
    if not url.startswith(_SCHEME) or url in (_SCHEME, f"{_SCHEME}:memory:"):
        raise ConfigurationError(
            f"[store] url: {url!r} is not a database that this version knows. "
            'Use "sqlite:FILE", with FILE relative to the data folder.'
        )
    return (data_dir / url.removeprefix(_SCHEME)).absolute()


def _expect_outside(key_file: Path, data_dir: Path) -> None:
    if key_file.resolve().is_relative_to(data_dir.resolve()):
        raise ConfigurationError(
            f"[store] key_file: {key_file} lies in the data folder, so that each copy of the data would "
            "bring the key to its secrets. Name a file outside, for example in the configuration folder."
        )


def _remarks() -> tuple[str, ...]:
    found = engine.version_info()
    if found < engine.LEAST:
        raise ConfigurationError(
            f"SQLite {engine.VERSION} is too old; {_dotted(engine.LEAST)} or newer is needed. "
            "Install the Python package pysqlite3, which brings its own."
        )
    if found < engine.SOUND:
        return (
            f"SQLite {engine.VERSION} has a bug that can damage a database which several connections write "
            f"(fixed in {_dotted(engine.SOUND)}). This server writes through one connection and is safe; "
            "do not let any other program write to or checkpoint its database while it runs.",
        )
    return ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _lock(*folders: Path) -> list[IO[str]]:
    locks: list[IO[str]] = []
    try:
        for folder in dict.fromkeys(folder.absolute() for folder in folders):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            locks.append(_lock_folder(folder / LOCK))
    except OSError as error:
        _release(locks)
        raise ConfigurationError(
            f"[store] data_dir: {error.filename}: {error.strerror}. "
            "Name a folder that the user who runs the server may write to."
        ) from error
    except ConfigurationError:
        _release(locks)
        raise
    return locks


def _lock_folder(path: Path) -> IO[str]:
    # Whoever can open it can lock it, so that no server starts.
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise ConfigurationError(
            f"[store] data_dir: another Wakerobin {f'(process {holder}) ' if holder else ''}works in "
            f"{path.parent}. Stop it first, or give this one a data folder of its own."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _release(locks: list[IO[str]]) -> None:
    for lock in locks:
        lock.close()


def _open(path: Path, max_pages: int, key_file: Path, clock: Clock) -> tuple[Connection, Vault]:
    _make_private(path)
    with contextlib.ExitStack() as on_failure:
        connection = engine.connect_writer(path, max_pages)
        on_failure.callback(connection.close)
        _check(connection, path)

        def keep_copy(schema: int) -> None:
            at = datetime.fromtimestamp(clock.now() / 1000, UTC)
            back_up(connection, path.with_name(f"{path.name}.schema-{schema}.{at:%Y%m%dT%H%M%SZ}"))

        migrations.apply(connection, migrations.shipped(), keep_copy, name=str(path))
        opened = _open_vault(connection, key_file)
        connection.execute(load("outbox")["forget_leases"])
        on_failure.pop_all()
    return connection, opened


def _make_private(path: Path) -> None:
    # SQLite gives its log the rights of the file, so that both are the owner's alone. A copy that was put
    # back from a backup has the rights that somebody's shell gave it.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if part.exists() and part.stat().st_mode & 0o077 and part.stat().st_uid == os.geteuid():
                part.chmod(0o600)
    except OSError as error:
        raise ConfigurationError(
            f"[store] url: {path} cannot be written: {error.strerror}. "
            "Look at the rights of the file and its folder."
        ) from error


def _check(connection: Connection, path: Path) -> None:
    if path.stat().st_size > _CHECKED_OCTETS:
        return
    found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise ConfigurationError(
            f"[store] url: {path} is damaged ({'; '.join(found)}). Restore it from a backup."
        )


def _open_vault(connection: Connection, key_file: Path) -> Vault:
    statements = load("meta")
    row = connection.execute(statements["get"], {"name": _PROOF}).fetchone()
    try:
        ring = vault.load(key_file)
    except FileNotFoundError:
        if row is not None:
            raise ConfigurationError(
                f"[store] key_file: {key_file} is missing, and the database is sealed with its key. "
                "Restore the file from your copy. Without it every account must be enrolled anew."
            ) from None
        ring = vault.create(key_file)
    opened = Vault(ring)
    if row is None:
        proof = opened.seal(_PROOF_TEXT, _PROOF_PLACE)
        connection.execute(statements["put"], {"name": _PROOF, "value": proof})
        return opened
    try:
        opened.unseal(row[0], _PROOF_PLACE)
    except SealBrokenError:
        raise ConfigurationError(
            f"[store] key_file: the key in {key_file} did not seal this database. "
            "Name the key file that belongs to it."
        ) from None
    return opened

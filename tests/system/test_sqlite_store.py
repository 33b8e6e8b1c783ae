"""The store on a real disk: what it refuses to open, what lies there, what happens when the disk fails."""

from __future__ import annotations

import asyncio
import itertools
import re
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.contract.stores import HA1, account, credentials, enrol, registration, target
from wakerobin import metrics
from wakerobin.core.errors import ConfigurationError, StoreUnavailableError
from wakerobin.core.values import Account
from wakerobin.ports.options import StoreOptions
from wakerobin.ports.store import StoryRow, Transaction, Trial, Unregister
from wakerobin.store import SealBrokenError, SqliteStore, engine, open_store
from wakerobin.testing.clock import ManualClock

Work: TypeAlias = Callable[[Transaction], object]


class Place:
    """A data folder and a key file."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.key = folder / "config" / "vault.key"
        self.database = self.data / "wakerobin.db"

    def open(self, **options: Any) -> SqliteStore:
        return open_store(StoreOptions(**options), self.data, self.key, ManualClock())

    async def make(self, work: Callable[[Transaction], object] = enrol) -> None:
        """Open, work, close."""
        store = self.open()
        await store.transact(work)
        await store.close()

    @contextmanager
    def by_hand(self) -> Iterator[engine.Connection]:
        """Give the database to somebody who knows nothing of the store."""
        connection = engine.connect_writer(self.database, 0)
        yield connection
        connection.close()

    def octets(self) -> bytes:
        """Return all that lies in the data folder."""
        return b"".join(path.read_bytes() for path in sorted(self.data.iterdir()))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def nothing(tx: Transaction) -> None:
    """A work by which a test waits for all that was handed in before."""


def names(tx: Transaction) -> list[str]:
    return [a.auth_user for a in tx.accounts.page(0, 1000)]


def add(name: str, tx: Transaction) -> Account:
    return tx.accounts.add(account(name))


def tell_much(subject: str, tx: Transaction) -> None:
    for number in range(40):
        tx.stories.add(StoryRow(subject=subject, at=number, event="e", details={"text": "x" * 4000}))


# What cannot be opened is told in words.


@pytest.mark.parametrize("url", ["", "sqlite:", "sqlite::memory:", "postgresql://host/db", "wakerobin.db"])
def test_a_database_of_an_unknown_kind_is_refused(place: Place, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[store\] url: .*sqlite:FILE"):
        place.open(url=url)
    assert not place.data.exists()


@pytest.mark.parametrize("key", ["data/vault.key", "data/deep/vault.key", "data/../data/vault.key"])
def test_a_key_in_the_data_folder_is_refused(place: Place, tmp_path: Path, key: str) -> None:
    place.key = tmp_path / key
    with pytest.raises(ConfigurationError, match=r"\[store\] key_file: .* lies in the data folder"):
        place.open()


async def test_a_second_server_in_the_same_data_folder_is_refused(place: Place) -> None:
    store = place.open()
    with pytest.raises(ConfigurationError, match=r"another Wakerobin \(process \d+\) works in"):
        place.open()
    await store.transact(partial(add, "anna"))
    await store.close()
    again = place.open()
    assert again.read(names) == ["anna"]
    await again.close()


async def test_a_second_server_on_the_same_database_is_refused_although_its_data_folder_is_another(
    place: Place, tmp_path: Path
) -> None:
    store = place.open()
    other = Place(tmp_path / "other")
    with pytest.raises(ConfigurationError, match="another Wakerobin"):
        other.open(url=f"sqlite:{place.database}")
    await store.close()
    await other.open(url="sqlite:its-own.db").close()


async def test_a_database_of_a_newer_program_is_refused_and_stays_as_it_is(place: Place) -> None:
    await place.make()
    with place.by_hand() as connection:
        connection.execute("PRAGMA user_version = 9999")
    before = place.database.read_bytes()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"newer Wakerobin wrote .*schema 9999"):
            place.open()
    assert place.database.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(place: Place) -> None:
    place.data.mkdir()
    place.database.write_text("Dear diary, " * 500)
    with pytest.raises(ConfigurationError, match=r"wakerobin\.db: The file is no database.*backup"):
        place.open()


async def test_a_damaged_database_is_refused(place: Place) -> None:
    await place.make()
    octets = bytearray(place.database.read_bytes())
    for page in range(4, len(octets) // 4096):
        octets[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    place.database.write_bytes(octets)
    with pytest.raises(ConfigurationError, match="damaged"):
        place.open()


async def test_a_missing_key_is_refused_and_not_replaced_by_a_new_one(place: Place) -> None:
    await place.make()
    kept = place.key.read_bytes()
    place.key.unlink()
    with pytest.raises(ConfigurationError, match="is missing, and the database is sealed with its key"):
        place.open()
    assert not place.key.exists()
    place.key.write_bytes(kept)
    place.key.chmod(0o600)
    await place.open().close()


async def test_the_key_of_another_database_is_refused(place: Place, tmp_path: Path) -> None:
    await place.make()
    other = Place(tmp_path / "other")
    await other.make()
    shutil.copy2(other.key, place.key)
    with pytest.raises(ConfigurationError, match="did not seal this database"):
        place.open()


async def test_a_key_that_others_may_read_is_refused(place: Place) -> None:
    await place.make()
    place.key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        place.open()


async def test_a_data_folder_that_cannot_be_made_is_told(place: Place, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, no folder")
    with pytest.raises(ConfigurationError, match=r"\[store\] data_dir: .*data"):
        place.open()


async def test_a_database_that_is_a_folder_is_told(place: Place) -> None:
    place.database.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"\[store\] url: .* cannot be written: Is a directory"):
        place.open()


async def test_an_sqlite_with_the_known_bug_is_remarked_and_one_too_old_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "VERSION", "3.51.3")
    store = place.open()
    assert store.remarks == ()
    await store.close()
    monkeypatch.setattr(engine, "VERSION", "3.40.1")
    store = place.open()
    assert ["3.40.1" in remark and "3.51.3" in remark for remark in store.remarks] == [True]
    await store.close()
    monkeypatch.setattr(engine, "VERSION", "3.36.0")
    with pytest.raises(ConfigurationError, match=r"3\.36\.0 is too old; 3\.37\.0 or newer"):
        place.open()


# What lies on the disk.


async def test_all_that_the_store_writes_is_its_owners_alone(place: Place) -> None:
    store = place.open()
    await store.transact(enrol)
    modes = {path.name: path.stat().st_mode & 0o077 for path in place.data.iterdir()}
    assert {"wakerobin.db", "wakerobin.db-wal", "wakerobin.lock"} <= modes.keys()
    assert {name for name, others in modes.items() if others} == set()
    assert place.data.stat().st_mode & 0o077 == 0
    await store.close()
    assert sorted(path.name for path in place.data.iterdir()) == ["wakerobin.db", "wakerobin.lock"]


async def test_what_was_put_back_for_everyone_to_read_is_its_owners_alone_again(place: Place) -> None:
    await place.make()
    for name in ("wakerobin.db", "wakerobin.db-wal", "wakerobin.db-shm"):
        (place.data / name).touch()
        (place.data / name).chmod(0o644)
    store = place.open()
    await store.transact(partial(add, "late"))
    assert {path.name for path in place.data.iterdir() if path.stat().st_mode & 0o077} == set()
    await store.close()


async def test_no_secret_lies_on_the_disk_in_the_clear(place: Place) -> None:
    secrets = ["pass-word-1", "pass-word-2", "pass-word-3", "t0ken-of-apple", HA1, "kept-secret"]

    def write(tx: Transaction) -> None:
        id_ = enrol(tx)
        tx.accounts.set_credentials(1, credentials(secrets[0]))
        tx.binding_work.put_trial(
            Trial(registration_id=id_, account_id=1, credentials=credentials(secrets[1]), started_at=1)
        )
        tx.binding_work.add_unregister(
            Unregister(account=account(), credentials=credentials(secrets[2]), created_at=1, give_up_at=2)
        )
        tx.targets.add(target(id_, secrets[3]))
        tx.kept.put("secret", secrets[5].encode())

    store = place.open()
    await store.transact(write)
    assert len(store.read(lambda tx: tx.binding_work.trials())) == 1
    assert b"softphone" in place.octets()
    assert [secret for secret in secrets if secret.encode() in place.octets()] == []
    await store.close()
    assert b"softphone" in place.octets()
    assert [secret for secret in secrets if secret.encode() in place.octets()] == []


def erase_credentials(tx: Transaction) -> None:
    tx.accounts.set_credentials(1, None)


def replace_credentials(tx: Transaction) -> None:
    tx.accounts.set_credentials(1, credentials(None))


def remove_account(tx: Transaction) -> None:
    tx.registrations.remove(1)
    tx.accounts.remove(1)


def remove_trial(tx: Transaction) -> None:
    tx.binding_work.remove_trial(1)


def replace_trial(tx: Transaction) -> None:
    tx.binding_work.put_trial(
        Trial(registration_id=1, account_id=1, credentials=credentials("new"), started_at=2)
    )


def forget_trials(tx: Transaction) -> None:
    tx.binding_work.forget_trials(1)


def remove_registration(tx: Transaction) -> None:
    tx.registrations.remove(1)


def remove_target(tx: Transaction) -> None:
    tx.targets.remove(1)


def remove_unregister(tx: Transaction) -> None:
    tx.binding_work.remove_unregister(1)


def drop_unregisters(tx: Transaction) -> None:
    tx.binding_work.drop_unregisters(1, account().contact_user)


@pytest.mark.parametrize(
    ("erase", "column"),
    [
        (erase_credentials, "sealed FROM credentials"),
        (replace_credentials, "sealed FROM credentials"),
        (remove_account, "sealed FROM credentials"),
        (remove_trial, "sealed FROM trial"),
        (replace_trial, "sealed FROM trial"),
        (forget_trials, "sealed FROM trial"),
        (remove_registration, "sealed FROM trial"),
        (remove_registration, "token FROM target"),
        (remove_target, "token FROM target"),
        (remove_unregister, "sealed FROM unregister"),
        (drop_unregisters, "sealed FROM unregister"),
    ],
)
async def test_an_erased_secret_is_gone_from_the_disk_even_in_its_sealed_form(
    place: Place, erase: Callable[[Transaction], None], column: str
) -> None:
    def write(tx: Transaction) -> None:
        id_ = enrol(tx)
        tx.targets.add(target(id_))
        tx.accounts.set_credentials(1, credentials())
        tx.binding_work.put_trial(
            Trial(registration_id=id_, account_id=1, credentials=credentials(), started_at=1)
        )
        tx.binding_work.add_unregister(
            Unregister(account=account(id=1), credentials=credentials(), created_at=1, give_up_at=2)
        )

    store = place.open()
    await store.transact(write)
    reader = engine.connect_reader(place.database)
    sealed: bytes = reader.execute(f"SELECT {column}").fetchone()[0]
    reader.close()
    assert sealed in place.octets()
    await store.transact(erase)
    async with asyncio.timeout(5):  # the log is cut when nobody waits, within a second
        while sealed in place.octets():
            await store.transact(nothing)
    await store.close()


async def test_a_sealed_secret_that_was_moved_to_another_row_opens_nowhere(place: Place) -> None:
    def write(tx: Transaction) -> None:
        for name in ("anna", "bert"):
            id_ = tx.accounts.add(account(name)).id
            tx.accounts.set_credentials(id_, credentials(f"of-{name}"))
            tx.targets.add(target(tx.registrations.add(registration(id_)).id, f"t-{name}"))

    await place.make(write)
    with place.by_hand() as connection:
        for table, column, key in [("credentials", "sealed", "account_id"), ("target", "token", "id")]:
            of_first = f"SELECT {column} FROM {table} WHERE {key} = 1"
            connection.execute(f"UPDATE {table} SET {column} = ({of_first}) WHERE {key} = 2")
    store = place.open()
    assert store.read(lambda tx: tx.accounts.credentials(1)) == credentials("of-anna")
    with pytest.raises(SealBrokenError, match="credentials:sealed:2"):
        store.read(lambda tx: tx.accounts.credentials(2))
    with pytest.raises(SealBrokenError, match="target:token:2"):
        store.read(lambda tx: tx.targets.of_registration(2))
    await store.close()


# Many works, one disk.


async def test_works_that_wait_together_share_their_commits(place: Place) -> None:
    store = place.open()
    commits: list[frozenset[str]] = []
    store.on_commit(commits.append)
    await asyncio.gather(*[store.transact(partial(add, f"n{n}")) for n in range(300)])
    await store.transact(nothing)
    assert len(store.read(names)) == 300
    assert 1 <= len(commits) < 100
    await store.close()


async def test_reads_work_in_any_thread_while_the_writer_works(place: Place) -> None:
    store = place.open()
    writes = [store.transact(partial(add, f"n{n}")) for n in range(100)]
    seen = await asyncio.gather(*[asyncio.to_thread(store.read, names) for _ in range(20)])
    await asyncio.gather(*writes)
    assert all(found == [f"n{n}" for n in range(len(found))] for found in seen)
    assert len(await asyncio.to_thread(store.read, names)) == 100
    await store.close()


def test_a_work_whose_loop_is_gone_is_done_all_the_same(place: Place) -> None:
    store = place.open()

    async def hand_in_and_leave() -> None:
        store.transact(partial(add, "anna"))

    async def come_later() -> list[str]:
        await store.transact(partial(add, "bert"))
        found = store.read(names)
        await store.close()
        return found

    asyncio.run(hand_in_and_leave())
    assert asyncio.run(come_later()) == ["anna", "bert"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_where_the_writer_itself_breaks_nobody_waits_for_ever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place.open()
    groups = itertools.count()

    def bug(writer: object, works: object) -> None:
        if next(groups):
            raise LookupError("a bug in the writer")

    monkeypatch.setattr("wakerobin.store.writer.Writer._note", bug)
    await store.transact(partial(add, "anna"))
    async with asyncio.timeout(10):
        await store.transact(partial(add, "bert"))
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="The store has ended"):
                await store.transact(partial(add, "carl"))
        await store.close()
    for thread in threading.enumerate():
        if thread.name == "wakerobin-writer":
            thread.join(10)  # its exception is this test's, not that of the next one
    monkeypatch.undo()
    again = place.open()
    assert again.read(names) == ["anna", "bert"]
    await again.close()


# A disk that fails.


async def outcome_of(store: SqliteStore, work: Work) -> StoreUnavailableError | None:
    try:
        await store.transact(work)
    except StoreUnavailableError as error:
        return error
    return None


async def test_the_metrics_tell_how_works_ended_and_how_long_commits_took(place: Place) -> None:
    def shown(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(f"wakerobin_{name}", labels) or 0.0

    def counted() -> list[float]:
        outcomes = [shown("works_total", outcome=outcome) for outcome in ("done", "failed", "refused")]
        return [*outcomes, shown("commit_seconds_count")]

    store = place.open(max_pages=200)
    before = counted()
    with pytest.raises(ZeroDivisionError):
        await store.transact(lambda _tx: 1 // 0)
    outcomes = [await outcome_of(store, partial(tell_much, f"call:{number}")) for number in range(9)]
    done, refused = outcomes.count(None), sum(outcome is not None for outcome in outcomes)
    assert done > 0
    assert refused > 0
    told = [now - was for now, was in zip(counted(), before, strict=True)]
    assert told == [done, 1.0, refused, done + 1.0]
    await store.close()


async def test_a_full_database_refuses_in_words_and_works_again_when_there_is_room(place: Place) -> None:
    store = place.open(max_pages=200)
    outcomes = [await outcome_of(store, partial(tell_much, f"call:{number}")) for number in range(9)]
    written = next(n for n, outcome in enumerate(outcomes) if outcome is not None)
    assert written > 0
    words = re.compile("no room left.*max_pages.*Nothing of this work was kept")
    assert all(words.search(str(outcome)) for outcome in outcomes[written:])
    assert len(store.read(lambda tx: tx.stories.of(f"call:{written - 1}"))) == 40
    assert store.read(lambda tx: tx.stories.of(f"call:{written}")) == []
    assert store.read(names) == []
    assert await store.transact(lambda tx: tx.stories.forget(30, 10**6)) == 30 * written
    await store.transact(partial(tell_much, "call:again"))
    assert len(store.read(lambda tx: tx.stories.of("call:again"))) == 40
    await store.close()


async def test_in_a_full_database_what_fits_is_kept_although_its_neighbour_does_not(place: Place) -> None:
    store = place.open(max_pages=120)
    works: list[Work] = [partial(tell_much, f"call:{n}") for n in range(1, 9)]
    works = [partial(add, "anna"), *works, partial(add, "bert")]
    outcomes = await asyncio.gather(*[outcome_of(store, work) for work in works])
    failed = [n for n, outcome in enumerate(outcomes) if outcome is not None]
    assert failed
    assert {0, len(works) - 1}.isdisjoint(failed)
    assert store.read(names) == ["anna", "bert"]
    for number in range(1, 9):
        told = store.read(lambda tx: tx.stories.of(f"call:{number}"))  # noqa: B023 - read at once
        assert len(told) == (0 if number in failed else 40)
    await store.close()


@contextmanager
def files_limited_to(octets: int) -> Iterator[None]:
    """Let the kernel refuse every write beyond so many octets of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_refuses_writes_is_told_and_the_store_goes_on_when_it_recovers(
    place: Place,
) -> None:
    store = place.open()
    await store.transact(partial(add, "before"))
    size = place.database.with_name("wakerobin.db-wal").stat().st_size
    with files_limited_to(size):
        answers = [store.transact(partial(add, name)) for name in ("one", "two", "three")]
        outcomes = await asyncio.gather(*answers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailableError] * 3
    assert "Nothing of this work was kept" in str(outcomes[0])
    assert store.read(names) == ["before"]
    await store.transact(partial(add, "after"))
    assert store.read(names) == ["before", "after"]
    await store.close()
    again = place.open()
    assert again.read(names) == ["before", "after"]
    await again.close()


async def test_another_program_that_holds_the_database_is_told_and_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.05)
    store = place.open()
    with place.by_hand() as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="Another program holds the database"):
            await store.transact(partial(add, "anna"))
        assert store.read(names) == []
        connection.execute("COMMIT")
        await store.transact(partial(add, "bert"))
    assert store.read(names) == ["bert"]
    await store.close()


async def test_a_work_that_hides_the_failure_of_the_database_does_not_pass_for_done(place: Place) -> None:
    store = place.open(max_pages=120)

    def work(tx: Transaction) -> str:
        try:
            for number in range(99):
                tell_much(f"call:{number}", tx)
        except engine.DatabaseError:
            return "done"
        return "fitted"

    with pytest.raises(StoreUnavailableError):
        await store.transact(work)
    assert store.read(lambda tx: tx.stories.of("call:0")) == []
    await store.transact(partial(add, "anna"))
    assert store.read(names) == ["anna"]
    await store.close()

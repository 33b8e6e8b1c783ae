"""What every store promises about transactions. What its tables promise: test_store_*_tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores import ENGINES, NOW, Engine, account, enrol, life, opened, push
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import Lane
from wakerobin.core.values import Account
from wakerobin.ports.store import Store, StoryRow, Transaction


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    made: Engine = request.param(tmp_path)
    return made


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    async with opened(engine) as store:
        yield store


def nothing(tx: Transaction) -> None:
    """A work by which a test waits for all that was handed in before."""


def add(name: str, tx: Transaction) -> Account:
    return tx.accounts.add(account(name))


def names(tx: Transaction) -> list[str]:
    return [a.auth_user for a in tx.accounts.page(0, 100)]


async def test_the_result_of_a_work_comes_back_and_what_it_wrote_is_there(store: Store) -> None:
    stored = await store.transact(lambda tx: tx.accounts.add(account()))
    assert stored.id > 0
    assert store.read(lambda tx: tx.accounts.get(stored.id)) == stored


async def test_a_work_reads_what_it_wrote_itself(store: Store) -> None:
    def work(tx: Transaction) -> Account | None:
        return tx.accounts.get(tx.accounts.add(account()).id)

    assert (await store.transact(work)) is not None


async def test_a_work_that_raises_keeps_nothing_and_its_error_reaches_the_caller(store: Store) -> None:
    class OwnError(Exception):
        pass

    def work(tx: Transaction) -> None:
        kept = tx.accounts.add(account())
        tx.accounts.set_credentials(kept.id, None)
        tx.kept.put("name", b"value")
        raise OwnError("of the work")

    with pytest.raises(OwnError, match="of the work"):
        await store.transact(work)
    assert store.read(names) == []
    assert store.read(lambda tx: tx.kept.get("name")) is None


async def test_a_work_that_raises_does_not_disturb_its_neighbours(store: Store) -> None:
    def work(number: int) -> Any:
        def run(tx: Transaction) -> int:
            tx.accounts.add(account(f"n{number}"))
            if number % 3 == 0:
                raise LookupError(number)
            return number

        return run

    outcomes = await asyncio.gather(*[store.transact(work(n)) for n in range(50)], return_exceptions=True)
    assert [o for o in outcomes if not isinstance(o, BaseException)] == [n for n in range(50) if n % 3]
    assert sum(isinstance(o, LookupError) for o in outcomes) == 17
    assert store.read(names) == [f"n{n}" for n in range(50) if n % 3]


async def test_changes_and_removals_of_a_failed_work_are_undone_too(store: Store) -> None:
    def fill(tx: Transaction) -> tuple[int, int]:
        first, second = enrol(tx, "first"), enrol(tx, "second")
        tx.lives.add(life(first))
        tx.outbox.add(push(first))
        return first, second

    first, second = await store.transact(fill)

    def destroy(tx: Transaction) -> None:
        tx.lives.update(life(first, generation=9))
        tx.lives.update(life(first, generation=10, next_at=None))
        tx.outbox.void(first, 99)
        tx.registrations.remove(first)
        tx.registrations.remove(second)
        raise LookupError

    with pytest.raises(LookupError):
        await store.transact(destroy)
    assert store.read(lambda tx: tx.lives.get(first)) == life(first)
    assert store.read(lambda tx: [r.id for r in tx.registrations.page(0, 9)]) == [first, second]
    assert len(store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))) == 1


async def test_works_run_in_the_order_in_which_they_were_handed_in(store: Store) -> None:
    seen: list[int] = []

    def note(number: int, tx: Transaction) -> None:
        seen.append(number)

    await asyncio.gather(*[store.transact(partial(note, n)) for n in range(200)])
    assert seen == list(range(200))


async def test_a_caller_that_is_cancelled_does_not_undo_its_work(store: Store) -> None:
    asked = asyncio.ensure_future(store.transact(partial(add, "anna")))
    asked.cancel()
    await store.transact(nothing)
    assert asked.cancelled()
    assert store.read(names) == ["anna"]


async def test_a_stop_iteration_out_of_a_work_reaches_the_caller_as_a_bug(store: Store) -> None:
    def work(tx: Transaction) -> None:
        next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await store.transact(work)
    assert await store.transact(lambda tx: 1) == 1


async def test_commits_tell_what_they_wrote_after_their_results_are_there(store: Store) -> None:
    told: asyncio.Queue[tuple[frozenset[str], bool]] = asyncio.Queue()
    id_ = await store.transact(lambda tx: enrol(tx))
    await store.transact(lambda tx: tx.lives.add(life(id_)))
    answers: list[asyncio.Future[Any]] = []
    store.on_commit(lambda groups: told.put_nowait((groups, all(a.done() for a in answers))))

    async def groups_of(work: Any) -> frozenset[str]:
        answers[:] = [asyncio.ensure_future(store.transact(work))]
        async with asyncio.timeout(10):
            groups, was_done = await told.get()
        assert was_done
        return groups

    assert await groups_of(lambda tx: tx.outbox.add(push(id_))) == {"outbox"}
    assert await groups_of(lambda tx: tx.lives.update(life(id_, generation=4))) == {"lives"}
    assert await groups_of(lambda tx: tx.binding_work.remove_trial(id_) or tx.kept.put("a", b"")) == {"kept"}

    def both(tx: Transaction) -> None:
        tx.outbox.add(push(id_, 1))
        tx.stories.add(StoryRow(subject="call:1", at=NOW, event="invite"))

    assert await groups_of(both) == {"outbox", "stories"}


async def test_a_work_that_fails_or_changes_nothing_tells_nobody(store: Store) -> None:
    told: list[frozenset[str]] = []
    store.on_commit(told.append)

    def failing(tx: Transaction) -> None:
        tx.accounts.add(account())
        raise LookupError

    with pytest.raises(LookupError):
        await store.transact(failing)
    await store.transact(lambda tx: tx.accounts.page(0, 9))
    await store.transact(lambda tx: tx.outbox.remove(12345))
    await store.transact(lambda tx: tx.kept.put("last", b""))
    await store.transact(nothing)
    assert told == [frozenset({"kept"})]


async def test_a_callback_that_raises_keeps_the_word_from_nobody(store: Store) -> None:
    told: list[frozenset[str]] = []
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    def broken(groups: frozenset[str]) -> None:
        raise LookupError

    store.on_commit(broken)
    store.on_commit(told.append)
    await store.transact(lambda tx: tx.kept.put("a", b""))
    await store.transact(nothing)
    assert [type(f["exception"]) for f in faults] == [LookupError]
    assert told == [frozenset({"kept"})]


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(RuntimeError, match=r"Store\.transact"):
        store.read(lambda tx: tx.accounts.add(account()))
    with pytest.raises(RuntimeError, match=r"Store\.transact"):
        store.read(lambda tx: tx.kept.put("a", b""))
    await store.transact(lambda tx: tx.accounts.add(account("bert")))
    assert store.read(names) == ["bert"]


async def test_a_read_inside_a_read_is_still_a_read(store: Store) -> None:
    def outer(tx: Transaction) -> None:
        assert store.read(names) == []
        tx.accounts.add(account())

    with pytest.raises(RuntimeError, match=r"Store\.transact"):
        store.read(outer)
    assert store.read(names) == []


async def test_a_read_that_raises_leaves_the_store_usable(store: Store) -> None:
    def work(tx: Transaction) -> None:
        names(tx)
        raise LookupError

    for _ in range(3):
        with pytest.raises(LookupError):
            store.read(work)
    assert store.read(names) == []


async def test_what_was_committed_is_there_after_a_restart(engine: Engine) -> None:
    async with opened(engine) as store:
        id_ = await store.transact(enrol)
        await store.transact(lambda tx: tx.lives.add(life(id_)))
        await store.transact(lambda tx: tx.kept.put("secret", b"\x00\xff"))
    async with opened(engine) as store:
        assert store.read(lambda tx: tx.lives.get(id_)) == life(id_)
        assert store.read(lambda tx: tx.kept.get("secret")) == b"\x00\xff"
        again = await store.transact(lambda tx: enrol(tx, "second"))
        assert again > id_


async def test_leases_of_an_earlier_run_do_not_count(engine: Engine) -> None:
    async with opened(engine) as store:
        id_ = await store.transact(enrol)

        def send(tx: Transaction) -> None:
            tx.outbox.add(push(id_, 0))
            tx.outbox.add(push(id_, 1, not_before=NOW + 5_000))
            for row in tx.outbox.due(Lane.WARNINGS, NOW, 9):
                tx.outbox.lease(row.id, NOW + 600_000)

        await store.transact(send)
        assert store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9)) == []
    async with opened(engine) as store:
        assert [r.step for r in store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))] == [0]
        assert store.read(lambda tx: tx.outbox.next_due()) == NOW


async def test_a_closed_store_says_so_and_what_was_handed_in_before_is_done(engine: Engine) -> None:
    store = await engine.open()
    handed = [store.transact(partial(add, f"n{n}")) for n in range(20)]
    await store.close()
    await store.close()
    assert [stored.auth_user for stored in [await h for h in handed]] == [f"n{n}" for n in range(20)]
    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.transact(lambda tx: None)
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.read(names)
    async with opened(engine) as again:
        assert len(again.read(names)) == 20

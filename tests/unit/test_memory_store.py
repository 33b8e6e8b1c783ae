"""What the store in memory can beyond the contract: fail when told, and come back as after a kill."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.stores import NOW, account, enrol, push
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import Lane
from wakerobin.ports.store import Transaction
from wakerobin.testing.memory import Fault, MemoryStore


def names(tx: Transaction) -> list[str]:
    return [a.auth_user for a in tx.accounts.page(0, 9)]


async def test_a_fault_before_the_commit_keeps_nothing() -> None:
    store = MemoryStore()
    store.break_next(Fault.BEFORE_COMMIT)
    with pytest.raises(StoreUnavailableError, match="before the commit"):
        await store.transact(lambda tx: tx.accounts.add(account()))
    assert store.read(names) == []
    await store.transact(lambda tx: tx.accounts.add(account()))
    assert store.read(names) == ["anna"]


async def test_a_fault_after_the_commit_keeps_everything_and_tells_nobody() -> None:
    store = MemoryStore()
    told: list[frozenset[str]] = []
    store.on_commit(told.append)
    store.break_next(Fault.AFTER_COMMIT)
    with pytest.raises(StoreUnavailableError, match="after the commit"):
        await store.transact(lambda tx: tx.accounts.add(account()))
    await store.transact(names)
    assert store.read(names) == ["anna"]
    assert told == []


async def test_faults_come_in_the_order_of_asking_one_for_each_work() -> None:
    store = MemoryStore()
    store.break_next(Fault.BEFORE_COMMIT, Fault.AFTER_COMMIT)
    works = [store.transact(lambda tx, n=n: tx.kept.put(n, b"")) for n in "abc"]  # type: ignore[misc]  # bound early
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    assert [isinstance(outcome, StoreUnavailableError) for outcome in outcomes] == [True, True, False]
    assert [store.read(lambda tx: [tx.kept.get(n) for n in "abc"])] == [[None, b"", b""]]


async def test_a_work_that_fails_by_itself_uses_up_its_fault() -> None:
    store = MemoryStore()
    store.break_next(Fault.BEFORE_COMMIT)
    with pytest.raises(ZeroDivisionError):
        await store.transact(lambda tx: 1 // 0)
    assert await store.transact(lambda tx: 1) == 1


async def test_after_a_restart_what_was_committed_is_there_and_what_was_under_way_is_not() -> None:
    store = MemoryStore()
    id_ = await store.transact(enrol)
    await store.transact(lambda tx: tx.outbox.add(push(id_)))
    await store.transact(lambda tx: tx.outbox.lease(1, NOW + 99))
    under_way = store.transact(lambda tx: tx.kept.put("a", b""))
    again = store.restarted()
    assert under_way.cancelled()
    assert again.read(lambda tx: tx.kept.get("a")) is None
    assert [row.id for row in again.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))] == [1]
    with pytest.raises(StoreUnavailableError):
        await store.transact(names)
    await again.transact(lambda tx: tx.kept.put("b", b""))
    assert again.read(lambda tx: tx.kept.get("b")) == b""

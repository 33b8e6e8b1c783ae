"""The conformance suite of every store: alarms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, NOW, Engine, opened, write_each
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.store import Store


@pytest.fixture(params=ENGINES, ids=lambda kind: kind.__name__.lower())
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    made: Engine = request.param(tmp_path)
    return made


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    async with opened(engine) as made:
        yield made


def standing(store: Store) -> list[Alarm]:
    return store.read(lambda tx: tx.alarms.all())


async def test_alarms_stand_the_oldest_first_until_they_are_taken_back(store: Store) -> None:
    later, earlier = Alarm("b:x", NOW + 1, "Später 📵."), Alarm("a:x", NOW, "Früher.")
    await write_each(store, lambda tx: tx.alarms.put, [later, earlier])
    assert standing(store) == [earlier, later]
    assert await store.transact(lambda tx: tx.alarms.clear("a:x"))
    assert not await store.transact(lambda tx: tx.alarms.clear("a:x"))
    assert standing(store) == [later]


async def test_an_alarm_raised_again_keeps_its_beginning_and_gets_the_new_words(store: Store) -> None:
    await write_each(
        store, lambda tx: tx.alarms.put, [Alarm("a:x", NOW, "old"), Alarm("a:x", NOW + 9, "new")]
    )
    assert standing(store) == [Alarm("a:x", NOW, "new")]


async def test_raising_what_stands_in_the_same_words_writes_nothing(store: Store) -> None:
    told: list[frozenset[str]] = []
    await write_each(store, lambda tx: tx.alarms.put, [Alarm("a:x", NOW, "words")])
    store.on_commit(told.append)
    await write_each(store, lambda tx: tx.alarms.put, [Alarm("a:x", NOW + 9, "words")])
    await write_each(store, lambda tx: partial(tx.kept.put, "x"), [b""])
    assert told in ([], [frozenset({"kept"})])


async def test_alarms_outlive_a_restart(engine: Engine) -> None:
    async with opened(engine) as store:
        await write_each(store, lambda tx: tx.alarms.put, [Alarm("a:x", NOW, "words")])
    async with opened(engine) as store:
        assert standing(store) == [Alarm("a:x", NOW, "words")]

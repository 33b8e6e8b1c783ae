"""Whatever is done to them, two stores answer alike: random histories, compared step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.stores import ENGINES, NOW, Memory, enrol, life, opened, push
from wakerobin.core.pushes import Lane, PushType
from wakerobin.core.values import Ended
from wakerobin.ports.messages import KeptMessage
from wakerobin.ports.store import OutboxRow, Store, StoryRow, Transaction

REGISTRATIONS = 3
FAR = NOW + 1_000_000

Step: TypeAlias = tuple[str, tuple[Any, ...]]


def perform(tx: Transaction, step: Step) -> object:
    name, values = step
    return STEPS[name](tx, *values)


def _add(tx: Transaction, registration: int, generation: int, kind: PushType, step: int, at: int) -> bool:
    return tx.outbox.add(push(registration, step, generation=generation, kind=kind, not_before=at))


def _waiting(tx: Transaction) -> list[OutboxRow]:
    # Ids may differ between stores, their order may not.
    return sorted((row for lane in Lane for row in tx.outbox.due(lane, FAR, 99)), key=lambda row: row.id)


def _with_row(tx: Transaction, number: int, settle: Callable[[int], object]) -> bool:
    waiting = _waiting(tx)
    if waiting:
        settle(waiting[number % len(waiting)].id)
    return bool(waiting)


def _lease(tx: Transaction, number: int, until: int) -> bool:
    return _with_row(tx, number, lambda id_: tx.outbox.lease(id_, until))


def _postpone(tx: Transaction, number: int, at: int, attempts: int) -> bool:
    return _with_row(tx, number, lambda id_: tx.outbox.postpone(id_, at, attempts))


def _remove(tx: Transaction, number: int) -> bool:
    return _with_row(tx, number, tx.outbox.remove)


def _live(
    tx: Transaction, registration: int, next_at: int | None, ended: Ended | None, generation: int
) -> bool:
    given = life(
        registration, next_at=next_at, ended=ended, generation=generation, ended_at=NOW if ended else 0
    )
    present = tx.lives.get(registration)
    if present is None:
        tx.lives.add(given)
    else:
        tx.lives.update(replace(given, step=present.step + 1))
    return present is None


def _tell(tx: Transaction, registration: int, at: int) -> None:
    tx.stories.add(StoryRow(subject=f"registration:{registration}", at=at, event=f"told at {at}"))


def _keep(tx: Transaction, registration: int, other: int, number: int, expires_at: int) -> bool:
    """Keep a message of the first one's account, for both."""
    known = tx.registrations.get(registration)
    if known is None or tx.registrations.get(other) is None:
        return False
    came = KeptMessage(
        account_id=known.account_id,
        public_id=f"m{number}",
        received_at=NOW,
        expires_at=expires_at,
        content=f"{registration} {other} {number}".encode(),
    )
    return tx.messages.add(came, sorted({registration, other})) is not None


def _waits_for(tx: Transaction, registration: int) -> list[KeptMessage]:
    return tx.messages.waiting(registration, 0, 99, fetched_too=True)


def _settle(tx: Transaction, registration: int, number: int, until: int) -> int:
    ids = [one.id for one in _waits_for(tx, registration)][number : number + 2]
    return tx.messages.settle(registration, ids, until)


def _note(tx: Transaction, registration: int, number: int, at: int) -> None:
    ids = [one.id for one in _waits_for(tx, registration)][number : number + 1]
    tx.messages.note_fetched(registration, ids, at)


def _fail(tx: Transaction) -> None:
    raise LookupError("the work fails here")


STEPS: dict[str, Callable[..., object]] = {
    "add": _add,
    "lease": _lease,
    "postpone": _postpone,
    "remove": _remove,
    "void": lambda tx, registration, below: tx.outbox.void(registration, below),
    "live": _live,
    "tell": _tell,
    "forget": lambda tx, before: tx.stories.forget(before, 2),
    "keep": _keep,
    "settle": _settle,
    "note": _note,
    "drop": lambda tx, registration, until: tx.messages.drop(registration, until),
    "sweep": lambda tx, now, before: tx.messages.forget(now, before, 99),
    "leave": lambda tx, registration: tx.registrations.remove(registration),
    "enrol": lambda tx, name: enrol(tx, name),
    "fail": _fail,
}

registrations = st.integers(1, REGISTRATIONS)
times = st.integers(NOW, NOW + 5)
generations = st.integers(1, 3)
ends = st.none() | st.sampled_from(Ended)
VALUES: dict[str, tuple[st.SearchStrategy[Any], ...]] = {
    "add": (registrations, generations, st.sampled_from(PushType), st.integers(0, 1), times),
    "lease": (st.integers(0, 8), times),
    "postpone": (st.integers(0, 8), times, st.integers(0, 3)),
    "remove": (st.integers(0, 8),),
    "void": (registrations, generations),
    "live": (registrations, st.none() | times, ends, generations),
    "tell": (registrations, times),
    "forget": (times,),
    "keep": (registrations, registrations, st.integers(1, 3), times),
    "settle": (registrations, st.integers(0, 2), times),
    "note": (registrations, st.integers(0, 2), times),
    "drop": (registrations, times),
    "sweep": (times, times),
    "leave": (registrations,),
    "enrol": (st.sampled_from("xyz"),),
    "fail": (),
}
steps: st.SearchStrategy[Step] = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.tuples(st.just(name), st.tuples(*VALUES[name]))
)


def seen(tx: Transaction) -> list[object]:
    """Return all that can be seen of what `perform` does."""
    due = [tx.outbox.due(lane, now, 99) for lane in Lane for now in range(NOW, NOW + 6)]
    return [
        [[replace(row, id=0) for row in rows] for rows in due],
        [tx.lives.due(now, 99) for now in range(NOW, NOW + 6)],
        [tx.stories.of(f"registration:{number}", limit=3) for number in range(1, REGISTRATIONS + 1)],
        tx.outbox.next_due(),
        tx.lives.next_due(),
        tx.lives.ended(NOW + 1, 2),
        tx.lives.count(),
        [row.public_id for row in tx.registrations.page(0, 99)],
        [[replace(one, id=0) for one in _waits_for(tx, number)] for number in range(1, REGISTRATIONS + 1)],
        [tx.messages.count_for(number) for number in range(1, REGISTRATIONS + 1)],
    ]


async def outcome(store: Store, work: list[Step]) -> object:
    try:
        return await store.transact(lambda tx: [perform(tx, step) for step in work])
    except (ValueError, LookupError) as error:
        return type(error)


@pytest.mark.parametrize("kind", [engine for engine in ENGINES if engine is not Memory])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(works=st.lists(st.lists(steps, min_size=1, max_size=5), max_size=15))
def test_every_store_agrees_with_the_one_in_memory(
    kind: Any, works: list[list[Step]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def compare(folder: Path) -> None:
        async with opened(Memory(folder)) as expected, opened(kind(folder)) as store:
            for each in (expected, store):
                await each.transact(lambda tx: [enrol(tx, str(n)) for n in range(REGISTRATIONS)])
            for work in works:
                assert await outcome(store, work) == await outcome(expected, work)
                assert store.read(seen) == expected.read(seen)

    asyncio.run(compare(tmp_path_factory.mktemp("stores")))

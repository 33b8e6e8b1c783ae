"""What every store promises about lives and stories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.contract.stores import (
    ENGINES,
    NOW,
    account,
    enrol,
    life,
    opened,
    push,
    registration,
    target,
    write_each,
)
from wakerobin.core.values import BindingState, Ended, Life, Platform, Provider, Purpose
from wakerobin.ports.store import OutboxRow, Store, StoryRow, Transaction


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param(tmp_path)) as store:
        yield store


async def enrolled(store: Store, count: int) -> list[int]:
    return await store.transact(lambda tx: [enrol(tx, str(n)) for n in range(count)])


def steps(rows: list[OutboxRow]) -> list[int]:
    return [row.step for row in rows]


async def test_a_life_comes_back_as_it_was_given(store: Store) -> None:
    made = await enrolled(store, 3)
    given = [
        life(made[0]),
        life(made[1], ended=Ended.TARGETS_GONE, ended_at=NOW, next_at=None, warning_settled=False),
        Life(id=made[2], slot=0, expires_at=1, next_at=2, lifetime=life(1).lifetime, renewed_at=0),
    ]
    await write_each(store, lambda tx: tx.lives.add, given)
    assert store.read(lambda tx: [tx.lives.get(id_) for id_ in made]) == given
    assert store.read(lambda tx: tx.lives.get(made[-1] + 1)) is None


async def test_a_life_belongs_to_a_registration_and_there_is_one(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    await store.transact(lambda tx: tx.lives.add(life(id_)))
    for stranger in (id_, id_ + 1):
        with pytest.raises(ValueError, match=r".+"):
            await write_each(store, lambda tx: tx.lives.add, [life(stranger, generation=1)])
    with pytest.raises(ValueError, match=r".+"):
        await store.transact(lambda tx: tx.lives.update(life(id_ + 1)))
    assert store.read(lambda tx: tx.lives.get(id_)) == life(id_)


@pytest.mark.parametrize("ended", [None, *Ended])
@pytest.mark.parametrize("next_at", [None, NOW, NOW + 500_000_000])
async def test_every_field_of_a_life_can_change(
    store: Store, ended: Ended | None, next_at: int | None
) -> None:
    [id_, other] = await enrolled(store, 2)
    await write_each(store, lambda tx: tx.lives.add, [life(id_), life(other)])
    changed = life(
        id_,
        slot=1,
        expires_at=2,
        next_at=next_at,
        generation=4,
        step=5,
        lifetime=6,
        renewed_at=7,
        renewal_sent_at=8,
        warning_tried_at=9,
        warned_at=10,
        warning_settled=False,
        ended=ended,
        ended_at=11 if ended else 0,
        opened_at=12,
        noted_at=13,
        trouble_generation=14,
        trouble_told_at=15,
        trouble_settled=False,
        trouble_cause="unreachable",
        habits="",
    )
    await store.transact(lambda tx: tx.lives.update(changed))
    assert store.read(lambda tx: tx.lives.get(id_)) == changed
    assert store.read(lambda tx: tx.lives.get(other)) == life(other)


async def test_due_lives_are_those_whose_time_has_come_the_longest_due_first(store: Store) -> None:
    made = await enrolled(store, 6)
    times = [NOW + 1, NOW - 5, NOW, None, NOW - 9, NOW]
    rows = [life(id_, next_at=at) for id_, at in zip(made, times, strict=True)]
    await write_each(store, lambda tx: tx.lives.add, rows)
    due = store.read(lambda tx: tx.lives.due(NOW, 9))
    assert due == [made[4], made[1], made[2], made[5]]
    assert store.read(lambda tx: tx.lives.due(NOW, 2)) == due[:2]
    assert store.read(lambda tx: tx.lives.due(NOW - 10, 9)) == []


async def test_the_next_due_life_is_known_also_after_it_moved(store: Store) -> None:
    assert store.read(lambda tx: tx.lives.next_due()) is None
    made = await enrolled(store, 2)
    await write_each(store, lambda tx: tx.lives.add, [life(id_, next_at=NOW + id_) for id_ in made])
    assert store.read(lambda tx: tx.lives.next_due()) == NOW + made[0]
    await store.transact(lambda tx: tx.lives.update(life(made[0], next_at=NOW + 99)))
    assert store.read(lambda tx: tx.lives.next_due()) == NOW + made[1]
    await write_each(store, lambda tx: tx.lives.update, [life(id_, next_at=None) for id_ in made])
    assert store.read(lambda tx: tx.lives.next_due()) is None


async def test_tombstones_are_found_the_oldest_first(store: Store) -> None:
    made = await enrolled(store, 4)

    def fill(tx: Transaction) -> None:
        tx.lives.add(life(made[0]))
        for id_, at in zip(made[1:], (NOW - 1, NOW - 7, NOW), strict=True):
            tx.lives.add(life(id_, ended=Ended.EXPIRED, ended_at=at, next_at=None))

    await store.transact(fill)
    assert store.read(lambda tx: [row.id for row in tx.lives.ended(NOW, 9)]) == [made[2], made[1]]
    assert store.read(lambda tx: [row.id for row in tx.lives.ended(NOW, 1)]) == [made[2]]


async def test_a_dormant_life_has_no_tombstone_yet(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    asleep = life(id_, ended=Ended.DORMANT, ended_at=NOW - 9, next_at=NOW + 9)
    await store.transact(lambda tx: tx.lives.add(asleep))
    assert store.read(lambda tx: tx.lives.ended(NOW, 9)) == []
    assert store.read(lambda tx: tx.lives.due(NOW + 9, 9)) == [id_]
    assert store.read(lambda tx: tx.lives.count()) == {"living": 0, "dormant": 1}
    over = life(id_, ended=Ended.EXPIRED, ended_at=NOW - 1, next_at=None)
    await store.transact(lambda tx: tx.lives.update(over))
    assert store.read(lambda tx: tx.lives.ended(NOW, 9)) == [over]


async def test_lives_are_counted_by_the_reason_of_their_end(store: Store) -> None:
    assert store.read(lambda tx: tx.lives.count()) == {"living": 0}
    made = await enrolled(store, 5)
    ends = [None, None, Ended.EXPIRED, Ended.EXPIRED, Ended.TARGETS_GONE]
    rows = [life(id_, ended=end) for id_, end in zip(made, ends, strict=True)]
    await write_each(store, lambda tx: tx.lives.add, rows)
    assert store.read(lambda tx: tx.lives.count()) == {"living": 2, "expired": 2, "targets-gone": 1}


async def test_a_life_is_read_with_what_decides_about_it(store: Store) -> None:
    def fill(tx: Transaction) -> list[int]:
        owner = tx.accounts.add(account()).id
        ids = []
        for name, proven in (("one", True), ("two", False), ("bare", True)):
            id_ = tx.registrations.add(
                registration(owner, name, app=name, proven=proven, capabilities={"notifications": proven})
            ).id
            tx.lives.add(life(id_))
            ids.append(id_)
        for id_, purposes in ((ids[0], {Purpose.CALL}), (ids[0], {Purpose.NOTICE}), (ids[1], set(Purpose))):
            tx.targets.add(target(id_, "-".join(purposes), purposes=frozenset(purposes)))
        return ids

    one, two, bare = await store.transact(fill)
    found = store.read(lambda tx: tx.lives.standings([two, 12345, bare, one]))
    assert [standing.life for standing in found] == [life(two), life(bare), life(one)]
    assert [standing.app for standing in found] == ["two", "bare", "one"]
    assert [standing.proven for standing in found] == [False, True, True]
    assert [standing.capabilities for standing in found] == [
        {"notifications": p} for p in (False, True, True)
    ]
    kinds = [{kind.purposes for kind in standing.kinds} for standing in found]
    call, notice = frozenset({Purpose.CALL}), frozenset({Purpose.NOTICE})
    assert kinds == [{call | notice}, set(), {call, notice}]
    assert {kind.provider for standing in found for kind in standing.kinds} == {Provider.APNS}
    assert {standing.account_id for standing in found} == {1}
    assert {(one.platform, one.time_zone) for one in found} == {(Platform.IOS, "Europe/Vienna")}
    assert [standing.installation for standing in found] == [
        f"installation-{name}" for name in ("two", "bare", "one")
    ]
    assert all(standing.is_alone for standing in found)
    assert store.read(lambda tx: tx.lives.standings([])) == []


async def test_a_life_knows_whether_its_installation_has_others(store: Store) -> None:
    def fill(tx: Transaction) -> list[int]:
        first, second = (tx.accounts.add(account(name)).id for name in ("anna", "ben"))
        ids = [
            tx.registrations.add(registration(first, "one", installation="phone")).id,
            tx.registrations.add(registration(second, "two", installation="phone")).id,
            tx.registrations.add(registration(second, "three", installation="tablet")).id,
            tx.registrations.add(registration(second, "four", installation="phone", app="other")).id,
        ]
        for id_ in ids:
            tx.lives.add(life(id_))
        return ids

    ids = await store.transact(fill)
    found = store.read(lambda tx: tx.lives.standings(ids))
    assert [standing.is_alone for standing in found] == [False, False, True, True]


@pytest.mark.parametrize("state", list(BindingState))
@pytest.mark.parametrize("proven", [True, False])
async def test_a_life_knows_whether_its_account_is_registered(
    store: Store, state: BindingState, proven: bool
) -> None:
    def fill(tx: Transaction) -> int:
        owner = tx.accounts.add(account(state=state, proven=proven)).id
        id_ = tx.registrations.add(registration(owner)).id
        tx.lives.add(life(id_))
        return id_

    id_ = await store.transact(fill)
    [standing] = store.read(lambda tx: tx.lives.standings([id_]))
    expected = proven and state in (BindingState.REGISTERED, BindingState.REGISTERING)
    assert standing.is_registered is expected


async def test_a_story_is_told_in_the_order_of_its_times(store: Store) -> None:
    told = [
        StoryRow(subject="call:1", at=NOW + 2, event="ended", details={"why": "\udc80", "n": [1, None]}),
        StoryRow(subject="call:1", at=NOW, event="invite"),
        StoryRow(subject="call:2", at=NOW, event="invite"),
        StoryRow(subject="call:1", at=NOW + 2, event="told last at the same time"),
    ]
    await write_each(store, lambda tx: tx.stories.add, told)
    assert store.read(lambda tx: tx.stories.of("call:1")) == [told[1], told[0], told[3]]
    assert store.read(lambda tx: tx.stories.of("call:1", limit=2)) == [told[0], told[3]]
    assert store.read(lambda tx: tx.stories.of("call:3")) == []


async def test_old_events_are_forgotten_and_counted(store: Store) -> None:
    rows = [StoryRow(subject="call:1", at=NOW + n, event=str(n)) for n in range(5)]
    await write_each(store, lambda tx: tx.stories.add, rows)
    assert await store.transact(lambda tx: tx.stories.forget(NOW + 3, 99)) == 3
    assert await store.transact(lambda tx: tx.stories.forget(NOW + 3, 99)) == 0
    assert store.read(lambda tx: tx.stories.of("call:1")) == rows[3:]


async def test_the_story_of_one_subject_is_erased_and_no_other(store: Store) -> None:
    rows = [StoryRow(subject=f"call:{n % 2}", at=NOW + n, event=str(n)) for n in range(5)]
    await write_each(store, lambda tx: tx.stories.add, rows)
    assert await store.transact(lambda tx: tx.stories.erase("call:0")) == 3
    assert await store.transact(lambda tx: tx.stories.erase("call:0")) == 0
    assert store.read(lambda tx: tx.stories.of("call:0")) == []
    assert store.read(lambda tx: tx.stories.of("call:1")) == rows[1::2]


async def test_many_lives_climb_at_once_and_nothing_else_of_them_changes(store: Store) -> None:
    def fill(tx: Transaction) -> list[int]:
        owner = tx.accounts.add(account()).id
        ids = [tx.registrations.add(registration(owner, name)).id for name in ("one", "two", "three")]
        for id_ in ids:
            tx.lives.add(life(id_))
        return ids

    ids = await store.transact(fill)
    changed = [
        replace(life(id_), step=5, next_at=id_, warning_tried_at=7, warning_settled=False) for id_ in ids[:2]
    ]
    await store.transact(lambda tx: tx.lives.climb([replace(one, warned_at=8) for one in changed]))
    assert [store.read(partial(_life_of, id_)) for id_ in ids] == [*changed, life(ids[2])]
    await store.transact(lambda tx: tx.lives.climb([]))
    with pytest.raises((ValueError, LookupError)):
        await store.transact(lambda tx: tx.lives.climb([*changed, life(12345)]))


async def test_many_pushes_are_added_at_once_and_none_twice(store: Store) -> None:
    def fill(tx: Transaction) -> int:
        return tx.registrations.add(registration(tx.accounts.add(account()).id)).id

    id_ = await store.transact(fill)
    rows = [push(id_, step=step) for step in (1, 2, 3)]
    await store.transact(lambda tx: tx.outbox.add(rows[1]))
    await store.transact(lambda tx: tx.outbox.add_all(rows))
    await store.transact(lambda tx: tx.outbox.add_all([]))
    found = store.read(lambda tx: tx.outbox.of_registration(id_, rows[0].kind))
    assert sorted(row.step for row in found) == [1, 2, 3]


async def test_a_push_waits_for_the_app_and_provider_that_are_said_or_else_known(store: Store) -> None:
    def fill(tx: Transaction) -> None:
        id_ = tx.registrations.add(registration(tx.accounts.add(account()).id)).id
        tx.targets.add(target(id_))
        known = push(id_, step=1)
        said = replace(known, step=2, app="another", provider="fcm")
        nobody = replace(known, step=3, app="another", provider="")
        tx.outbox.add_all([known, said, nobody])

    await store.transact(fill)
    queues = store.read(lambda tx: tx.outbox.queues())
    assert sorted((queue.app, queue.provider) for queue in queues) == [
        ("another", ""),
        ("another", "fcm"),
        ("softphone", "apns"),
    ]


def _life_of(id_: int, tx: Transaction) -> Life | None:
    return tx.lives.get(id_)

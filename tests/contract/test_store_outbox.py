"""What every store promises about the outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import (
    ENGINES,
    NOW,
    account,
    enrol,
    opened,
    push,
    registration,
    target,
)
from wakerobin.core.pushes import LANES, Lane, PushType
from wakerobin.core.values import Provider, Purpose
from wakerobin.ports.store import OutboxRow, Queue, Store, Transaction


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param(tmp_path)) as store:
        yield store


async def enrolled(store: Store, count: int) -> list[int]:
    return await store.transact(lambda tx: [enrol(tx, str(n)) for n in range(count)])


def steps(rows: list[OutboxRow]) -> list[int]:
    return [row.step for row in rows]


def rows_of(rows: list[OutboxRow], registration_id: int) -> list[OutboxRow]:
    return [row for row in rows if row.registration_id == registration_id]


async def test_a_push_comes_back_as_it_was_given(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    given = push(id_, 4, generation=7, attempts=2)
    assert await store.transact(lambda tx: tx.outbox.add(given)) is True
    [row] = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))
    assert row.id > 0
    assert row == replace(given, id=row.id)


async def test_the_same_decision_is_added_once_and_changes_nothing_the_second_time(store: Store) -> None:
    [id_, other] = await enrolled(store, 2)
    await store.transact(lambda tx: tx.outbox.add(push(id_)))
    again = push(id_, deadline_at=NOW + 99, payload={}, attempts=9)
    assert await store.transact(lambda tx: tx.outbox.add(again)) is False
    [row] = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))
    assert row == replace(push(id_), id=row.id)
    different = [
        push(other),
        push(id_, 1),
        push(id_, generation=2),
        push(id_, kind=PushType.TARGETS_NEEDED),
    ]
    assert await store.transact(lambda tx: [tx.outbox.add(d) for d in different]) == [True] * 4


async def test_a_settled_decision_can_be_added_again_only_because_its_row_is_gone(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    await store.transact(lambda tx: tx.outbox.add(push(id_)))
    [row] = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))
    await store.transact(lambda tx: tx.outbox.remove(row.id))
    assert await store.transact(lambda tx: tx.outbox.add(push(id_))) is True
    [new] = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))
    assert new.id > row.id  # a late settlement of the old row must not meet the new one


async def test_a_push_needs_a_registration(store: Store) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await store.transact(lambda tx: tx.outbox.add(push(12345)))


@pytest.mark.parametrize("kind", list(PushType))
async def test_a_push_is_due_in_its_own_lane_only(store: Store, kind: PushType) -> None:
    [id_] = await enrolled(store, 1)
    await store.transact(lambda tx: tx.outbox.add(push(id_, kind=kind)))
    found = store.read(lambda tx: {lane for lane in Lane if tx.outbox.due(lane, NOW, 9)})
    assert found == {LANES[kind]}


async def test_due_pushes_come_by_deadline_and_not_before_their_time(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    given = [(0, NOW, NOW + 300), (1, NOW - 9, NOW + 100), (2, NOW + 1, NOW + 50), (3, NOW, NOW + 200)]

    def fill(tx: Transaction) -> None:
        for step, not_before, deadline_at in given:
            tx.outbox.add(push(id_, step, not_before=not_before, deadline_at=deadline_at))

    await store.transact(fill)
    assert store.read(lambda tx: steps(tx.outbox.due(Lane.WARNINGS, NOW, 9))) == [1, 3, 0]
    assert store.read(lambda tx: steps(tx.outbox.due(Lane.WARNINGS, NOW, 2))) == [1, 3]
    assert store.read(lambda tx: steps(tx.outbox.due(Lane.WARNINGS, NOW + 1, 1))) == [2]
    assert store.read(lambda tx: tx.outbox.next_due()) == NOW - 9


async def test_in_a_backlog_due_pushes_are_found_by_deadline_however_many_are_due(store: Store) -> None:
    [id_] = await enrolled(store, 1)

    def fill(tx: Transaction) -> None:
        for step in range(1_500):
            kind = PushType.RENEW if step % 3 == 0 else PushType.EXPIRY_WARNING
            tx.outbox.add(
                push(id_, step, kind=kind, not_before=NOW + step, deadline_at=NOW - step, payload={})
            )

    await store.transact(fill)
    queue = Queue(Lane.WARNINGS, "softphone", "")
    for now in (0, 1, 500, 998, 999, 1_000, 1_001, 1_499):
        last = [step for step in range(now, -1, -1) if step % 3][:50]
        assert store.read(lambda tx: steps(tx.outbox.due(queue, NOW + now, 50))) == last  # noqa: B023 - read at once


async def test_a_lease_hides_a_push_until_it_is_over(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    await store.transact(lambda tx: [tx.outbox.add(push(id_, step)) for step in range(2)])
    first, second = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))
    await store.transact(lambda tx: tx.outbox.lease(first.id, NOW + 30))
    assert store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW + 29, 9)) == [second]
    assert store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW + 30, 9)) == [first, second]
    await store.transact(lambda tx: tx.outbox.lease(second.id, NOW + 20))
    assert store.read(lambda tx: tx.outbox.next_due()) == NOW + 20


async def test_postponing_ends_the_lease_and_counts_the_attempt(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    await store.transact(lambda tx: tx.outbox.add(push(id_)))
    [row] = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))
    await store.transact(lambda tx: tx.outbox.lease(row.id, NOW + 600_000))
    await store.transact(lambda tx: tx.outbox.postpone(row.id, NOW + 10, 3))
    assert store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW + 9, 9)) == []
    [later] = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW + 10, 9))
    assert later == replace(row, not_before=NOW + 10, attempts=3)
    assert store.read(lambda tx: tx.outbox.next_due()) == NOW + 10


async def test_postponing_may_note_something_beside_what_was_decided(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    await store.transact(lambda tx: tx.outbox.add(push(id_)))
    [row] = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))
    noted = row.payload | {"done": [3, 7]}
    await store.transact(lambda tx: tx.outbox.postpone(row.id, NOW, 1, noted))
    assert store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))[0].payload == noted
    await store.transact(lambda tx: tx.outbox.postpone(row.id, NOW, 2))
    assert store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))[0].payload == noted


@pytest.mark.parametrize("size", [3, 1_100])
async def test_each_app_has_its_own_queues(store: Store, size: int) -> None:
    def fill(tx: Transaction) -> None:
        owner = tx.accounts.add(account()).id
        for number, app in enumerate(("b", "a", "c")):
            id_ = tx.registrations.add(registration(owner, app, app=app)).id
            for step in range(size if app == "b" else 2):
                tx.outbox.add(push(id_, step, deadline_at=NOW - number, payload={}))
            tx.outbox.add(push(id_, kind=PushType.RENEW, not_before=NOW + 9))

    await store.transact(fill)
    every = [Queue(lane, app, "") for lane in (Lane.RENEWALS, Lane.WARNINGS) for app in ("a", "b", "c")]
    assert store.read(lambda tx: sorted(tx.outbox.queues())) == every
    for app, count in (("a", 2), ("b", size), ("c", 2), ("d", 0)):
        queue = Queue(Lane.WARNINGS, app, "")
        due = store.read(lambda tx: tx.outbox.due(queue, NOW, 5_000))  # noqa: B023 - read at once
        assert [row.app for row in due] == [app] * count
        assert steps(due) == list(range(count))
    assert store.read(lambda tx: tx.outbox.due(Queue(Lane.RENEWALS, "a", ""), NOW, 9)) == []
    assert len(store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 5_000))) == size + 4


async def test_a_queue_is_for_one_provider_that_of_the_notice_targets(store: Store) -> None:
    given = {
        "fcm": [(Provider.FCM, Purpose.NOTICE)],
        "apns": [(Provider.APNS, Purpose.NOTICE), (Provider.WEBHOOK, Purpose.CALL)],
        "": [(Provider.APNS, Purpose.NOTICE), (Provider.WEBHOOK, Purpose.NOTICE)],
        "nowhere": [(Provider.APNS, Purpose.CALL)],
    }

    def fill(tx: Transaction) -> None:
        owner = tx.accounts.add(account()).id
        for name, kinds in given.items():
            id_ = tx.registrations.add(registration(owner, name)).id
            for number, (provider, purpose) in enumerate(kinds):
                one = target(id_, f"{name}-{number}", provider=provider, purposes=frozenset({purpose}))
                tx.targets.add(one)
            tx.outbox.add(push(id_))

    await store.transact(fill)
    queues = store.read(lambda tx: tx.outbox.queues())
    assert sorted(queue.provider for queue in queues) == ["", "apns", "fcm"]
    found = {queue.provider: store.read(lambda tx: tx.outbox.due(queue, NOW, 9)) for queue in queues}  # noqa: B023 - read at once
    assert {provider: len(rows) for provider, rows in found.items()} == {"": 2, "apns": 1, "fcm": 1}
    assert all(row.provider == provider for provider, rows in found.items() for row in rows)


async def test_companions_are_the_same_push_for_other_accounts_of_the_installation(store: Store) -> None:
    soon = NOW + 60

    def fill(tx: Transaction) -> list[int]:
        owners = [tx.accounts.add(account(name)).id for name in ("anna", "bert", "cleo", "dora", "emil")]
        ids = [tx.registrations.add(registration(owner, "phone")).id for owner in owners]
        tx.outbox.add(push(ids[0]))
        tx.outbox.add(push(ids[0], 1))  # the same account's: not together with it
        tx.outbox.add(push(ids[1], not_before=soon))
        tx.outbox.add(push(ids[2], not_before=soon + 1))  # too late
        tx.outbox.add(push(ids[3], kind=PushType.RENEW))  # another kind
        tx.outbox.add(push(ids[4]))
        tx.outbox.add(push(enrol(tx, "tablet")))  # another installation
        other_app = registration(tx.accounts.add(account("gina")).id, "phone", app="deskphone")
        tx.outbox.add(push(tx.registrations.add(other_app).id))
        nameless = [registration(owners[0], f"n{n}", installation="") for n in range(2)]
        for one in nameless:
            ids.append(tx.registrations.add(one).id)
            tx.outbox.add(push(ids[-1]))
        return ids

    made = await store.transact(fill)
    rows = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, soon + 1, 99))
    first, leased = rows_of(rows, made[0])[0], rows_of(rows, made[4])[0]

    def companions(now: int = NOW) -> list[int]:
        found = store.read(lambda tx: tx.outbox.companions(first, now, soon))
        return [row.registration_id for row in found]

    assert companions() == [made[1], made[4]]
    assert store.read(lambda tx: tx.outbox.companions(rows_of(rows, made[-1])[0], NOW, soon)) == []
    await store.transact(lambda tx: tx.outbox.lease(leased.id, NOW + 30))
    assert companions() == [made[1]]
    assert companions(NOW + 30) == [made[1], made[4]]


async def test_what_happens_to_a_push_that_is_gone_is_nothing(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    await store.transact(lambda tx: tx.outbox.add(push(id_)))
    [row] = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 9))

    def settle_late(tx: Transaction) -> None:
        tx.outbox.remove(row.id)
        tx.outbox.remove(row.id)
        tx.outbox.lease(row.id, NOW + 5)
        tx.outbox.postpone(row.id, NOW + 5, 1)

    await store.transact(settle_late)
    assert store.read(lambda tx: tx.outbox.next_due()) is None


async def test_voiding_removes_what_older_generations_of_one_registration_planned(store: Store) -> None:
    one, other = await enrolled(store, 2)

    def fill(tx: Transaction) -> None:
        for registration_id in (one, other):
            for generation in (1, 2, 3):
                tx.outbox.add(push(registration_id, generation, generation=generation))

    await store.transact(fill)
    assert await store.transact(lambda tx: tx.outbox.void(one, 3)) == 2
    assert await store.transact(lambda tx: tx.outbox.void(one, 3)) == 0
    left = store.read(lambda tx: tx.outbox.due(Lane.WARNINGS, NOW, 99))
    assert sorted((row.registration_id, row.generation) for row in left) == [
        (one, 3),
        (other, 1),
        (other, 2),
        (other, 3),
    ]


async def test_a_use_voids_what_is_about_the_life_and_nothing_else(store: Store) -> None:
    [id_, other] = await enrolled(store, 2)
    for row in (
        push(id_, 1),
        push(id_, 2, kind=PushType.MISSED_CALL),
        push(id_, 3, kind=PushType.VERIFY),
        push(other, 1, kind=PushType.MISSED_CALL),
    ):
        await store.transact(lambda tx: tx.outbox.add(row))  # noqa: B023 - run at once
    assert await store.transact(lambda tx: tx.outbox.void(id_, 99)) == 1

    def left(tx: Transaction) -> list[list[int]]:
        kinds = (PushType.EXPIRY_WARNING, PushType.MISSED_CALL, PushType.VERIFY)
        return [steps(tx.outbox.of_registration(id_, kind)) for kind in kinds]

    assert store.read(left) == [[], [2], [3]]


async def test_what_waits_for_a_registration_comes_back_whole(store: Store) -> None:
    [id_] = await enrolled(store, 1)
    given = [push(id_, step, kind=PushType.MISSED_CALL, generation=step) for step in (2, 1)]
    for row in given:
        await store.transact(lambda tx: tx.outbox.add(row))  # noqa: B023 - run at once
    found = store.read(lambda tx: tx.outbox.of_registration(id_, PushType.MISSED_CALL))
    assert [replace(row, id=0) for row in found] == given[::-1]

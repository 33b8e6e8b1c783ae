"""What every store promises about the fleet's work, calls and what is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, NOW, account, credentials, enrol, held, opened, record, write_each
from wakerobin.core.values import Transport, Way
from wakerobin.ports.store import Store, Transaction, Trial, Unregister


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param(tmp_path)) as store:
        yield store


def trial(registration_id: int, started_at: int = NOW, password: str | None = "pass") -> Trial:
    return Trial(
        registration_id=registration_id,
        account_id=77,
        credentials=credentials(password),
        is_trusted=True,
        started_at=started_at,
    )


def unregister(account_id: int, name: str = "anna") -> Unregister:
    return Unregister(
        account=account(name, id=account_id, realm="\udcff"),
        credentials=credentials(None),
        created_at=NOW,
        give_up_at=NOW + 3_600_000,
    )


async def test_a_trial_is_stored_replaced_and_removed(store: Store) -> None:
    id_ = await store.transact(enrol)
    assert store.read(lambda tx: tx.binding_work.trial(id_)) is None
    way = Way(registrar="[::1]:5062", outbound_proxy="sip:p;lr", transport=Transport.TCP)
    for given in (trial(id_), replace(trial(id_, NOW + 5, "another"), way=way), trial(id_)):
        await write_each(store, lambda tx: tx.binding_work.put_trial, [given])
        assert store.read(lambda tx: tx.binding_work.trial(id_)) == given
        assert store.read(lambda tx: tx.binding_work.trials()) == [given]
    await store.transact(lambda tx: tx.binding_work.remove_trial(id_))
    await store.transact(lambda tx: tx.binding_work.remove_trial(id_))
    assert store.read(lambda tx: tx.binding_work.trials()) == []


async def test_trials_are_listed_oldest_first_and_need_a_registration(store: Store) -> None:
    one, other = await store.transact(lambda tx: (enrol(tx, "one"), enrol(tx, "other")))

    def fill(tx: Transaction) -> None:
        tx.binding_work.put_trial(trial(one, NOW))
        tx.binding_work.put_trial(trial(other, NOW - 1))

    await store.transact(fill)
    listed = store.read(lambda tx: tx.binding_work.trials())
    assert [t.registration_id for t in listed] == [other, one]
    assert store.read(lambda tx: tx.binding_work.trial_ids()) == [other, one]
    with pytest.raises(ValueError, match=r".+"):
        await store.transact(lambda tx: tx.binding_work.put_trial(trial(other + 1)))


async def test_old_trials_are_forgotten_and_counted(store: Store) -> None:
    made = await store.transact(lambda tx: [enrol(tx, str(n)) for n in range(3)])
    trials = [trial(id_, NOW + n) for n, id_ in enumerate(made)]
    await write_each(store, lambda tx: tx.binding_work.put_trial, trials)
    assert await store.transact(lambda tx: tx.binding_work.forget_trials(NOW + 1)) == 2
    assert await store.transact(lambda tx: tx.binding_work.forget_trials(NOW + 1)) == 0
    assert store.read(lambda tx: tx.binding_work.trials()) == trials[2:]


async def test_an_unregister_carries_all_that_it_needs_and_outlives_its_account(store: Store) -> None:
    stored_account = await store.transact(lambda tx: tx.accounts.add(account()))
    given = [unregister(stored_account.id), unregister(stored_account.id + 50, "bert")]
    stored = await store.transact(lambda tx: [tx.binding_work.add_unregister(work) for work in given])
    await store.transact(lambda tx: tx.accounts.remove(stored_account.id))
    assert [replace(work, id=0) for work in stored] == given
    assert store.read(lambda tx: tx.binding_work.unregisters()) == stored
    await store.transact(lambda tx: tx.binding_work.remove_unregister(stored[0].id))
    await store.transact(lambda tx: tx.binding_work.remove_unregister(stored[0].id))
    assert store.read(lambda tx: tx.binding_work.unregisters()) == stored[1:]


async def test_the_unregisters_of_a_contact_that_is_in_use_again_are_dropped(store: Store) -> None:
    older = replace(unregister(1), account=account(id=1, contact_user="older\udcff"))
    works = [unregister(1), unregister(2, "bert"), unregister(1), older]
    stored = await store.transact(lambda tx: [tx.binding_work.add_unregister(work) for work in works])
    user = works[0].account.contact_user
    assert await store.transact(lambda tx: tx.binding_work.drop_unregisters(1, user)) == 2
    assert await store.transact(lambda tx: tx.binding_work.drop_unregisters(1, user)) == 0
    assert store.read(lambda tx: tx.binding_work.unregisters()) == [stored[1], stored[3]]


async def test_an_id_of_fleet_work_is_never_used_again(store: Store) -> None:
    first = await store.transact(lambda tx: tx.binding_work.add_unregister(unregister(1)))
    await store.transact(lambda tx: tx.binding_work.remove_unregister(first.id))
    second = await store.transact(lambda tx: tx.binding_work.add_unregister(unregister(1)))
    assert second.id > first.id


async def test_a_held_call_is_stored_replaced_and_released(store: Store) -> None:
    given = [held("call-2", started_at=NOW + 1), held("call-1"), held("call-3", branches={})]
    await write_each(store, lambda tx: tx.calls.hold, given)
    assert store.read(lambda tx: tx.calls.held()) == [given[1], given[2], given[0]]
    changed = held("call-1", branches={"waiting": []}, invite=b"", account_id=5, flow="", to_tag="t")
    await store.transact(lambda tx: tx.calls.hold(changed))
    assert store.read(lambda tx: tx.calls.held())[0] == changed
    await write_each(store, lambda tx: tx.calls.release, ("call-1", "call-2", "call-2"))
    assert store.read(lambda tx: tx.calls.held()) == [given[2]]


async def test_the_record_of_a_call_is_stored_and_replaced(store: Store) -> None:
    given = record(sip_call_id="\udcffabc", caller={"uri": "sip:x", "number": "1", "name": "\udc80"})
    await store.transact(lambda tx: tx.calls.put(given))
    assert store.read(lambda tx: tx.calls.get("call-1")) == given
    changed = replace(given, state="missed", ended_at=NOW + 9, reason="nobody came \udc80", account_id=4)
    await store.transact(lambda tx: tx.calls.put(changed))
    assert store.read(lambda tx: tx.calls.get("call-1")) == changed
    assert store.read(lambda tx: tx.calls.get("call-2")) is None


async def test_calls_of_an_account_come_newest_first_and_account_0_means_all(store: Store) -> None:
    given = [record(f"call-{n}", account_id=1 + n % 2, started_at=NOW + n) for n in range(5)]
    await write_each(store, lambda tx: tx.calls.put, given)
    assert store.read(lambda tx: tx.calls.of_account(1, 9)) == [given[4], given[2], given[0]]
    assert store.read(lambda tx: tx.calls.of_account(1, 2)) == [given[4], given[2]]
    assert store.read(lambda tx: tx.calls.of_account(0, 4)) == given[:0:-1]
    assert store.read(lambda tx: tx.calls.of_account(3, 9)) == []


async def test_the_last_calls_of_a_range_of_accounts_are_told_together(store: Store) -> None:
    given = [record(f"call-{n}", account_id=n % 4, started_at=NOW + n) for n in range(12)]
    await write_each(store, lambda tx: tx.calls.put, given)
    assert store.read(lambda tx: tx.calls.last_called(0, 2, NOW)) == {1: NOW + 9, 2: NOW + 10}
    assert store.read(lambda tx: tx.calls.last_called(1, 9, NOW + 11)) == {3: NOW + 11}
    assert store.read(lambda tx: tx.calls.last_called(0, 9, NOW + 12)) == {}


async def test_records_are_forgotten_by_their_end_or_where_nobody_told_it_by_their_expiry(
    store: Store,
) -> None:
    given = [
        record("ended long ago", ended_at=NOW - 2),
        record("ended now", ended_at=NOW, expires_at=NOW - 50),
        record("never told to have ended", expires_at=NOW - 1),
        record("going on", expires_at=NOW),
    ]
    await write_each(store, lambda tx: tx.calls.put, given)
    assert await store.transact(lambda tx: tx.calls.forget(NOW, 99)) == 2
    left = {call.call_id for call in store.read(lambda tx: tx.calls.of_account(0, 9))}
    assert left == {"ended now", "going on"}


async def test_what_is_kept_comes_back_and_is_replaced(store: Store) -> None:
    assert store.read(lambda tx: tx.kept.get("secret")) is None
    for value in (b"\x00\xff", b"", b"x" * 5000):
        await write_each(store, lambda tx: partial(tx.kept.put, "secret"), [value])
        assert store.read(lambda tx: tx.kept.get("secret")) == value
    assert store.read(lambda tx: tx.kept.get("Secret")) is None

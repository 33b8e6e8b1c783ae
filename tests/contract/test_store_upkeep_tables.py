"""What every store promises about troubles, held uses, apps that stepped aside, receipts and tallies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, NOW, account, enrol, life, opened, write_each
from wakerobin.core.values import Ended
from wakerobin.ports.store import Store, Transaction
from wakerobin.ports.upkeep import AccountTrouble, ReceiptRow, TallyRow


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param(tmp_path)) as store:
        yield store


async def accounts(store: Store, count: int) -> list[int]:
    return await store.transact(
        lambda tx: [
            tx.accounts.add(account(f"a{n}", aor=f"sip:a{n}@x", contact_user=f"c{n}")).id
            for n in range(count)
        ]
    )


def trouble(account_id: int, **changes: object) -> AccountTrouble:
    made = AccountTrouble(
        account_id=account_id,
        cause="refused",
        code="credentials-refused",
        reason="The PBX does not accept the password.",
        registrar="udp:pbx.example",
        peers=7,
        since_at=NOW,
        refusals=2,
        refused_at=NOW + 600,
        told=1,
        next_at=NOW + 1000,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a test names the fields that it changes


def receipt(registration_id: int, at: int, kind: str = "received") -> ReceiptRow:
    return ReceiptRow(registration_id=registration_id, at=at, push_id=f"p{at}", kind=kind, push_type="renew")


async def test_a_trouble_comes_back_as_it_was_given_and_goes_with_its_account(store: Store) -> None:
    [first, second] = await accounts(store, 2)
    await write_each(store, lambda tx: tx.troubles.put, [trouble(first), trouble(second, next_at=None)])
    await write_each(store, lambda tx: tx.troubles.put, [trouble(first, refusals=3)])
    assert store.read(lambda tx: tx.troubles.get(first)) == trouble(first, refusals=3)
    assert store.read(lambda tx: tx.troubles.get(second)) == trouble(second, next_at=None)
    await store.transact(lambda tx: tx.troubles.remove(second))
    await store.transact(lambda tx: tx.accounts.remove(first))
    assert store.read(lambda tx: (tx.troubles.get(first), tx.troubles.get(second))) == (None, None)


async def test_a_trouble_of_nobody_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await store.transact(lambda tx: tx.troubles.put(trouble(99)))


async def test_troubles_are_due_in_the_order_of_their_times(store: Store) -> None:
    ids = await accounts(store, 4)
    rows = [trouble(id_, next_at=at) for id_, at in zip(ids, (NOW + 3, NOW + 1, None, NOW + 9), strict=True)]
    await write_each(store, lambda tx: tx.troubles.put, rows)
    assert store.read(lambda tx: tx.troubles.due(NOW + 3, 10)) == [rows[1], rows[0]]
    assert store.read(lambda tx: tx.troubles.due(NOW + 3, 1)) == [rows[1]]


async def test_the_refused_accounts_of_a_registrar_are_counted(store: Store) -> None:
    ids = await accounts(store, 4)
    rows = [
        trouble(ids[0]),
        trouble(ids[1], peers=9),
        trouble(ids[2], cause="unreachable"),
        trouble(ids[3], registrar="tcp:other.example", peers=1),
    ]
    await write_each(store, lambda tx: tx.troubles.put, rows)
    assert store.read(lambda tx: tx.troubles.refused_at("udp:pbx.example")) == 2
    assert store.read(lambda tx: tx.troubles.count()) == {"refused": 3, "unreachable": 1}
    found = store.read(lambda tx: tx.troubles.registrars())
    assert found == [("tcp:other.example", 1, 1), ("udp:pbx.example", 2, 9)]


async def test_a_use_is_held_once_and_goes_with_its_registration(store: Store) -> None:
    ids = await store.transact(lambda tx: [enrol(tx, str(n)) for n in range(3)])
    await write_each(store, lambda tx: tx.held_uses.add, [ids[1], ids[0], ids[1], ids[2]])
    assert store.read(lambda tx: tx.held_uses.first(2)) == ids[:2]
    await store.transact(lambda tx: tx.held_uses.remove(ids[0]))
    await store.transact(lambda tx: tx.registrations.remove(ids[1]))
    assert store.read(lambda tx: tx.held_uses.first(9)) == [ids[2]]
    with pytest.raises(ValueError, match=r".+"):
        await store.transact(lambda tx: tx.held_uses.add(99))


def all_of(ids: list[int]) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        for place, id_ in enumerate(ids):
            tx.stepped_aside.put(id_, NOW + place)

    return work


async def test_who_stepped_aside_is_known_since_when_and_goes_with_its_registration(store: Store) -> None:
    ids = await store.transact(lambda tx: [enrol(tx, str(n)) for n in range(4)])
    await store.transact(all_of(ids))
    await store.transact(lambda tx: tx.stepped_aside.put(ids[0], NOW + 9))
    assert store.read(lambda tx: tx.stepped_aside.get(ids[0])) == NOW + 9
    assert store.read(lambda tx: tx.stepped_aside.page(0, 2)) == [(ids[0], NOW + 9), (ids[1], NOW + 1)]
    assert store.read(lambda tx: tx.stepped_aside.page(ids[1], 9)) == [(ids[2], NOW + 2), (ids[3], NOW + 3)]
    await store.transact(lambda tx: tx.stepped_aside.remove(ids[1]))
    await store.transact(lambda tx: tx.registrations.remove(ids[2]))
    assert store.read(lambda tx: [tx.stepped_aside.get(id_) for id_ in ids]) == [NOW + 9, 0, 0, NOW + 3]
    with pytest.raises(ValueError, match=r".+"):
        await store.transact(lambda tx: tx.stepped_aside.put(99, NOW))


async def test_receipts_come_back_in_order_and_are_forgotten_by_age(store: Store) -> None:
    ids = await store.transact(lambda tx: [enrol(tx, str(n)) for n in range(2)])
    rows = [
        receipt(ids[0], NOW + 2),
        receipt(ids[1], NOW),
        receipt(ids[0], NOW + 1),
        receipt(ids[0], NOW + 2),
    ]
    await write_each(store, lambda tx: tx.receipts.add, rows)
    assert store.read(lambda tx: tx.receipts.of(ids[0])) == [rows[2], rows[0], rows[3]]
    assert store.read(lambda tx: tx.receipts.of(ids[0], 1)) == [rows[3]]
    assert await store.transact(lambda tx: tx.receipts.forget(NOW + 2, 1)) == 1
    assert await store.transact(lambda tx: tx.receipts.forget(NOW + 2, 9)) == 1
    assert store.read(lambda tx: (tx.receipts.of(ids[0]), tx.receipts.of(ids[1]))) == ([rows[0], rows[3]], [])
    await store.transact(lambda tx: tx.registrations.remove(ids[0]))
    assert store.read(lambda tx: tx.receipts.of(ids[0])) == []


async def test_tallies_add_up_by_app_platform_day_and_name(store: Store) -> None:
    def count(day: int, name: str, count: int = 1, platform: str = "ios") -> TallyRow:
        return TallyRow(app="phone", platform=platform, day=day, name=name, count=count)

    given = [count(2, "b"), count(2, "a", 2), count(1, "a"), count(2, "a", 3), count(2, "a", 1, "android")]

    def add(tx: Transaction) -> None:
        for row in given:
            tx.tallies.add(row.app, row.platform, row.day, row.name, row.count)

    await store.transact(add)
    assert store.read(lambda tx: tx.tallies.since(2)) == [
        count(2, "a", 1, "android"),
        count(2, "a", 5),
        count(2, "b"),
    ]
    assert await store.transact(lambda tx: tx.tallies.forget(2)) == 1
    assert len(store.read(lambda tx: tx.tallies.since(0))) == 3


async def test_the_dormant_registrations_of_an_account_are_found(store: Store) -> None:
    ids = await store.transact(lambda tx: [enrol(tx, str(n)) for n in range(3)])
    ends = (Ended.DORMANT, Ended.EXPIRED, None)
    lives = [life(id_, ended=end, ended_at=NOW if end else 0) for id_, end in zip(ids, ends, strict=True)]
    await write_each(store, lambda tx: tx.lives.add, lives)

    def dormant(tx: Transaction) -> list[int]:
        owners = sorted({one.account_id for id_ in ids if (one := tx.registrations.get(id_))})
        return [found.id for owner in owners for found in tx.registrations.dormant(owner)]

    assert store.read(dormant) == ids[:1]

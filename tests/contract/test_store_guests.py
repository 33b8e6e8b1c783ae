"""The conformance suite of every store: guests, phones that nobody enrolled."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores import ENGINES, NOW, Engine, Sqlite, opened, write_each
from wakerobin.core.guests import Guest
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret
from wakerobin.ports.store import Store

TOKEN = "an:opaque-token-of-a-guest"
HOUR = 3_600_000


@pytest.fixture(params=ENGINES, ids=lambda kind: kind.__name__.lower())
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    made: Engine = request.param(tmp_path)
    return made


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    async with opened(engine) as made:
        yield made


def guest(number: int = 2**48 + 1, **changes: Any) -> Guest:
    target = PushTarget(
        registration_id=0,
        provider=Provider.FCM,
        purposes=frozenset(Purpose),
        token=Secret(TOKEN),
        topic="",
        reported_at=NOW,
    )
    fields: dict[str, Any] = {
        "number": number,
        "app": "phone",
        "aor": "sip:anna@pbx.example",
        "instance": "urn:uuid:1",
        "contact_uri": f"sip:anna@10.0.0.1:5071;pn-provider=fcm;pn-prid={TOKEN}",
        "registrar": "sip:pbx.example",
        "pbx": "192.0.2.1",
        "targets": (target,),
        "registered_at": NOW,
        "expires_at": NOW + HOUR,
    }
    return Guest(**{**fields, **changes})


async def test_a_guest_comes_back_as_it_was_also_after_a_restart(engine: Engine) -> None:
    one = guest()
    other = guest(2**48 + 2, targets=(), instance="", has_own_timer=True, step=1)
    async with opened(engine) as store:
        await write_each(store, lambda tx: tx.guests.put, [one, other])
        assert store.read(lambda tx: tx.guests.count()) == 2
    async with opened(engine) as store:
        assert store.read(lambda tx: tx.guests.get(one.number)) == one
        assert store.read(lambda tx: tx.guests.of_aor(one.aor)) == [one, other]
        assert store.read(lambda tx: tx.guests.get(7)) is None
        assert store.read(lambda tx: tx.guests.of_aor("sip:ben@pbx.example")) == []


async def test_a_guest_that_registers_again_takes_its_own_place(store: Store) -> None:
    later = replace(guest(), contact_uri="sip:anna@10.0.0.2", expires_at=NOW + 2 * HOUR, step=3)
    await write_each(store, lambda tx: tx.guests.put, [guest(), later])
    assert store.read(lambda tx: tx.guests.of_aor(later.aor)) == [later]


async def test_guests_are_found_by_their_push_resource(store: Store) -> None:
    one, other = guest(), guest(2**48 + 2, contact_uri="sip:anna@10.0.0.3;pn-provider=fcm;pn-prid=y")
    plain = guest(2**48 + 3, contact_uri="sip:anna@10.0.0.3")
    await write_each(store, lambda tx: tx.guests.put, [one, other, plain])
    assert store.read(lambda tx: tx.guests.of_resource(one.resource)) == [one]
    assert store.read(lambda tx: tx.guests.of_resource(Secret("fcm  z"))) == []
    assert store.read(lambda tx: tx.guests.of_resource(plain.resource)) == []


async def test_guests_are_listed_page_by_page(store: Store) -> None:
    all_of_them = [guest(2**48 + number) for number in range(3)]
    await write_each(store, lambda tx: tx.guests.put, all_of_them[::-1])
    assert store.read(lambda tx: tx.guests.page(0, 2)) == all_of_them[:2]
    assert store.read(lambda tx: tx.guests.page(2**48 + 1, 2)) == all_of_them[2:]


async def test_guests_are_due_for_their_refresh_the_longest_due_first(store: Store) -> None:
    soon = guest(2**48 + 5, registered_at=NOW - HOUR, expires_at=NOW + 60_000)
    over = guest(2**48 + 6, targets=(), registered_at=NOW - HOUR, expires_at=NOW)
    await write_each(store, lambda tx: tx.guests.put, [guest(), soon, over])
    assert store.read(lambda tx: tx.guests.next_due()) == soon.next_at < over.next_at
    assert store.read(lambda tx: tx.guests.due(NOW, 10)) == [soon, over]
    assert store.read(lambda tx: tx.guests.due(NOW, 1)) == [soon]
    assert store.read(lambda tx: tx.guests.due(soon.next_at - 1, 10)) == []


async def test_a_guest_that_is_forgotten_is_gone(store: Store) -> None:
    await write_each(store, lambda tx: tx.guests.put, [guest()])
    await write_each(store, lambda tx: tx.guests.remove, [guest().number, 7])
    assert store.read(lambda tx: tx.guests.count()) == 0
    assert store.read(lambda tx: tx.guests.next_due()) is None


async def test_no_token_of_a_guest_lies_open_in_the_file(tmp_path: Path) -> None:
    async with opened(Sqlite(tmp_path)) as store:
        await write_each(store, lambda tx: tx.guests.put, [guest()])
        written = [path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file()]
    assert not any(TOKEN.encode() in octets for octets in written)
    (path,) = (tmp_path / "data").glob("*.db")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM guest").fetchone() == (1,)
    connection.close()

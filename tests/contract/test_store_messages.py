"""What every store promises about messages, mailboxes and what apps sent."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, NOW, Sqlite, account, opened, registration
from wakerobin.core.mailbox import EMPTY, Mailbox
from wakerobin.core.values import PushRegistration
from wakerobin.ports.messages import KeptMessage, SendState, SentMessage
from wakerobin.ports.store import Store, Transaction

HOUR = 3_600_000
SECRET = b"MESSAGE sip:anna@x SIP/2.0\r\n\r\nmeet me at \xff"


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param(tmp_path)) as store:
        yield store


async def enrol(store: Store, name: str) -> PushRegistration:
    """Enrol a phone of an account of this name."""

    def work(tx: Transaction) -> PushRegistration:
        return tx.registrations.add(registration(tx.accounts.add(account(name)).id))

    return await store.transact(work)


def message(registration: PushRegistration, number: int = 1, **changes: object) -> KeptMessage:
    """A message to the account of a registration."""
    made = KeptMessage(
        account_id=registration.account_id,
        public_id=f"m-{number}",
        received_at=NOW + number,
        expires_at=NOW + 14 * 24 * HOUR,
        content=SECRET + str(number).encode(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a test names the fields that it changes


async def second_of(store: Store, of: PushRegistration) -> PushRegistration:
    """Enrol one more installation of an account."""
    tablet = registration(of.account_id, "tablet")
    return await store.transact(lambda tx: tx.registrations.add(tablet))


async def keep(store: Store, of: PushRegistration, *for_: PushRegistration, number: int = 1) -> KeptMessage:
    """Keep a message; for those named, else for the one whose account it is."""
    ids = [one.id for one in for_ or (of,)]
    kept = await store.transact(lambda tx: tx.messages.add(message(of, number), ids))
    assert kept is not None
    return kept


def waiting(
    store: Store, registration: PushRegistration, after: int = 0, limit: int = 10
) -> list[KeptMessage]:
    return store.read(lambda tx: tx.messages.waiting(registration.id, after, limit))


async def test_messages_come_back_in_order_and_as_they_were_given(store: Store) -> None:
    anna = await enrol(store, "anna")
    first, second, third = [await keep(store, anna, number=number) for number in (1, 2, 3)]
    assert waiting(store, anna) == [first, second, third]
    assert waiting(store, anna)[0].content == SECRET + b"1"
    assert waiting(store, anna, after=first.id, limit=1) == [second]
    assert store.read(lambda tx: tx.messages.get(anna.id, "m-2")) == second
    assert store.read(lambda tx: tx.messages.get(anna.id, "m-9")) is None
    assert store.read(lambda tx: tx.messages.count_for(anna.id)) == 3


async def test_the_same_message_twice_is_one_also_when_it_was_taken(store: Store) -> None:
    anna, ben = await enrol(store, "anna"), await enrol(store, "ben")
    kept = await keep(store, anna)
    again = message(anna, content=b"other")
    assert await store.transact(lambda tx: tx.messages.add(again, [anna.id])) is None
    assert await store.transact(lambda tx: tx.messages.settle(anna.id, [kept.id], NOW + HOUR)) == 1
    assert await store.transact(lambda tx: tx.messages.add(again, [anna.id])) is None
    assert waiting(store, anna) == []
    assert await store.transact(lambda tx: tx.messages.add(message(ben), [ben.id])) is not None
    await store.transact(lambda tx: tx.messages.forget(NOW + HOUR, NOW, 10))
    assert await store.transact(lambda tx: tx.messages.add(again, [anna.id])) is not None


async def test_a_message_stays_until_everybody_has_it(store: Store) -> None:
    anna = await enrol(store, "anna")
    tablet = await second_of(store, anna)
    kept = await keep(store, anna, anna, tablet)
    await store.transact(lambda tx: tx.messages.settle(anna.id, [kept.id], NOW + HOUR))
    assert waiting(store, anna) == []
    assert waiting(store, tablet) == [kept]
    await store.transact(lambda tx: tx.messages.settle(tablet.id, [kept.id], NOW + HOUR))
    assert await store.transact(lambda tx: tx.messages.settle(tablet.id, [kept.id], NOW + HOUR)) == 0


async def test_what_was_fetched_waits_for_its_confirmation_only(store: Store) -> None:
    anna = await enrol(store, "anna")
    kept, other = await keep(store, anna), await keep(store, anna, number=2)
    await store.transact(lambda tx: tx.messages.note_fetched(anna.id, [kept.id], NOW))
    await store.transact(lambda tx: tx.messages.note_fetched(anna.id, [kept.id], NOW + HOUR))
    assert waiting(store, anna) == [other]
    assert store.read(lambda tx: tx.messages.waiting(anna.id, 0, 10, fetched_too=True)) == [kept, other]
    assert store.read(lambda tx: tx.messages.count_for(anna.id)) == 1
    assert await store.transact(lambda tx: tx.messages.forget(NOW, NOW, 10)) == 0
    assert await store.transact(lambda tx: tx.messages.forget(NOW, NOW + 1, 10)) == 1
    assert store.read(lambda tx: tx.messages.waiting(anna.id, 0, 10, fetched_too=True)) == [other]


async def test_messages_end_with_their_time_their_registration_and_their_account(store: Store) -> None:
    anna, ben = await enrol(store, "anna"), await enrol(store, "ben")
    await keep(store, anna)
    kept = await keep(store, ben)
    await store.transact(lambda tx: tx.messages.drop(ben.id, NOW + HOUR))
    assert waiting(store, ben) == []
    assert store.read(lambda tx: tx.messages.get(ben.id, kept.public_id)) is None
    assert await store.transact(lambda tx: tx.messages.forget(NOW + 15 * 24 * HOUR, NOW, 1)) == 1
    assert await store.transact(lambda tx: tx.messages.forget(NOW + 15 * 24 * HOUR, NOW, 10)) == 1
    assert waiting(store, anna) == []
    await keep(store, anna)

    def erase(tx: Transaction) -> None:
        tx.registrations.remove(anna.id)
        tx.accounts.remove(anna.account_id)

    await store.transact(erase)


async def test_an_heir_waits_for_what_its_forerunner_waited_for(store: Store) -> None:
    anna = await enrol(store, "anna")
    heir = await second_of(store, anna)
    kept, both, fetched = [await keep(store, anna, number=number) for number in (1, 2, 3)]
    await store.transact(lambda tx: tx.messages.note_fetched(anna.id, [fetched.id], NOW))
    await store.transact(lambda tx: tx.messages.hand_on(anna.id, heir.id))
    await store.transact(lambda tx: tx.messages.hand_on(anna.id, heir.id))
    assert await store.transact(lambda tx: tx.messages.drop(anna.id, NOW + HOUR)) == 3
    assert waiting(store, heir) == [kept, both]


async def test_a_mailbox_is_what_was_said_last(store: Store) -> None:
    anna = await enrol(store, "anna")
    assert store.read(lambda tx: tx.mailboxes.get(anna.account_id)) is None
    await store.transact(lambda tx: tx.mailboxes.put(anna.account_id, Mailbox(True, 3, 2, 1), 1))
    assert store.read(lambda tx: tx.mailboxes.get(anna.account_id)) == (Mailbox(True, 3, 2, 1), 1)
    await store.transact(lambda tx: tx.mailboxes.put(anna.account_id, EMPTY, 2))
    assert store.read(lambda tx: tx.mailboxes.get(anna.account_id)) == (EMPTY, 2)


def sent(registration: PushRegistration, name: str, **changes: object) -> SentMessage:
    made = SentMessage(
        registration_id=registration.id,
        message_id=name,
        to="sip:ben@x",
        content_type="text/plain",
        body=SECRET,
        created_at=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a test names the fields that it changes


async def test_what_an_app_sent_keeps_its_words_until_it_is_known_how_it_ended(store: Store) -> None:
    anna = await enrol(store, "anna")
    later = sent(anna, "b", created_at=NOW + 1)
    for one in (later, sent(anna, "a")):
        assert await store.transact(lambda tx, one=one: tx.sent_messages.add(one))  # type: ignore[misc]
    assert not await store.transact(lambda tx: tx.sent_messages.add(sent(anna, "a", body=b"other")))
    assert store.read(lambda tx: tx.sent_messages.waiting(10)) == [sent(anna, "a"), later]
    assert store.read(lambda tx: tx.sent_messages.count_waiting(anna.id)) == 2
    failed = sent(anna, "a", state=SendState.FAILED, status=404, reason="Nobody there")
    await store.transact(lambda tx: tx.sent_messages.end(failed))
    assert store.read(lambda tx: tx.sent_messages.get(anna.id, "a")) == replace(
        failed, to="", content_type="", body=b""
    )
    assert store.read(lambda tx: tx.sent_messages.waiting(10)) == [later]
    assert await store.transact(lambda tx: tx.sent_messages.forget(NOW + 1, 10)) == 1
    assert store.read(lambda tx: tx.sent_messages.get(anna.id, "a")) is None
    assert store.read(lambda tx: tx.sent_messages.get(anna.id, "b")) == later


async def test_no_word_of_a_message_can_be_read_in_the_file(tmp_path: Path) -> None:
    async with opened(Sqlite(tmp_path)) as store:
        anna = await enrol(store, "anna")
        await keep(store, anna)
        await store.transact(lambda tx: tx.sent_messages.add(sent(anna, "a")))
    for file in (tmp_path / "data").iterdir():
        if file.is_file():
            assert b"meet me" not in file.read_bytes()


async def test_a_message_of_one_row_does_not_open_in_another(tmp_path: Path) -> None:
    async with opened(Sqlite(tmp_path)) as store:
        anna = await enrol(store, "anna")
        await keep(store, anna, number=1)
        await keep(store, anna, number=2)
    file = next(path for path in (tmp_path / "data").iterdir() if path.suffix == ".db")
    with sqlite3.connect(file) as database:
        database.execute("UPDATE message SET sealed = (SELECT sealed FROM message WHERE id = 1) WHERE id = 2")
    database.close()
    async with opened(Sqlite(tmp_path)) as store:
        assert waiting(store, anna, limit=1)[0].content == SECRET + b"1"
        with pytest.raises(Exception, match="message:sealed:2"):
            waiting(store, anna)

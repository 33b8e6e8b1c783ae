"""What waits in the mailbox (RFC 3842): taken from NOTIFYs of the PBX, pushed when it changes, passed on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.system.asking import at_pbx, request
from tests.system.calls_world import MINUTE, SECOND, US, World
from wakerobin.core.mailbox import Mailbox
from wakerobin.core.pushes import PushType
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account, PushRegistration
from wakerobin.ports.store import OutboxRow
from wakerobin.testing.memory import Fault

SUMMARY = "application/simple-message-summary"


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[World, Account, PushRegistration]]:
    """A server that runs and has one account with one push registration."""
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        yield world, account, registration


def notified(account: Account, body: str, content_type: str = SUMMARY) -> Message:
    """An unsolicited NOTIFY, as Asterisk sends it to each contact of an endpoint with a mailbox."""
    uri = f"sip:{account.contact_user}@{US[0]}:{US[1]}"
    headers = [("Event", "message-summary"), ("Subscription-State", "active")]
    if content_type:
        headers.append(("Content-Type", content_type))
    notify = request("NOTIFY", uri, *headers)
    notify.body = body.encode()
    return notify


def counted(new: int, old: int) -> str:
    waits = "yes" if new else "no"
    return f"Messages-Waiting: {waits}\r\nVoice-Message: {new}/{old} (0/0)\r\n"


async def notify(world: World, account: Account, body: str, content_type: str = SUMMARY) -> Message:
    return await at_pbx(world).ask(notified(account, body, content_type))


def pushes(world: World, registration: PushRegistration) -> list[OutboxRow]:
    return world.store.read(lambda tx: tx.outbox.of_registration(registration.id, PushType.MWI))


async def test_a_new_voice_message_is_known_told_and_pushed() -> None:
    async with running() as (world, account, alice):
        assert (await notify(world, account, counted(2, 1))).status == 200
        assert world.messages.mailbox_of(account.id) == Mailbox(True, 2, 1)
        (push,) = pushes(world, alice)
        assert push.payload == {"waiting": True, "new": 2, "old": 1, "count": 2, "is_quiet": False}
        assert push.not_before == world.clock.now()
        rows = world.store.read(lambda tx: tx.stories.of(f"registration:{alice.id}"))
        assert [row.details for row in rows if row.event == "mwi"] == [{"waiting": True, "new": 2}]


async def test_the_same_again_and_an_empty_mailbox_at_the_beginning_are_no_news() -> None:
    async with running() as (world, account, alice):
        assert (await notify(world, account, counted(0, 0))).status == 200
        assert pushes(world, alice) == []
        assert world.messages.mailbox_of(account.id) == Mailbox(waiting=False)
        await notify(world, account, counted(1, 0))
        (push,) = pushes(world, alice)
        await notify(world, account, counted(1, 0))
        assert pushes(world, alice) == [push]


async def test_what_was_listened_to_elsewhere_takes_the_number_back_in_silence() -> None:
    async with running() as (world, account, alice):
        await notify(world, account, counted(2, 0))
        await notify(world, account, counted(0, 2))
        (push,) = pushes(world, alice)
        assert (push.payload["new"], push.payload["waiting"], push.payload["is_quiet"]) == (0, False, True)


async def test_a_phone_that_takes_the_notify_itself_needs_no_push() -> None:
    async with running() as (world, account, alice):
        phone = await world.registered()
        await notify(world, account, counted(1, 0))
        await world.until(lambda: pushes(world, alice) == [], within=SECOND // 2)
        (passed_on,) = phone.others
        assert passed_on.method == "NOTIFY"
        assert passed_on.get("event") == "message-summary"
        assert passed_on.body.decode() == counted(1, 0)
        assert passed_on.uri == phone.contact


async def test_a_phone_that_does_not_know_what_to_do_with_it_is_pushed_after_a_second() -> None:
    async with running() as (world, account, alice):
        phone = await world.registered()
        phone.answer_others = lambda _request: 489
        await notify(world, account, counted(1, 0))
        await world.run_for(MINUTE)
        (push,) = pushes(world, alice)
        assert push.not_before < world.clock.now()


async def test_it_is_remembered_over_a_restart() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (alice,) = world.registrations(account)
        await notify(world, account, counted(1, 0))
        await world.store.transact(lambda tx: tx.outbox.remove(pushes(world, alice)[0].id))
    world.kill()
    async with world.running():
        await notify(world, account, counted(1, 0))
        assert pushes(world, alice) == []
        await notify(world, account, counted(2, 0))
        assert len(pushes(world, alice)) == 1


@pytest.mark.parametrize("fault", Fault)
async def test_news_that_may_not_be_kept_are_asked_for_again(fault: Fault) -> None:
    async with running() as (world, account, alice):
        world.store.break_next(fault)
        assert (await notify(world, account, counted(1, 0))).status == 500
        assert (await notify(world, account, counted(1, 0))).status == 200
        assert len(pushes(world, alice)) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("Voice-Message: 1/0\r\n", SUMMARY, 400),
        ("<mwi/>", "application/xml", 415),
        ("", "", 200),
        ("", SUMMARY, 200),
        ("Messages-Waiting: yes", f"{SUMMARY};charset=utf-8", 200),
    ],
)
async def test_what_is_no_summary_changes_nothing(body: str, content_type: str, status: int) -> None:
    async with running() as (world, account, alice):
        assert (await notify(world, account, body, content_type)).status == status
        if not body or status != 200:
            assert world.messages.mailbox_of(account.id) is None
            assert pushes(world, alice) == []

"""Text messages: taken from the PBX, kept, pushed, and brought to phones (RFC 3428)."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncIterator

import pytest

from tests.system.asking import Asker, at_pbx, request, stranger
from tests.system.calls_world import DOMAIN, MINUTE, SECOND, US, World
from wakerobin.core.pushes import PushType
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account, Ended, PushRegistration
from wakerobin.ports.options import SipOptions
from wakerobin.ports.store import OutboxRow
from wakerobin.services.messages import MessageLimits
from wakerobin.services.ticker import Ticker
from wakerobin.testing.memory import Fault
from wakerobin.testing.phone import FakePhone

PHONE = "203.0.113.5"
DAY = 24 * 60 * MINUTE


@contextlib.asynccontextmanager
async def running(**options: int) -> AsyncIterator[tuple[World, Account]]:
    """A server that runs and has one account with one push registration."""
    world = World()
    if options:
        world.message_limits = MessageLimits(**options)
        world.kill()
    async with world.running():
        yield world, await world.enrol()


def contact(account: Account) -> str:
    """Our Contact at the PBX."""
    return f"sip:{account.contact_user}@{US[0]}:{US[1]}"


def written(account: Account, text: str = "Hello", *headers: tuple[str, str], body: bytes = b"") -> Message:
    """A MESSAGE as a PBX sends it to our Contact."""
    said = [("From", f'"Bob" <sip:+4930123@{DOMAIN}>;tag=b0b'), *headers]
    if "Content-Type" not in dict(headers):
        said.append(("Content-Type", "text/plain"))
    message = request("MESSAGE", contact(account), *said, to=account.aor)
    message.body = body or text.encode()
    return message


async def send(world: World, message: Message, by: Asker | None = None) -> Message:
    """Have the PBX send it; returns its answer."""
    return await (by or at_pbx(world)).ask(message)


def got(phone: FakePhone) -> list[str]:
    """The texts that a phone got."""
    return [one.body.decode() for one in phone.others if one.method == "MESSAGE"]


def breaking(world: World) -> int:
    """Let the next transaction fail, and answer with 200."""
    world.store.break_next(Fault.BEFORE_COMMIT)
    return 200


def only(world: World, account: Account) -> PushRegistration:
    (registration,) = world.registrations(account)
    return registration


def pushes(world: World, registration: PushRegistration) -> list[OutboxRow]:
    """What is going to be pushed of messages."""
    return world.store.read(lambda tx: tx.outbox.of_registration(registration.id, PushType.MESSAGE))


def waiting(world: World, registration: PushRegistration) -> list[str]:
    """The texts that wait for a phone."""
    kept = world.store.read(lambda tx: tx.messages.waiting(registration.id, 0, 100))
    return [one.content.partition(b"\r\n\r\n")[2].decode() for one in kept]


def events(world: World, registration: PushRegistration) -> list[str]:
    rows = world.store.read(lambda tx: tx.stories.of(f"registration:{registration.id}"))
    return [row.event for row in rows]


async def test_a_message_to_a_sleeping_phone_is_kept_and_pushed_in_one_breath() -> None:
    async with running() as (world, account):
        alice = only(world, account)
        assert (await send(world, written(account))).status == 202
        (push,) = pushes(world, alice)
        assert push.not_before == world.clock.now()
        assert push.payload["from"] == {"uri": f"sip:+4930123@{DOMAIN}", "number": "+4930123", "name": "Bob"}
        assert push.payload["caller"] == "Bob"
        assert waiting(world, alice) == ["Hello"]
        assert "message" in events(world, alice)
        assert "Hello" not in str(push.payload)


async def test_the_woken_phone_gets_what_waits_in_order_and_nothing_twice() -> None:
    async with running() as (world, account):
        alice = only(world, account)
        for text in ("one", "two", "three"):
            await send(world, written(account, text))
        phone = await world.registered()
        await world.until(lambda: len(got(phone)) == 3)
        assert got(phone) == ["one", "two", "three"]
        await world.until(lambda: not waiting(world, alice))
        assert pushes(world, alice) == []
        assert events(world, alice).count("message-delivered") == 3
        await world.do(phone.register())
        await world.run_for(MINUTE)
        assert len(got(phone)) == 3


async def test_a_phone_gets_the_message_that_was_written_and_nothing_of_its_way() -> None:
    async with running() as (world, account):
        asked = written(
            account, "Hi", ("Subject", "Tea"), ("Expires", "3600"), ("Route", f"<sip:{US[0]};lr>")
        )
        await send(world, asked)
        phone = await world.registered()
        await world.until(lambda: bool(phone.others))
        (message,) = phone.others
        assert message.uri == phone.contact
        assert (message.call_id, str(message.cseq)) == (asked.call_id, str(asked.cseq))
        assert message.get("from") == asked.get("from")
        assert (message.get("subject"), message.get("expires")) == ("Tea", "3600")
        assert message.get("date") is not None
        assert (message.get("date") or "").endswith("GMT")
        assert not message.has("contact")
        assert not message.has("route")
        assert not message.has("record-route")
        assert len(message.values("via")) == 1
        assert account.contact_user not in message.encode().decode()


async def test_a_phone_that_is_there_gets_it_at_once_and_is_not_pushed() -> None:
    async with running() as (world, account):
        alice, phone = only(world, account), await world.registered()
        assert (await send(world, written(account))).status == 202
        await world.until(lambda: not waiting(world, alice), within=SECOND // 2)
        assert got(phone) == ["Hello"]
        assert pushes(world, alice) == []


async def test_a_phone_that_says_nothing_is_pushed_after_a_second() -> None:
    async with running() as (world, account):
        alice, phone = only(world, account), await world.registered()
        phone.answer_others = lambda _request: 0
        await send(world, written(account))
        (push,) = pushes(world, alice)
        assert push.not_before == world.clock.now() + SECOND
        await world.run_for(MINUTE)
        assert pushes(world, alice) == [push]
        assert waiting(world, alice) == ["Hello"]


async def test_a_connection_that_was_silent_for_long_is_no_reason_to_wait_with_the_push() -> None:
    async with running() as (world, account):
        alice, phone = only(world, account), await world.registered()
        phone.answer_others = lambda _request: 0
        await world.run_for(20 * SECOND)
        await send(world, written(account))
        (push,) = pushes(world, alice)
        assert push.not_before == world.clock.now()
        assert got(phone) == ["Hello"], "it may be there all the same"


async def test_only_a_2xx_settles_a_message_and_the_next_flow_brings_it_again() -> None:
    async with running() as (world, account):
        alice, phone = only(world, account), await world.registered()
        phone.answer_others = lambda _request: 480
        await send(world, written(account, "one"))
        await send(world, written(account, "two"))
        await world.run_for(SECOND)
        assert waiting(world, alice) == ["one", "two"]
        assert set(got(phone)) == {"one"}, "what comes after a refusal waits behind it"
        world.move(phone, "203.0.113.6")
        phone.answer_others = lambda _request: 200
        phone.others.clear()
        await world.do(phone.register())
        await world.until(lambda: not waiting(world, alice))
        assert got(phone) == ["one", "two"]


async def test_a_message_that_a_phone_never_takes_holds_up_no_other() -> None:
    async with running() as (world, account):
        alice, phone = only(world, account), await world.registered()
        phone.answer_others = lambda request: 415 if request.body == b"one" else 200
        await send(world, written(account, "one"))
        await send(world, written(account, "two"))
        await world.until(lambda: waiting(world, alice) == ["one"])
        await world.do(phone.register())
        await world.run_for(SECOND)
        assert got(phone) == ["one", "two"], "it is not offered again over this flow"
        assert "message-refused" in events(world, alice)


async def test_each_installation_gets_it_and_each_by_itself() -> None:
    async with running() as (world, account):
        await world.add_registration(account, sip_instance="urn:uuid:tablet")
        first, second = world.registrations(account)
        await send(world, written(account))
        tablet = await world.registered(address="203.0.113.7", instance="urn:uuid:tablet")
        await world.until(lambda: not waiting(world, second))
        assert got(tablet) == ["Hello"]
        assert waiting(world, first) == ["Hello"]
        assert pushes(world, first)
        assert not pushes(world, second)


async def test_the_same_message_twice_is_one_also_over_a_restart() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asked = written(account)
        assert (await send(world, asked.copy())).status == 202
        assert (await send(world, asked.copy())).status == 202
    world.kill()
    async with world.running():
        alice = only(world, account)
        assert (await send(world, asked.copy())).status == 202
        assert waiting(world, alice) == ["Hello"]
        assert len(pushes(world, alice)) == 1
        phone = await world.registered()
        await world.until(lambda: not waiting(world, alice))
        assert (await send(world, asked.copy())).status == 202
        await world.run_for(SECOND)
        assert got(phone) == ["Hello"]


async def test_what_waited_before_a_restart_is_brought_after_it() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await send(world, written(account))
    world.kill()
    async with world.running():
        phone = await world.registered()
        await world.until(lambda: got(phone) == ["Hello"])


@pytest.mark.parametrize("fault", Fault)
async def test_a_message_that_may_not_be_kept_is_not_accepted_and_comes_once_all_the_same(
    fault: Fault,
) -> None:
    async with running() as (world, account):
        alice, asked = only(world, account), written(account)
        world.store.break_next(fault)
        refused = await send(world, asked.copy())
        assert refused.status == 500
        assert refused.has("retry-after")
        assert (await send(world, asked.copy())).status == 202
        assert waiting(world, alice) == ["Hello"]
        assert len(pushes(world, alice)) == 1


async def test_a_settlement_that_is_lost_brings_a_message_twice_and_never_loses_it() -> None:
    async with running() as (world, account):
        alice = only(world, account)
        await send(world, written(account))
        phone = world.phone()
        phone.answer_others = lambda _request: breaking(world)
        await world.do(phone.register())
        await world.until(lambda: got(phone) == ["Hello"])
        await world.run_for(SECOND)
        assert waiting(world, alice) == ["Hello"]
        phone.answer_others = lambda _request: 200
        await world.do(phone.register())
        await world.until(lambda: not waiting(world, alice))
        assert got(phone) == ["Hello", "Hello"]


async def test_that_somebody_writes_is_passed_on_to_who_is_there_and_never_kept() -> None:
    async with running() as (world, account):
        alice = only(world, account)
        composing = ("Content-Type", "application/im-iscomposing+xml")
        assert (await send(world, written(account, "<x/>", composing))).status == 200
        phone = await world.registered()
        assert (await send(world, written(account, "<y/>", composing))).status == 200
        await world.until(lambda: got(phone) == ["<y/>"])
        assert waiting(world, alice) == []
        assert pushes(world, alice) == []


async def test_a_receipt_is_kept_without_a_push() -> None:
    async with running() as (world, account):
        alice = only(world, account)
        receipt = written(account, "<imdn/>", ("Content-Type", "message/imdn+xml"))
        assert (await send(world, receipt)).status == 202
        assert waiting(world, alice) == ["<imdn/>"]
        assert pushes(world, alice) == []


async def test_what_is_too_large_or_asks_for_what_nobody_knows_is_refused() -> None:
    async with running(octets=100) as (world, account):
        assert (await send(world, written(account, "x" * 101))).status == 413
        unknown = await send(world, written(account, "x", ("Require", "levitation")))
        assert (unknown.status, unknown.get("unsupported")) == (420, "levitation")
        assert (await send(world, written(account, "x" * 100))).status == 202
        assert waiting(world, only(world, account)) == ["x" * 100]


async def test_a_compressed_receipt_is_one_and_comes_as_it_was_sent() -> None:
    async with running() as (world, account):
        packed = zlib.compress(b"<imdn/>")
        headers = (("Content-Type", "message/imdn+xml"), ("Content-Encoding", "deflate"))
        assert (await send(world, written(account, "", *headers, body=packed))).status == 202
        assert pushes(world, only(world, account)) == []
        phone = await world.registered()
        await world.until(lambda: bool(phone.others))
        assert (phone.others[0].body, phone.others[0].get("content-encoding")) == (packed, "deflate")


async def test_any_octets_come_back_as_they_were() -> None:
    async with running() as (world, account):
        octets = bytes(range(256))
        await send(world, written(account, "", ("Content-Type", "application/x-anything"), body=octets))
        phone = await world.registered()
        await world.until(lambda: bool(phone.others))
        assert phone.others[0].body == octets
        assert phone.others[0].get("content-type") == "application/x-anything"


async def test_a_full_box_says_so_and_a_flood_is_slowed() -> None:
    async with running(most_waiting=2) as (world, account):
        await send(world, written(account, "one"))
        await send(world, written(account, "two"))
        full = await send(world, written(account, "three"))
        assert full.status == 480
        assert full.has("retry-after")
        assert waiting(world, only(world, account)) == ["one", "two"]
        answers = [(await send(world, written(account))).status for _ in range(60)]
        assert answers[-1] == 503


async def test_a_phone_that_takes_nothing_takes_nothing_from_one_that_does() -> None:
    async with running(most_waiting=2) as (world, account):
        await world.add_registration(account, sip_instance="urn:uuid:tablet")
        first, second = world.registrations(account)
        phone = await world.registered(instance=first.sip_instance)
        for text in ("one", "two", "three"):
            assert (await send(world, written(account, text))).status == 202
        await world.until(lambda: got(phone) == ["one", "two", "three"])
        assert waiting(world, second) == ["one", "two"]


async def test_a_message_that_comes_while_the_server_starts_is_asked_for_again() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
    answer = await at_pbx(world).ask(written(account))
    assert answer.status == 500
    assert answer.has("retry-after")


async def test_nobody_but_the_pbx_may_write() -> None:
    world = World(sip=SipOptions(call_sources_policy="strict"))
    async with world.running():
        account = await world.enrol()
        assert (await send(world, written(account), stranger(world))).status == 403
        assert waiting(world, only(world, account)) == []


async def test_a_message_lives_as_long_as_its_sender_says_and_two_weeks_at_most() -> None:
    async with running() as (world, account):
        alice = only(world, account)
        await send(world, written(account, "soon", ("Expires", "60")))
        await send(world, written(account, "later"))
        ticker = Ticker(world.store, world.clock, world.lives, world.clock)
        await world.run_for(2 * MINUTE)
        phone = world.phone()
        await world.do(phone.register())
        await world.until(lambda: bool(got(phone)))
        assert got(phone) == ["later"]
        await send(world, written(account, "never read"))
        await world.do(ticker.sweep(world.clock.now()))
        assert "soon" not in waiting(world, alice)
        await world.do(ticker.sweep(world.clock.now() + 14 * DAY))
        assert waiting(world, alice) == []


async def test_a_message_for_now_or_never_goes_to_who_is_there_or_to_nobody() -> None:
    async with running() as (world, account):
        assert (await send(world, written(account, "now", ("Expires", "0")))).status == 480
        phone = await world.registered()
        assert (await send(world, written(account, "now", ("Expires", "0")))).status == 200
        assert got(phone) == ["now"]
        assert waiting(world, only(world, account)) == []


async def test_the_end_of_a_life_erases_what_waited_for_it() -> None:
    async with running() as (world, account):
        alice = only(world, account)
        await send(world, written(account))
        await world.do(world.lives.end(alice.id, Ended.DELETED))
        assert waiting(world, alice) == []
        assert world.store.read(lambda tx: tx.messages.count_for(alice.id)) == 0

"""SUBSCRIBE on behalf (RFC 6665, RFC 3842), for PBXs that say nothing of a mailbox unless they are asked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.system.asking import at_pbx, request
from tests.system.calls_world import APP, DOMAIN, MINUTE, PBX, SECOND, US, World
from wakerobin.core.mailbox import Mailbox
from wakerobin.core.pushes import PushType
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.values import Account, Ended, Transport
from wakerobin.ports.sip import ServerTransactionHandle

SUMMARY = "application/simple-message-summary"
HOUR = 60 * MINUTE


class MailboxServer:
    """The part of a PBX that has mailboxes: takes SUBSCRIBEs, and sends NOTIFYs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[Message] = []
        """SUBSCRIBEs, once authenticated."""
        self.status = 200
        self.granted = 600
        self.answers: list[int] = []
        """What its NOTIFYs got."""
        self.mailbox = (0, 0)
        self._cseq = 0
        self._former = world.pbx.transactions.on_request
        world.pbx.transactions.on_request = self._requested

    def _requested(self, transaction: ServerTransactionHandle) -> None:
        asked = transaction.request
        if asked.method != "SUBSCRIBE":
            self._former(transaction)
            return
        registrar, realm = self.world.pbx.registrar, self.world.pbx.rules.realm
        if not registrar.is_answered(asked, realm, "WWW-Authenticate", "alice"):
            transaction.respond(registrar.challenge(asked, realm, "WWW-Authenticate"))
            return
        self.asked.append(asked)
        if asked.to_tag and asked.to_tag != "mailbox":
            transaction.respond(respond(asked, 481))
            return
        headers = [("Contact", f"<sip:mailbox@{PBX[0]}:{PBX[1]}>"), ("Expires", str(self.granted))]
        transaction.respond(respond(asked, self.status, to_tag="mailbox", headers=headers))
        if self.status < 300:
            self.notify(asked)

    def notify(self, asked: Message, state: str = "active;expires=600", tag: str = "mailbox") -> None:
        """Send a NOTIFY into the dialog of a SUBSCRIBE."""
        self._cseq += 1
        new, old = self.mailbox
        body = f"Messages-Waiting: {'yes' if new else 'no'}\r\nVoice-Message: {new}/{old}\r\n".encode()
        headers = [
            ("Max-Forwards", "70"),
            ("From", f"<sip:alice@{DOMAIN}>;tag={tag}"),
            ("To", asked.get("from") or ""),
            ("Call-ID", asked.call_id),
            ("CSeq", f"{self._cseq} NOTIFY"),
            ("Event", "message-summary"),
            ("Subscription-State", state),
            ("Contact", f"<sip:mailbox@{PBX[0]}:{PBX[1]}>"),
            ("Content-Type", SUMMARY),
        ]
        message = Message.request("NOTIFY", asked.contacts[0].uri, headers, body)
        there = self.world.pbx.transactions
        flow = self.world.there.flow_to(Transport.UDP, *US)
        there.request(message, flow, lambda one: self.answers.append(one.status), lambda _reason: None)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[World, MailboxServer, Account]]:
    """A server whose app wants its mailboxes asked for, and one account that is bound."""
    world = World()
    world.subscribing = frozenset({APP})
    world.kill()
    server = MailboxServer(world)
    async with world.running():
        yield world, server, await world.enrol()


async def until_asked(world: World, server: MailboxServer, count: int = 1, within: int = 3 * MINUTE) -> None:
    await world.until(lambda: len(server.asked) >= count, within=within)


async def test_a_mailbox_is_asked_for_with_the_account_s_own_login_and_its_news_are_taken() -> None:
    async with running() as (world, server, account):
        server.mailbox = (2, 1)
        await until_asked(world, server)
        await world.until(lambda: world.messages.mailbox_of(account.id) == Mailbox(True, 2, 1))
        (asked,) = server.asked
        assert asked.uri == asked.from_.uri == account.aor
        assert (asked.get("event"), asked.get("accept")) == ("message-summary", SUMMARY)
        assert account.contact_user in asked.contacts[0].uri
        assert server.answers == [200]
        server.mailbox = (3, 1)
        server.notify(asked)
        await world.until(lambda: world.messages.mailbox_of(account.id) == Mailbox(True, 3, 1))
        (registration,) = world.registrations(account)
        rows = world.store.read(lambda tx: tx.outbox.of_registration(registration.id, PushType.MWI))
        assert [row.payload["new"] for row in rows] == [3]


async def test_it_is_refreshed_in_its_dialog_before_it_ends() -> None:
    async with running() as (world, server, _account):
        await until_asked(world, server)
        began = world.clock.now()
        await until_asked(world, server, 2, within=HOUR)
        assert 400 * SECOND < world.clock.now() - began < 600 * SECOND
        first, second = server.asked
        assert second.uri == f"sip:mailbox@{PBX[0]}:{PBX[1]}"
        assert second.to_tag == "mailbox"
        assert (second.call_id, second.from_tag) == (first.call_id, first.from_tag)
        assert second.cseq.number > first.cseq.number


@pytest.mark.parametrize(
    ("state", "least", "most"),
    [
        ("terminated;reason=timeout", 0, MINUTE),
        ("terminated;reason=probation;retry-after=300", 4 * MINUTE, 7 * MINUTE),
        ("terminated;reason=rejected", 2 * HOUR, 10 * HOUR),
    ],
)
async def test_what_the_pbx_ends_is_asked_for_again_when_it_says(state: str, least: int, most: int) -> None:
    async with running() as (world, server, _account):
        await until_asked(world, server)
        began = world.clock.now()
        server.notify(server.asked[0], state)
        await until_asked(world, server, 2, within=12 * HOUR)
        assert least <= world.clock.now() - began <= most
        assert server.asked[1].to_tag is None
        assert server.asked[1].call_id != server.asked[0].call_id


async def test_a_pbx_that_has_forgotten_it_is_asked_anew_at_once() -> None:
    async with running() as (world, server, _account):
        await until_asked(world, server)
        server.status = 481
        await until_asked(world, server, 2, within=HOUR)
        server.status = 200
        began = world.clock.now()
        await until_asked(world, server, 3)
        assert world.clock.now() - began < 5 * SECOND
        assert server.asked[2].to_tag is None


async def test_a_pbx_without_mailboxes_is_left_alone_for_hours_and_one_that_is_down_is_not_stormed() -> None:
    async with running() as (world, server, _account):
        server.status = 489
        await until_asked(world, server)
        await world.run_for(2 * HOUR)
        assert len(server.asked) == 1
        server.status = 500
        await until_asked(world, server, 2, within=10 * HOUR)
        before = len(server.asked)
        await world.run_for(HOUR)
        assert 2 <= len(server.asked) - before <= 10


async def test_nobody_else_can_speak_for_a_mailbox() -> None:
    async with running() as (world, server, account):
        await until_asked(world, server)
        await world.run_for(SECOND)
        (asked,) = server.asked
        forged = request(
            "NOTIFY",
            asked.contacts[0].uri,
            ("To", f"<{account.aor}>;tag=guessed"),
            ("Call-ID", asked.call_id),
            ("Event", "message-summary"),
        )
        assert (await at_pbx(world).ask(forged)).status == 481
        assert world.messages.mailbox_of(account.id) == Mailbox(waiting=False)


async def test_an_account_that_is_over_is_not_asked_for_any_more() -> None:
    async with running() as (world, server, account):
        await until_asked(world, server)
        (registration,) = world.registrations(account)
        await world.do(world.lives.end(registration.id, Ended.DELETED))
        await world.run_for(2 * HOUR)
        assert len(server.asked) == 1
        server.notify(server.asked[0])
        await world.run_for(SECOND)
        assert server.answers[-1] == 481


async def test_the_news_reach_a_phone_as_if_nobody_had_asked() -> None:
    async with running() as (world, server, _account):
        phone = await world.registered()
        server.mailbox = (1, 0)
        await until_asked(world, server)
        await world.until(lambda: bool(phone.others))
        assert phone.others[0].method == "NOTIFY"
        assert phone.others[0].to_tag is None

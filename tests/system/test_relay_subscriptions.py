"""Subscriptions through us (RFC 6665): a phone watches somebody at the PBX, or is watched."""

from __future__ import annotations

from tests.system.asking import at_pbx
from tests.system.calls_world import PBX, World
from tests.system.dialogs import go_away
from wakerobin.core.sip.message import Message, respond
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.testing.phone import FakePhone

WATCHED = "sip:bob@pbx.test"


class Notifier:
    """The PBX as it takes one SUBSCRIBE and sends NOTIFYs for it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.subscribe: Message | None = None
        self._before = world.pbx.transactions.on_request
        world.pbx.transactions.on_request = self._requested

    def _requested(self, transaction: ServerTransactionHandle) -> None:
        request = transaction.request
        if request.method != "SUBSCRIBE":
            self._before(transaction)
            return
        self.subscribe = request
        contact = ("Contact", f"<sip:bob@{PBX[0]}:{PBX[1]}>")
        headers = [contact, ("Expires", "600")]
        transaction.respond(respond(request, 202, to_tag="notifier", headers=headers, record_route=True))

    def notify(self, number: int = 1) -> Message:
        """Return a NOTIFY, routed by what the SUBSCRIBE recorded."""
        assert self.subscribe is not None
        return Message.request(
            "NOTIFY",
            self.subscribe.contacts[0].uri,
            [
                ("Max-Forwards", "70"),
                *(("Route", route) for route in self.subscribe.values("record-route")),
                ("From", f"<{WATCHED}>;tag=notifier"),
                ("To", self.subscribe.get("from") or ""),
                ("Call-ID", self.subscribe.call_id),
                ("CSeq", f"{number} NOTIFY"),
                ("Contact", f"<sip:bob@{PBX[0]}:{PBX[1]}>"),
                ("Event", "dialog"),
                ("Subscription-State", "active;expires=600"),
            ],
        )


def collect(phone: FakePhone, came: list[Message]) -> None:
    """Let a phone accept all that comes, as it is connected now."""

    def requested(transaction: ServerTransactionHandle) -> None:
        came.append(transaction.request)
        transaction.respond(respond(transaction.request, 200))

    phone.transactions.on_request = requested


async def subscribed(world: World, phone: FakePhone) -> tuple[Notifier, Message, list[Message]]:
    """Let a phone watch somebody; what comes to it is collected."""
    notifier = Notifier(world)
    came: list[Message] = []
    collect(phone, came)
    subscribe = phone.request_to("SUBSCRIBE", WATCHED)
    subscribe.add("Event", "dialog")
    accepted = await world.do(phone.send(subscribe))
    assert accepted.status == 202
    return notifier, accepted, came


async def test_a_phone_that_watches_somebody_is_notified_where_it_is() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        notifier, _, came = await subscribed(world, phone)
        assert (await at_pbx(world).ask(notifier.notify())).status == 200
        world.move(phone, "203.0.113.83")
        collect(phone, came)
        await world.do(phone.register())
        assert (await at_pbx(world).ask(notifier.notify(2))).status == 200
        assert [one.cseq.number for one in came] == [1, 2]


async def test_a_notify_says_the_way_of_the_dialog_that_it_makes() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        notifier, accepted, came = await subscribed(world, phone)
        await at_pbx(world).ask(notifier.notify())
        # RFC 6665 4.4.1: the subscriber takes its route set from the NOTIFY.
        assert came[0].values("record-route") == accepted.values("record-route")[::-1]
        assert len(came[0].values("record-route")) == 2


async def test_a_notify_for_a_phone_that_is_away_ends_the_subscription() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        notifier, _, came = await subscribed(world, phone)
        await go_away(world, phone)
        assert (await at_pbx(world).ask(notifier.notify())).status == 481
        assert not came
        assert not world.pushes.sent

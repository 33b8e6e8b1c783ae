"""A call that ends while its phone has no connection: the phone finds that out as soon as it can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.system.asking import at_pbx, request, stranger
from tests.system.calls_world import MINUTE, SECOND, World
from tests.system.dialogs import came, go_away, replied, talking
from tests.system.stories import rows
from wakerobin.core.pushes import PushMessage, PushType
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Ended, Provider, Purpose, PushRegistration, PushTarget, Secret, Transport
from wakerobin.ports.store import Transaction
from wakerobin.services.relay.late import MOST_OF_AN_ACCOUNT
from wakerobin.testing.phone_call import PhoneCall


async def add_target(world: World, registration: PushRegistration, provider: Provider) -> None:
    """Give a registration one more target for calls."""

    def work(tx: Transaction) -> None:
        tx.targets.add(
            PushTarget(
                registration_id=registration.id,
                provider=provider,
                purposes=frozenset({Purpose.CALL}),
                token=Secret(f"{provider} of {registration.id}"),
                reported_at=0,
            )
        )

    await world.store.transact(work)


def overs(world: World) -> list[PushMessage]:
    return [one for one in world.pushes.sent if one.type is PushType.CALL_OVER]


def byes(call: PhoneCall) -> int:
    return sum(one.method == "BYE" for one in call.requests)


async def test_the_pbx_is_answered_at_once_and_the_phone_gets_the_bye_when_it_is_back() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        await go_away(world, phone)
        began = world.seconds()
        call.hang_up()
        await world.until(replied(call))
        assert call.replies[0].status == 480
        assert world.seconds() - began < 0.1
        assert not at_phone.is_over
        await world.run_for(3 * MINUTE)
        world.move(phone, "203.0.113.77")
        await world.do(phone.register())
        await world.until(came(at_phone, "BYE"))
        assert at_phone.is_over
        await world.do(phone.register())
        await world.run_for(1 * SECOND)
        assert byes(at_phone) == 1, "it is told once"


async def test_a_phone_that_stays_away_for_long_gets_nothing_of_a_call_of_before() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        await go_away(world, phone)
        call.hang_up()
        await world.run_for(6 * MINUTE)
        await world.do(phone.register())
        await world.run_for(1 * SECOND)
        assert not byes(at_phone)


async def test_a_phone_whose_connection_was_dead_without_a_word_finds_the_bye_too() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        world.move(phone, "203.0.113.79")  # the old address is silent now, and we do not know it
        call.hang_up()
        await world.run_for(50 * SECOND)
        assert not at_phone.is_over
        await world.do(phone.register())
        await world.until(came(at_phone, "BYE"))


async def test_a_connection_that_breaks_under_the_bye_leaves_it_for_the_phone() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        call, at_phone = await talking(world, phone)
        world.wire.drops = lambda flow, data: data.startswith(b"BYE") and flow.remote[0] == "203.0.113.5"
        call.hang_up()
        await world.run_for(1 * SECOND)
        world.us.close_flow(world.phones.flows(1)[0].flow)
        await world.until(replied(call))
        assert call.replies[0].status == 480
        world.wire.drops = lambda _flow, _data: False
        await world.do(phone.register())
        await world.until(came(at_phone, "BYE"))


async def test_the_app_is_told_by_a_data_push_and_never_by_one_that_rings() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)  # its first target is Apple's, for VoIP
        await add_target(world, registration, Provider.FCM)
        phone = await world.registered()
        call, _ = await talking(world, phone)
        before = len(world.pushes.sent)
        await go_away(world, phone)
        call.hang_up()
        await world.until(lambda: bool(overs(world)))
        (push,) = world.pushes.sent[before:]
        assert push.target.provider is Provider.FCM
        assert push.payload["state"] == "ended"
        assert push.payload["sip_call_id"] == call.call_id
        (record,) = world.store.read(lambda tx: tx.calls.of_account(account.id, 10))
        known_as = world.switchboard.call_id_for(registration, record)
        assert push.payload["call_id"] == known_as, "the id under which it knows the call from its call push"
        assert (push.title, push.text) == ("Call ended", "The call from Bob is over.")
        await world.clock.settle()
        told = rows(world)[-1]
        assert told.event == "hung-up-unheard"
        assert told.details == {"by": "FCM"}


@pytest.mark.parametrize("ending", ["ended", "gone"])
async def test_who_has_no_push_registration_any_more_finds_the_bye_all_the_same(ending: str) -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, _ = world.registrations(account)
        phone = await world.registered(instance=first.sip_instance)
        call, at_phone = await talking(world, phone)
        await add_target(world, first, Provider.FCM)
        await go_away(world, phone)
        if ending == "ended":
            await world.lives.end(first.id, Ended.DELETED)
        else:
            unproven = replace(first, proven=False)
            await world.store.transact(lambda tx: tx.registrations.update(unproven))
        call.hang_up()
        await world.until(replied(call))
        assert not overs(world)
        await world.do(phone.register())
        await world.until(came(at_phone, "BYE"))


async def test_of_a_call_that_the_phone_made_it_finds_the_end_too() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await add_target(world, world.registrations(account)[0], Provider.FCM)
        phone = await world.registered()
        at_phone = phone.dial("100")
        await world.until(lambda: at_phone.status == 200)
        await go_away(world, phone)
        taken = world.pbx.taken[at_phone.call_id]
        responses = await _hang_up(world, at_phone, taken.invite.values("record-route"))
        assert responses == [480]
        (push,) = overs(world)
        assert push.payload["sip_call_id"] == at_phone.call_id
        await world.do(phone.register())
        await world.until(came(at_phone, "BYE"))


async def test_one_account_can_leave_only_so_much_behind() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        calls = [await talking(world, phone) for _ in range(MOST_OF_AN_ACCOUNT + 5)]
        await go_away(world, phone)
        for call, _ in calls:
            call.hang_up()
        await world.until(lambda: all(call.replies for call, _ in calls))
        await world.do(phone.register())
        await world.run_for(2 * SECOND)
        assert [byes(at_phone) for _, at_phone in calls] == [0] * 5 + [1] * MOST_OF_AN_ACCOUNT


async def test_who_has_seen_a_call_cannot_push_its_phone_for_ever() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await add_target(world, world.registrations(account)[0], Provider.FCM)
        phone = await world.registered()
        at_phone = phone.dial("100")
        await world.until(lambda: at_phone.status == 200)
        await go_away(world, phone)
        assert at_phone.invite is not None
        seen = world.pbx.taken[at_phone.call_id].invite.values("record-route")
        forger, routes = stranger(world), [("Route", route) for route in seen]
        for _ in range(3 * MOST_OF_AN_ACCOUNT):
            bye = request("BYE", at_phone.invite.contacts[0].uri, *routes, tag="made-up")
            assert (await forger.ask(bye)).status == 480
        await world.clock.settle()
        assert len(overs(world)) == MOST_OF_AN_ACCOUNT


async def _hang_up(world: World, at_phone: PhoneCall, routes: list[str]) -> list[int]:
    """Let the PBX end a call that a phone made."""
    assert at_phone.invite is not None
    headers = [("Max-Forwards", "70"), *(("Route", route) for route in routes)]
    headers += [
        ("From", at_phone.remote),
        ("To", at_phone.local),
        ("Call-ID", at_phone.call_id),
        ("CSeq", "5 BYE"),
    ]
    target = at_phone.invite.contacts[0].uri
    return [(await at_pbx(world).ask(Message.request("BYE", target, headers))).status]

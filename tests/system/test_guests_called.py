"""Requests to phones that never enrolled: sent to their flow, or pushed for and held (RFC 8599 5.6.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.system.asking import at_pbx, request, stranger
from tests.system.calls_world import MINUTE, SECOND, US
from tests.system.dialogs import came, in_dialog, replied, talking
from tests.system.guests_world import (
    VOIP,
    arrived,
    asleep,
    guest_phone,
    killed,
    sponsored,
    stored,
    to_guest,
    told,
)
from wakerobin.core.call import CallPolicy
from wakerobin.core.pushes import PushType, Rejected
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Transport

# Calls


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_phone_that_is_awake_gets_the_call_over_its_flow_without_a_push(transport: Transport) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=transport)
        call, at_phone = await talking(world, phone)
        assert world.pushes.sent == []
        call.hang_up()
        await world.until(replied(call))
        assert [one.method for one in at_phone.requests] == ["ACK", "BYE"]
        assert [reply.status for reply in call.replies] == [200]


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_sleeping_phone_is_pushed_and_gets_the_call_when_it_registers(transport: Transport) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=transport)
        asleep(world, phone)
        await world.run_for(MINUTE)
        call = world.pbx.call("alice", display="Bob")
        await world.until(lambda: bool(world.pushes.sent))
        (push,) = world.pushes.sent
        assert push.type is PushType.CALL
        assert push.target.token.reveal() == "dpZ0:APA91bF-x_Y"
        assert push.payload["caller"]["name"] == "Bob"
        assert push.payload["sip_call_id"] == call.call_id
        await world.until(lambda: call.is_ringing)  # the caller hears it as with phones that have enrolled
        assert phone.calls == []
        assert (await world.do(phone.register())).status == 200
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert call.final == 200
        assert len(world.pushes.sent) == 1


async def test_the_invite_goes_to_the_contact_that_the_phone_gave_last() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        before = phone.contact
        asleep(world, phone)
        await world.run_for(MINUTE)
        world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        await world.do(phone.register())
        await world.until(lambda: bool(phone.calls))
        invites = [one for one in world.sent_to("203.0.113.250") if one.method == "INVITE"]
        assert invites[0].uri == phone.contact != before
        assert not invites[0].has("route")
        assert len(invites[0].values("record-route")) == 2


async def test_a_flow_that_only_looks_alive_costs_a_second() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        began = world.clock.now()
        world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        assert world.clock.now() - began == SECOND  # heard a moment ago: it had a second to answer


async def test_a_push_that_is_refused_ends_the_call_at_once() -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: Rejected("BadTopic", ours=True)
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        killed(world, phone)
        await world.run_for(MINUTE)
        began = world.clock.now()
        call = world.pbx.call("alice")
        await world.until(lambda: call.final != 0)
        assert call.final == 480
        assert world.clock.now() - began < SECOND
        assert "BadTopic" in (call.responses[-1].message.get("reason") or "")


async def test_a_phone_that_never_comes_is_480_after_the_wake_timeout() -> None:
    world = sponsored(call=CallPolicy(wake_timeout=30.0))
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        began = world.clock.now()
        call = world.pbx.call("alice")
        await world.until(lambda: call.final != 0)
        assert call.final == 480
        assert 30 * SECOND <= world.clock.now() - began < 33 * SECOND


async def test_a_call_that_is_cancelled_while_the_phone_sleeps_never_rings() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        call.cancel()
        await world.until(lambda: call.final != 0)
        assert call.final == 487
        await world.do(phone.register())
        await world.run_for(MINUTE)
        assert phone.calls == []


async def test_a_call_that_is_cancelled_while_it_rings_stops_ringing() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        call.cancel('SIP;cause=200;text="Call completed elsewhere"')
        await world.until(lambda: call.final != 0)
        assert call.final == 487
        assert phone.calls[0].is_over


async def test_a_pbx_that_forks_to_an_old_contact_too_rings_the_phone_once() -> None:
    world = sponsored()
    async with world.running():
        await arrived(world)
        phone = await arrived(world, address="203.0.113.6", instance="urn:uuid:another")
        assert len(world.pbx.contacts("alice")) == 2
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert sorted(one.status for one in call.responses if one.status >= 200) == [200, 482]
        assert len(phone.calls) == 1


async def test_a_pbx_may_try_again_under_the_same_call_id() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asker = at_pbx(world)
        for count in (1, 2):
            asked = to_guest(
                world, "INVITE", ("Call-ID", "the same"), ("From", "<sip:bob@pbx.test>;tag=same")
            )
            asker.send(asked)
            await world.until(lambda count=count: len(phone.calls) == count)  # type: ignore[misc] # bound
            phone.calls[-1].decline(486)
            await world.until(
                lambda count=count: [one.status for one in asker.responses].count(486) == count  # type: ignore[misc] # bound
            )


async def test_what_the_phone_says_reaches_the_caller() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].decline(486)
        await world.until(lambda: call.final != 0)
        assert call.final == 486


async def test_bye_into_the_early_dialog_of_our_ringing_ends_the_call() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        ringing = next(one for one in call.responses if one.status == 180)
        bye = to_guest(world, "BYE")
        bye.set("From", ringing.message.get("from") or "")
        bye.set("To", ringing.message.get("to") or "")
        bye.set("Call-ID", call.call_id)
        assert (await at_pbx(world).ask(bye)).status == 200
        await world.until(lambda: call.final != 0)
        assert call.final == 487


async def test_a_phone_whose_apple_token_is_for_calls_only_is_woken_by_it() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, VOIP)
        asleep(world, phone)
        await world.run_for(MINUTE)
        world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        assert world.pushes.sent[0].target.topic == "com.example.phone"


async def test_the_story_of_a_guest_tells_of_its_calls() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        (guest,) = stored(world)
        killed(world, phone)
        await world.run_for(MINUTE)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        await world.do(phone.register())
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].decline(486)
        await world.until(lambda: call.final != 0)
        await world.run_for(SECOND)
        events = told(world, guest)
        wanted = ["invite", "push-sent", "push-accepted", "ringback", "phone-connected", "offered", "missed"]
        assert [event for event in events if event in wanted] == wanted


async def test_a_pbx_that_forgets_our_path_is_understood_by_the_push_resource() -> None:
    """RFC 8599 5.6.2; Asterisk does so where it rewrites Contacts."""
    world = sponsored("alice", "ben")
    async with world.running():
        phone = await arrived(world)
        other = guest_phone(world, user="ben", port=5070)  # a second account in the same app
        assert (await world.do(other.register())).status == 200
        uri = SipUri.parse(phone.contact)
        rewritten = str(replace(uri, host=US[0], port=US[1]))
        asker = at_pbx(world)
        for target, rings in ((phone.contact, phone), (rewritten, phone), (other.contact, other)):
            before = len(rings.calls)
            asker.send(request("INVITE", target, to=target))
            await world.until(lambda: len(rings.calls) == before + 1)  # noqa: B023 - it is awaited here
        assert (await asker.ask(request("OPTIONS", rewritten, to=rewritten))).status == 200


async def test_a_stranger_who_knows_a_push_resource_rings_nobody() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asker = stranger(world)
        assert (await asker.ask(request("INVITE", phone.contact))).status in (403, 404)
        assert (await at_pbx(world).ask(request("INVITE", f"{phone.contact}0"))).status in (403, 404)
        for odd in (";pn-prid=x", ";pn-provider=fcm;pn-prid=%ff", ";pn-provider=fcm;xpn-prid"):
            answer = await at_pbx(world).ask(request("INVITE", f"sip:alice@{US[0]}{odd}"))
            assert answer.status in (400, 403, 404)
        assert phone.calls == []


# Within the dialog


async def test_requests_in_the_dialog_reach_the_phone_after_it_has_moved() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        call, at_phone = await talking(world, phone)
        world.move(phone, "203.0.113.77")
        assert (await world.do(phone.register())).status == 200
        call.send("INFO")
        await world.until(replied(call))
        assert came(at_phone, "INFO")()
        at_phone.hang_up()
        await world.until(lambda: call.is_over)


async def test_a_phone_that_has_moved_may_hang_up_before_it_registers() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        call, at_phone = await talking(world, phone)
        world.move(phone, "203.0.113.77")
        at_phone.hang_up()
        await world.until(lambda: call.is_over)


async def test_a_stranger_with_a_dialog_s_token_reaches_the_guest_s_pbx_alone() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        _, at_phone = await talking(world, phone)
        asked = request("INFO", "sip:victim@198.51.100.66", tag="x")
        for route in at_phone.routes:
            asked.add("Route", route)
        assert (await stranger(world).ask(asked)).status == 500
        assert world.sent_to("198.51.100.66") == []


async def test_a_path_is_worth_nothing_in_a_dialog_with_another() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        call, at_phone = await talking(world, phone)
        (contact,) = world.pbx.contacts("alice")
        asked = in_dialog(call, "BYE", lambda _route: contact.path[0].replace("sip:", "sip:x"))
        assert (await at_pbx(world).ask(asked)).status == 481
        assert not came(at_phone, "BYE")()

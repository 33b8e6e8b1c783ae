"""Requests to phones that never enrolled: sent to their flow, or pushed for and held (RFC 8599 5.6.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.system.asking import at_pbx, request, stranger
from tests.system.calls_world import DOMAIN, MINUTE, PBX, SECOND, US, World
from tests.system.dialogs import came, in_dialog, replied, talking
from tests.system.guests_world import RESOURCE, VOIP, arrived, guest_phone, sponsored, stored, told
from wakerobin.core.call import CallPolicy
from wakerobin.core.pushes import Accepted, PushType, Rejected, TargetGone
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import RouteToken, Side, TokenKeys, sign
from wakerobin.core.values import Transport
from wakerobin.ports.options import SipOptions
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.wire import WireEndpoint


def asleep(world: World, phone: FakePhone) -> None:
    """Let its app be suspended: nothing reaches it, and nobody is told so."""
    world.move(phone, "203.0.113.250")


def killed(world: World, phone: FakePhone) -> None:
    """Let its app be killed: its connection is closed, which we are told."""
    assert isinstance(phone.endpoint, WireEndpoint)
    phone.endpoint.cut_all()
    world.move(phone, "203.0.113.250")


def to_guest(world: World, method: str, *headers: tuple[str, str]) -> Message:
    """Return a request of the PBX to its only contact, by our Path."""
    (contact,) = world.pbx.contacts("alice")
    asked = request(method, contact.uri, *headers, to=f"sip:alice@{DOMAIN}")
    for route in contact.path:
        asked.add("Route", route)
    return asked


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


# The bucket


async def test_one_push_wakes_the_phone_for_all_that_waits() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        first = world.pbx.call("alice")
        await world.run_for(2 * SECOND)
        second = world.pbx.call("alice", caller="+49301")
        await world.run_for(2 * SECOND)
        assert len(world.pushes.sent) == 1
        await world.do(phone.register())
        await world.until(lambda: len(phone.calls) == 2)
        assert not first.final
        assert not second.final


async def test_after_the_bucket_s_time_another_push_is_tried() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        world.pbx.call("alice")
        await world.run_for(11 * SECOND)
        world.pbx.call("alice", caller="+49301")
        await world.run_for(SECOND)
        assert len(world.pushes.sent) == 2
        assert len({push.id for push in world.pushes.sent}) == 2


async def test_a_phone_that_has_come_and_gone_is_pushed_anew() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        asleep(world, phone)
        await world.run_for(MINUTE)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        await world.do(phone.register())
        call.cancel()
        await world.until(lambda: call.final != 0)
        killed(world, phone)
        world.pbx.call("alice", caller="+49301")
        await world.until(lambda: len(world.pushes.sent) == 2)


# Other requests


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "REFER", "INFO"])
async def test_a_request_wakes_the_phone_in_silence_and_is_held_until_it_comes(method: str) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        asker = at_pbx(world)
        asker.send(to_guest(world, method))
        await world.until(lambda: bool(world.pushes.sent))
        # A message is shown to the user: an Android phone may be woken out of its deep sleep for it.
        expected = PushType.MESSAGE if method == "MESSAGE" else PushType.RENEW
        assert [push.type for push in world.pushes.sent] == [expected]
        assert not asker.responses
        await world.do(phone.register())
        await world.until(lambda: bool(asker.responses))
        assert asker.responses[-1].status == 200
        assert [one.method for one in phone.others] == [method]


async def test_a_request_ends_before_its_transaction_does() -> None:  # timer F: 32 s
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        began = world.clock.now()
        response = await at_pbx(world).ask(to_guest(world, "MESSAGE"))
        assert response.status == 480
        assert world.clock.now() - began == 20 * SECOND


async def test_a_request_whose_push_is_refused_ends_at_once() -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: Rejected("BadTopic", ours=True)
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        killed(world, phone)
        await world.run_for(MINUTE)
        began = world.clock.now()
        response = await at_pbx(world).ask(to_guest(world, "MESSAGE"))
        assert response.status == 480
        assert world.clock.now() - began < SECOND


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("NOTIFY", (("Event", "message-summary"),)),
        ("MESSAGE", (("Content-Type", "application/im-iscomposing+xml"),)),
    ],
)
async def test_small_talk_wakes_nobody(method: str, headers: tuple[tuple[str, str], ...]) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        assert (await at_pbx(world).ask(to_guest(world, method, *headers))).status == 200
        killed(world, phone)
        await world.run_for(MINUTE)
        assert (await at_pbx(world).ask(to_guest(world, method, *headers))).status == 480
        assert world.pushes.sent == []


async def test_options_are_answered_for_the_sleeping_phone() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        assert (await at_pbx(world).ask(to_guest(world, "OPTIONS"))).status == 200
        assert world.pushes.sent == []
        assert phone.others == []


# Gone


async def test_a_phone_that_is_gone_is_forgotten() -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: TargetGone("UNREGISTERED")
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        call = world.pbx.call("alice")
        await world.until(lambda: stored(world) == [])
        assert call.final in (0, 480)
        world.pushes.outcome = lambda _message: Accepted()
        assert (await at_pbx(world).ask(to_guest(world, "MESSAGE"))).status == 480


async def test_a_suspicion_forgets_nobody() -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: TargetGone("BadDeviceToken", certain=False)
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        world.pbx.call("alice")
        await world.run_for(5 * SECOND)
        assert len(stored(world)) == 1


# Strangers


async def test_a_path_that_is_forged_or_of_a_dialog_reaches_nobody() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        (guest,) = stored(world)
        keys = TokenKeys(b"the secret key of this server")
        other = TokenKeys(b"the secret key of that server")
        forged = [
            sign(RouteToken(Side.PBX, guest.number, flow=0), other),
            sign(RouteToken(Side.PHONE, guest.number, flow=0), keys),
            sign(RouteToken(Side.PBX, guest.number, installation=guest.number), keys),
            sign(RouteToken(Side.PBX, 7, flow=0), keys),
        ]
        asker = stranger(world)
        for user in forged:
            asked = request("INVITE", phone.contact, to=f"sip:alice@{DOMAIN}")
            asked.add("Route", f"<sip:{user}@{US[0]};lr>")
            assert (await asker.ask(asked)).status in (403, 404)
        assert phone.calls == []
        assert world.pushes.sent == []


async def test_a_strict_operator_lets_only_the_pbx_ring() -> None:
    options = SipOptions(call_sources_policy="strict", call_sources=("203.0.113.96/28",))
    world = sponsored(sip=options)
    async with world.running():
        phone = await arrived(world)
        assert (await stranger(world, "198.51.100.77").ask(to_guest(world, "INVITE"))).status == 403
        assert phone.calls == []
        stranger(world, "203.0.113.99").send(to_guest(world, "INVITE"))
        await world.until(lambda: bool(phone.calls))
        call = world.pbx.call("alice")
        await world.until(lambda: len(phone.calls) == 2)
        assert not call.final


async def test_a_flood_on_one_phone_is_no_flood_of_pushes() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        asleep(world, phone)
        await world.run_for(MINUTE)
        asker = stranger(world)
        for _ in range(100):
            asker.send(to_guest(world, "MESSAGE"))
        await world.run_for(SECOND)
        assert len(world.pushes.sent) == 1
        refused = [one.status for one in asker.responses]
        assert refused.count(503) >= 30


# What the phone begins


async def test_a_guest_calls_through_us_and_answers_its_pbx_s_challenge() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        call = phone.dial("100")
        await world.until(lambda: call.status == 200)
        (taken,) = world.pbx.taken.values()
        assert not taken.invite.has("route")
        assert len(taken.invite.values("record-route")) == 2
        call.hang_up()
        await world.until(lambda: taken.is_over)


async def test_a_guest_may_not_speak_for_another() -> None:
    world = sponsored("alice", "ben")
    async with world.running():
        phone = await arrived(world)
        asked = phone.request_to("MESSAGE", f"sip:100@{DOMAIN}")
        asked.set("From", f"<sip:ben@{DOMAIN}>;tag=1")
        assert (await world.do(phone.send(asked))).status == 403


async def test_a_phone_whose_register_the_pbx_has_not_accepted_may_send_nothing() -> None:
    world = sponsored()
    async with world.running():
        phone = guest_phone(world)
        phone.password = "wrong"
        await world.do(phone.register())
        asked = phone.request_to("INVITE", f"sip:100@{DOMAIN}")
        assert (await world.do(phone.send(asked))).status in (403, 430)
        assert world.pbx.taken == {}


async def test_a_foreign_domain_is_not_looked_up_but_left_to_the_pbx() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        world.names.asked.clear()
        asked = phone.request_to("MESSAGE", "sip:carol@elsewhere.test")
        await world.do(phone.send(asked))
        assert set(world.names.asked) <= {DOMAIN}
        assert [one.uri for one in world.sent_to(PBX[0]) if one.method == "MESSAGE"] == [
            "sip:carol@elsewhere.test"
        ]


async def test_a_flood_from_a_guest_is_slowed() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        answers = []
        for _ in range(60):
            asked = phone.request_to("OPTIONS", f"sip:100@{DOMAIN}")
            answers.append((await world.do(phone.send(asked))).status)
        assert 503 in answers
        assert answers[0] == 200


# Over a restart


async def test_after_a_restart_the_stored_guest_is_pushed_and_called() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, RESOURCE)
        asleep(world, phone)
        await world.run_for(MINUTE)
    world.kill()
    async with world.running():
        call = world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        assert (await world.do(phone.register())).status == 200
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert call.final == 200
        route = SipUri.parse(NameAddr.parse(world.pbx.contacts("alice")[0].path[0]).uri)
        assert route.host == US[0]

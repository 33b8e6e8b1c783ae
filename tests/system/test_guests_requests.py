"""What else a PBX sends to phones that never enrolled, what these begin, and who may not (RFC 8599 5.6.2)."""

from __future__ import annotations

import pytest

from tests.system.asking import at_pbx, request, stranger
from tests.system.calls_world import DOMAIN, MINUTE, PBX, SECOND, US
from tests.system.guests_world import (
    RESOURCE,
    arrived,
    asleep,
    guest_phone,
    killed,
    sponsored,
    stored,
    to_guest,
)
from wakerobin.core.pushes import Accepted, PushType, Rejected, TargetGone
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import RouteToken, Side, TokenKeys, sign
from wakerobin.core.values import Transport
from wakerobin.ports.options import SipOptions

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

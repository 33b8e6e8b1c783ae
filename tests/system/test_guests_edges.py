"""Phones that never enrolled, where things cross, break, or were never meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.system.asking import Asker, at_pbx, request, stranger
from tests.system.calls_world import DOMAIN, MINUTE, PBX, SECOND, US, World
from tests.system.guests_world import (
    INSTANCE,
    RESOURCE,
    arrived,
    capabilities,
    guest_phone,
    killed,
    sponsored,
    stored,
    to_guest,
)
from wakerobin.core.pushes import Rejected
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Flow, Transport
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.testing.phone import FakePhone


def answering(phone: FakePhone, status: int) -> None:
    """Let the phone answer every request outside a dialog so."""

    def requested(transaction: ServerTransactionHandle) -> None:
        transaction.respond(respond(transaction.request, status, to_tag="x"))

    phone.transactions.on_request = requested


def into_early_dialog(world: World, ringing: Message, method: str) -> Message:
    """Return a request of the PBX into the early dialog of our own 180."""
    asked = to_guest(world, method)
    asked.set("From", ringing.get("from") or "")
    asked.set("To", ringing.get("to") or "")
    asked.set("Call-ID", ringing.call_id)
    return asked


# Calls


@pytest.mark.parametrize(("method", "status"), [("UPDATE", 500), ("PRACK", 481), ("INFO", 481)])
async def test_nobody_is_there_yet_in_the_early_dialog_of_our_ringing(method: str, status: int) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        killed(world, phone)
        await world.run_for(MINUTE)
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        ringing = next(one.message for one in call.responses if one.status == 180)
        response = await at_pbx(world).ask(into_early_dialog(world, ringing, method))
        assert response.status == status
        assert not call.final


async def test_an_answer_after_the_caller_has_gone_is_ended_by_us() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        before = len(phone.calls[0].requests)
        world.wire.drops = lambda flow, data: data.startswith(b"CANCEL") and flow.remote[0] == "203.0.113.5"
        call.cancel()
        await world.until(lambda: call.final == 487)
        phone.calls[0].answer()
        await world.until(lambda: len(phone.calls[0].requests) >= before + 2)
        assert [one.method for one in phone.calls[0].requests][-2:] == ["ACK", "BYE"]
        assert call.final == 487


async def test_the_breadth_of_a_fork_is_kept() -> None:  # RFC 5393 5.3.3
    world = sponsored()
    async with world.running():
        await arrived(world)
        refused = await at_pbx(world).ask(to_guest(world, "INVITE", ("Max-Breadth", "0")))
        assert refused.status == 440


async def test_a_call_by_another_app_s_early_dialog_is_not_ours() -> None:
    world = sponsored()
    async with world.running():
        await arrived(world)
        asked = to_guest(world, "BYE")
        asked.set("To", f"<sip:alice@{DOMAIN}>;tag=made-up")
        assert (await at_pbx(world).ask(asked)).status in (480, 481)


# Other requests


@pytest.mark.parametrize(("says", "gets"), [(200, 200), (404, 404), (401, 480), (407, 480), (503, 500)])
async def test_what_the_phone_says_to_a_request_reaches_the_pbx(says: int, gets: int) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        answering(phone, says)
        assert (await at_pbx(world).ask(to_guest(world, "MESSAGE"))).status == gets


async def test_a_request_that_hangs_on_a_dead_flow_goes_to_the_new_one() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        world.move(phone, "203.0.113.9")
        await world.run_for(MINUTE)
        asker = at_pbx(world)
        asker.send(to_guest(world, "MESSAGE"))
        await world.run_for(2 * SECOND)
        assert not asker.responses
        await world.do(phone.register())
        await world.until(lambda: bool(asker.responses))
        assert asker.responses[0].status == 200
        assert len(phone.others) == 1


async def test_a_connection_that_breaks_under_a_request_is_as_good_as_none() -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: Rejected("BadTopic")
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        phone.transactions.on_request = lambda _transaction: None
        await world.run_for(MINUTE)
        asker, began = at_pbx(world), world.clock.now()
        asker.send(to_guest(world, "MESSAGE"))
        await world.run_for(SECOND)
        assert not asker.responses
        killed(world, phone)
        await world.until(lambda: bool(asker.responses))
        assert asker.responses[0].status == 480
        assert world.clock.now() - began < 3 * SECOND


async def test_small_talk_over_a_broken_connection_is_480() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        phone.transactions.on_request = lambda _transaction: None
        asker = at_pbx(world)
        asker.send(to_guest(world, "NOTIFY", ("Event", "message-summary")))
        await world.run_for(SECOND)
        killed(world, phone)
        await world.until(lambda: bool(asker.responses))
        assert asker.responses[0].status == 480
        assert world.pushes.sent == []


# What the phone begins


async def test_a_guest_takes_back_its_own_call() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        pbx = _silent_callee(world)
        call = phone.dial("100")
        await world.until(lambda: call.status == 180)
        call.cancel("SIP;cause=200")
        await world.until(lambda: call.status == 487)
        assert [one.get("reason") for one in pbx() if one.method == "CANCEL"] == ["SIP;cause=200"]


def _silent_callee(world: World) -> Callable[[], list[Message]]:
    """Let the PBX ring for ever; return what it was sent."""

    def requested(transaction: ServerTransactionHandle) -> None:
        if transaction.request.method == "INVITE":
            transaction.respond(respond(transaction.request, 180, to_tag="ringing"))

    def cancelled(cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> None:
        cancel.respond(respond(cancel.request, 200))
        invite.respond(respond(invite.request, 487, to_tag="ringing"))

    world.pbx.transactions.on_request = requested
    world.pbx.transactions.on_cancel = cancelled
    return lambda: world.sent_to(PBX[0])


async def test_a_guest_s_call_that_rings_for_ever_is_given_up() -> None:  # timer C
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        _silent_callee(world)
        call = phone.dial("100")
        await world.until(lambda: call.status == 180)
        await world.until(lambda: call.status >= 400, within=4 * MINUTE)
        assert call.status == 487


@pytest.mark.parametrize(("method", "status"), [("INVITE", 408), ("MESSAGE", 504)])
async def test_a_pbx_that_is_silent_is_told_of(method: str, status: int) -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world, transport=Transport.TCP)
        world.there.is_down = True
        asker = Asker(world, phone.transactions, phone.endpoint)  # type: ignore[arg-type] # a WireEndpoint
        flow = phone.flow
        asked = phone.request_to(method, f"sip:100@{DOMAIN}")
        got: list[int] = []
        phone.transactions.request(
            asked, flow, lambda one: got.append(one.status), lambda _why: got.append(0)
        )
        await world.until(lambda: any(one >= 200 or one == 0 for one in got), within=5 * MINUTE)
        assert asker.failures == []
        assert got[-1] in (status, 0)  # the phone may lose its own patience in the same second


async def test_a_pbx_that_cannot_be_found_any_more_is_told_of() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        world.names.zone.clear()
        asked = phone.request_to("MESSAGE", f"sip:100@{DOMAIN}")
        assert (await world.do(phone.send(asked))).status == 480


async def test_a_phone_whose_binding_has_ended_may_send_nothing() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        await world.do(phone.unregister())
        await world.until(lambda: stored(world) == [])
        asked = phone.request_to("MESSAGE", f"sip:100@{DOMAIN}")
        assert (await world.do(phone.send(asked))).status in (403, 430)


async def test_a_phone_with_an_enrolled_account_beside_uses_either() -> None:
    world = sponsored("alice", "ben")
    async with world.running():
        await world.enrol("ben")
        phone = await arrived(world)
        other = FakePhone(f"sip:ben@{DOMAIN}", "pw-ben")
        other.attach(US, phone.transactions, phone.endpoint, world.clock, world.clock)
        assert (await world.do(other.register())).status == 200
        for one in (phone, other):
            asked = one.request_to("OPTIONS", f"sip:100@{DOMAIN}")
            assert (await world.do(one.send(asked))).status == 200
        asked = phone.request_to("OPTIONS", f"sip:100@{DOMAIN}")
        asked.set("From", f"<sip:carol@{DOMAIN}>;tag=1")
        assert (await world.do(phone.send(asked))).status == 403


# REGISTER


async def test_a_first_hop_says_that_it_keeps_the_flow() -> None:  # RFC 5626 5.1, 5.3
    world = sponsored()
    async with world.running():
        asked = request(
            "REGISTER",
            f"sip:{DOMAIN}",
            ("Contact", f'<sip:alice@203.0.113.99{RESOURCE}>;reg-id=1;+sip.instance="<{INSTANCE}>"'),
            ("Supported", "outbound"),
            to=f"sip:alice@{DOMAIN}",
        )
        await stranger(world).ask(asked)
        passed = next(one for one in world.sent_to(PBX[0]) if one.method == "REGISTER")
        assert SipUri.parse(NameAddr.parse(passed.values("path")[0]).uri).has_param("ob")
        assert "outbound" in passed.values("supported")


async def test_a_fetch_from_a_guest_s_flow_passes_without_path() -> None:  # RFC 3261 10.2.3
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        (guest,) = stored(world)
        asked = phone.request_to("REGISTER", f"sip:{DOMAIN}")
        asked.set("To", f"<{phone.aor}>")
        asked.remove("Contact")
        first = await world.do(phone.send(asked))
        assert first.status == 401
        phone.authorize(asked, first)
        asked.set("CSeq", "2 REGISTER")
        response = await world.do(phone.send(asked))
        assert response.status == 200
        assert len(response.contacts) == 1
        assert not capabilities(response)
        assert stored(world) == [guest]
        assert not [one for one in world.sent_to(PBX[0]) if one.method == "REGISTER"][-1].has("path")


async def test_a_503_of_the_pbx_is_no_503_of_ours() -> None:
    world = sponsored()
    world.pbx.rules.answers["alice"] = (503, (("Retry-After", "9"),))
    async with world.running():
        assert (await world.do(guest_phone(world).register())).status == 500


@pytest.mark.parametrize("status", [301, 403, 404, 600])
async def test_whatever_else_the_pbx_says_passes_and_proves_nothing(status: int) -> None:
    world = sponsored()
    world.pbx.rules.answers_later["alice"] = (status, ())
    async with world.running():
        phone = guest_phone(world)
        assert (await world.do(phone.register())).status == status
        assert stored(world) == []
        flow = Flow(Transport.UDP, US, ("203.0.113.5", 5060))
        assert not world.phones.of_flow(flow)


async def test_wrong_passwords_are_forgiven_in_time() -> None:
    world = sponsored()
    async with world.running():
        phones = [guest_phone(world, port=6000 + number) for number in range(6)]
        for phone in phones:
            phone.password = "a guess"
            await world.do(phone.register())
        assert phones[-1].registers[-1].status == 503
        await world.run_for(61 * MINUTE)
        world.guests.flow_closed(Flow(Transport.UDP, US, ("203.0.113.5", 6000)))
        honest = guest_phone(world, port=6100)
        assert (await world.do(honest.register())).status == 200


# Several hosts of a PBX, RFC 3263


OTHER = "198.51.100.8"


async def test_a_host_that_says_503_is_left_for_the_next_at_once() -> None:
    world = sponsored()
    world.names.zone[DOMAIN] = [OTHER, PBX[0]]
    async with world.running():
        busy = stranger(world, OTHER)
        busy.transactions.on_request = lambda one: one.respond(respond(one.request, 503, to_tag="x"))
        phone = await arrived(world)
        assert len([one for one in world.sent_to(OTHER) if one.method == "REGISTER"]) == 1
        assert stored(world)[0].pbx == PBX[0]
        (contact,) = world.pbx.contacts("alice")
        assert len(contact.path) == 1
        assert phone.registers[-1].status == 200


async def test_a_host_that_refuses_connections_is_left_for_the_next_at_once() -> None:
    world = sponsored()
    world.names.zone[DOMAIN] = [OTHER, PBX[0]]
    async with world.running():
        phone = guest_phone(world)
        phone.domain = f"{DOMAIN};transport=tcp"
        began = world.clock.now()
        assert (await world.do(phone.register())).status == 200
        assert world.clock.now() - began < SECOND
        assert stored(world)[0].registrar == f"sip:{DOMAIN};transport=tcp"


async def test_a_host_that_is_silent_is_left_for_the_next_by_the_next_register() -> None:
    world = sponsored()
    world.names.zone[DOMAIN] = [OTHER, PBX[0]]
    async with world.running():
        phone = guest_phone(world)
        began = world.clock.now()
        assert (await world.do(phone.register(within=60))).status == 504
        assert world.clock.now() - began == 25 * SECOND
        assert (await world.do(phone.register())).status == 200


async def test_where_every_host_fails_the_phone_is_told() -> None:
    world = sponsored()
    world.names.zone[DOMAIN] = [OTHER]
    async with world.running():
        busy = stranger(world, OTHER)
        busy.transactions.on_request = lambda one: one.respond(respond(one.request, 503, to_tag="x"))
        assert (await world.do(guest_phone(world).register())).status == 500

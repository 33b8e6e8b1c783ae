"""Requests of the PBX within a dialog: by the token in their Route to the phone's current flow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.system.asking import at_pbx, request
from tests.system.calls_world import PBX, SECOND, US, World
from tests.system.dialogs import came, go_away, in_dialog, replied, talking
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import respond
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Ended, Flow, Transport
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.testing.wire import WireEndpoint

NEVER_OURS = {403, 404, 408, 410, 480, 481, 482, 484, 485, 502}
"""Each ends the call at some PBX when it answers a re-INVITE, UPDATE or INFO (RFC 5057)."""


# From the PBX to the phone


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_call_to_a_woken_phone_is_acknowledged_and_ended_through_us(transport: Transport) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = world.phone(transport=transport)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        assert (await world.do(phone.register())).status == 200
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        call.hang_up()
        await world.until(replied(call))
        assert [reply.status for reply in call.replies] == [200]
        assert [one.method for one in phone.calls[0].requests] == ["ACK", "BYE"]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "OPTIONS", "MESSAGE", "REFER", "NOTIFY"])
async def test_what_the_pbx_sends_within_the_dialog_reaches_the_phone_at_its_contact(method: str) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        call.send(method)
        await world.until(replied(call))
        assert call.replies[0].status == 200
        (received,) = [one for one in at_phone.requests if one.method == method]
        assert received.uri == phone.contact
        assert not received.has("route")
        assert received.max_forwards == 69


async def test_a_re_invite_of_the_pbx_is_acknowledged_even_if_acks_are_lost() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        lost: list[bytes] = []

        def drops(flow: Flow, data: bytes) -> bool:
            if data.startswith(b"ACK") and flow.remote == US and len(lost) < 2:
                lost.append(data)
                return True
            return False

        world.wire.drops = drops
        call.send("INVITE")
        await world.until(came(at_phone, "ACK", 2))  # the first one was of the call itself
        assert len(lost) == 2, "the phone's 200 was repeated, and acknowledged anew each time"
        assert call.replies[0].status == 200


async def test_a_route_is_ours_by_its_token_whatever_host_and_port_stand_behind_it() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)

        def rewritten(route: str) -> str:
            uri = SipUri.parse(NameAddr.parse(route).uri)
            return f"<{replace(uri, host='10.8.7.6', port=6060)}>"

        answer = await at_pbx(world).ask(in_dialog(call, "INFO", rewritten))
        assert answer.status == 200
        assert came(at_phone, "INFO")()


async def test_a_pbx_that_keeps_only_its_own_side_s_route_reaches_the_phone() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        short = in_dialog(call, "INFO")
        first = short.values("route")[0]
        short.set("Route", first)
        assert (await at_pbx(world).ask(short)).status == 200
        assert came(at_phone, "INFO")()


async def test_a_strict_router_s_request_reaches_the_phone_at_its_contact() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        strict = in_dialog(call, "INFO")  # RFC 3261 16.12.1.2, as an RFC 2543 proxy would send it
        first, second = strict.values("route")
        target, strict.uri = strict.uri, NameAddr.parse(first).uri
        strict.remove("route")
        strict.add("Route", second)
        strict.add("Route", f"<{target}>")
        assert (await at_pbx(world).ask(strict)).status == 200
        assert at_phone.requests[-1].uri == phone.contact


async def test_a_forged_token_gets_481_and_reaches_nobody() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)

        def forged(route: str) -> str:
            uri = SipUri.parse(NameAddr.parse(route).uri)
            return f"<{replace(uri, user=uri.user[:-1] + ('A' if uri.user[-1] != 'A' else 'B'))}>"

        before = len(at_phone.requests)
        assert (await at_pbx(world).ask(in_dialog(call, "BYE", forged))).status == 481
        assert len(at_phone.requests) == before


async def test_a_forged_token_above_a_true_one_gets_481() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, _ = await talking(world, phone)
        message = in_dialog(call, "INFO")
        first, second = message.values("route")
        message.remove("route")
        message.add("Route", first.replace("sip:", "sip:x"))
        message.add("Route", second)
        assert (await at_pbx(world).ask(message)).status == 481
        assert not call.requests


async def test_a_request_whose_way_nobody_can_read_gets_400() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        broken = in_dialog(call, "INFO")
        first = broken.values("route")[0]
        broken.remove("route")
        broken.add("Route", first)
        broken.add("Route", "<sip:>")
        assert (await at_pbx(world).ask(broken)).status == 400
        assert not came(at_phone, "INFO")()


async def test_a_request_with_a_to_tag_and_no_token_gets_481() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        await world.registered()
        asked = request("BYE", f"sip:{account.contact_user}@{US[0]}", tag="made-up")
        assert (await at_pbx(world).ask(asked)).status == 481


async def test_the_current_flow_is_used_after_the_phone_has_moved() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        world.move(phone, "203.0.113.77")
        await world.do(phone.register())
        call.send("INFO")
        await world.until(replied(call))
        assert came(at_phone, "INFO")()
        assert [one.method for one in world.sent_to("203.0.113.77") if one.is_request] == ["INFO"]


# No flow: wait, and answer what harms the transaction only


@pytest.mark.parametrize(
    ("method", "status", "waits", "retry_after"),
    [
        ("INVITE", 491, 10, None),
        ("UPDATE", 491, 10, None),
        ("INFO", 500, 10, "5"),
        ("REFER", 500, 10, "5"),
        ("MESSAGE", 500, 10, "5"),
        ("OPTIONS", 500, 10, "5"),
        ("PRACK", 500, 5, "5"),
        ("BYE", 480, 0, None),
        ("NOTIFY", 481, 0, None),
    ],
)
async def test_a_phone_that_stays_away_costs_the_transaction_only(
    method: str, status: int, waits: int, retry_after: str | None
) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, _ = await talking(world, phone)
        await go_away(world, phone)
        pushes, began = len(world.pushes.sent), world.seconds()
        call.send(method)
        await world.until(replied(call))
        reply = call.replies[0]
        assert (reply.status, reply.message.get("retry-after")) == (status, retry_after)
        assert waits <= world.seconds() - began < waits + 0.1
        assert len(world.pushes.sent) == pushes, "no request within a dialog causes a push"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "PRACK"])
async def test_a_request_waits_for_a_phone_that_comes_back_by_itself(method: str) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        await go_away(world, phone)
        call.send(method)
        await world.run_for(4 * SECOND)
        assert not call.replies
        world.move(phone, "203.0.113.78")
        await world.do(phone.register())
        await world.until(replied(call))
        assert call.replies[0].status == 200
        assert came(at_phone, method)()


async def test_another_phone_of_the_account_gets_nothing_of_a_dialog_that_is_not_its_own() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        mine, other = world.store.read(lambda tx: tx.registrations.of_account(account.id))
        phone = await world.registered(instance=mine.sip_instance)
        call, _ = await talking(world, phone)
        await go_away(world, phone)
        second = await world.registered(address="203.0.113.6", instance=other.sip_instance)
        call.send("INFO")
        await world.until(replied(call))
        assert call.replies[0].status == 500
        assert not second.others
        assert not [one for one in world.sent_to("203.0.113.6") if one.method == "INFO"]


async def test_an_ack_waits_five_seconds_and_is_dropped_then() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        await go_away(world, phone)
        for wait, is_sent in ((4, True), (6, False)):
            before = sum(one.method == "ACK" for one in at_phone.requests)
            world.front.ack(in_dialog(call, "ACK"), Flow(Transport.UDP, US, PBX))
            await world.run_for(wait * SECOND)
            await world.do(phone.register())
            await world.clock.settle()
            after = sum(one.method == "ACK" for one in at_phone.requests)
            assert (after > before) is is_sent
            await go_away(world, phone)


async def test_a_request_on_a_broken_connection_goes_out_again_when_the_phone_is_back() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        call, at_phone = await talking(world, phone)
        world.wire.drops = lambda flow, data: data.startswith(b"INFO") and flow.remote[0] == "203.0.113.5"
        call.send("INFO")
        await world.run_for(1 * SECOND)
        (flow,) = world.phones.flows(1)
        world.us.close_flow(flow.flow)
        await world.run_for(1 * SECOND)
        assert not call.replies
        world.wire.drops = lambda _flow, _data: False
        await world.do(phone.register())
        await world.until(replied(call))
        assert call.replies[0].status == 200
        assert came(at_phone, "INFO")()


async def test_an_unanswered_request_follows_the_phone_to_its_new_flow() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        world.move(phone, "203.0.113.79")  # the old address is silent now, and we do not know it
        call.send("INVITE")
        await world.run_for(2 * SECOND)
        await world.do(phone.register())
        await world.until(replied(call))
        assert call.replies[0].status == 200
        to_old = sum(one.method == "INVITE" for one in world.sent_to("203.0.113.5"))
        await world.run_for(20 * SECOND)
        assert sum(one.method == "INVITE" for one in world.sent_to("203.0.113.5")) == to_old
        assert came(at_phone, "INVITE")()


async def test_a_request_that_the_phone_has_begun_to_answer_is_not_sent_twice() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, _ = await talking(world, phone)
        came_in: list[ServerTransactionHandle] = []

        def trying(transaction: ServerTransactionHandle) -> None:
            came_in.append(transaction)
            transaction.respond(respond(transaction.request, 100))

        phone.transactions.on_request = trying
        call.send("INVITE")
        await world.until(lambda: bool(came_in))
        before = phone.endpoint
        world.move(phone, "203.0.113.81")
        assert isinstance(before, WireEndpoint)
        before.is_down = False  # it has both networks for a moment
        await world.do(phone.register())
        came_in[0].respond(respond(came_in[0].request, 200))
        await world.until(replied(call))
        assert not [one for one in world.sent_to("203.0.113.81") if one.method == "INVITE"]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO"])
async def test_a_silent_phone_is_never_told_to_the_pbx_in_words_that_end_the_call(method: str) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, _ = await talking(world, phone)
        asker = at_pbx(world)
        world.wire.drops = lambda flow, _data: flow.remote[0] == "203.0.113.5"
        message = in_dialog(call, method)
        world.pbx.transactions.request(
            message,
            Flow(Transport.UDP, PBX, US),
            asker.responses.append,
            asker.failures.append,
        )
        await world.run_for(40 * SECOND)
        finals = [one for one in asker.responses if one.status >= 200]
        assert all(one.status not in NEVER_OURS for one in finals)
        if method == "INVITE":  # the others' client has given up at the same time as ours
            assert [(one.status, one.get("retry-after")) for one in finals] == [(500, "5")]


async def test_a_re_invite_that_waits_is_cancelled_with_487() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, _ = await talking(world, phone)
        await go_away(world, phone)
        asker = at_pbx(world)
        handle = asker.send(in_dialog(call, "INVITE"))
        await world.run_for(1 * SECOND)
        handle.cancel()
        await world.until(lambda: any(one.status >= 200 for one in asker.responses), 1 * SECOND)
        assert [one.status for one in asker.responses] == [100, 487]


async def test_a_re_invite_that_was_cancelled_does_not_follow_the_phone_to_its_new_flow() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, _ = await talking(world, phone)
        world.move(phone, "203.0.113.79")  # the old address is silent now, and we do not know it
        asker = at_pbx(world)
        handle = asker.send(in_dialog(call, "INVITE"))
        await world.run_for(1 * SECOND)
        handle.cancel()
        await world.run_for(1 * SECOND)
        await world.do(phone.register())
        await world.until(lambda: any(one.status >= 200 for one in asker.responses), 1 * SECOND)
        assert [one.status for one in asker.responses] == [100, 487]
        assert not [one for one in world.sent_to("203.0.113.79") if one.method == "INVITE"]


async def test_a_cancelled_re_invite_whose_connection_breaks_waits_for_nobody() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        call, _ = await talking(world, phone)
        world.wire.drops = lambda flow, data: data.startswith(b"INVITE") and flow.remote[0] == "203.0.113.5"
        asker = at_pbx(world)
        handle = asker.send(in_dialog(call, "INVITE"))
        await world.run_for(1 * SECOND)
        handle.cancel()
        await world.run_for(1 * SECOND)
        (flow,) = world.phones.flows(1)
        world.us.close_flow(flow.flow)
        await world.until(lambda: any(one.status == 487 for one in asker.responses), 1 * SECOND)


async def test_a_call_outlives_its_push_registration() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, _ = world.store.read(lambda tx: tx.registrations.of_account(account.id))
        phone = await world.registered(instance=first.sip_instance)
        assert world.phones.flows(account.id)[0].registration_id == first.id
        call, at_phone = await talking(world, phone)
        await world.lives.end(first.id, Ended.DELETED)
        world.move(phone, "203.0.113.80")
        await world.do(phone.register())
        assert world.phones.flows(account.id)[0].registration_id == 0
        call.hang_up()
        await world.until(replied(call))
        assert call.replies[0].status == 200
        assert at_phone.is_over


async def test_a_phone_without_instance_is_known_by_its_contact_after_its_registration_has_ended() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, _ = world.store.read(lambda tx: tx.registrations.of_account(account.id))
        phone = world.phone()
        phone.contact_params = f";wr-reg={first.public_id}"
        await world.do(phone.register())
        call, at_phone = await talking(world, phone)
        await world.lives.end(first.id, Ended.DELETED)
        await world.do(phone.register())
        assert world.phones.flows(account.id)[0].registration_id == 0
        call.send("INFO")
        await world.until(replied(call))
        assert call.replies[0].status == 200
        assert came(at_phone, "INFO")()

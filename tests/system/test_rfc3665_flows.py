"""The call flows of RFC 3665, section 3, as they pass through this server; named and numbered as there.

3.5 is left out: it is about media through an application layer gateway, and none comes here. 3.4, a proxy
that fails, is what `fleet` does with the addresses of a PBX.
"""

from __future__ import annotations

from tests.system.asking import at_pbx, request
from tests.system.calls_world import PBX, SECOND, US, World
from tests.system.dialogs import talking
from tests.system.on_the_wire import FIRST, finals, to_phone
from tests.system.stories import nothing_is_left, records
from wakerobin.core.sip.message import Message, respond
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.testing.phone_call import PhoneCall

MOVED = (
    b"v=0\r\no=phone 1 2 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n"
    b"m=audio 4 RTP/AVP 8\r\n"
)


def statuses(messages: list[Message]) -> list[int]:
    return [one.status for one in messages]


async def test_3_1_successful_session_establishment() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, there = await talking(world, phone)
        seen = [one.status for one in call.responses]
        assert seen[0] == 100
        assert seen[-2:] == [180, 200]
        there.hang_up()
        await world.until(lambda: call.is_over)
        await world.until(lambda: statuses(there.responses) == [200])
        await nothing_is_left(world)


async def test_3_2_session_establishment_through_two_proxies() -> None:
    """The PBX stands behind a proxy that wants to see every request of the dialog."""
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        asker = at_pbx(world)
        edge = ("Record-Route", f"<sip:edge@{PBX[0]};lr>")
        asker.send(request("INVITE", f"sip:{account.contact_user}@{US[0]}", edge))
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: 200 in statuses(asker.responses))
        ok = next(one for one in asker.responses if one.status == 200)
        assert ok.values("record-route")[-1] == edge[1], "the first proxy is the last in the list"
        assert len(ok.values("record-route")) == 3
        bye: list[Message] = []

        def takes(transaction: ServerTransactionHandle) -> None:
            bye.append(transaction.request)
            transaction.respond(respond(transaction.request, 200))

        world.pbx.transactions.on_request = takes
        phone.calls[0].hang_up()
        await world.until(lambda: bool(bye))
        assert bye[0].values("route") == [edge[1]], "ours are taken off, the other proxy's stays"
        await world.until(lambda: statuses(phone.calls[0].responses) == [200])
        await nothing_is_left(world)


async def test_3_3_session_establishment_with_multiple_proxy_authentication() -> None:
    """The phone calls: the PBX challenges it through us, and we do not."""
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = phone.dial("100")
        await world.until(lambda: call.answered_with is not None)
        assert statuses(call.responses) == [100, 407, 100, 180, 200]
        call.hang_up()
        await world.until(lambda: world.pbx.taken[call.call_id].is_over)


async def test_3_6_session_via_redirect_and_proxy_servers_with_sdp_in_ack() -> None:
    """The phone redirects; the PBX follows that by itself, and calls anew with its offer in the ACK."""
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()

        def redirects(transaction: ServerTransactionHandle) -> None:
            there = ("Contact", "<sip:carol@elsewhere.example>")
            transaction.respond(respond(transaction.request, 302, to_tag="moved", headers=[there]))

        ordinary = phone.transactions.on_request
        phone.transactions.on_request = redirects
        call = world.pbx.call("alice")
        await world.until(lambda: call.final == 302)
        assert call.responses[-1].message.values("contact") == ["<sip:carol@elsewhere.example>"]
        assert len(world.sent_to("elsewhere.example")) == 0
        phone.transactions.on_request = ordinary
        again = world.pbx.call("alice", body=b"")
        await world.until(lambda: bool(phone.calls))
        invite = phone.calls[0].invite
        assert invite is not None
        assert invite.body == b""
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        again.hang_up()
        await nothing_is_left(world)


async def test_3_7_session_with_re_invite_ip_address_change() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, there = await talking(world, phone)
        there.request("INVITE", [("Content-Type", "application/sdp")], MOVED)
        await world.until(lambda: any(one.method == "INVITE" for one in call.requests))
        assert call.requests[0].body == MOVED
        await world.until(lambda: 200 in statuses(there.responses))
        assert any(one.method == "ACK" for one in world.sent_to(PBX[0]) if one.is_request)
        call.hang_up()
        await nothing_is_left(world)


async def test_3_8_unsuccessful_no_answer() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        await world.run_for(20 * SECOND)
        call.cancel()
        await world.until(lambda: call.final == 487)
        assert phone.calls[0].is_cancelled
        assert {one.to_tag for one in call.responses if one.status == 487} != {""}
        await nothing_is_left(world)


async def test_3_9_unsuccessful_busy() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        phone.on_call = PhoneCall.decline
        call = world.pbx.call("alice")
        await world.until(lambda: call.final == 486)
        assert len(to_phone(world, "ACK")) == 1, "acknowledged hop by hop"
        await nothing_is_left(world)


async def test_3_10_unsuccessful_no_response_from_user_agent() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        await world.registered()
        world.wire.drops = lambda flow, data: flow.remote[0] == FIRST and data.startswith(b"INVITE")
        call = world.pbx.call("alice")
        await world.run_for(10 * SECOND)
        assert len([m for m in world.sent_to(FIRST) if m.is_request and m.method == "INVITE"]) >= 5
        call.cancel()
        await world.until(lambda: call.final == 487, within=100)
        assert not to_phone(world, "CANCEL"), "9.1: nothing may cancel it before it has spoken"
        await nothing_is_left(world)


async def test_3_11_unsuccessful_temporarily_unavailable() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        phone.on_call = lambda call: call.decline(480)
        call = world.pbx.call("alice")
        await world.until(lambda: call.final == 480)
        assert call.responses[-1].to_tag == phone.calls[0].tag, "it is the phone's own answer"
        assert finals(world) == [480]
        assert records(world)[0].reason == "Temporarily Unavailable"
        await nothing_is_left(world)

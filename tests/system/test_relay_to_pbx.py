"""Requests of the phone within a dialog: where they go, and what they take along."""

from __future__ import annotations

import pytest

from tests.system.asking import request, stranger
from tests.system.calls_world import PBX, SECOND, US, World
from tests.system.dialogs import answered, talking
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Flow, Transport


async def test_the_phone_ends_the_call_through_us() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        at_phone.hang_up()
        await world.until(lambda: call.is_over)
        await world.until(answered(at_phone, "BYE", 200))
        (bye,) = call.requests
        assert bye.method == "BYE"
        assert not bye.has("route")


async def test_a_re_invite_of_the_phone_and_its_ack_reach_the_pbx() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        acks: list[Message] = []
        world.pbx.transactions.on_ack = lambda ack, _flow: acks.append(ack)
        at_phone.request("INVITE", (("Content-Type", "application/sdp"),), b"v=0\r\n")
        await world.until(answered(at_phone, "INVITE", 200))
        await world.until(lambda: bool(acks))
        assert [one.method for one in call.requests] == ["INVITE"]
        assert acks[0].cseq.number == call.requests[0].cseq.number


async def test_what_the_phone_knows_of_our_challenge_is_not_shown_to_the_pbx() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        registers = [
            one for one in world.sent_to(US[0]) if one.method == "REGISTER" and one.has("authorization")
        ]
        ours = next(one.get("authorization") or "" for one in registers if one.top_via.host == "203.0.113.5")
        theirs = 'Digest username="alice", realm="pbx.test", nonce="theirs", uri="sip:x", response="%s"' % (
            "0" * 32
        )
        at_phone.request("INFO", (("Authorization", ours), ("Proxy-Authorization", theirs)))
        await world.until(answered(at_phone, "INFO", 200))
        assert call.requests[0].all("authorization") == []
        assert call.requests[0].all("proxy-authorization") == [theirs]


@pytest.mark.parametrize(
    ("contact", "reached"),
    [
        ("sip:bob@pbx.test", PBX),
        ("sip:bob@198.51.100.9:5060", PBX),
        ("sip:bob@pbx.test:5070", (PBX[0], 5070)),
        ("sip:bob@192.168.1.10:5070", PBX),  # a NAT hides it: it is where the binding is
        ("sip:bob@nowhere.invalid", PBX),
        ("sip:bob@other.example:5080", ("198.51.100.77", 5080)),
        ("sip:bob@198.51.100.78:5090", ("198.51.100.78", 5090)),
    ],
)
async def test_a_request_of_the_phone_goes_where_the_pbx_s_contact_leads(
    contact: str, reached: tuple[str, int]
) -> None:
    world = World()
    world.names.zone["other.example"] = ["198.51.100.77"]
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        _, at_phone = await talking(world, phone)
        at_phone.target = contact
        at_phone.request("INFO")
        await world.run_for(1 * SECOND)
        sent = {flow.remote for flow, data in world.wire.messages if data.startswith(b"INFO sip:bob@")}
        assert sent == {US, reached}
        onward = [one for one in world.sent_to(reached[0]) if one.method == "INFO"]
        assert onward[0].uri == contact


async def test_a_contact_that_asks_for_another_transport_than_the_binding_s_gets_it() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        _, at_phone = await talking(world, phone)
        at_phone.target = f"sip:bob@{PBX[0]};transport=tcp"
        at_phone.request("INFO")
        await world.until(answered(at_phone, "INFO", 200))
        sent = [flow for flow, data in world.wire.messages if data.startswith(b"INFO") and flow.remote == PBX]
        assert [flow.transport for flow in sent] == [Transport.TCP]


@pytest.mark.parametrize(
    ("contact", "reached"),
    [
        ("sip:bob@10.0.0.7", ("198.51.100.90", 5066)),
        ("sip:bob@nowhere.invalid", ("198.51.100.90", 5066)),
        ("sip:bob@198.51.100.91", ("198.51.100.91", 5060)),
        ("sip:bob@pbx.test", PBX),
    ],
)
async def test_a_node_of_a_cluster_with_a_private_contact_is_where_it_was_seen(
    contact: str, reached: tuple[str, int]
) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        _, at_phone = await talking(world, phone)
        # As our Record-Route says that was made for an INVITE from another node than the registrar.
        pbx_side = at_phone.routes[-1].strip("<>").split(";seen")[0]
        at_phone.routes[-1] = f"<{pbx_side};seen=198.51.100.90:5066>"
        at_phone.target = contact
        at_phone.request("INFO")
        await world.run_for(1 * SECOND)
        sent = {flow.remote for flow, data in world.wire.messages if data.startswith(b"INFO sip:bob@")}
        assert sent == {US, reached}


async def test_an_unreachable_pbx_costs_the_transaction_only() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        _, at_phone = await talking(world, phone)
        at_phone.target = "sip:bob@198.51.100.78:5090;transport=tcp"  # nobody listens there
        at_phone.request("INFO")
        await world.until(answered(at_phone, "INFO", 500))
        assert at_phone.responses[-1].get("retry-after") == "5"


async def test_somebody_s_ack_that_belongs_to_no_dialog_of_ours_goes_nowhere() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        await world.registered()
        before = len(world.wire.messages)
        asker = stranger(world)
        asker.transactions.send_ack(
            request("ACK", "sip:bob@198.51.100.9", tag="t"), Flow(Transport.UDP, asker.endpoint.place, US)
        )
        await world.clock.settle()
        assert len(world.wire.messages) == before + 1


# Whose requests, and how many


async def test_a_phone_that_has_not_registered_again_ends_its_call_from_anywhere() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        world.move(phone, "203.0.113.82")  # and it hangs up before it registers there
        at_phone.hang_up()
        await world.until(lambda: call.is_over)
        await world.until(answered(at_phone, "BYE", 200))


@pytest.mark.parametrize("contact", ["sip:bob@other.example:5080", "sip:bob@198.51.100.78:5090"])
async def test_whoever_has_only_seen_a_token_reaches_nobody_but_the_pbx_by_it(contact: str) -> None:
    world = World()
    world.names.zone["other.example"] = ["198.51.100.77"]
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        _, at_phone = await talking(world, phone)
        world.move(phone, "203.0.113.82")
        at_phone.target = contact
        at_phone.request("INFO")
        await world.until(answered(at_phone, "INFO", 500))
        ack = Message.request("ACK", contact, [("Max-Forwards", "70"), ("Route", at_phone.routes[0])])
        world.relay.ack(ack, phone.flow)
        await world.run_for(1 * SECOND)
        assert not world.sent_to("198.51.100.77")
        assert not world.sent_to("198.51.100.78")
        at_phone.target = f"sip:bob@{PBX[0]}"
        at_phone.request("INFO")
        await world.until(answered(at_phone, "INFO", 200))


async def test_a_flood_within_a_dialog_is_slowed_and_its_bye_is_not() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, at_phone = await talking(world, phone)
        for _ in range(80):
            at_phone.request("INFO")
        at_phone.hang_up()
        await world.until(answered(at_phone, "BYE", 200))
        await world.run_for(1 * SECOND)
        got = [one.status for one in at_phone.responses if one.cseq.method == "INFO"]
        assert got.count(200) == sum(one.method == "INFO" for one in call.requests)
        assert 50 <= got.count(200) < 60
        assert got.count(503) == 80 - got.count(200)
        slowed = next(one for one in at_phone.responses if one.status == 503)
        assert slowed.get("retry-after") == "1"


async def test_a_pbx_that_is_silent_is_not_told_to_the_phone_as_a_phone_that_is_away() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        _, at_phone = await talking(world, phone)
        world.wire.drops = lambda flow, _data: flow.remote == PBX
        for method in ("INVITE", "BYE"):
            at_phone.request(method)
        await world.until(lambda: len(at_phone.responses) >= 2 and at_phone.responses[-1].status >= 200)
        finals = {one.cseq.method: one for one in at_phone.responses if one.status >= 200}
        assert {method: one.status for method, one in finals.items()} == {"INVITE": 500}
        assert finals["INVITE"].get("retry-after") == "5"

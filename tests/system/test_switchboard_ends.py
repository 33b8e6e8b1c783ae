"""How calls end: answered twice, declined, refused. One final response each."""

from __future__ import annotations

import pytest

from tests.system.asking import Asker, at_pbx, request
from tests.system.calls_world import PBX, SECOND, US, World
from tests.system.on_the_wire import ELSEWHERE, SECOND_PHONE, finals, to_phone, two_phones, without
from tests.system.stories import events, nothing_is_left, records
from wakerobin.core.call import CallPolicy, CallState
from wakerobin.core.sip.message import parse, respond
from wakerobin.core.values import Account, Flow, PushRegistration
from wakerobin.ports.sip import ClientTransactionHandle, ServerTransactionHandle
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone_call import PhoneCall


def answer_at_once(call: PhoneCall) -> None:
    call.answer()


# Two phones (sip 1)


async def test_the_second_of_two_answers_is_acknowledged_and_ended_by_us_and_never_shown_to_the_pbx() -> None:
    world = World()
    async with world.running():
        one, other = await two_phones(world)
        world.wire.drops = without(SECOND_PHONE, "CANCEL")
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls and other.calls))
        one.calls[0].answer()
        await world.until(lambda: one.calls[0].is_acknowledged)
        other.calls[0].answer()
        await world.until(lambda: other.calls[0].is_over)
        assert finals(world) == [200]
        assert call.answer is not None
        assert call.answer.contacts[0].uri == one.contact
        (ack,), (bye,) = to_phone(world, "ACK", SECOND_PHONE), to_phone(world, "BYE", SECOND_PHONE)
        invite = other.calls[0].invite
        assert invite is not None
        assert ack.uri == bye.uri == other.contact
        assert ack.to_tag == bye.to_tag != one.calls[0].local
        assert (ack.from_tag, bye.from_tag) == (call.from_tag, call.from_tag)
        assert (ack.cseq.number, bye.cseq.number) == (invite.cseq.number, invite.cseq.number + 1)
        assert bye.get("reason") == ELSEWHERE
        assert not ack.has("route"), "nothing stands between us and that phone"
        assert "late-answer-ended" in events(world)
        call.hang_up()
        await world.until(lambda: one.calls[0].is_over)
        await nothing_is_left(world)


async def test_each_copy_of_a_late_answer_is_acknowledged_and_one_bye_is_sent() -> None:
    world = World()
    async with world.running():
        one, other = await two_phones(world)
        acks: list[bytes] = []

        def drops(flow: Flow, data: bytes) -> bool:
            if flow.remote[0] != SECOND_PHONE:
                return False
            if data.startswith(b"ACK"):
                acks.append(data)
                return len(acks) <= 2
            return data.startswith((b"CANCEL", b"BYE"))

        world.wire.drops = drops
        world.pbx.call("alice")
        await world.until(lambda: bool(one.calls and other.calls))
        one.calls[0].answer()
        await world.until(lambda: one.calls[0].is_acknowledged)
        other.calls[0].answer()
        await world.until(lambda: other.calls[0].is_acknowledged)
        assert len(acks) == 3
        assert len(to_phone(world, "BYE", SECOND_PHONE)) == 1
        await nothing_is_left(world)


async def test_a_late_answer_from_behind_an_edge_is_ended_along_its_own_route() -> None:
    world = World()
    async with world.running():
        one, other = await two_phones(world)

        def answer_behind_edges(transaction: ServerTransactionHandle) -> None:
            invite = transaction.request
            ok = respond(invite, 200, to_tag="behind", record_route=True)
            ok.prepend("Record-Route", "<sip:far@edge.example;lr>, <sip:near@edge.example;lr>")
            ok.add("Contact", "<sip:alice@10.9.9.9:5062;ob>")
            transaction.respond(ok)

        one.on_call = answer_at_once
        world.wire.drops = without(SECOND_PHONE, "INVITE")
        call = world.pbx.call("alice")
        await world.until(lambda: call.final == 200)
        world.wire.drops = lambda _flow, _data: False
        other.transactions.on_request = answer_behind_edges
        await world.until(lambda: bool(to_phone(world, "BYE", SECOND_PHONE)))
        for late in (*to_phone(world, "ACK", SECOND_PHONE), *to_phone(world, "BYE", SECOND_PHONE)):
            assert late.values("route") == ["<sip:near@edge.example;lr>", "<sip:far@edge.example;lr>"]
            assert late.uri == "sip:alice@10.9.9.9:5062;ob"
        assert finals(world) == [200]


async def test_the_phone_that_did_not_answer_is_cancelled_as_answered_elsewhere() -> None:
    world = World()
    async with world.running():
        one, other = await two_phones(world)
        world.pbx.call("alice")
        await world.until(lambda: bool(one.calls and other.calls))
        one.calls[0].answer()
        await world.until(lambda: other.calls[0].is_cancelled)
        assert other.calls[0].requests[0].get("reason") == ELSEWHERE
        await nothing_is_left(world)


async def test_a_phone_that_wakes_after_the_answer_is_not_rung() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, second = world.registrations(account)
        one = await world.registered(instance=first.sip_instance)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls))
        one.calls[0].answer()
        await world.until(lambda: call.final == 200)
        other = await world.registered(address=SECOND_PHONE, instance=second.sip_instance)
        await world.run_for(2 * SECOND)
        assert not other.calls


async def test_busy_on_one_phone_leaves_the_other_ringing_and_busy_is_what_the_caller_hears_in_the_end() -> (
    None
):
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, _ = world.registrations(account)
        one = await world.registered(instance=first.sip_instance)
        one.on_call = PhoneCall.decline
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls))
        await world.run_for(20 * SECOND)
        assert call.final == 0
        await world.until(lambda: call.final > 0)
        assert call.final == 486, "rather than our own 480 for the one that never woke"


# Nobody wants it (sip 16)


@pytest.mark.parametrize("status", [600, 603])
async def test_a_decline_on_one_phone_stops_all_and_the_pbx_hears_busy(status: int) -> None:
    world = World()
    async with world.running():
        one, other = await two_phones(world)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls and other.calls))
        one.calls[0].decline(status)
        await world.until(lambda: other.calls[0].is_cancelled)
        assert finals(world) == [486]
        assert call.responses[-1].message.get("reason") == 'SIP;cause=486;text="Declined"'
        assert records(world)[0].state == CallState.DECLINED
        await nothing_is_left(world)


async def test_a_decline_of_this_phone_leaves_the_other_one_and_the_desk_phone_ringing() -> None:
    world = World(call=CallPolicy(decline_all=False))
    async with world.running():
        one, other = await two_phones(world)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls and other.calls))
        one.calls[0].decline(603)
        await world.run_for(1 * SECOND)
        assert call.final == 0
        assert not other.calls[0].is_cancelled
        other.calls[0].decline(480)
        await world.until(lambda: call.final > 0)
        assert finals(world) == [486]


@pytest.mark.parametrize(("status", "shown"), [(302, 302), (404, 404), (401, 480), (407, 480), (503, 500)])
async def test_what_else_a_phone_may_say(status: int, shown: int) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        phone.transactions.on_request = lambda one: one.respond(
            respond(one.request, status, to_tag="p", headers=[("Contact", "<sip:elsewhere@192.0.2.1>")])
        )
        call = world.pbx.call("alice")
        await world.until(lambda: call.final > 0, within=1 * SECOND)
        assert finals(world) == [shown]
        if status == 302:
            assert call.responses[-1].message.contacts[0].uri == "sip:elsewhere@192.0.2.1"
        assert not world.sent_to("192.0.2.1")
        await nothing_is_left(world)


# By the API


async def ringing(world: World) -> tuple[Account, PushRegistration, FakeCall, str]:
    """A call that wakes a phone, and the id under which its app knows it."""
    account = await world.enrol(registrations=2)
    registration = world.registrations(account)[0]
    call = world.pbx.call("alice")
    await world.until(lambda: call.is_ringing)
    (record,) = records(world)
    return account, registration, call, world.switchboard.call_id_for(registration, record)


async def test_the_app_declines_without_any_sip() -> None:
    world = World()
    async with world.running():
        _, registration, _call, call_id = await ringing(world)
        before = world.life(registration).renewed_at
        await world.run_for(5 * SECOND)
        assert world.switchboard.decline(registration, call_id, everywhere=True, status=486)
        await world.run_for(1 * SECOND)
        assert finals(world) == [486]
        (record,) = records(world)
        assert (record.state, record.answered_by) == (CallState.DECLINED, registration.id)
        assert world.life(registration).renewed_at > before, "to decline is to use the app"
        assert not world.switchboard.decline(registration, call_id, everywhere=True, status=486), "it is over"
        await nothing_is_left(world)


async def test_an_app_that_declined_on_this_phone_is_not_rung_when_it_registers() -> None:
    world = World()
    async with world.running():
        account, registration, call, call_id = await ringing(world)
        other = world.registrations(account)[1]
        assert world.switchboard.decline(registration, call_id, everywhere=False, status=603)
        phone = await world.registered(instance=registration.sip_instance)
        awake = await world.registered(address=SECOND_PHONE, instance=other.sip_instance)
        await world.until(lambda: bool(awake.calls))
        assert not phone.calls
        assert call.final == 0
        awake.calls[0].answer()
        await world.until(lambda: awake.calls[0].is_acknowledged)
        assert finals(world) == [200]


async def test_who_waits_is_told_at_once_and_progress_is_written_down() -> None:
    world = World()
    async with world.running():
        _, registration, call, call_id = await ringing(world)
        assert world.switchboard.progress(registration, call_id)
        began = world.clock.now()
        record = await world.do(world.switchboard.wait(registration, call_id, 0))
        assert record is not None
        assert (record.state, world.clock.now()) == (CallState.WAKING, began)
        await world.registered(instance=registration.sip_instance)
        call.cancel()
        record = await world.do(world.switchboard.wait(registration, call_id, 20))
        assert record is not None
        assert record.state == CallState.CANCELLED
        assert not world.switchboard.progress(registration, call_id)
        await world.run_for(1 * SECOND)
        assert "progress" in events(world)


async def test_a_call_is_known_to_its_apps_after_it_has_been_forgotten_here() -> None:
    world = World()
    async with world.running():
        _, registration, call, call_id = await ringing(world)
        await world.until(lambda: call.final > 0)
        await nothing_is_left(world)
        record = world.switchboard.call_of(registration, call_id)
        assert record is not None
        assert record.state == CallState.MISSED
        assert world.switchboard.call_of(registration, "another") is None


# A PBX that repeats itself


async def test_a_pbx_that_repeats_its_invite_and_loses_answers_gets_each_of_them_again() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        asker: Asker = at_pbx(world)
        lost: list[bytes] = []

        def drops(flow: Flow, data: bytes) -> bool:
            is_lost = flow.remote[0] == PBX[0] and data.startswith(b"SIP/2.0") and len(lost) < 3
            if is_lost:
                lost.append(data)
            return is_lost

        world.wire.drops = drops
        handle: ClientTransactionHandle = asker.send(request("INVITE", f"sip:{account.contact_user}@{US[0]}"))
        await world.until(lambda: any(one.status == 180 for one in asker.responses))
        assert len(phone.calls) == 1
        assert parse(lost[0]).status == 100
        handle.cancel()
        await world.until(lambda: any(one.status == 487 for one in asker.responses))
        await nothing_is_left(world)

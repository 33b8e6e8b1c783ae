"""A ringing call over `kill -9`: taken up again with the same tag and the time that is left (sip 10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.system.asking import at_pbx, request
from tests.system.calls_world import PBX, SECOND, US, World
from tests.system.on_the_wire import FIRST, SECOND_PHONE, finals, to_phone, without
from tests.system.stories import events, nothing_is_left, records
from wakerobin.core.call import CallState
from wakerobin.core.sip.message import respond
from wakerobin.core.values import Transport
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone_call import PhoneCall


async def killed_while_it_wakes(world: World, after: int = 5 * SECOND, registrations: int = 1) -> FakeCall:
    """Let a call wait for its phones, and end the server."""
    async with world.running():
        await world.enrol(registrations=registrations)
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        await world.run_for(after)
    world.kill()
    return call


async def test_a_phone_that_was_woken_before_the_restart_gets_the_call_after_it() -> None:
    world = World()
    call = await killed_while_it_wakes(world)
    async with world.running():
        phone = await world.registered()
        await world.until(lambda: bool(phone.calls))
        assert len(world.pushes.sent) == 1, "its push was taken"
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert finals(world) == [200]
        assert [one.status for one in call.responses] == [100, 180, 180, 200]
        assert "resumed" in events(world)
        assert records(world)[0].state == CallState.ANSWERED
        call.hang_up()
        await world.until(lambda: phone.calls[0].is_over)
        await nothing_is_left(world)


async def test_the_call_ends_when_it_would_have_ended_and_with_the_same_tag() -> None:
    world = World()
    call = await killed_while_it_wakes(world, after=20 * SECOND)
    async with world.running():
        began = world.clock.now()
        await world.until(lambda: call.final > 0)
        assert (call.final, round((world.clock.now() - began) / SECOND)) == (480, 10)
        assert len({one.to_tag for one in call.responses if one.status > 100}) == 1
        await nothing_is_left(world)


async def test_a_call_whose_time_is_up_is_480_at_once() -> None:
    world = World()
    call = await killed_while_it_wakes(world)
    await world.run_for(60 * SECOND)
    async with world.running():
        await world.until(lambda: call.final == 480, within=100)
        assert len(world.pushes.sent) == 1
        await nothing_is_left(world)


async def test_a_caller_who_gives_up_after_the_restart_is_answered() -> None:
    world = World()
    call = await killed_while_it_wakes(world)
    async with world.running():
        call.cancel()
        await world.until(lambda: call.final == 487, within=1 * SECOND)
        assert records(world)[0].state == CallState.CANCELLED
        await nothing_is_left(world)


async def test_a_caller_who_gave_up_and_was_not_told_yet_is_told_after_the_restart() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        world.wire.drops = without(FIRST, "CANCEL")
        call.cancel('SIP;cause=200;text="Call completed elsewhere"')
        await world.run_for(1 * SECOND)
        assert call.final == 0
    world.kill()
    world.wire.drops = lambda _flow, _data: False
    async with world.running():
        await world.until(lambda: call.final == 487, within=2 * SECOND)
        assert phone.calls[0].requests[0].get("reason") == 'SIP;cause=200;text="Call completed elsewhere"'
        await nothing_is_left(world)


async def test_a_push_of_which_nobody_knows_whether_it_left_goes_out_again_under_the_same_key() -> None:
    world = World()
    world.pushes.outcome = lambda _message: None
    async with world.running():
        await world.enrol()
        world.pbx.call("alice")
        await world.until(lambda: bool(world.pushes.sent))
        await world.run_for(1 * SECOND)
    world.kill()
    async with world.running():
        first, again = world.pushes.sent
        assert (first.id, first.target) == (again.id, again.target)


async def test_a_phone_that_rings_answers_after_the_restart_by_its_old_branch() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        await world.run_for(40 * SECOND)
    world.kill()
    async with world.running():
        await world.run_for(40 * SECOND)
        assert call.final == 0, "it rings for as long as it would have rung"
        phone.calls[0].answer()
        # Routes by token need the phone's flow again; a real one refreshes or has its Contact.
        await world.do(phone.register())
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert finals(world) == [200]
        assert len(to_phone(world, "INVITE")) == 1
        await nothing_is_left(world)


async def test_a_phone_that_rings_is_cancelled_after_the_restart_as_if_nothing_had_happened() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        await world.run_for(2 * SECOND)
    world.kill()
    async with world.running():
        call.cancel('SIP;cause=200;text="Call completed elsewhere"')
        await world.until(lambda: phone.calls[0].is_cancelled)
        (cancel,), (invite,) = to_phone(world, "CANCEL"), to_phone(world, "INVITE")
        assert (cancel.uri, cancel.branch, cancel.cseq.number) == (
            invite.uri,
            invite.branch,
            invite.cseq.number,
        )
        await world.until(lambda: call.final == 487, within=1 * SECOND)
        await nothing_is_left(world)


@pytest.mark.parametrize("after", [2 * SECOND, 40 * SECOND])
async def test_a_phone_whose_connection_died_with_us_answers_by_a_new_one(after: int) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        await world.run_for(after)
    world.kill()
    async with world.running():
        await world.run_for(3 * SECOND)
        assert call.final == 0, "it may come back by itself"
        phone.calls[0].answer()
        await world.until(lambda: call.final == 200)
        await world.do(phone.register())
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert len(phone.calls) == 1
        assert finals(world) == [200]
        await nothing_is_left(world)


async def test_a_phone_that_comes_back_after_the_restart_rings_once_more_if_it_has_lost_the_call() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
    world.kill()
    async with world.running():
        fresh = await world.registered(address=SECOND_PHONE, transport=Transport.TCP)
        await world.until(lambda: bool(fresh.calls))
        fresh.calls[0].answer()
        await world.until(lambda: fresh.calls[0].is_acknowledged)
        assert call.final == 200


async def test_a_phone_that_had_not_heard_of_the_call_gets_it_after_the_restart() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        world.wire.drops = without(FIRST, "INVITE")
        call = world.pbx.call("alice")
        await world.run_for(3 * SECOND)
    world.kill()
    world.wire.drops = lambda _flow, _data: False
    async with world.running():
        await world.do(phone.register())
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert call.final == 200
        await nothing_is_left(world)


async def test_two_users_who_are_called_under_one_call_id_are_told_apart_by_the_branch() -> None:
    world = World("alice", "bob")
    async with world.running():
        accounts = [await world.enrol("alice"), await world.enrol("bob")]
        asker = at_pbx(world)
        same = request("INVITE", "sip:x@y.example")
        for account in accounts:
            asked = same.copy()
            asked.uri = f"sip:{account.contact_user}@{US[0]}"
            asker.send(asked)
        phone = await world.registered("alice", transport=Transport.TCP)
        other = await world.registered("bob", address=SECOND_PHONE, transport=Transport.TCP)
        await world.until(lambda: bool(phone.calls and other.calls))
    world.kill()
    async with world.running():
        phone.calls[0].answer()
        other.calls[0].decline(404)
        await world.run_for(3 * SECOND)
        ended = {record.account_id: record.state for record in records(world)}
        assert ended == {accounts[0].id: CallState.ANSWERED, accounts[1].id: CallState.MISSED}


async def test_two_phones_one_ringing_and_one_asleep_are_told_apart_after_the_restart() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, second = world.registrations(account)
        one = await world.registered(address=FIRST, instance=second.sip_instance)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls))
        await world.run_for(3 * SECOND)
    world.kill()
    async with world.running():
        other = await world.registered(address=SECOND_PHONE, instance=first.sip_instance)
        await world.until(lambda: bool(other.calls))
        other.calls[0].answer()
        await world.until(lambda: one.calls[0].is_cancelled)
        await world.until(lambda: other.calls[0].is_acknowledged)
        assert finals(world) == [200]
        assert records(world)[0].answered_by == first.id
        assert call.answer is not None
        assert call.answer.contacts[0].uri == other.contact
        await nothing_is_left(world)


async def test_a_phone_that_refused_before_the_restart_is_not_asked_again() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, _ = world.registrations(account)
        one = await world.registered(instance=first.sip_instance)
        one.on_call = PhoneCall.decline
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls))
        await world.run_for(5 * SECOND)
    world.kill()
    async with world.running():
        await world.do(one.register())
        await world.until(lambda: call.final > 0)
        assert len(one.calls) == 1
        assert call.final == 486, "what it said still counts"
        await nothing_is_left(world)


async def test_an_answer_that_came_while_nothing_of_it_was_stored_is_known_by_its_branch() -> None:
    world = World()
    call = await killed_while_it_wakes(world)
    async with world.running():
        phone = await world.registered()
        phone.on_call = lambda _call: None
        held = world.store.read(lambda tx: tx.calls.held())
        await world.until(lambda: bool(phone.calls))
        await world.run_for(1 * SECOND)
    # What the store was told of the offer is lost.
    await world.store.transact(lambda tx: tx.calls.hold(held[0]))
    world.kill()
    async with world.running():
        phone.calls[0].ring()
        await world.run_for(1 * SECOND)
        phone.calls[0].answer()
        await world.until(lambda: call.final == 200)
        assert records(world)[0].state == CallState.ANSWERED
        await world.do(phone.register())
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert len(phone.calls) == 1
        await nothing_is_left(world)


async def test_a_response_that_we_did_not_sign_is_nobody_s() -> None:
    world = World()
    call = await killed_while_it_wakes(world)
    async with world.running():
        phone = await world.registered()
        await world.until(lambda: bool(phone.calls))
        (invite,) = to_phone(world, "INVITE")
        forged = respond(invite, 200, to_tag="evil", headers=[("Contact", "<sip:evil@192.0.2.1>")])
        via = forged.top_via.with_params(branch="z9hG4bK" + "A" * 30)
        forged.replace_first("Via", str(via))
        world.us.arrive(forged.encode(), world.us.flow_to(Transport.UDP, "192.0.2.1", 5060))
        await world.run_for(1 * SECOND)
        assert call.final == 0


async def test_a_pbx_that_sends_its_invite_again_while_we_start_has_one_call() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asker = at_pbx(world)
        asked = request("INVITE", f"sip:{account.contact_user}@{US[0]}")
        asker.send(asked)
        await world.until(lambda: bool(world.pushes.sent))
        await world.run_for(1 * SECOND)
        sent = next(data for _, data in world.wire.messages if data.startswith(b"INVITE"))
    world.kill()
    world.us.arrive(sent, world.us.flow_to(Transport.UDP, *PBX))
    async with world.running():
        phone = await world.registered()
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].decline()
        await world.until(lambda: asker.responses[-1].status == 486)
        assert finals(world) == [486]
        await nothing_is_left(world)


async def test_a_held_call_that_nobody_can_read_keeps_no_other_from_ringing() -> None:
    world = World("alice", "bob")
    async with world.running():
        account = await world.enrol("alice")
        await world.enrol("bob")
        bad, good = world.pbx.call("alice"), world.pbx.call("bob")
        await world.until(lambda: bad.is_ringing and good.is_ringing)
        await world.run_for(1 * SECOND)
        held = {call.account_id: call for call in world.store.read(lambda tx: tx.calls.held())}
    spoilt = replace(held[account.id], branches={**held[account.id].branches, "waiting": [{}]})
    await world.store.transact(lambda tx: tx.calls.hold(spoilt))
    world.kill()
    async with world.running():
        await world.until(lambda: bad.final == 487, within=1 * SECOND)
        await world.until(lambda: good.final == 480)
        await nothing_is_left(world)


async def test_a_call_that_was_answered_goes_on_over_a_restart() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        await world.run_for(1 * SECOND)
    world.kill()
    world.wire.drops = without(FIRST, "OPTIONS")
    async with world.running():
        await world.do(phone.register())
        call.send("INVITE")
        await world.until(lambda: bool(call.replies))
        assert call.replies[0].status == 200
        phone.calls[0].hang_up()
        await world.until(lambda: call.is_over)

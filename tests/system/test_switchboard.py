"""Calls through the whole switchboard: who rings when, who is pushed, how it ends, what is written down."""

from __future__ import annotations

import pytest

from tests.system.asking import at_pbx, request
from tests.system.calls_world import MINUTE, SECOND, US, World
from tests.system.stories import events, nothing_is_left, records, rows
from wakerobin.core.call import CallPolicy, CallState
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, Rejected, TargetGone
from wakerobin.core.sip.message import parse, respond
from wakerobin.core.values import Ended, Transport
from wakerobin.testing.pbx_call import FakeCall


def statuses(call: FakeCall) -> list[int]:
    """What the PBX got for its INVITE, in order."""
    return [response.status for response in call.responses]


async def pushed(world: World, count: int = 1) -> None:
    """So many call pushes have left."""
    await world.until(lambda: len(world.pushes.sent) >= count)


# A sleeping phone


async def test_a_sleeping_phone_is_woken_rings_and_talks() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        renewed_at = world.life(registration).renewed_at
        await world.run_for(5 * MINUTE)
        call = world.pbx.call("alice", caller="bob", display="Bob")
        await world.until(lambda: call.is_ringing)
        (push,) = world.pushes.sent
        assert push.target.registration_id == registration.id
        assert statuses(call) == [100, 180], "the caller hears ringing as soon as the push was taken"
        phone = await world.registered()
        await world.until(lambda: bool(phone.calls))
        await world.run_for(3 * SECOND)
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert statuses(call) == [100, 180, 180, 200]
        ours, phones, final = call.responses[1:]
        assert ours.to_tag != phones.to_tag == final.to_tag
        assert events(world) == [
            "invite",
            "push-sent",
            "push-accepted",
            "ringback",
            "phone-connected",
            "offered",
            "ringing",
            "answered",
        ]
        (record,) = records(world)
        assert (record.state, record.answered_by) == (CallState.ANSWERED, registration.id)
        assert record.caller["name"] == "Bob"
        assert world.life(registration).renewed_at > renewed_at
        call.hang_up()
        await nothing_is_left(world)


async def test_our_own_180_says_no_more_than_that_it_rings() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asker = at_pbx(world)
        edges = ("Record-Route", "<sip:edge@198.51.100.20;lr>, <sip:198.51.100.9;lr>")
        headers = (edges, ("Supported", "100rel, timer"), ("Allow", "INVITE"))
        asker.send(request("INVITE", f"sip:{account.contact_user}@{US[0]}", *headers))
        await world.until(lambda: [one.status for one in asker.responses] == [100, 180])
        ringing = asker.responses[-1]
        assert ringing.values("record-route") == ["<sip:edge@198.51.100.20;lr>", "<sip:198.51.100.9;lr>"]
        assert ringing.to_tag
        for name in ("contact", "allow", "supported", "require", "rseq"):
            assert not ringing.has(name), name
        assert ringing.body == b""
        await world.until(lambda: asker.responses[-1].status == 480)
        assert asker.responses[-1].to_tag == ringing.to_tag


async def test_the_answer_renews_the_life_of_the_phone_that_took_the_call() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, second = world.registrations(account)
        phone = await world.registered(instance=second.sip_instance)
        await world.run_for(4 * MINUTE)
        before = world.life(first).renewed_at, world.life(second).renewed_at
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].answer()
        await world.until(lambda: call.final == 200)
        await world.run_for(1 * SECOND)
        assert world.life(first).renewed_at == before[0]
        assert world.life(second).renewed_at > before[1]


async def test_a_phone_that_is_awake_rings_at_once_and_needs_no_push() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing, within=100)
        assert phone.calls
        await world.run_for(60 * SECOND)
        assert not world.pushes.sent
        assert statuses(call) == [100, 180]


@pytest.mark.parametrize(("transport", "is_told"), [(Transport.UDP, True), (Transport.TCP, False)])
async def test_an_invite_that_is_large_for_a_datagram_leaves_all_the_same_and_is_told(
    transport: Transport, is_told: bool
) -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered(transport=transport)
        asked = request("INVITE", f"sip:{account.contact_user}@{US[0]}", ("X-Long", "x" * 1200))
        at_pbx(world).send(asked)
        await world.until(lambda: bool(phone.calls))
        await world.run_for(1 * SECOND)
        assert ("too-large" in events(world)) is is_told


async def test_we_add_no_more_than_three_hundred_octets_to_an_invite() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        came = next(data for flow, data in world.wire.messages if flow.remote == US and b"INVITE sip" in data)
        went = next(
            data
            for flow, data in world.wire.messages
            if flow.remote[0] == "203.0.113.5" and data[:6] == b"INVITE"
        )
        assert len(went) - len(came) <= 300


async def test_a_phone_with_an_open_connection_that_sleeps_is_pushed_at_the_same_time() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        await world.run_for(16 * SECOND)
        world.wire.drops = lambda flow, _data: flow.remote[0] == "203.0.113.5"
        world.pbx.call("alice")
        await pushed(world)
        assert [m for m in world.sent_to("203.0.113.5") if m.method == "INVITE"]
        await world.run_for(4 * SECOND)
        world.wire.drops = lambda _flow, _data: False
        asleep = len(world.sent_to("203.0.113.5"))
        await world.do(phone.register())
        await world.until(lambda: bool(phone.calls), within=100)
        invites = [m for m in world.sent_to("203.0.113.5")[asleep:] if m.method == "INVITE"]
        assert len(invites) == 1, "it gets the same INVITE at once, not at the end of timer A"
        assert len(phone.calls) == 1


async def test_a_phone_on_a_dead_flow_is_pushed_after_a_second_and_rings_on_its_new_one() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        world.move(phone, "203.0.113.79")
        call = world.pbx.call("alice")
        await world.run_for(900)
        assert not world.pushes.sent
        await pushed(world)
        await world.do(phone.register())
        await world.until(lambda: bool(phone.calls))
        to_old = len(world.sent_to("203.0.113.5"))
        phone.calls[0].answer()
        await world.until(lambda: call.final == 200)
        await world.run_for(40 * SECOND)
        assert len(world.sent_to("203.0.113.5")) == to_old, "nothing is repeated to the flow that it had"
        await nothing_is_left(world)


async def test_a_phone_that_was_suspended_with_its_connection_rings_once_whichever_copy_it_reads_first() -> (
    None
):
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        await world.run_for(20 * SECOND)
        held_back: list[bytes] = []

        def keep(flow_remote: str, data: bytes) -> bool:
            is_kept = flow_remote == "203.0.113.5" and data.startswith(b"INVITE")
            if is_kept:
                held_back.append(data)
            return is_kept

        world.wire.drops = lambda flow, data: keep(flow.remote[0], data)
        call = world.pbx.call("alice")
        await pushed(world)
        old = phone.endpoint
        world.move(phone, "203.0.113.79")
        await world.do(phone.register())
        await world.until(lambda: bool(phone.calls))
        # Now the app reads what its old socket had taken; it has that call, and says so (8.2.2.2).
        world.wire.drops = lambda _flow, _data: False
        old.is_down = False  # type: ignore[attr-defined]  # an endpoint of the wire
        merged = respond(parse(held_back[0]), 482, "Merged Request", to_tag="old")
        old.send(old.flow_to(phone.transport, *US), merged.encode())
        await world.run_for(1 * SECOND)
        assert call.final == 0
        assert [m.to_tag for m in world.sent_to("203.0.113.5") if m.method == "ACK"] == [merged.to_tag]
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert call.final == 200


# Nobody comes


async def test_nobody_comes_and_the_caller_is_told_why_and_no_push_leaves_any_more() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        call = world.pbx.call("alice")
        await world.until(lambda: call.final > 0)
        assert statuses(call) == [100, 180, 480]
        final = call.responses[-1].message
        assert final.get("reason") == 'SIP;cause=480;text="No phone came within the wake timeout"'
        (record,) = records(world)
        assert (record.state, record.ended_at - record.started_at) == (CallState.MISSED, 30 * SECOND)
        (registration,) = world.registrations(account)
        assert world.pushes.over == [world.switchboard.call_id_for(registration, record)]
        assert events(world)[-1] == "missed"
        await nothing_is_left(world)


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (TargetGone("Unregistered"), "APNS says that the app is gone (Unregistered)"),
        (Rejected('Bad "thing"\r\nX: 1'), 'APNS refuses the push (Bad "thing"\r\nX: 1)'),
        (Rejected("half \ud800 pair"), "APNS refuses the push (half \ufffd\ufffd\ufffd pair)"),
    ],
)
async def test_a_push_that_is_refused_ends_the_call_at_once(outcome: Outcome, why: str) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        world.pushes.outcome = lambda _message: outcome
        call = world.pbx.call("alice")
        await world.until(lambda: call.final > 0, within=1 * SECOND)
        assert statuses(call) == [100, 480], "the caller never heard ringing"
        final = call.responses[-1].message
        assert not final.has("X"), "what a push service says adds no header"
        assert (final.get("reason") or "").startswith('SIP;cause=480;text="APNS ')
        await world.run_for(1 * SECOND)
        assert {row.event: row.details for row in rows(world)}["push-failed"] == {"reason": why}
        assert records(world)[0].reason == why
        await nothing_is_left(world)


async def test_a_refused_push_leaves_the_other_phone_its_time() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, _ = world.registrations(account)

        def outcome(message: PushMessage) -> Outcome:
            is_first = message.target.registration_id == first.id
            return Rejected("BadDeviceToken") if is_first else Accepted()

        world.pushes.outcome = outcome
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing, within=1 * SECOND)
        await world.until(lambda: call.final > 0)
        assert records(world)[0].ended_at - records(world)[0].started_at == 30 * SECOND


async def test_an_account_without_anybody_to_wake_is_480_at_once() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        (target,) = world.store.read(lambda tx: tx.targets.of_registration(registration.id))
        await world.store.transact(lambda tx: tx.targets.remove(target.id))
        call = world.pbx.call("alice")
        await world.until(lambda: call.final == 480, within=100)
        await nothing_is_left(world)


async def test_a_phone_without_push_target_whose_connection_breaks_ends_the_call_and_breaks_nothing() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        await world.registered(instance=registration.sip_instance)
        (target,) = world.store.read(lambda tx: tx.targets.of_registration(registration.id))
        await world.store.transact(lambda tx: tx.targets.remove(target.id))
        world.wire.drops = lambda flow, _data: flow.remote[0] == "203.0.113.5"
        call = world.pbx.call("alice")
        await world.until(lambda: call.final == 480)
        assert not world.pushes.sent
        await nothing_is_left(world)


async def test_a_phone_that_rings_and_is_not_answered_is_cancelled_with_the_reason() -> None:
    world = World(call=CallPolicy(ring_timeout=40.0))
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: call.final > 0)
        assert call.final == 480
        (cancel,) = phone.calls[0].requests
        assert cancel.get("reason") == 'SIP;cause=480;text="Nobody answered"'
        await nothing_is_left(world)


async def test_a_call_that_may_ring_for_minutes_shows_a_sign_of_life_each_minute() -> None:
    world = World(call=CallPolicy(wake_timeout=400.0, ring_timeout=400.0))
    async with world.running():
        await world.enrol()
        call = world.pbx.call("alice")
        await world.run_for(185 * SECOND)
        assert statuses(call) == [100, 180, 180, 180, 180]
        assert len({one.to_tag for one in call.responses[1:]}) == 1
        phone = await world.registered()
        await world.until(lambda: bool(phone.calls))
        seen = len(call.responses)
        await world.run_for(130 * SECOND)
        assert len(call.responses) == seen, "after its own 180 ours stop"
        assert events(world).count("ringback") == 1


# One call, one Call-ID


async def test_the_same_call_twice_is_a_merged_request_with_a_tag() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asker = at_pbx(world)
        asked = request("INVITE", f"sip:{account.contact_user}@{US[0]}")
        asker.send(asked)
        await pushed(world)
        second = await asker.ask(asked, within=1 * SECOND)
        assert second.status == 482
        assert second.to_tag
        assert len(world.pushes.sent) == 1


async def test_a_pbx_that_tries_again_under_the_same_call_id_gets_a_new_call() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asker = at_pbx(world)
        asked = request("INVITE", f"sip:{account.contact_user}@{US[0]}")
        assert (await asker.ask(asked)).status == 480
        phone = await world.registered()
        asker.send(asked)
        await world.until(lambda: bool(phone.calls))
        phone.calls[0].decline(486)
        await world.until(lambda: asker.responses[-1].status == 486)
        await nothing_is_left(world)
        assert records(world)[0].reason == "Busy Here"


async def test_a_late_answer_to_a_former_try_does_not_touch_the_present_one() -> None:
    world = World(call=CallPolicy(ring_timeout=20.0))
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        phone = await world.registered()
        asker = at_pbx(world)
        asked = request("INVITE", f"sip:{account.contact_user}@{US[0]}")
        world.wire.drops = lambda flow, data: flow.remote[0] == "203.0.113.5" and data.startswith(b"CANCEL")
        assert (await asker.ask(asked)).status == 480
        former = phone.calls[0]
        asker.send(asked)
        await world.until(lambda: len(phone.calls) == 2)
        former.answer()
        await world.run_for(2 * SECOND)
        assert [m.method for m in world.sent_to("203.0.113.5") if m.method == "BYE"] == ["BYE"]
        (record,) = records(world)
        assert record.state == CallState.OFFERED
        assert len(world.store.read(lambda tx: tx.calls.held())) == 1
        call_id = world.switchboard.call_id_for(registration, record)
        assert world.switchboard.decline(registration, call_id, everywhere=True, status=486)
        await world.until(lambda: asker.responses[-1].status == 486)


async def test_octets_that_are_no_text_are_taken_and_written_down() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        asker = at_pbx(world)
        phone = await world.registered()
        odd = [("From", '"B\udcf6b" <sip:b\udcf6b@x.example>;tag=t\udcff'), ("Call-ID", "c\udcfe")]
        phone.transactions.on_request = lambda one: one.respond(
            respond(one.request, 486, "B\udcfcsy", to_tag="x")
        )
        asker.send(request("INVITE", f"sip:{account.contact_user}@{US[0]}", *odd))
        await world.until(lambda: asker.responses[-1].status == 486)
        assert asker.responses[-1].reason == "B\udcfcsy", "to the PBX, byte for byte"
        await world.run_for(1 * SECOND)
        assert records(world)[0].reason == "B\ufffdsy"
        assert records(world)[0].caller["name"] == "B\ufffdb"


# Lives that end meanwhile


async def test_a_registration_that_is_deleted_while_its_phone_rings_ends_nothing() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        await world.lives.end(registration.id, Ended.DELETED)
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert call.final == 200
        call.hang_up()
        await world.until(lambda: any(one.method == "BYE" for one in phone.calls[0].requests))
        await nothing_is_left(world)
        assert records(world)[0].state == CallState.ANSWERED


# What cannot be written


async def test_a_fault_while_a_call_is_stored_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("alice", "bob")
    async with world.running():
        await world.enrol("alice")
        await world.enrol("bob")
        phone = await world.registered("alice")
        with monkeypatch.context() as faults:
            faults.setattr(world.lives, "use_in", fault)
            broken = world.pbx.call("alice")
            await world.until(lambda: bool(phone.calls))
            phone.calls[0].answer()
            await world.until(lambda: broken.final == 200)
            await world.run_for(1 * SECOND)
        other = world.pbx.call("bob")
        await world.until(lambda: other.final == 480)
        await world.run_for(1 * SECOND)
        assert CallState.MISSED in [record.state for record in records(world)]


def fault(*_: object) -> None:
    raise RuntimeError("a bug")

"""The services of RFC 5359 that a PBX and its phones make through the switchboard; numbered as there.

Transfers (2.4 to 2.6), conferences and pick-up are requests within dialogs: the relay's tests have those.
"""

from __future__ import annotations

from tests.system.calls_world import SECOND, World
from tests.system.dialogs import talking
from tests.system.on_the_wire import ELSEWHERE, finals, two_phones
from tests.system.stories import nothing_is_left
from wakerobin.core.call import CallPolicy
from wakerobin.core.sip.message import respond
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone_call import SDP, PhoneCall

HELD = SDP.replace(b"a=sendrecv", b"a=inactive")
WITH_SDP = [("Content-Type", "application/sdp")]


async def hold(world: World, call: FakeCall, there: PhoneCall, body: bytes) -> None:
    """Let the phone change the session, and see that the PBX gets just that."""
    count, answers = len(call.requests), len(there.responses)
    there.request("INVITE", WITH_SDP, body)
    await world.until(lambda: len(call.requests) > count)
    assert call.requests[-1].body == body
    await world.until(lambda: any(one.status == 200 for one in there.responses[answers:]))


async def test_2_1_call_hold() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, there = await talking(world, phone)
        await hold(world, call, there, HELD)
        await world.run_for(60 * SECOND)
        await hold(world, call, there, SDP)
        call.hang_up()
        await world.until(lambda: there.is_over)
        await nothing_is_left(world)


async def test_2_2_consultation_hold() -> None:
    """The phone holds one call, asks somebody else, and goes back."""
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call, there = await talking(world, phone)
        await hold(world, call, there, HELD)
        asked = phone.dial("200")
        await world.until(lambda: asked.answered_with is not None)
        asked.hang_up()
        await world.until(lambda: world.pbx.taken[asked.call_id].is_over)
        await hold(world, call, there, SDP)
        there.hang_up()
        await world.until(lambda: call.is_over)
        await nothing_is_left(world)


async def test_2_7_call_forwarding_unconditional() -> None:
    """By a 3xx of the phone, which the PBX gets and follows by itself, once all phones have spoken."""
    world = World()
    async with world.running():
        one, other = await two_phones(world)
        there = ("Contact", "<sip:carol@pbx.test>;q=1.0")

        def forwards(transaction: ServerTransactionHandle) -> None:
            transaction.respond(respond(transaction.request, 302, to_tag="fwd", headers=[there]))

        one.transactions.on_request = forwards
        other.on_call = PhoneCall.decline
        call = world.pbx.call("alice")
        await world.until(lambda: call.final > 0)
        assert finals(world) == [302], "the lowest class of what the phones said (16.7 step 6)"
        assert call.responses[-1].message.values("contact") == [there[1]]
        await nothing_is_left(world)


async def test_2_8_call_forwarding_busy() -> None:
    """The PBX forwards on 486, which it gets once every phone is busy and not before."""
    world = World()
    async with world.running():
        one, other = await two_phones(world)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls and other.calls))
        one.calls[0].decline(486)
        await world.run_for(5 * SECOND)
        assert call.final == 0
        other.calls[0].decline(486)
        await world.until(lambda: call.final == 486, within=SECOND)
        await nothing_is_left(world)


async def test_2_9_call_forwarding_no_answer() -> None:
    """The PBX forwards when its own time is up: it cancels, and may call the next one at once."""
    world = World(call=CallPolicy(ring_timeout=20.0))
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        await world.until(lambda: call.final == 480)
        assert phone.calls[0].is_cancelled
        again = world.pbx.call("alice", display="Forwarded")
        await world.until(lambda: len(phone.calls) == 2)
        again.cancel('SIP;cause=302;text="Moved Temporarily"')
        await world.until(lambda: again.final == 487)
        assert phone.calls[1].requests[0].get("reason") == 'SIP;cause=302;text="Moved Temporarily"'
        await nothing_is_left(world)


async def test_2_12_find_me() -> None:
    """Phones in many places, one awake, one woken: they ring as they come, and the one that is found wins."""
    world = World()
    async with world.running():
        account = await world.enrol(registrations=3)
        places = [one.sip_instance for one in world.registrations(account)]
        home = await world.registered(address="203.0.113.5", instance=places[0])
        call = world.pbx.call("alice")
        await world.until(lambda: bool(home.calls))
        mobile = await world.registered(address="203.0.113.6", instance=places[1])
        await world.until(lambda: bool(mobile.calls))
        mobile.calls[0].answer()
        await world.until(lambda: mobile.calls[0].is_acknowledged)
        await world.until(lambda: home.calls[0].is_cancelled)
        late = await world.registered(address="203.0.113.7", instance=places[2])
        await world.run_for(SECOND)
        assert late.calls == []
        assert finals(world) == [200]
        call.hang_up()
        await nothing_is_left(world)


async def test_a_line_with_several_extensions_stops_ringing_wherever_it_was_not_answered() -> None:
    world = World()
    async with world.running():
        one, other = await two_phones(world)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls and other.calls))
        one.calls[0].answer()
        await world.until(lambda: other.calls[0].is_cancelled)
        assert other.calls[0].requests[0].get("reason") == ELSEWHERE
        second = world.pbx.call("alice", display="Carol")
        await world.until(lambda: len(one.calls) == len(other.calls) == 2)
        one.calls[1].decline(486)  # it talks
        other.calls[1].answer()
        await world.until(lambda: other.calls[1].is_acknowledged)
        assert not one.calls[0].is_over
        for each in (call, second):
            each.hang_up()
        await world.until(lambda: one.calls[0].is_over and other.calls[1].is_over)
        await nothing_is_left(world)

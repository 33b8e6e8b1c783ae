"""The caller gives up, in every phase of a call: 487 soon, once, and no phone rings on (sip 12)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.system.calls_world import PBX, SECOND, World
from tests.system.on_the_wire import ELSEWHERE, FIRST, finals, to_phone, without
from tests.system.stories import nothing_is_left, records
from wakerobin.core.call import CallPolicy, CallState
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone_call import PhoneCall


def silent(call: PhoneCall) -> None:
    """A phone that says 100 and nothing else."""


async def before_the_push_was_taken(world: World, call: FakeCall) -> None:
    world.pushes.outcome = lambda _message: None
    await world.until(lambda: bool(world.pushes.sent))


async def while_the_phone_wakes(world: World, call: FakeCall) -> None:
    await world.until(lambda: call.is_ringing)


async def before_the_phone_has_said_anything(world: World, call: FakeCall) -> None:
    await world.until(lambda: call.is_ringing)
    await world.registered()
    world.wire.drops = without(FIRST, "INVITE")


async def while_the_phone_only_tries(world: World, call: FakeCall) -> None:
    await world.until(lambda: call.is_ringing)
    phone = await world.registered()
    phone.on_call = silent
    await world.run_for(100)


async def while_the_phone_rings(world: World, call: FakeCall) -> None:
    await world.until(lambda: call.is_ringing)
    phone = await world.registered()
    await world.until(lambda: bool(phone.calls))


@pytest.mark.parametrize(
    "phase",
    [
        before_the_push_was_taken,
        while_the_phone_wakes,
        before_the_phone_has_said_anything,
        while_the_phone_only_tries,
        while_the_phone_rings,
    ],
)
async def test_a_caller_who_gives_up_hears_487_soon_and_no_phone_rings_on(
    phase: Callable[[World, FakeCall], Awaitable[None]],
) -> None:
    world = World()
    async with world.running():
        await world.enrol()
        call = world.pbx.call("alice")
        await phase(world, call)
        ringing = next((one.to_tag for one in call.responses if one.status == 180), "")
        call.cancel('Q.850;cause=16;text="Normal call clearing"')
        await world.until(lambda: call.final > 0, within=200)
        assert finals(world) == [487]
        world.wire.drops = lambda _flow, _data: False
        await world.run_for(40 * SECOND)
        assert finals(world) == [487]
        (record,) = records(world)
        assert record.state == CallState.CANCELLED
        for at_phone in to_phone(world, "CANCEL"):
            assert at_phone.get("reason") == 'Q.850;cause=16;text="Normal call clearing"'
        assert len(to_phone(world, "INVITE")) == len(to_phone(world, "CANCEL"))
        ok = [m for m in world.sent_to(PBX[0]) if not m.is_request and m.cseq.method == "CANCEL"]
        assert {m.status for m in ok} == {200}
        if phase is while_the_phone_wakes:
            assert ok[0].to_tag == call.responses[-1].to_tag == ringing
        await nothing_is_left(world)


async def test_a_phone_that_wakes_after_the_caller_gave_up_is_not_rung() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        call = world.pbx.call("alice")
        await world.until(lambda: call.is_ringing)
        call.cancel()
        await world.until(lambda: call.final == 487)
        phone = await world.registered()
        await world.run_for(2 * SECOND)
        assert not phone.calls


async def test_an_answer_that_crosses_the_cancel_goes_to_the_pbx() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        world.wire.drops = without(FIRST, "CANCEL")
        call.cancel()
        await world.run_for(500)
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert finals(world) == [200]
        assert records(world)[0].state == CallState.ANSWERED
        call.hang_up()
        await world.until(lambda: phone.calls[0].is_over)
        await nothing_is_left(world)


async def test_an_answer_after_our_487_is_acknowledged_and_ended_with_the_caller_s_reason() -> None:
    world = World()
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        world.wire.drops = without(FIRST, "CANCEL")
        call.cancel(ELSEWHERE)
        await world.run_for(1900)
        assert call.final == 0, "it rang, so it is given two seconds"
        await world.run_for(200)
        assert call.final == 487
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_over)
        assert phone.calls[0].is_acknowledged
        (bye,) = to_phone(world, "BYE")
        assert bye.get("reason") == ELSEWHERE
        assert finals(world) == [487]
        await nothing_is_left(world)


async def test_an_answer_that_crosses_the_end_of_ringing_is_acknowledged_and_ended() -> None:
    world = World(call=CallPolicy(ring_timeout=20.0))
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        world.wire.drops = without(FIRST, "CANCEL")
        await world.until(lambda: call.final == 480)
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_over)
        (bye,) = to_phone(world, "BYE")
        assert bye.get("reason") == 'SIP;cause=480;text="Nobody answered"'
        assert finals(world) == [480]
        await nothing_is_left(world)

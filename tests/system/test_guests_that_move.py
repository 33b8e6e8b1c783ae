"""A phone that never enrolled, rings and moves: it can answer, and it stops ringing when the call is over."""

from __future__ import annotations

import pytest

from tests.system.calls_world import SECOND, World
from tests.system.guests_world import arrived, sponsored, stored, told
from tests.system.on_the_wire import to_phone
from wakerobin.core.values import Transport
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.wire import WireEndpoint

LTE = "203.0.113.77"
GAVE_UP = 'Q.850;cause=16;text="Normal call clearing"'


async def rings(world: World, transport: Transport) -> FakePhone:
    """Return a guest's phone that rings."""
    phone = await arrived(world, transport=transport)
    world.pbx.call("alice")
    await world.until(lambda: bool(phone.calls))
    await world.run_for(500)
    return phone


def leave(phone: FakePhone) -> None:
    """Take a phone into another network, with all that it knows; the old one says nothing of that."""
    assert isinstance(phone.endpoint, WireEndpoint)
    phone.endpoint.roam(LTE)


async def move(world: World, phone: FakePhone) -> None:
    """Let a phone come by another network."""
    leave(phone)
    await world.do(phone.register())
    await world.run_for(200)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_guest_that_moves_while_it_rings_goes_on_ringing_once_and_answers(
    transport: Transport,
) -> None:
    world = sponsored()
    async with world.running():
        phone = await rings(world, transport)
        (call,) = world.pbx.calls.values()
        await move(world, phone)
        assert len(phone.calls) == 1, "the copy that came there is a repetition"
        first, again = to_phone(world, "INVITE"), to_phone(world, "INVITE", LTE)
        assert again
        assert [one.branch for one in first] == [one.branch for one in again]
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert call.final == 200
        call.hang_up()
        await world.until(lambda: phone.calls[0].is_over)
        await world.run_for(SECOND)
        (guest,) = stored(world)
        assert "phone-moved" in told(world, guest)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize("is_late", [False, True])
async def test_the_cancel_follows_a_guest_that_moved(transport: Transport, is_late: bool) -> None:
    """The caller gives up before the phone is there again, or after."""
    world = sponsored()
    async with world.running():
        phone = await rings(world, transport)
        (call,) = world.pbx.calls.values()
        if not is_late:
            await move(world, phone)
            call.cancel(GAVE_UP)
        else:
            leave(phone)
            call.cancel(GAVE_UP)
            await world.run_for(3 * SECOND)
            assert not phone.calls[0].is_cancelled
            await world.do(phone.register())
        await world.until(lambda: phone.calls[0].is_cancelled, within=SECOND)
        assert [one.get("reason") for one in to_phone(world, "CANCEL", LTE)] == [GAVE_UP]
        assert call.final == 487
        assert len(phone.calls) == 1

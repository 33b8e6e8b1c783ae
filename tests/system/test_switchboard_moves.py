"""A phone that rings and moves, or wakes late: it can answer, and it stops ringing when the call is over."""

from __future__ import annotations

import pytest

from tests.system.calls_world import MINUTE, PBX, SECOND, US, World
from tests.system.on_the_wire import ELSEWHERE, FIRST, SECOND_PHONE, finals, to_phone, two_phones, without
from tests.system.stories import events, nothing_is_left, records
from wakerobin.core.call import CallPolicy, CallState
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Flow, Transport
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.wire import WireEndpoint

LTE = "203.0.113.77"
GAVE_UP = 'Q.850;cause=16;text="Normal call clearing"'


async def rings(world: World, **options: Transport) -> FakePhone:
    """Return the one phone of the account, which rings."""
    await world.enrol()
    phone = await world.registered(**options)
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


def to_the_pbx(world: World, status: int) -> list[Message]:
    return [m for m in world.sent_to(PBX[0]) if not m.is_request and m.status == status]


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_phone_that_moves_while_it_rings_goes_on_ringing_once_and_answers(
    transport: Transport,
) -> None:
    world = World()
    async with world.running():
        phone = await rings(world, transport=transport)
        (call,) = world.pbx.calls.values()
        await move(world, phone)
        assert len(phone.calls) == 1, "the copy that came there is a repetition"
        first, again = to_phone(world, "INVITE"), to_phone(world, "INVITE", LTE)
        assert [one.branch for one in first] == [one.branch for one in again]
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        assert finals(world) == [200]
        assert "phone-moved" in events(world)
        call.hang_up()
        await world.until(lambda: phone.calls[0].is_over)
        await nothing_is_left(world)


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize("is_late", [False, True])
async def test_the_cancel_follows_a_phone_that_moved(transport: Transport, is_late: bool) -> None:
    """The caller gives up before the phone is there again, or after."""
    world = World()
    async with world.running():
        phone = await rings(world, transport=transport)
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
        assert phone.calls[0].is_over
        assert [one.get("reason") for one in to_phone(world, "CANCEL", LTE)] == [GAVE_UP]
        assert finals(world) == [487]
        assert len(phone.calls) == 1
        await nothing_is_left(world)


async def test_a_loser_that_moved_while_another_answered_hears_of_it() -> None:
    world = World()
    async with world.running():
        one, other = await two_phones(world)
        world.pbx.call("alice")
        await world.until(lambda: bool(one.calls and other.calls))
        await world.run_for(SECOND)
        leave(other)
        one.calls[0].answer()
        await world.until(lambda: one.calls[0].is_acknowledged)
        await world.do(other.register())
        await world.until(lambda: other.calls[0].is_cancelled, within=SECOND)
        assert [m.get("reason") for m in to_phone(world, "CANCEL", LTE)] == [ELSEWHERE]
        one.calls[0].hang_up()
        await nothing_is_left(world)


async def test_an_app_that_was_killed_while_it_rang_and_starts_anew_gets_the_call_again() -> None:
    world = World()
    async with world.running():
        account = await world.enrol()
        (registration,) = world.registrations(account)
        phone = await world.registered(transport=Transport.TCP, instance=registration.sip_instance)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(phone.calls))
        assert isinstance(phone.endpoint, WireEndpoint)
        phone.endpoint.cut_all()
        phone.endpoint.is_down = True
        anew = await world.registered(
            address=SECOND_PHONE, transport=Transport.TCP, instance=registration.sip_instance
        )
        await world.until(lambda: bool(anew.calls), within=SECOND)
        anew.calls[0].answer()
        await world.until(lambda: anew.calls[0].is_acknowledged)
        assert call.final == 200
        assert records(world)[0].answered_by == registration.id
        call.hang_up()
        await nothing_is_left(world)


# A socket that an app slept on


class Asleep:
    """The network card of a suspended app: takes all that comes, and shows it when the app goes on."""

    def __init__(self, phone: FakePhone) -> None:
        self.kept: list[tuple[bytes, Flow]] = []
        endpoint = phone.endpoint
        assert isinstance(endpoint, WireEndpoint)
        self._endpoint, self._arrive = endpoint, endpoint.arrive
        endpoint.arrive = lambda data, flow: self.kept.append((data, flow))  # type: ignore[method-assign]  # the kernel's part

    def read(self) -> None:
        self._endpoint.arrive = self._arrive  # type: ignore[method-assign]
        for data, flow in self.kept:
            self._arrive(data, flow)


@pytest.mark.parametrize("seconds", [10, 50, 600])
async def test_an_app_that_reads_an_old_invite_long_after_the_call_is_stopped_at_once(seconds: int) -> None:
    world = World(call=CallPolicy(wake_timeout=5.0))
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        await world.run_for(20 * SECOND)
        asleep = Asleep(phone)
        call = world.pbx.call("alice")
        await world.run_for(2 * SECOND)
        call.cancel(GAVE_UP)
        await world.until(lambda: call.final == 487)
        await world.run_for(seconds * SECOND)
        assert [data[:6] for data, _ in asleep.kept] == [b"INVITE"], "nothing may cancel it before it speaks"
        asleep.read()
        await world.until(lambda: phone.calls[0].is_cancelled, within=SECOND)
        assert phone.calls[0].is_over
        assert phone.calls[0].requests[0].get("reason") == GAVE_UP
        assert finals(world) == [487]
        await nothing_is_left(world)


async def test_an_app_that_answers_a_forgotten_call_is_hung_up() -> None:
    world = World(call=CallPolicy(wake_timeout=5.0))
    async with world.running():
        await world.enrol()
        phone = await world.registered(transport=Transport.TCP)
        phone.on_call = lambda call: call.answer()
        await world.run_for(20 * SECOND)
        asleep = Asleep(phone)
        call = world.pbx.call("alice")
        await world.until(lambda: call.final == 480, within=MINUTE)
        await world.run_for(5 * MINUTE)
        asleep.read()
        await world.until(lambda: phone.calls[0].is_over, within=SECOND)
        assert phone.calls[0].is_acknowledged
        (bye,) = to_phone(world, "BYE")
        assert "No phone came within the wake timeout" in (bye.get("reason") or "")
        assert finals(world) == [480]
        await nothing_is_left(world)


async def test_an_app_that_reads_the_old_copy_of_a_call_that_another_phone_took_hears_so() -> None:
    world = World()
    async with world.running():
        account = await world.enrol(registrations=2)
        first, second = world.registrations(account)
        one = await world.registered(address=FIRST, instance=first.sip_instance)
        other = await world.registered(
            address=SECOND_PHONE, instance=second.sip_instance, transport=Transport.TCP
        )
        asleep = Asleep(other)
        call = world.pbx.call("alice")
        await world.until(lambda: bool(one.calls))
        one.calls[0].answer()
        await world.until(lambda: one.calls[0].is_acknowledged)
        await world.run_for(5 * MINUTE)
        asleep.read()
        await world.until(lambda: other.calls[0].is_cancelled, within=SECOND)
        assert other.calls[0].requests[0].get("reason") == ELSEWHERE
        call.hang_up()
        await nothing_is_left(world)


async def test_a_phone_that_repeats_the_answer_of_a_call_that_is_up_is_not_hung_up() -> None:
    world = World()
    async with world.running():
        phone = await rings(world)
        (call,) = world.pbx.calls.values()
        phone.calls[0].answer()
        await world.until(lambda: phone.calls[0].is_acknowledged)
        await world.run_for(2 * MINUTE)
        assert len(world.switchboard) == 0
        answer = phone.calls[0].answered_with
        assert answer is not None
        phone.endpoint.send(phone.flow, answer.encode())
        await world.run_for(SECOND)
        assert not to_phone(world, "BYE")
        assert not to_phone(world, "CANCEL")
        call.hang_up()
        await nothing_is_left(world)


async def test_what_somebody_makes_up_stops_nothing() -> None:
    """A response whose branch we did not make is nobody's, whatever call it names."""
    world = World()
    async with world.running():
        phone = await rings(world)
        (call,) = world.pbx.calls.values()
        call.cancel()
        await nothing_is_left(world)
        invite = to_phone(world, "INVITE")[0]
        forged = Message.response(180, "Ringing")
        via = (invite.values("via")[0]).replace(invite.branch or "", "z9hG4bKmadeup")
        forged.add("Via", via)
        for name in ("From", "To", "Call-ID", "CSeq"):
            forged.add(name, invite.get(name) or "")
        before = len(world.sent_to(FIRST))
        phone.endpoint.send(Flow(Transport.UDP, (FIRST, 5060), US), forged.encode())
        await world.run_for(SECOND)
        assert len(world.sent_to(FIRST)) == before
        assert records(world)[0].state == CallState.CANCELLED


async def test_a_lost_cancel_is_repeated_on_the_way_on_which_the_phone_is_now() -> None:
    world = World()
    async with world.running():
        phone = await rings(world)
        (call,) = world.pbx.calls.values()
        await move(world, phone)
        lose = without(LTE, "CANCEL")
        lost: list[bytes] = []

        def drops(flow: Flow, data: bytes) -> bool:
            if lose(flow, data) and len(lost) < 3:
                lost.append(data)
                return True
            return False

        world.wire.drops = drops
        call.cancel(GAVE_UP)
        await world.until(lambda: phone.calls[0].is_cancelled, within=10 * SECOND)
        assert finals(world) == [487]
        await nothing_is_left(world)

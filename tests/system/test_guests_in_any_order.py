"""Whatever comes in whatever order, each request to a guest gets exactly one final response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.system.asking import at_pbx
from tests.system.calls_world import MINUTE, SECOND, World
from tests.system.guests_world import arrived, sponsored, to_guest
from wakerobin.core.pushes import Accepted, Outcome, Rejected, TargetGone, Unavailable
from wakerobin.core.values import Transport
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall

EVENTS = ("register", "unregister", "move", "cut", "answer", "decline", "cancel", "wait", "wait longer")
OUTCOMES: tuple[Outcome | None, ...] = (
    Accepted(),
    Rejected("BadTopic"),
    TargetGone("UNREGISTERED"),
    Unavailable("down", processed=False),
    None,
)


async def happens(
    world: World, phone: FakePhone, event: str, cancel: Callable[[], None], number: int
) -> None:
    match event:
        case "register":
            await world.do(phone.register(within=120))
        case "unregister":
            await world.do(phone.unregister())
        case "move":
            world.move(phone, f"203.0.113.{100 + number}")
        case "cut":
            phone.endpoint.cut_all()  # type: ignore[attr-defined] # a WireEndpoint
            world.move(phone, f"203.0.113.{150 + number}")
        case "answer":
            for call in phone.calls:
                _if_it_rings(call, call.answer)
        case "decline":
            for call in phone.calls:
                _if_it_rings(call, call.decline)
        case "cancel":
            cancel()
        case _:
            await world.run_for(SECOND if event == "wait" else 15 * SECOND)


def _if_it_rings(call: PhoneCall, act: Callable[[], None]) -> None:
    if not call.is_over and call.answered_with is None:
        act()


async def _run(
    method: str,
    transport: Transport,
    outcome: Outcome | None,
    is_asleep: bool,
    events: list[str],
) -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: outcome
    async with world.running():
        phone = await arrived(world, transport=transport)
        asker = at_pbx(world)
        asked = to_guest(world, method)
        if is_asleep:
            world.move(phone, "203.0.113.99")
        await world.run_for(MINUTE)
        handle = asker.send(asked)
        await world.run_for(10)
        for number, event in enumerate(events):
            cancel = handle.cancel if method == "INVITE" else (lambda: None)
            await happens(world, phone, event, cancel, number)
        await world.run_for(4 * MINUTE)
        finals = [one.status for one in asker.responses if one.status >= 200]
        # A 2xx to an INVITE comes again until its ACK does, and this caller sends none.
        assert len(finals) == 1 or set(finals) == {200}, finals
        assert not asker.failures
        assert world.guests.waiting == 0


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["INVITE", "MESSAGE"]),
    st.sampled_from([Transport.UDP, Transport.TCP]),
    st.sampled_from(OUTCOMES),
    st.booleans(),
    st.lists(st.sampled_from(EVENTS), max_size=6),
)
def test_each_request_gets_one_final_response_and_nothing_is_left(
    method: str, transport: Transport, outcome: Outcome | None, is_asleep: bool, events: list[str]
) -> None:
    asyncio.run(_run(method, transport, outcome, is_asleep, events))

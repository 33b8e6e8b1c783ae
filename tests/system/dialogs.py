"""Calls that are up, and what passes within their dialogs."""

from __future__ import annotations

from collections.abc import Callable

from tests.system.calls_world import World
from wakerobin.core.sip.message import Message
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.phone_call import PhoneCall


async def talking(world: World, phone: FakePhone) -> tuple[FakeCall, PhoneCall]:
    """Let the PBX call, and the phone answer."""
    count = len(phone.calls)
    call = world.pbx.call("alice")
    await world.until(lambda: len(phone.calls) > count)
    phone.calls[-1].answer()
    await world.until(lambda: phone.calls[-1].is_acknowledged)
    assert call.final == 200
    return call, phone.calls[-1]


def replied(call: FakeCall, count: int = 1) -> Callable[[], bool]:
    """So many of the PBX's requests within the dialog have been answered."""
    return lambda: len(call.replies) >= count


def answered(call: PhoneCall, method: str, status: int) -> Callable[[], bool]:
    """The phone's request has got this."""
    return lambda: any(r.cseq.method == method and r.status == status for r in call.responses)


def came(call: PhoneCall, method: str, count: int = 1) -> Callable[[], bool]:
    """So many of these have come to the phone."""
    return lambda: sum(one.method == method for one in call.requests) >= count


def in_dialog(call: FakeCall, method: str, edit: Callable[[str], str] = str) -> Message:
    """Return a request of the PBX within the dialog, its Routes edited."""
    assert call.answer is not None
    headers = [("Max-Forwards", "70")]
    headers += [("Route", edit(route)) for route in reversed(call.answer.values("record-route"))]
    headers += [
        ("From", call.answer.get("from") or ""),
        ("To", call.answer.get("to") or ""),
        ("Call-ID", call.call_id),
        ("CSeq", f"77 {method}"),
    ]
    return Message.request(method, call.answer.contacts[0].uri, headers)


async def go_away(world: World, phone: FakePhone) -> None:
    """Let a phone lose its flow, and its network with it."""
    await world.do(phone.unregister())
    assert not world.arrived or not world.phones.of_flow(world.arrived[-1].flow)

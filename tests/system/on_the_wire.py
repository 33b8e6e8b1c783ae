"""What went over the wire of a world, and what gets lost on it."""

from __future__ import annotations

from collections.abc import Callable

from tests.system.calls_world import PBX, World
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Flow
from wakerobin.testing.phone import FakePhone

FIRST, SECOND_PHONE = "203.0.113.5", "203.0.113.6"
ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


def finals(world: World) -> list[int]:
    """Return the final responses to INVITE that were sent to the PBX, their repetitions left out."""
    sent = [one for one in world.sent_to(PBX[0]) if not one.is_request and one.cseq.method == "INVITE"]
    found = {(one.status, one.to_tag, one.call_id): one.status for one in sent if one.status >= 200}
    return list(found.values())


def to_phone(world: World, method: str, address: str = FIRST) -> list[Message]:
    """Return what was sent to a phone, the repetitions of a transaction left out."""
    sent = [one for one in world.sent_to(address) if one.is_request and one.method == method]
    return list({one.branch: one for one in sent}.values())


def without(address: str, *methods: str) -> Callable[[Flow, bytes], bool]:
    """Lose these requests on their way to an address."""
    starts = tuple(method.encode() for method in methods)
    return lambda flow, data: flow.remote[0] == address and data.startswith(starts)


async def two_phones(world: World) -> tuple[FakePhone, FakePhone]:
    """Return two phones of one account that are awake."""
    account = await world.enrol(registrations=2)
    first, second = world.registrations(account)
    return (
        await world.registered(address=FIRST, instance=first.sip_instance),
        await world.registered(address=SECOND_PHONE, instance=second.sip_instance),
    )

"""Requests within a dialog to a PBX that names itself: where DNS says, and not to a host that is failing."""

from __future__ import annotations

import pytest

from tests.system.calls_world import SECOND, World
from tests.system.dialogs import talking
from wakerobin.core.sip.targets import Naptr, Srv, Target
from wakerobin.core.values import Transport

CLUSTER = "cluster.example"
ONE, TWO = ("198.51.100.71", 5071), ("198.51.100.72", 5072)


def published(world: World) -> None:
    world.names.zone |= {
        CLUSTER: [Naptr(1, 1, "s", "SIP+D2T", f"_sip._tcp.{CLUSTER}")],
        f"_sip._udp.{CLUSTER}": [Srv(10, 0, ONE[1], "one.example"), Srv(20, 0, TWO[1], "two.example")],
        f"_sip._tcp.{CLUSTER}": [Srv(10, 0, TWO[1], "two.example")],
        "one.example": [ONE[0]],
        "two.example": [TWO[0]],
    }


@pytest.mark.parametrize(
    ("contact", "is_first_failing", "transport", "reached"),
    [
        # Where nothing is said it is the binding's transport, which is known to work.
        (f"sip:bob@{CLUSTER}", False, Transport.UDP, ONE),
        (f"sip:bob@{CLUSTER}", True, Transport.UDP, TWO),
        (f"sip:bob@{CLUSTER};transport=tcp", False, Transport.TCP, TWO),
        (f"sip:bob@{CLUSTER}:5099", False, None, None),
    ],
)
async def test_a_contact_that_is_a_domain_is_looked_up(
    contact: str, is_first_failing: bool, transport: Transport | None, reached: tuple[str, int] | None
) -> None:
    world = World()
    published(world)
    if is_first_failing:
        world.names.failed(Target("udp", *ONE, "whoever found it out"))
    async with world.running():
        await world.enrol()
        phone = await world.registered()
        _, at_phone = await talking(world, phone)
        at_phone.target = contact
        at_phone.request("INFO")
        await world.run_for(1 * SECOND)
        sent = {
            (flow.transport, flow.remote)
            for flow, data in world.wire.messages
            if data.startswith(b"INFO sip:bob@") and flow.remote in (ONE, TWO)
        }
        assert sent == ({(transport, reached)} if reached else set())

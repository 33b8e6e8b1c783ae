"""However odd a request is, it gets an answer (or is an ACK), and no room has a fault."""

from __future__ import annotations

import random

import pytest

from tests.system.asking import request, stranger
from tests.system.calls_world import DOMAIN, PBX, SECOND, US, World
from wakerobin import metrics
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Flow, Transport

METHODS = (
    *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "REFER"),
    *("INFO", "UPDATE", "PRACK", "PUBLISH", "X"),
)
ODD = (
    "",
    "*",
    "<>",
    "<sip:>",
    "<sip:a@[::1]:5060;lr>",
    "<sips:a@b>;tag=1",
    "tel:+49",
    "<sip:a@b?x=y>",
    '"\\"" <sip:%00@b>',
    "0",
    "4294967296",
    "-1",
    "Digest x",
    'Digest username="alice", realm="pbx.test", nonce="AAAA", uri="", response="' + "0" * 32 + '"',
    ";;;",
    "\udcff\udcfe",
    "a" * 500,
    ", , ,",
)
HEADERS = (
    *("Route", "Record-Route", "Contact", "To", "From", "Max-Forwards", "Max-Breadth", "Expires"),
    *("Authorization", "Proxy-Authorization", "Require", "Proxy-Require", "Supported", "Path", "Event"),
    *("P-Called-Party-ID", "P-Preferred-Identity", "Reason", "CSeq", "Call-ID"),
)


def faults() -> float:
    """How many exceptions were survived, in all rooms."""
    return sum(
        sample.value
        for metric in metrics.REGISTRY.collect()
        if metric.name == "wakerobin_faults"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


def odd_request(dice: random.Random, user: str, routes: list[str], number: int) -> Message:
    """A request with a few things wrong."""
    contact = f"sip:{user}@{US[0]}"
    uris = [f"sip:{US[0]}", f"sip:alice@{DOMAIN}", contact, "tel:+49", "x:y", *routes]
    message = request(dice.choice(METHODS), dice.choice(uris), tag=dice.choice(["", "", "t"]))
    message.set("Call-ID", f"odd-{number}")
    for _ in range(dice.randint(0, 4)):
        name, value = dice.choice(HEADERS), dice.choice([*ODD, *[f"<{route}>" for route in routes]])
        if dice.random() < 0.5:
            message.set(name, value)
        else:
            message.add(name, value)
    return message


@pytest.mark.parametrize("seed", range(4))
async def test_no_request_is_a_fault(seed: int) -> None:
    dice = random.Random(seed)
    world = World()
    async with world.running():
        account = await world.enrol()
        phone = await world.registered()
        (flow,) = world.phones.flows(account.id)
        pair = world.routes.pair(flow, world.relay._towards(account.id, flow.flow), flow.flow)
        before = faults()
        sides = [stranger(world), stranger(world, "203.0.113.98")]
        flows = [
            (sides[0].endpoint, Flow(Transport.UDP, sides[0].endpoint.place, US)),
            (phone.endpoint, phone.flow),
            (world.there, Flow(Transport.UDP, PBX, US)),
        ]
        for number in range(250):
            endpoint, way = dice.choice(flows)
            message = odd_request(dice, account.contact_user, list(pair), number)
            message.prepend("Via", f"SIP/2.0/UDP {way.local[0]};branch=z9hG4bKodd{seed}x{number};rport")
            endpoint.send(way, message.encode())
            if number % 25 == 0:
                await world.run_for(10 * SECOND)
        await world.run_for(200 * SECOND)
        assert faults() == before
        assert world.transactions.alive[1] == 0, "every request got its answer"

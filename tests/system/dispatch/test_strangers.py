"""What strangers send passes the edge and the transactions, or is refused; nothing else happens."""

from __future__ import annotations

import random

from tests.system.dispatch.memory_network import ALICE, BOB, Network, Side, request, sample
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.values import Flow, Transport
from wakerobin.net import edge
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.testing.clock import ManualClock

VIA = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport"


def seeds() -> list[bytes]:
    """One message of each kind that the layer treats in its own way."""
    found: list[bytes] = []
    for method in ("INVITE", "ACK", "CANCEL", "OPTIONS"):
        message = request(method)
        message.prepend("Via", VIA)
        found.append(message.encode())
        message.set("Via", "SIP/2.0/UDP 192.0.2.1:5060")  # as RFC 2543 has it
        found.append(message.encode())
    invite = request("INVITE")
    invite.prepend("Via", VIA)
    found += [respond(invite, status, to_tag="b1").encode() for status in (180, 200, 486)]
    return found


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change, cut, double or drop a few pieces."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(changed))
        piece = changed[at : at + chance.randint(1, 30)]
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + len(piece)]
            case 2:
                changed[at:at] = piece
            case _:
                changed[at:at] = chance.choice((b";", b",", b"\r\n", b"<", b'"', b"\0", b"%", b"\xff", b":"))
        if not changed:
            break
    return bytes(changed)


def test_ten_thousand_mutations_raise_nothing_and_the_next_request_is_served(
    network: Network, bob: Side, clock: ManualClock
) -> None:
    chance = random.Random(3261)
    flow = Flow(Transport.UDP, BOB, ALICE)
    faults = sample("faults_total", room="dispatch")
    passed = 0
    answers: list[Message] = []

    def serve(transaction: ServerTransactionHandle) -> None:
        transaction.respond(respond(transaction.request, chance.choice((200, 404)), to_tag="b1"))

    def receive(data: bytes) -> bool:
        try:
            message = edge.read(data, ALICE)
        except edge.RefusedError as refused:
            if refused.answer is not None:
                answers.append(refused.answer)
            return False
        bob.transactions.receive(message, flow)
        return True

    bob.transactions.on_request = serve
    bob.transactions.on_cancel = lambda cancel, _invite: serve(cancel)
    messages = seeds()
    for _ in range(10_000):
        passed += receive(mutated(chance.choice(messages), chance))
        clock.advance(50)
    assert 500 < passed < 9_500, "the mutations are to be neither all refused nor all harmless"
    assert answers
    assert all(answer.encode() and 0 < edge.response_port(answer) < 65_536 for answer in answers)
    clock.advance(70_000)
    assert bob.transactions.alive == (0, 0)
    assert sample("faults_total", room="dispatch") == faults
    before = len(network.carried)
    receive(messages[6])
    assert len(network.carried) == before + 1

"""What the transaction tests share: requests, and a clock that jumps from deadline to deadline."""

from __future__ import annotations

from typing import Protocol

from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.timers import Timers
from wakerobin.core.sip.transaction import Effect, PassUp, TransactionState

TIMERS = Timers()


class Machine(Protocol):
    """What all four machines have in common."""

    state: TransactionState

    @property
    def deadline(self) -> float | None: ...

    def on_timer(self, now: float) -> list[Effect]: ...

    def transport_failed(self, now: float) -> list[Effect]: ...


def make_request(method: str = "INVITE", branch: str = "z9hG4bKjsn8") -> Message:
    """A request as a client transaction gets it."""
    return Message.request(
        method,
        "sip:bob@192.0.2.4",
        [
            ("Via", f"SIP/2.0/UDP client.example:5060;branch={branch}"),
            ("Max-Forwards", "70"),
            ("From", '"Alice" <sip:alice@example.com>;tag=88sja8x'),
            ("To", "Bob <sip:bob@example.com>"),
            ("Call-ID", "987asjd97y7atg"),
            ("CSeq", f"986759 {method}"),
        ],
    )


def answer(request: Message, status: int, tag: str = "a6c85cf") -> Message:
    """A response to the request, as a peer makes it."""
    return respond(request, status, to_tag=tag)


def ack_for(invite: Message, tag: str | None = "a6c85cf", branch: str | None = None) -> Message:
    """An ACK to the INVITE, as a peer makes it; in the INVITE's transaction unless told otherwise."""
    ack = invite.copy()
    ack.method = "ACK"
    ack.set("CSeq", f"{invite.cseq.number} ACK")
    if tag is not None:
        ack.set("To", f"{invite.get('To')};tag={tag}")
    if branch is not None:
        ack.set("Via", f"SIP/2.0/UDP client.example:5060;branch={branch}")
    return ack


def run_until_idle(machine: Machine, until: float = 1e6) -> list[tuple[float, Effect]]:
    """Jump from deadline to deadline; return what came out, and when, until nothing is pending."""
    happened: list[tuple[float, Effect]] = []
    while machine.deadline is not None and machine.deadline <= until:
        now = machine.deadline
        happened += [(now, effect) for effect in machine.on_timer(now)]
    return happened


def passed_up(effects: list[Effect]) -> list[Message]:
    """The messages among the effects that went to the transaction user."""
    return [effect.message for effect in effects if isinstance(effect, PassUp)]


def state_of(machine: Machine) -> TransactionState:
    """The state, asked anew (a type checker takes the attribute for unchanged between two looks)."""
    return machine.state

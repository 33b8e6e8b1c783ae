"""Calls of the machine, phones, and what its effects say."""

from __future__ import annotations

import json
from typing import Any

from wakerobin.core.call import CallPolicy, Effect, IncomingCall, Offer, Over
from wakerobin.core.sip.message import Message, parse, respond
from wakerobin.core.values import Flow, PhoneFlow, Transport

INVITE = parse(
    b"INVITE sip:token@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKpbx\r\n"
    b"Max-Forwards: 70\r\nFrom: <sip:bob@pbx.test>;tag=bob\r\nTo: <sip:alice@pbx.test>\r\n"
    b"Call-ID: c1\r\nCSeq: 7 INVITE\r\nContact: <sip:bob@10.0.0.2>\r\nContent-Length: 0\r\n\r\n"
)


def call(**policy: Any) -> IncomingCall:
    return IncomingCall(INVITE, CallPolicy(**policy), 0.0)


def phone(registration: int = 1, port: int = 4000, *, heard_at: float = 0.0) -> PhoneFlow:
    flow = Flow(Transport.UDP, ("10.0.0.1", 5060), ("10.0.0.7", port))
    return PhoneFlow(
        account_id=9,
        registration_id=registration,
        flow=flow,
        contact_uri=f"sip:alice@10.0.0.7:{port}",
        heard_at=heard_at,
        expires_at=3600.0,
    )


def answer(status: int, tag: str = "phone") -> Message:
    return respond(INVITE, status, to_tag=tag)


def of(kind: type, effects: list[Effect]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def key_of(effects: list[Effect]) -> str:
    (offer,) = of(Offer, effects)
    return str(offer.key)


def restarted(kept: dict[str, Any], *registrations: int, now: float = 100.0, **policy: Any) -> IncomingCall:
    """A call of another run that began just now, and took up what still answers."""
    one = IncomingCall(INVITE, CallPolicy(**policy), now)
    for branch in kept["branches"]:
        if branch["answers"]:
            one.adopt(branch, phone(branch["registration"]))
    return one


def kept_of(one: IncomingCall) -> dict[str, Any]:
    return dict(json.loads(json.dumps(one.snapshot())))


def over(effects: list[Effect]) -> Over:
    (one,) = of(Over, effects)
    assert isinstance(one, Over)
    return one

"""Finding a PBX as the server would, and asking each of its hosts for a sign of life."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.ids import hex_token
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.targets import (
    Candidate,
    Destination,
    Naptr,
    Question,
    Record,
    Srv,
    Target,
    ordered,
)
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.values import Flow, Transport
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.interfaces import local_addresses
from wakerobin.net.resolver import Resolver, source_of
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import Options
from wakerobin.server.policies import destination_policy
from wakerobin.services.dispatch.transactions import Transactions

_PATIENCE_S = 5.0
_WILDCARDS = ("0.0.0.0", "[::]")  # noqa: S104 - only to ask from, and for a moment


@dataclass(frozen=True, slots=True)
class Place:
    """A target, and what came of asking it."""

    target: Target
    host: str
    weight: int
    good: bool
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was asked of DNS with its answers, in words, and the places in their order."""

    answers: tuple[str, ...]
    places: tuple[Place, ...]


async def find(options: Options, destination: Destination) -> Found:
    """Look a destination up and send OPTIONS to each place that it leads to.

    Raises ConfigurationError for a name server or a certificate that cannot be used.
    """
    loop = asyncio.get_running_loop()
    resolver = Resolver(SystemClock(loop), source_of(options.sip.dns), options.sip.listen)
    try:
        candidates, answers = await resolver.traced(destination)
    finally:
        await resolver.close()
    policy = destination_policy(options, local_addresses())
    places = await _asked(options, policy, candidates)
    lines = [line for question, records in answers.items() for line in _lines(question, records)]
    return Found(tuple(sorted(lines)), tuple(places))


async def _asked(options: Options, policy: DestinationPolicy, candidates: Sequence[Candidate]) -> list[Place]:
    of = {target: one for one in candidates for target in one.targets}
    targets = ordered(candidates)
    loop = asyncio.get_running_loop()
    clock, wheel = SystemClock(loop), Wheel(loop)
    listen = tuple(f"udp:{host}:0" for host in _WILDCARDS[: 1 + any(":" in one.address for one in targets)])
    endpoint = Endpoint(dataclasses.replace(options.sip, listen=listen), policy, clock, wheel)
    transactions = Transactions(endpoint, wheel, clock, os.urandom, SipTimers())
    endpoint.tell_undelivered(transactions.undelivered)
    await endpoint.start(transactions)
    try:
        asked = [_ask(target, policy, endpoint, transactions) for target in targets]
        answers = await asyncio.gather(*asked)
    finally:
        await endpoint.close()
        wheel.close()
    return [
        Place(target, of[target].host, of[target].weight, good, text)
        for target, (good, text) in zip(targets, answers, strict=True)
    ]


async def _ask(
    target: Target, policy: DestinationPolicy, endpoint: Endpoint, transactions: Transactions
) -> tuple[bool, str]:
    refusal = policy.refusal(target.address, target.port)
    if refusal:
        return False, f"this server may not go there: {refusal}"
    answer: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()

    def answered(response: Message) -> None:
        if not answer.done() and response.status >= 200:
            answer.set_result((True, f"answers OPTIONS with {response.status}"))

    def failed(reason: str) -> None:
        if not answer.done():
            answer.set_result((False, reason.removeprefix("transport: ")))

    flow = endpoint.flow_to(Transport(target.transport), target.address, target.port, name=target.name)
    transactions.request(_options(target, flow), flow, answered, failed)
    try:
        return await asyncio.wait_for(answer, _PATIENCE_S)
    except TimeoutError:
        return False, f"no answer within {_PATIENCE_S:g} s"


def _options(target: Target, flow: Flow) -> Message:
    host, port = flow.local
    ours = f"sip:doctor@[{host}]:{port}" if ":" in host else f"sip:doctor@{host}:{port}"
    domain = f"[{target.name}]" if ":" in target.name else target.name
    return Message.request(
        "OPTIONS",
        f"sip:{domain}",
        [
            ("From", f"<{ours}>;tag={hex_token(os.urandom, 6)}"),
            ("To", f"<sip:{domain}>"),
            ("Call-ID", hex_token(os.urandom, 12)),
            ("CSeq", "1 OPTIONS"),
            ("Max-Forwards", "70"),
            ("Contact", f"<{ours};transport={flow.transport}>"),
        ],
    )


def _lines(question: Question, records: Sequence[Record]) -> list[str]:
    head = f"{question.kind.value} {question.name}"
    return [f"{head}: {_words(one)}" for one in records] or [f"{head}: nothing"]


def _words(record: Record) -> str:
    match record:
        case Srv():
            host = record.target or "not offered"
            return f"priority {record.priority}, weight {record.weight}, {host} port {record.port}"
        case Naptr():
            place = f"{record.service} {record.replacement}"
            return f"order {record.order}, preference {record.preference}, {place}"
        case _:
            return record

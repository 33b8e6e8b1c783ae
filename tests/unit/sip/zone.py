"""A zone of the DNS as a table, and somebody who asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wakerobin.core.sip.targets import (
    Candidate,
    Destination,
    Kind,
    Naptr,
    Question,
    Record,
    Srv,
    located,
    ordered,
)

ALL = ("udp", "tcp", "tls")

Zone = Mapping[str, Sequence[Record]]
"""The records by name, of every kind."""

_TYPES: dict[Kind, type] = {Kind.NAPTR: Naptr, Kind.SRV: Srv, Kind.ADDRESS: str}


def looked_up(
    zone: Zone, destination: Destination, usable: Sequence[str] = ALL
) -> tuple[tuple[Candidate, ...], list[Question]]:
    """Return who serves a destination by a zone, and what was asked for that."""
    asked: list[Question] = []
    asking = located(destination, usable)
    try:
        questions = next(asking)
        while True:
            assert questions, "a round of questions without a question"
            assert not questions & set(asked), "a question was asked twice"
            asked += sorted(questions, key=str)
            questions = asking.send({one: answer(zone, one) for one in questions})
    except StopIteration as end:
        found: tuple[Candidate, ...] = end.value
        return found, asked


def answer(zone: Zone, question: Question) -> list[Record]:
    """Return the records that a question asks for."""
    return [one for one in zone.get(question.name, ()) if isinstance(one, _TYPES[question.kind])]


def places(zone: Zone, destination: Destination, usable: Sequence[str] = ALL, seed: bytes = b"") -> list[str]:
    """Return where to send, in order, in words."""
    return [str(target) for target in ordered(looked_up(zone, destination, usable)[0], seed)]

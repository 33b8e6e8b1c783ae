"""Names in memory: a zone that a test writes, looked up by the real rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wakerobin.core.sip.hold_down import HoldDowns
from wakerobin.core.sip.targets import (
    Candidate,
    Destination,
    Kind,
    Naptr,
    Question,
    Record,
    Srv,
    Target,
    located,
)
from wakerobin.core.values import Transport
from wakerobin.ports.clock import Clock

_TYPES: dict[Kind, type] = {Kind.NAPTR: Naptr, Kind.SRV: Srv, Kind.ADDRESS: str}
_USABLE = (Transport.UDP, Transport.TCP, Transport.TLS)


class Names:
    """Implements `ports.sip.Resolver`. `zone` has records of all kinds by name."""

    def __init__(self, clock: Clock, zone: Mapping[str, Sequence[Record]] | None = None) -> None:
        self.zone: dict[str, Sequence[Record]] = dict(zone or {})
        self.asked: list[str] = []
        """The hosts that somebody wanted to find."""
        self._clock = clock
        self._downs = HoldDowns()

    async def locate(self, destination: Destination) -> tuple[Candidate, ...]:
        """Return who serves a destination by the zone."""
        self.asked.append(destination.host)
        asking = located(destination, _USABLE)
        try:
            questions = next(asking)
            while True:
                questions = asking.send({one: self._answer(one) for one in questions})
        except StopIteration as end:
            found: tuple[Candidate, ...] = end.value
            return found

    def failed(self, target: Target) -> None:
        """Note that a target did not serve."""
        self._downs.failed(target, self._clock.monotonic())

    def answered(self, target: Target) -> None:
        """Note that a target serves."""
        self._downs.answered(target)

    def is_failing(self, target: Target, *, will_try: bool = False) -> bool:
        """Whether others are to be tried before this one."""
        return self._downs.is_failing(target, self._clock.monotonic(), will_try=will_try)

    async def close(self) -> None:
        """Nothing is ever under way."""

    def _answer(self, question: Question) -> list[Record]:
        kind = _TYPES[question.kind]
        return [one for one in self.zone.get(question.name, ()) if isinstance(one, kind)]

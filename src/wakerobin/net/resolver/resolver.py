"""Where requests go, and which of those places have failed lately: for all parts of the server together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from wakerobin import log, metrics
from wakerobin.core.sip.hold_down import HoldDowns
from wakerobin.core.sip.targets import Candidate, Destination, Question, Record, Target, located
from wakerobin.core.values import Transport
from wakerobin.net.resolver.files import Hosts
from wakerobin.net.resolver.memory import Memory, Source
from wakerobin.net.resolver.name_servers import NameServers
from wakerobin.net.resolver.sources import Configured, System
from wakerobin.ports.clock import Clock

USABLE = (Transport.UDP, Transport.TCP, Transport.TLS)
"""What PBXs are spoken to over. Where a domain offers several and prefers none, the first of these."""

_ROUND_S = 2.4
"""For the answers to questions that are asked together; a domain takes two rounds, with NAPTR three."""

_SHORTEST_ROUND_S = 0.2
_ALL_ROUNDS_S = 4.8
_MOST_KEPT = 4_096

_log = log.get("net")


class Resolver:
    """Implements `ports.sip.Resolver` over `source`, by default the name servers of the system.

    `listen` are our listeners as the settings have them: over UDP nothing can be sent from a family of
    addresses that has none. Without any nothing is left out.
    """

    def __init__(self, clock: Clock, source: Source | None = None, listen: Iterable[str] = ()) -> None:
        self._clock = clock
        self._listen = tuple(listen)
        self._memory = Memory(source or source_of(()), clock)
        self._downs = HoldDowns()
        self._located: dict[Destination, tuple[tuple[Candidate, ...], float]] = {}

    async def locate(self, destination: Destination) -> tuple[Candidate, ...]:
        """Return who serves a destination; nobody where it leads nowhere. Never raises; within 5 s."""
        now = self._clock.monotonic()
        kept = self._located.get(destination)
        if kept is not None and now < kept[1]:
            return kept[0]
        found, answers = await self.traced(destination)
        if answers:
            # A dialog asks with each of its requests: following the answers once more would cost 80 us.
            if len(self._located) >= _MOST_KEPT:
                self._located.clear()
            self._located[destination] = found, min(map(self._memory.fresh_until, answers))
        return found

    async def traced(
        self, destination: Destination
    ) -> tuple[tuple[Candidate, ...], dict[Question, Sequence[Record]]]:
        """Return what `locate` does, and the answers that it follows from."""
        answers: dict[Question, Sequence[Record]] = {}
        asking = located(destination, USABLE)
        deadline = asyncio.get_running_loop().time() + _ALL_ROUNDS_S
        try:
            questions = next(asking)
            while True:
                learnt = await self._learn(list(questions), deadline)
                answers |= learnt
                questions = asking.send(learnt)
        except StopIteration as end:
            return self._usable(end.value), answers

    def failed(self, target: Target) -> None:
        """Note that a target answered 503 or not at all: others are tried before it for a while."""
        metrics.SIP_TARGETS_FAILED.inc()
        _log.info("target_failed", target=str(target))
        self._downs.failed(target, self._clock.monotonic())

    def answered(self, target: Target) -> None:
        """Note that a target serves."""
        self._downs.answered(target)

    def is_failing(self, target: Target, *, will_try: bool = False) -> bool:
        """Whether others are to be tried before this one; see `core.sip.hold_down`."""
        return self._downs.is_failing(target, self._clock.monotonic(), will_try=will_try)

    async def close(self) -> None:
        """End the lookups that are under way."""
        await self._memory.close()

    def _usable(self, found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """Leave out what could only be refused; where that is everything, let it be refused in words."""
        if all(self._can_send(target) for one in found for target in one.targets):
            return found
        left = [replace(one, targets=tuple(filter(self._can_send, one.targets))) for one in found]
        return tuple(one for one in left if one.targets) or found

    def _can_send(self, target: Target) -> bool:
        if target.transport != Transport.UDP or not self._listen:
            return True
        is_ipv6 = ":" in target.address
        return any(one.startswith("udp:") and ("[" in one) is is_ipv6 for one in self._listen)

    async def _learn(self, questions: list[Question], deadline: float) -> dict[Question, Sequence[Record]]:
        known = [self._memory.fresh(one) for one in questions]
        answers = [one for one in known if one is not None]
        if len(answers) < len(known):
            left_s = deadline - asyncio.get_running_loop().time()
            answers = await self._memory.learn(questions, max(_SHORTEST_ROUND_S, min(_ROUND_S, left_s)))
        return dict(zip(questions, answers, strict=True))


def source_of(servers: Iterable[str]) -> Source:
    """Return who answers: these name servers and /etc/hosts, or without any all that the system asks.

    Raises ConfigurationError for a name server that cannot be read.
    """
    named = tuple(servers)
    name_servers = NameServers(named)
    return Configured(name_servers, Hosts()) if named else System(name_servers)

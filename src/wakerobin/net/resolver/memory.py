"""What the DNS has answered, for as long as it may be used, and who waits for an answer.

Everybody who asks the same shares one lookup. While DNS is out the last good answer goes on serving
(RFC 8767), and nobody waits for longer than it takes to see that it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wakerobin import metrics
from wakerobin.core.sip.targets import Question, Record
from wakerobin.ports.clock import Clock

SHORTEST_S = 5.0
LONGEST_S = 3_600.0
LONGEST_NONE_S = 300.0
"""How long it is believed that there is nothing, whatever the zone says: people mend their zones."""

RETRY_S = 10.0
"""After a question that got no answer."""

STALE_S = 24 * 3_600.0
STALE_PATIENCE_S = 1.0
_MOST = 4_096


_FOUND, _NOTHING, _UNANSWERED = (
    metrics.DNS_QUESTIONS.labels(answer) for answer in ("found", "nothing", "unanswered")
)


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: the records, of which there may be none, and how long they hold in seconds."""

    records: tuple[Record, ...]
    ttl_s: float


class Source(Protocol):
    """Who answers questions."""

    async def answer(self, question: Question) -> Found | None:
        """Return the answer; None for none in good time. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    records: tuple[Record, ...]
    found_at: float
    fresh_until: float


class Memory:
    """Asks `source` for what it does not know or what is too old."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._kept: dict[Question, _Kept] = {}
        self._pending: dict[Question, asyncio.Task[None]] = {}

    def fresh(self, question: Question) -> Sequence[Record] | None:
        """Return what is known and needs not be asked for; None: it does."""
        kept = self._kept.get(question)
        if kept is None or kept.fresh_until <= self._clock.monotonic():
            return None
        return kept.records

    def fresh_until(self, question: Question) -> float:
        """Return until when what is known needs not be asked for; monotonic seconds."""
        kept = self._kept.get(question)
        return kept.fresh_until if kept is not None else float("-inf")

    async def learn(self, questions: Sequence[Question], patience_s: float) -> list[Sequence[Record]]:
        """Return the records of each question, asking for what is not fresh; none where nothing is known."""
        asked = {one: self._asked(one) for one in questions if self.fresh(one) is None}
        if asked:
            # A waiter that loses patience must not take the answer from the others: nothing is cancelled.
            short_s = min(patience_s, STALE_PATIENCE_S)
            await asyncio.wait(asked.values(), timeout=short_s)
            missing = [task for one, task in asked.items() if not task.done() and not self._known(one)]
            if missing and patience_s > short_s:
                await asyncio.wait(missing, timeout=patience_s - short_s)
        return [self._known(question) for question in questions]

    async def close(self) -> None:
        """Ask nothing any more."""
        tasks = tuple(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _known(self, question: Question) -> Sequence[Record]:
        kept = self._kept.get(question)
        return kept.records if kept is not None else ()

    def _asked(self, question: Question) -> asyncio.Task[None]:
        pending = self._pending.get(question)
        if pending is None:
            pending = asyncio.get_running_loop().create_task(self._ask(question))
            self._pending[question] = pending
        return pending

    async def _ask(self, question: Question) -> None:
        try:
            found = await self._source.answer(question)
        finally:
            del self._pending[question]
        now = self._clock.monotonic()
        _count(found)
        if found is not None:
            longest = LONGEST_S if found.records else LONGEST_NONE_S
            ttl_s = min(max(found.ttl_s, SHORTEST_S), longest)
            self._keep(question, _Kept(found.records, now, now + ttl_s))
            return
        last = self._kept.get(question)
        if last is not None and now - last.found_at < STALE_S:
            self._keep(question, _Kept(last.records, last.found_at, now + RETRY_S))
        else:
            self._keep(question, _Kept((), now, now + RETRY_S))

    def _keep(self, question: Question, kept: _Kept) -> None:
        self._kept.pop(question, None)  # the latest stand last
        while len(self._kept) >= _MOST:
            del self._kept[next(iter(self._kept))]  # names come with enrolments: a flood must not fill memory
        self._kept[question] = kept


def _count(found: Found | None) -> None:
    if found is None:
        _UNANSWERED.inc()
    elif found.records:
        _FOUND.inc()
    else:
        _NOTHING.inc()

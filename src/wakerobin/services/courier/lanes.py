"""The outbox, lane by lane: rows are leased when they are due and their lane has room for them.

Each app has lanes of its own: a push service that does not answer holds up no other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pacing import Breaker
from wakerobin.core.pushes import LANES, Lane, Outcome, Rejected, Throttled, Unavailable
from wakerobin.ports.store import OutboxRow, Queue, Transaction
from wakerobin.services.courier.around import Around
from wakerobin.services.courier.carrying import Carrier

_log = log.get("courier")

_LONGEST_SLEEP = 60_000
_AFTER_A_FAULT = 1000

_REFILLS = 8
"""A lane that is behind is filled up when this part of it is free: a transaction for each row would cost more
than its push."""

_AT_ONCE = 4
"""So many rows are begun in one turn of the loop; then it looks at its sockets, where a call may wait."""


def _default_caps() -> dict[Lane, int]:
    return {Lane.CALLS: 100, Lane.NOTICES: 100, Lane.WARNINGS: 200, Lane.RENEWALS: 100}


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """How many rows of each lane of an app are out at once, and how long one try may take; milliseconds.

    The order of the lanes is that in which they are served.
    """

    caps: dict[Lane, int] = field(default_factory=_default_caps)
    attempt: int = 10_000
    lease: int = 120_000

    def __hash__(self) -> int:
        return hash((self.attempt, self.lease))


class Lanes:
    """Everything but calls, lane by lane."""

    def __init__(self, around: Around, options: LaneOptions) -> None:
        self._around = around
        self._options = options
        self._carrier = Carrier(around, options.attempt, self._answered)
        self._order = {lane: place for place, lane in enumerate(options.caps)}
        self._out: dict[Queue, set[int]] = {}
        self._breakers: dict[str, Breaker] = {}
        """One for each app: of its credential, and of the service behind it."""
        self._is_behind = False
        """Whether more may be due than there was room for: then room is worth a look."""
        self._woken = asyncio.Event()
        around.store.on_commit(self._committed)

    async def run(self) -> None:
        """Carry until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                try:
                    rows = await self._claim()
                    for number, row in enumerate(rows, 1):
                        group.create_task(self._carry(row))
                        if number % _AT_ONCE == 0:
                            await asyncio.sleep(0)
                    if not rows:
                        await self._sleep()
                except StoreUnavailableError as error:
                    _log.warning("store_unavailable", reason=str(error))
                    await self._pause(_AFTER_A_FAULT, asyncio.Event())
                except Exception:
                    metrics.FAULTS.labels("courier").inc()
                    _log.error("courier_fault", exc_info=True)
                    await self._pause(_AFTER_A_FAULT, asyncio.Event())

    # Taking rows.

    async def _claim(self) -> list[OutboxRow]:
        """Lease what is due and has room."""
        now = self._around.clock.now()
        self._is_behind = True
        rooms = self._rooms(now)
        if not any(rooms.values()):
            return []
        rows = await self._around.store.transact(lambda tx: self._claim_in(tx, rooms, now))
        claimed = Counter(_queue(row) for row in rows)
        self._is_behind = any(claimed[queue] == room for queue, room in rooms.items())
        for row in rows:
            self._out.setdefault(_queue(row), set()).add(row.id)
        return rows

    def _rooms(self, now: int) -> dict[Queue, int]:
        """Return how many rows of each queue may be taken; nothing where none is due at all."""

        def look(tx: Transaction) -> list[Queue]:
            next_due = tx.outbox.next_due()
            return tx.outbox.queues() if next_due is not None and next_due <= now else []

        queues = self._around.store.read(look)
        queues.sort(key=lambda queue: self._order[queue.lane])
        return {queue: self._room(queue) for queue in queues}

    def _room(self, queue: Queue) -> int:
        """Return how many rows of a queue may be taken now; 0 also where so few are not worth it."""
        breaker = self._breakers.get(queue.app)
        probes = breaker.room(self._around.clock.monotonic()) if breaker else None
        if probes is not None:
            return max(
                0, probes - sum(len(out) for other, out in self._out.items() if other.app == queue.app)
            )
        cap = self._options.caps[queue.lane]
        room = cap - len(self._out.get(queue, ()))
        return room if room * _REFILLS >= cap else 0

    def _claim_in(self, tx: Transaction, rooms: dict[Queue, int], now: int) -> list[OutboxRow]:
        claimed: list[OutboxRow] = []
        for queue, room in rooms.items():
            if not room:
                continue
            out = self._out.get(queue, set())
            due = tx.outbox.due(queue, now, room)
            if any(row.id in out for row in due):
                # A row that is out longer than its lease is due again in the store, not here.
                due = tx.outbox.due(queue, now, room + len(out))
                due = [row for row in due if row.id not in out][:room]
            for row in due:
                tx.outbox.lease(row.id, now + self._options.lease)
            claimed += due
        return claimed

    async def _sleep(self) -> None:
        """Wait for the next row's time, a commit, or room in a lane."""
        next_due = self._around.store.read(lambda tx: tx.outbox.next_due())
        wait = _LONGEST_SLEEP if next_due is None else next_due - self._around.clock.now()
        # What is due and was not claimed waits for room: a settled row wakes this loop.
        await self._pause(min(wait, _LONGEST_SLEEP) if wait > 0 else _AFTER_A_FAULT)

    async def _pause(self, milliseconds: int, until: asyncio.Event | None = None) -> None:
        until = until or self._woken
        when = self._around.clock.monotonic() + milliseconds / 1000
        timer = self._around.timers.call_at(when, until.set)
        try:
            await until.wait()
        finally:
            timer.cancel()

    def _committed(self, groups: frozenset[str]) -> None:
        if "outbox" in groups:
            self._woken.set()

    # Carrying them.

    async def _carry(self, row: OutboxRow) -> None:
        try:
            await self._carrier.carry(row)
        except Exception:
            # A bug with one row must not stop the others; its lease keeps it from coming back at once.
            metrics.FAULTS.labels("courier").inc()
            _log.error("courier_fault", row=row.id, kind=row.kind, exc_info=True)
        finally:
            self._out[_queue(row)].discard(row.id)
            if self._is_behind:
                self._woken.set()

    def _answered(self, app: str, outcome: Outcome) -> None:
        """Stop asking a service that serves nobody, or refuses us, save for a probe now and then."""
        breaker = self._breakers.setdefault(app, Breaker())
        if isinstance(outcome, Unavailable) or (isinstance(outcome, Rejected) and outcome.ours):
            if breaker.failed(self._around.clock.monotonic(), self._around.jitter()):
                _log.warning("push_service_paused", app=app, reason=outcome.reason)
        elif not isinstance(outcome, Throttled):
            breaker.succeeded()


def _queue(row: OutboxRow) -> Queue:
    return Queue(LANES[row.kind], row.app, row.provider)

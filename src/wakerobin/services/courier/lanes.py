"""The outbox, lane by lane: rows are leased when they are due and their push service has room for them.

Each app has lanes of its own at each provider: a push service that does not answer holds up no other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pacing import Turns
from wakerobin.core.pushes import Lane
from wakerobin.ports.store import Queue, Transaction
from wakerobin.services.courier.around import Around
from wakerobin.services.courier.carrying import Carrier, Parcel
from wakerobin.services.courier.claiming import WEIGHTS, Room, claim
from wakerobin.services.courier.gates import Gates, PaceOptions
from wakerobin.services.courier.settling import Settler

_log = log.get("courier")

_LONGEST_SLEEP_S = 60.0
_AFTER_A_FAULT_S = 1.0
_SHORTEST_SLEEP_S = 0.005

_QUANTUM_S = 0.02
"""Under way at full pace, so much of it is claimed at once: a transaction for each row would cost more
than its push."""

_REFILLS = 8
"""A lane that is full is filled up when this part of it is free, for the same reason."""

_AT_ONCE = 2
"""So many parcels are begun in one turn of the loop; then it looks at its sockets, where a call may wait."""


_HURRIED = frozenset({Lane.CALLS, Lane.NOTICES})
"""Lanes that do not wait while lives are decided in bulk."""


def _default_caps() -> dict[Lane, int]:
    return {Lane.CALLS: 100, Lane.NOTICES: 100, Lane.WARNINGS: 200, Lane.RENEWALS: 100}


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """How many pushes of each lane of an app are out at once at a provider, and how fast they go.

    `attempt` is how long one try may take, milliseconds; `lease` for how long nobody else takes the row.
    """

    caps: dict[Lane, int] = field(default_factory=_default_caps)
    attempt: int = 10_000
    lease: int = 120_000
    pace: PaceOptions = field(default_factory=PaceOptions)

    def __hash__(self) -> int:
        return hash((self.attempt, self.lease))


class Lanes:
    """Everything in the outbox."""

    def __init__(self, around: Around, options: LaneOptions, gates: Gates, settler: Settler) -> None:
        self._around = around
        self._options = options
        self._gates = gates
        self._carrier = Carrier(around, options.attempt, gates, settler)
        self._order = {lane: place for place, lane in enumerate(options.caps)}
        self._out: Counter[Queue] = Counter()
        """How many parcels of each queue are on their way."""
        self._rows_out: set[int] = set()
        self._turns: Turns[Queue] = Turns(lambda queue: WEIGHTS[queue.lane])
        self._is_behind = False
        """Whether more may be due than there was room for: then room is worth a look."""
        self._room_in_s = _LONGEST_SLEEP_S
        """When a queue that had to wait for its pace or its push service may go on."""
        self._woken = asyncio.Event()
        around.store.on_commit(self._committed)

    async def run(self) -> None:
        """Carry until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                try:
                    parcels = await self._claim()
                    for number, (queue, parcel) in enumerate(parcels, 1):
                        group.create_task(self._carry(queue, parcel))
                        if number % _AT_ONCE == 0:
                            await asyncio.sleep(0)
                    if not parcels:
                        await self._sleep()
                except StoreUnavailableError as error:
                    _log.warning("store_unavailable", reason=str(error))
                    await self._pause(_AFTER_A_FAULT_S, asyncio.Event())
                except Exception:
                    metrics.FAULTS.labels("courier").inc()
                    _log.error("courier_fault", exc_info=True)
                    await self._pause(_AFTER_A_FAULT_S, asyncio.Event())

    # Taking rows.

    async def _claim(self) -> list[tuple[Queue, Parcel]]:
        """Lease what is due and has room."""
        now = self._around.clock.now()
        self._is_behind = True
        self._room_in_s = _LONGEST_SLEEP_S
        rooms = self._rooms(now)
        if not any(room.total for room in rooms):
            return []
        until = now + self._options.lease
        out = frozenset(self._rows_out)
        claimed = await self._around.store.transact(lambda tx: claim(tx, rooms, self._turns, out, now, until))
        counts = Counter(queue for queue, _ in claimed)
        self._is_behind = any(
            sum(counts[queue] for queue in room.lanes) >= room.total
            or any(counts[queue] >= most for queue, most in room.lanes.items())
            for room in rooms
        )
        self._out.update(counts)
        self._turns.took(counts, [queue for room in rooms for queue in room.lanes])
        for room in rooms:
            spent = sum(counts[queue] for queue in room.lanes if queue.lane is not Lane.CALLS)
            if spent:
                self._gates.pace(next(iter(room.lanes))).take(spent)
        self._rows_out.update(row.id for _, parcel in claimed for row in parcel)
        return claimed

    def _rooms(self, now: int) -> list[Room]:
        """Return how much each push service may be sent; nothing where no row is due at all."""

        def look(tx: Transaction) -> list[Queue]:
            next_due = tx.outbox.next_due()
            return tx.outbox.queues() if next_due is not None and next_due <= now else []

        queues = self._around.store.read(look)
        if self._around.lives.is_frozen:  # nobody is warned by a clock in doubt
            queues = [queue for queue in queues if queue.lane is not Lane.WARNINGS]
        if self._around.lives.is_catching_up:
            queues = [queue for queue in queues if queue.lane in _HURRIED]
        queues.sort(key=lambda queue: (queue.app, queue.provider, self._order[queue.lane]))
        rooms: list[Room] = []
        for _, of_service in groupby(queues, key=lambda queue: (queue.app, queue.provider)):
            waiting = list(of_service)
            rooms += [self._room_of_calls(queue) for queue in waiting if queue.lane is Lane.CALLS]
            bulk = [queue for queue in waiting if queue.lane is not Lane.CALLS]
            if bulk:
                rooms.append(self._room(bulk))
        return rooms

    def _room_of_calls(self, queue: Queue) -> Room:
        """What belongs to calls waits for nothing."""
        free = self._options.caps[queue.lane] - self._out[queue]
        return Room(free, {queue: free})

    def _room(self, queues: list[Queue]) -> Room:
        """Return what may go to one push service now; nothing also where so little is not worth it."""
        first, now = queues[0], self._around.clock.monotonic()
        out = sum(self._out[queue] for queue in queues)
        wait = self._gates.queue_wait(first)
        if wait > 0:
            return self._no_room(queues, wait)
        if self._gates.is_probing_only(first):
            return Room(0 if out else 1, dict.fromkeys(queues, 1))
        in_flight = self._options.pace.in_flight
        free = {queue: self._free(queue) for queue in queues}
        left = min(in_flight - out, sum(free.values()))
        if left * _REFILLS < min(in_flight, max(self._options.caps[queue.lane] for queue in queues)):
            return Room(0, dict.fromkeys(queues, 0))  # a push that ends wakes this loop
        pace = self._gates.pace(first)
        quantum = min(left, max(1, int(self._options.pace.rate * _QUANTUM_S)))
        wait = pace.wait(now, quantum)
        if wait > 0:
            return self._no_room(queues, wait)
        return Room(min(left, pace.level(now)), free)

    def _no_room(self, queues: list[Queue], wait: float) -> Room:
        self._room_in_s = min(self._room_in_s, wait)
        return Room(0, dict.fromkeys(queues, 0))

    def _free(self, queue: Queue) -> int:
        cap = self._options.caps[queue.lane]
        free = cap - self._out[queue]
        return free if free * _REFILLS >= cap else 0

    async def _sleep(self) -> None:
        """Wait for the next row's time, a commit, or room at a push service."""
        next_due = self._around.store.read(lambda tx: tx.outbox.next_due())
        wait = _LONGEST_SLEEP_S if next_due is None else (next_due - self._around.clock.now()) / 1000
        if wait <= 0:
            # What is due and was not claimed waits for room: a settled row wakes this loop.
            wait = min(_AFTER_A_FAULT_S, self._room_in_s)
        await self._pause(min(max(wait, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))

    async def _pause(self, seconds: float, until: asyncio.Event | None = None) -> None:
        until = until or self._woken
        timer = self._around.timers.call_at(self._around.clock.monotonic() + seconds, until.set)
        try:
            await until.wait()
        finally:
            timer.cancel()

    def _committed(self, groups: frozenset[str]) -> None:
        if "outbox" in groups:
            self._woken.set()

    # Carrying them.

    async def _carry(self, queue: Queue, parcel: Parcel) -> None:
        try:
            await self._carrier.carry(parcel)
        except Exception:
            # A bug with one parcel must not stop the others; its lease keeps it from coming back at once.
            metrics.FAULTS.labels("courier").inc()
            _log.error("courier_fault", row=parcel[0].id, kind=parcel[0].kind, exc_info=True)
        finally:
            self._rows_out.difference_update(row.id for row in parcel)
            self._out[queue] -= 1
            if self._is_behind:
                self._woken.set()

"""Which rows of the outbox go next: of each lane its share, and together what one push can stand for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from wakerobin.core.pacing import Turns
from wakerobin.core.pushes import Lane
from wakerobin.ports.store import OutboxRow, Queue, Transaction
from wakerobin.services.courier.carrying import Parcel
from wakerobin.services.courier.messages import TOGETHER

_SOON = 3600_000
"""What falls due for the same phone within that time goes together."""

WEIGHTS: Final = {Lane.CALLS: 1, Lane.NOTICES: 8, Lane.WARNINGS: 4, Lane.RENEWALS: 1}
"""How lanes that want more than there is share what their push service takes."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many parcels the queues of one push service may send now."""

    total: int
    lanes: dict[Queue, int] = field(default_factory=dict)
    """…and of each queue at most."""

    def __hash__(self) -> int:
        return hash(self.total)


def claim(
    tx: Transaction, rooms: list[Room], turns: Turns[Queue], out: Collection[int], now: int, lease_until: int
) -> list[tuple[Queue, Parcel]]:
    """Lease what is due and has room; `out` are the rows that are on their way, leased or not."""
    claimed: list[tuple[Queue, Parcel]] = []
    taken: set[int] = set()
    for room in rooms:
        for queue, row in _first(tx, room, turns, out, now):
            if row.id in taken:
                continue
            rows = [row]
            if row.kind in TOGETHER:
                rows += [
                    other
                    for other in tx.outbox.companions(row, now, now + _SOON)
                    if other.id not in taken and other.id not in out
                ]
            taken.update(one.id for one in rows)
            claimed.append((queue, tuple(rows)))
    for id_ in taken:
        tx.outbox.lease(id_, lease_until)
    return claimed


def _first(
    tx: Transaction, room: Room, turns: Turns[Queue], out: Collection[int], now: int
) -> list[tuple[Queue, OutboxRow]]:
    """Return the rows of a push service that go next: of each lane its share, the earliest deadline first."""
    due = {queue: _due(tx, queue, min(most, room.total), out, now) for queue, most in room.lanes.items()}
    shares = turns.shares(room.total, {queue: len(rows) for queue, rows in due.items()})
    return [(queue, row) for queue, rows in due.items() for row in rows[: shares[queue]]]


def _due(tx: Transaction, queue: Queue, limit: int, out: Collection[int], now: int) -> list[OutboxRow]:
    if limit <= 0:
        return []
    due = tx.outbox.due(queue, now, limit)
    if any(row.id in out for row in due):
        # A row that is out longer than its lease is due again in the store, not here.
        due = [row for row in tx.outbox.due(queue, now, limit + len(out)) if row.id not in out]
    return due[:limit]

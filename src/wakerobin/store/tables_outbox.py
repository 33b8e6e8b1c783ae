"""The outbox in SQL: pushes that were decided and wait for their settlement."""

# ruff: noqa: D102 - each method is described once, in ports/store.py

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wakerobin.core.pushes import LANES, Lane, PushType
from wakerobin.ports.store import MOST_COMPANIONS, OutboxRow, Queue
from wakerobin.store.session import Row, Session, from_json, to_json
from wakerobin.store.statements import load

_OUTBOX = load("outbox")

_FEW = 1000
"""So many rows are sorted faster than a backlog of postponed ones is walked."""


class OutboxTable:
    """`ports.store.Outbox` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, row: OutboxRow) -> bool:
        return self._session.write("outbox", _OUTBOX["add"], _values(row)) > 0

    def add_all(self, rows: Sequence[OutboxRow]) -> None:
        self._session.write_all("outbox", _OUTBOX["add"], [_values(row) for row in rows])

    def queues(self) -> list[Queue]:
        found: list[Queue] = []
        row = self._session.one(_OUTBOX["first_queue"])
        while row is not None:
            found.append(Queue(Lane(row[0]), row[1], row[2]))
            row = self._session.one(_OUTBOX["next_queue"], lane=row[0], app=row[1], provider=row[2])
        return found

    def due(self, of: Lane | Queue, now: int, limit: int) -> list[OutboxRow]:
        if isinstance(of, Lane):
            queues = [queue for queue in self.queues() if queue.lane is of]
            every = [row for queue in queues for row in self.due(queue, now, limit)]
            return sorted(every, key=lambda row: (row.deadline_at, row.id))[:limit]
        ready = self._session.all(_OUTBOX["ready"], now=now, limit=_FEW)[0][0]
        due = _OUTBOX["due_of_few"] if ready < _FEW else _OUTBOX["due"]
        rows = self._session.all(due, lane=of.lane, app=of.app, provider=of.provider, now=now, limit=limit)
        return [_outbox_row(row) for row in rows]

    def of_registration(self, registration_id: int, kind: PushType) -> list[OutboxRow]:
        values = {"registration_id": registration_id, "kind": kind}
        return [_outbox_row(row) for row in self._session.all(_OUTBOX["of_registration"], **values)]

    def companions(self, row: OutboxRow, now: int, until: int) -> list[OutboxRow]:
        rows = self._session.all(
            _OUTBOX["companions"],
            registration_id=row.registration_id,
            kind=row.kind,
            now=now,
            until=until,
            limit=MOST_COMPANIONS,
        )
        return [_outbox_row(one) for one in rows]

    def lease(self, row_id: int, until: int) -> None:
        self._session.write("outbox", _OUTBOX["lease"], {"id": row_id, "until": until})

    def postpone(
        self, row_id: int, not_before: int, attempts: int, payload: dict[str, Any] | None = None
    ) -> None:
        values = {
            "id": row_id,
            "not_before": not_before,
            "attempts": attempts,
            "payload": None if payload is None else to_json(payload),
        }
        self._session.write("outbox", _OUTBOX["postpone"], values)

    def remove(self, row_id: int) -> None:
        self._session.write("outbox", _OUTBOX["remove"], {"id": row_id})

    def void(self, registration_id: int, below_generation: int) -> int:
        values = {"registration_id": registration_id, "below": below_generation}
        return self._session.write("outbox", _OUTBOX["void"], values)

    def next_due(self) -> int | None:
        row = self._session.one(_OUTBOX["next_due"])
        return row[0] if row else None


def _values(row: OutboxRow) -> dict[str, Any]:
    return {
        "slot": row.slot,
        "registration_id": row.registration_id,
        "generation": row.generation,
        "kind": row.kind,
        "step": row.step,
        "lane": LANES[row.kind],
        "app": row.app,
        "provider": row.provider,
        "not_before": row.not_before,
        "deadline_at": row.deadline_at,
        "attempts": row.attempts,
        "payload": to_json(row.payload),
    }


def _outbox_row(row: Row) -> OutboxRow:
    return OutboxRow(
        id=row[0],
        slot=row[1],
        registration_id=row[2],
        generation=row[3],
        kind=PushType(row[4]),
        step=row[5],
        not_before=row[6],
        deadline_at=row[7],
        attempts=row[8],
        payload=from_json(row[9]),
        app=row[10],
        provider=row[11],
    )

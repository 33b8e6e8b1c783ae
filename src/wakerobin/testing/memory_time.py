"""Lives, the outbox and stories of `MemoryStore`: what happens while time passes."""

# ruff: noqa: D102 - each method is described once, in ports/store.py

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from wakerobin.core.pushes import LANES, OUTLIVES_USE, Lane, PushType
from wakerobin.core.values import BindingState, Ended, Life, Purpose, TargetKind
from wakerobin.ports.store import MOST_COMPANIONS, OutboxRow, Queue, Standing, StoryRow
from wakerobin.testing.memory_groups import expect_free, through_json
from wakerobin.testing.memory_tables import Tables

_REGISTERED = frozenset({BindingState.REGISTERED, BindingState.REGISTERING})


class MemoryLives:
    """`ports.store.Lives` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.life

    def get(self, registration_id: int) -> Life | None:
        return self._rows.rows.get(registration_id)

    def add(self, life: Life) -> None:
        self._all.expect_registration(life.id)
        expect_free(self._rows.where(lambda other: other.id == life.id), "id")
        self._rows.put(life.id, life)

    def update(self, life: Life) -> None:
        self._rows.change(life.id, life)

    def climb(self, lives: Sequence[Life]) -> None:
        for life in lives:
            stored = self._rows.rows.get(life.id, life)
            climbed = replace(
                stored,
                step=life.step,
                next_at=life.next_at,
                warning_tried_at=life.warning_tried_at,
                warning_settled=life.warning_settled,
            )
            self.update(climbed)

    def due(self, now: int, limit: int) -> list[int]:
        armed = [(life.next_at, life.id) for life in self._rows.rows.values() if life.next_at is not None]
        return [id_ for next_at, id_ in sorted(armed)[:limit] if next_at <= now]

    def standings(self, ids: Sequence[int]) -> list[Standing]:
        return [self._standing(self._rows.rows[id_]) for id_ in ids if id_ in self._rows.rows]

    def next_due(self) -> int | None:
        return min(
            (life.next_at for life in self._rows.rows.values() if life.next_at is not None), default=None
        )

    def ended(self, before: int, limit: int) -> list[Life]:
        rows = self._rows.where(
            lambda life: life.ended not in (None, Ended.DORMANT) and life.ended_at < before
        )
        return sorted(rows, key=lambda life: (life.ended_at, life.id))[:limit]

    def count(self) -> dict[str, int]:
        living = len(self._rows.where(lambda life: life.ended is None))
        ends = Counter(str(life.ended) for life in self._rows.rows.values() if life.ended is not None)
        return {"living": living, **ends}

    def _standing(self, life: Life) -> Standing:
        registration = self._all.registration.rows[life.id]
        account = self._all.account.rows[registration.account_id]
        targets = self._all.target.where(lambda target: target.registration_id == life.id)
        return Standing(
            life=life,
            account_id=registration.account_id,
            app=registration.app,
            proven=registration.proven,
            capabilities=dict(registration.capabilities),
            kinds=tuple(TargetKind(target.provider, target.purposes) for target in targets),
            platform=registration.platform,
            time_zone=registration.time_zone,
            installation=registration.installation,
            is_registered=account.proven and account.state in _REGISTERED,
            is_alone=not self._all.registration.where(
                lambda other: (
                    (other.app, other.installation) == (registration.app, registration.installation)
                    and other.id != life.id
                )
            ),
        )


class MemoryOutbox:
    """`ports.store.Outbox` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.outbox
        self._leases = tables.lease

    def add(self, row: OutboxRow) -> bool:
        self._all.expect_registration(row.registration_id)
        key = _decision(row)
        if self._rows.where(lambda other: _decision(other) == key):
            return False
        app, provider, payload = row.app, row.provider, through_json(row.payload)
        if not app:
            app = self._all.registration.rows[row.registration_id].app
            provider = self._provider(row.registration_id)
        stored = replace(row, id=self._rows.next_id(), payload=payload, app=app, provider=provider)
        self._rows.put(stored.id, stored)
        return True

    def add_all(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self.add(row)

    def queues(self) -> list[Queue]:
        return sorted({_queue(row) for row in self._rows.rows.values()})

    def due(self, of: Lane | Queue, now: int, limit: int) -> list[OutboxRow]:
        rows = self._rows.where(lambda row: of in (LANES[row.kind], _queue(row)) and self._try_at(row) <= now)
        first = sorted(rows, key=lambda row: (row.deadline_at, row.id))[:limit]
        return [replace(row, payload=through_json(row.payload)) for row in first]

    def of_registration(self, registration_id: int, kind: PushType) -> list[OutboxRow]:
        rows = self._rows.where(lambda row: (row.registration_id, row.kind) == (registration_id, kind))
        return [replace(row, payload=through_json(row.payload)) for row in sorted(rows, key=_decision)]

    def companions(self, row: OutboxRow, now: int, until: int) -> list[OutboxRow]:
        mine = self._all.registration.rows.get(row.registration_id)
        if mine is None or not mine.installation:
            return []
        wanted = (mine.app, mine.installation, row.kind)

        def is_one(other: OutboxRow) -> bool:
            theirs = self._all.registration.rows[other.registration_id]
            return (
                theirs.id != mine.id
                and (theirs.app, theirs.installation, other.kind) == wanted
                and (self._try_at(other) <= now or self._try_at(other) == other.not_before <= until)
            )

        found = sorted(self._rows.where(is_one), key=lambda other: other.id)
        return [replace(one, payload=through_json(one.payload)) for one in found[:MOST_COMPANIONS]]

    def lease(self, row_id: int, until: int) -> None:
        if row_id in self._rows.rows:
            self._leases.put(row_id, until)

    def postpone(
        self, row_id: int, not_before: int, attempts: int, payload: dict[str, Any] | None = None
    ) -> None:
        row = self._rows.rows.get(row_id)
        if row is not None:
            self._leases.drop(row_id)
            payload = row.payload if payload is None else through_json(payload)
            later = replace(row, not_before=not_before, attempts=attempts, payload=payload)
            self._rows.put(row_id, later)

    def remove(self, row_id: int) -> None:
        self._rows.drop(row_id)
        self._leases.drop(row_id)

    def void(self, registration_id: int, below_generation: int) -> int:
        def is_void(row: OutboxRow) -> bool:
            is_older = row.registration_id == registration_id and row.generation < below_generation
            return is_older and row.kind not in OUTLIVES_USE

        return self._rows.drop_where(is_void)

    def next_due(self) -> int | None:
        return min((self._try_at(row) for row in self._rows.rows.values()), default=None)

    def _provider(self, registration_id: int) -> str:
        shown = self._all.target.where(
            lambda one: one.registration_id == registration_id and Purpose.NOTICE in one.purposes
        )
        providers = {one.provider for one in shown}
        return providers.pop().value if len(providers) == 1 else ""

    def _try_at(self, row: OutboxRow) -> int:
        return max(row.not_before, self._leases.rows.get(row.id, 0))


def _queue(row: OutboxRow) -> Queue:
    return Queue(LANES[row.kind], row.app, row.provider)


def _decision(row: OutboxRow) -> tuple[int, int, str, int]:
    return row.registration_id, row.generation, row.kind, row.step


class MemoryStories:
    """`ports.store.Stories` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.story

    def add(self, row: StoryRow) -> None:
        self._rows.put(self._rows.next_id(), replace(row, details=through_json(row.details)))

    def of(self, subject: str, limit: int = 500) -> list[StoryRow]:
        rows = [(row.at, id_, row) for id_, row in self._rows.rows.items() if row.subject == subject]
        last = sorted(rows, key=lambda entry: entry[:2], reverse=True)[:limit]
        return [replace(row, details=through_json(row.details)) for _, _, row in reversed(last)]

    def forget(self, before: int, limit: int) -> int:
        old = sorted((row.at, id_) for id_, row in self._rows.rows.items() if row.at < before)[:limit]
        for _, id_ in old:
            self._rows.drop(id_)
        return len(old)

    def erase(self, subject: str) -> int:
        return self._rows.drop_where(lambda row: row.subject == subject)

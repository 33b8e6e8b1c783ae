"""The table groups of `MemoryStore`, over its tables.

Breaking a rule (a second row with the same key, a row of nobody) is a ValueError, as in every store.
"""

# ruff: noqa: D102 - each method is described once, in ports/store.py

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from wakerobin.core.pushes import LANES, Lane
from wakerobin.core.values import Account, Credentials, Life, PushRegistration, PushTarget
from wakerobin.ports.store import CallRecord, HeldCall, OutboxRow, StoryRow, Trial, Unregister
from wakerobin.testing.memory_tables import Tables


def _expect_free(others: Iterable[object], what: str) -> None:
    if any(True for _ in others):
        raise ValueError(f"there is one with this {what} already")


def _through_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return what a database gives back: a copy, with lists for tuples and text for every key."""
    copy: dict[str, Any] = json.loads(json.dumps(value))
    return copy


class MemoryAccounts:
    """`ports.store.Accounts` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.account

    def get(self, account_id: int) -> Account | None:
        return self._rows.rows.get(account_id)

    def by_aor(self, aor: str) -> list[Account]:
        return self._rows.where(lambda a: a.aor == aor)

    def by_contact_user(self, user: str) -> Account | None:
        return next((a for a in self._rows.rows.values() if user and a.contact_user == user), None)

    def add(self, account: Account) -> Account:
        stored = replace(account, id=self._rows.next_id())
        self._check(stored)
        self._rows.put(stored.id, stored)
        return stored

    def update(self, account: Account) -> None:
        self._check(account)
        self._rows.change(account.id, account)

    def remove(self, account_id: int) -> None:
        _expect_free(
            self._all.registration.where(lambda r: r.account_id == account_id), "account, a registration,"
        )
        self._all.credentials.drop(account_id)
        self._rows.drop(account_id)

    def page(self, after: int, limit: int) -> list[Account]:
        return sorted(self._rows.where(lambda a: a.id > after), key=lambda a: a.id)[:limit]

    def credentials(self, account_id: int) -> Credentials | None:
        return self._all.credentials.rows.get(account_id)

    def set_credentials(self, account_id: int, credentials: Credentials | None) -> None:
        if credentials is None:
            self._all.credentials.drop(account_id)
            return
        self._all.expect_account(account_id)
        self._all.credentials.put(account_id, credentials)

    def _check(self, account: Account) -> None:
        others = self._rows.where(lambda a: a.id != account.id)
        _expect_free((a for a in others if (a.app, a.aor) == (account.app, account.aor)), "app and aor")
        _expect_free(
            (a for a in others if a.contact_user and a.contact_user == account.contact_user), "contact_user"
        )


class MemoryRegistrations:
    """`ports.store.Registrations` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.registration

    def get(self, registration_id: int) -> PushRegistration | None:
        row = self._rows.rows.get(registration_id)
        return row and _own(row)

    def by_public_id(self, public_id: str) -> PushRegistration | None:
        return next((_own(r) for r in self._rows.where(lambda r: r.public_id == public_id)), None)

    def by_installation(self, account_id: int, installation: str) -> list[PushRegistration]:
        wanted = (account_id, installation)
        return [_own(r) for r in self._rows.where(lambda r: (r.account_id, r.installation) == wanted)]

    def of_account(self, account_id: int) -> list[PushRegistration]:
        rows = self._rows.where(lambda r: r.account_id == account_id)
        return [_own(r) for r in rows if not self._is_over(r)]

    def by_sip_instance(self, account_id: int, sip_instance: str) -> PushRegistration | None:
        wanted = (account_id, sip_instance)
        rows = self._rows.where(lambda r: (r.account_id, r.sip_instance) == wanted)
        best = min(rows, key=lambda r: (self._is_over(r), not r.proven, -r.id), default=None)
        return best and _own(best)

    def unproven(self, before: int, waiting_from: int, limit: int) -> list[PushRegistration]:
        rows = self._rows.where(
            lambda r: not r.proven and r.created_at < before and not self._waits(r, waiting_from)
        )
        return [_own(r) for r in sorted(rows, key=lambda r: (r.created_at, r.id))[:limit]]

    def add(self, registration: PushRegistration) -> PushRegistration:
        stored = replace(registration, id=self._rows.next_id())
        self._check(stored)
        self._rows.put(stored.id, _own(stored))
        return stored

    def update(self, registration: PushRegistration) -> None:
        self._check(registration)
        self._rows.change(registration.id, _own(registration))

    def remove(self, registration_id: int) -> None:
        self._all.target.drop_where(lambda t: t.registration_id == registration_id)
        self._all.outbox.drop_where(lambda o: o.registration_id == registration_id)
        self._all.life.drop(registration_id)
        self._all.trial.drop(registration_id)
        self._rows.drop(registration_id)

    def page(self, after: int, limit: int) -> list[PushRegistration]:
        rows = sorted(self._rows.where(lambda r: r.id > after), key=lambda r: r.id)
        return [_own(r) for r in rows[:limit]]

    def _waits(self, registration: PushRegistration, waiting_from: int) -> bool:
        trial = self._all.trial.rows.get(registration.id)
        account = self._all.account.rows[registration.account_id]
        return trial is not None and trial.started_at > waiting_from and not account.proven

    def _is_over(self, registration: PushRegistration) -> bool:
        life = self._all.life.rows.get(registration.id)
        return life is not None and life.ended is not None

    def _check(self, registration: PushRegistration) -> None:
        self._all.expect_account(registration.account_id)
        others = self._rows.where(lambda r: r.id != registration.id)
        _expect_free((r for r in others if r.public_id == registration.public_id), "public_id")


def _own(registration: PushRegistration) -> PushRegistration:
    return replace(registration, capabilities=_through_json(registration.capabilities))


class MemoryTargets:
    """`ports.store.Targets` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.target

    def of_registration(self, registration_id: int) -> list[PushTarget]:
        return self._rows.where(lambda t: t.registration_id == registration_id)

    def add(self, target: PushTarget) -> PushTarget:
        stored = replace(target, id=self._rows.next_id())
        self._check(stored)
        self._rows.put(stored.id, stored)
        return stored

    def update(self, target: PushTarget) -> None:
        self._check(target)
        self._rows.change(target.id, target)

    def remove(self, target_id: int) -> None:
        self._rows.drop(target_id)

    def _check(self, target: PushTarget) -> None:
        self._all.expect_registration(target.registration_id)
        key = (target.registration_id, target.provider, target.token)
        others = self._rows.where(lambda t: t.id != target.id)
        _expect_free((t for t in others if (t.registration_id, t.provider, t.token) == key), "token")


class MemoryLives:
    """`ports.store.Lives` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.life

    def get(self, registration_id: int) -> Life | None:
        return self._rows.rows.get(registration_id)

    def add(self, life: Life) -> None:
        self._all.expect_registration(life.id)
        _expect_free(self._rows.where(lambda other: other.id == life.id), "id")
        self._rows.put(life.id, life)

    def update(self, life: Life) -> None:
        self._rows.change(life.id, life)

    def due(self, now: int, limit: int) -> list[Life]:
        armed = [
            (life.next_at, life.id, life) for life in self._rows.rows.values() if life.next_at is not None
        ]
        return [life for next_at, _, life in sorted(armed, key=lambda a: a[:2])[:limit] if next_at <= now]

    def next_due(self) -> int | None:
        return min(
            (life.next_at for life in self._rows.rows.values() if life.next_at is not None), default=None
        )

    def ended(self, before: int, limit: int) -> list[Life]:
        rows = self._rows.where(lambda life: life.ended is not None and life.ended_at < before)
        return sorted(rows, key=lambda life: (life.ended_at, life.id))[:limit]

    def count(self) -> dict[str, int]:
        living = len(self._rows.where(lambda life: life.ended is None))
        ends = Counter(str(life.ended) for life in self._rows.rows.values() if life.ended is not None)
        return {"living": living, **ends}


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
        app = self._all.registration.rows[row.registration_id].app
        stored = replace(row, id=self._rows.next_id(), payload=_through_json(row.payload), app=app)
        self._rows.put(stored.id, stored)
        return True

    def queues(self) -> list[tuple[Lane, str]]:
        return sorted({(LANES[row.kind], row.app) for row in self._rows.rows.values()})

    def due(self, lane: Lane, now: int, limit: int, app: str | None = None) -> list[OutboxRow]:
        rows = self._rows.where(
            lambda row: LANES[row.kind] is lane and app in (None, row.app) and self._try_at(row) <= now
        )
        first = sorted(rows, key=lambda row: (row.deadline_at, row.id))[:limit]
        return [replace(row, payload=_through_json(row.payload)) for row in first]

    def lease(self, row_id: int, until: int) -> None:
        if row_id in self._rows.rows:
            self._leases.put(row_id, until)

    def postpone(
        self, row_id: int, not_before: int, attempts: int, payload: dict[str, Any] | None = None
    ) -> None:
        row = self._rows.rows.get(row_id)
        if row is not None:
            self._leases.drop(row_id)
            payload = row.payload if payload is None else _through_json(payload)
            later = replace(row, not_before=not_before, attempts=attempts, payload=payload)
            self._rows.put(row_id, later)

    def remove(self, row_id: int) -> None:
        self._rows.drop(row_id)
        self._leases.drop(row_id)

    def void(self, registration_id: int, below_generation: int) -> int:
        return self._rows.drop_where(
            lambda row: row.registration_id == registration_id and row.generation < below_generation
        )

    def next_due(self) -> int | None:
        return min((self._try_at(row) for row in self._rows.rows.values()), default=None)

    def _try_at(self, row: OutboxRow) -> int:
        return max(row.not_before, self._leases.rows.get(row.id, 0))


def _decision(row: OutboxRow) -> tuple[int, int, str, int]:
    return row.registration_id, row.generation, row.kind, row.step


class MemoryStories:
    """`ports.store.Stories` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.story

    def add(self, row: StoryRow) -> None:
        self._rows.put(self._rows.next_id(), replace(row, details=_through_json(row.details)))

    def of(self, subject: str, limit: int = 500) -> list[StoryRow]:
        rows = [(row.at, id_, row) for id_, row in self._rows.rows.items() if row.subject == subject]
        last = sorted(rows, key=lambda entry: entry[:2], reverse=True)[:limit]
        return [replace(row, details=_through_json(row.details)) for _, _, row in reversed(last)]

    def forget(self, before: int) -> int:
        return self._rows.drop_where(lambda row: row.at < before)

    def erase(self, subject: str) -> int:
        return self._rows.drop_where(lambda row: row.subject == subject)


class MemoryBindingWork:
    """`ports.store.BindingWork` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._trials = tables.trial
        self._unregisters = tables.unregister

    def trial(self, registration_id: int) -> Trial | None:
        return self._trials.rows.get(registration_id)

    def trials(self) -> list[Trial]:
        return sorted(self._trials.rows.values(), key=lambda t: (t.started_at, t.registration_id))

    def trial_ids(self) -> list[int]:
        return [trial.registration_id for trial in self.trials()]

    def put_trial(self, trial: Trial) -> None:
        self._all.expect_registration(trial.registration_id)
        self._trials.put(trial.registration_id, trial)

    def remove_trial(self, registration_id: int) -> None:
        self._trials.drop(registration_id)

    def forget_trials(self, until: int) -> int:
        return self._trials.drop_where(lambda trial: trial.started_at <= until)

    def add_unregister(self, work: Unregister) -> Unregister:
        stored = replace(work, id=self._unregisters.next_id())
        self._unregisters.put(stored.id, stored)
        return stored

    def unregisters(self) -> list[Unregister]:
        return list(self._unregisters.rows.values())

    def remove_unregister(self, work_id: int) -> None:
        self._unregisters.drop(work_id)

    def drop_unregisters(self, account_id: int, contact_user: str) -> int:
        wanted = (account_id, contact_user)
        return self._unregisters.drop_where(lambda w: (w.account.id, w.account.contact_user) == wanted)


class MemoryCalls:
    """`ports.store.Calls` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._held = tables.held
        self._records = tables.record

    def hold(self, call: HeldCall) -> None:
        self._held.put(call.call_id, replace(call, branches=_through_json(call.branches)))

    def release(self, call_id: str) -> None:
        self._held.drop(call_id)

    def held(self) -> list[HeldCall]:
        rows = sorted(self._held.rows.values(), key=lambda call: (call.started_at, call.call_id))
        return [replace(call, branches=_through_json(call.branches)) for call in rows]

    def put(self, record: CallRecord) -> None:
        self._records.put(record.call_id, replace(record, caller=_through_json(record.caller)))

    def get(self, call_id: str) -> CallRecord | None:
        row = self._records.rows.get(call_id)
        return row and replace(row, caller=_through_json(row.caller))

    def of_account(self, account_id: int, limit: int) -> list[CallRecord]:
        rows = self._records.where(lambda record: account_id in (0, record.account_id))
        last = sorted(rows, key=lambda record: (record.started_at, record.call_id), reverse=True)[:limit]
        return [replace(record, caller=_through_json(record.caller)) for record in last]

    def forget(self, before: int) -> int:
        return self._records.drop_where(lambda record: (record.ended_at or record.expires_at) < before)


class MemoryKept:
    """`ports.store.Kept` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.kept

    def get(self, name: str) -> bytes | None:
        return self._rows.rows.get(name)

    def put(self, name: str, value: bytes) -> None:
        self._rows.put(name, value)

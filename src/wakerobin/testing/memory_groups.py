"""The table groups of `MemoryStore`, over its tables.

Breaking a rule (a second row with the same key, a row of nobody) is a ValueError, as in every store.
"""

# ruff: noqa: D102 - each method is described once, in ports/store.py

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from wakerobin.core.values import (
    Account,
    Credentials,
    Ended,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    Secret,
)
from wakerobin.ports.store import Callee, CallRecord, HeldCall, KeptAccount, Trial, Unregister
from wakerobin.testing.memory_tables import Tables


def expect_free(others: Iterable[object], what: str) -> None:
    """Raise ValueError where there is another with the same key."""
    if any(True for _ in others):
        raise ValueError(f"there is one with this {what} already")


def through_json(value: dict[str, Any]) -> dict[str, Any]:
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

    def by_user(self, user: str, limit: int) -> list[Account]:
        found = self._rows.where(lambda a: a.aor.startswith(f"sip:{user}@"))
        return sorted(found, key=lambda a: (a.aor, a.app))[:limit]

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
        expect_free(
            self._all.registration.where(lambda r: r.account_id == account_id), "account, a registration,"
        )
        self._all.credentials.drop(account_id)
        self._all.trouble.drop(account_id)
        self._all.mailbox.drop(account_id)
        self._all.message.drop_where(lambda m: m.account_id == account_id)
        self._rows.drop(account_id)

    def page(self, after: int, limit: int) -> list[Account]:
        return sorted(self._rows.where(lambda a: a.id > after), key=lambda a: a.id)[:limit]

    def kept(self, after: int, limit: int) -> list[KeptAccount]:
        proven = sorted(self._rows.where(lambda a: a.id > after and a.proven), key=lambda a: a.id)
        return [
            KeptAccount(a.id, a.state, a.aor, a.registrar, a.outbound_proxy, a.transport)
            for a in proven[:limit]
        ]

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
        expect_free((a for a in others if (a.app, a.aor) == (account.app, account.aor)), "app and aor")
        expect_free(
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

    def callees(self, account_id: int) -> list[Callee]:
        found = []
        called = self._all.target.where(lambda target: Purpose.CALL in target.purposes)
        for registration in self.of_account(account_id):
            life = self._all.life.rows.get(registration.id)
            targets = tuple(target for target in called if target.registration_id == registration.id)
            if registration.proven and life is not None and targets:
                found.append(Callee(registration, life, targets))
        return found

    def of_installation(self, app: str, installation: str) -> list[PushRegistration]:
        rows = self._rows.where(lambda r: (r.app, r.installation) == (app, installation))
        return [_own(r) for r in rows if not self._is_over(r)]

    def dormant(self, account_id: int) -> list[PushRegistration]:
        rows = self._rows.where(lambda r: r.account_id == account_id)
        lives = self._all.life.rows
        return [_own(r) for r in rows if r.id in lives and lives[r.id].ended is Ended.DORMANT]

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
        self._all.held_use.drop(registration_id)
        self._all.stepped_aside.drop(registration_id)
        self._all.receipt.drop_where(lambda r: r.registration_id == registration_id)
        for key in [key for key in self._all.message_for.rows if key[0] == registration_id]:
            self._all.message_for.drop(key)
        self._all.sent_message.drop_where(lambda m: m.registration_id == registration_id)
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
        expect_free((r for r in others if r.public_id == registration.public_id), "public_id")


def _own(registration: PushRegistration) -> PushRegistration:
    return replace(registration, capabilities=through_json(registration.capabilities))


class MemoryTargets:
    """`ports.store.Targets` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._all = tables
        self._rows = tables.target

    def of_registration(self, registration_id: int, purpose: Purpose | None = None) -> list[PushTarget]:
        return self._rows.where(
            lambda t: t.registration_id == registration_id and (purpose is None or purpose in t.purposes)
        )

    def with_token(self, provider: Provider, token: Secret) -> list[PushTarget]:
        return self._rows.where(lambda t: (t.provider, t.token) == (provider, token))

    def add(self, target: PushTarget) -> PushTarget:
        stored = replace(target, id=self._rows.next_id())
        self._check(stored)
        self._rows.put(stored.id, stored)
        return stored

    def update(self, target: PushTarget) -> None:
        self._check(target)
        self._rows.change(target.id, target)

    def note_accepted(self, target_id: int, at: int, environment: str = "") -> None:
        target = self._rows.rows.get(target_id)
        if target is not None:
            environment = environment or target.environment
            self._rows.put(target_id, replace(target, accepted_at=at, refused_at=0, environment=environment))

    def remove(self, target_id: int) -> None:
        self._rows.drop(target_id)

    def _check(self, target: PushTarget) -> None:
        self._all.expect_registration(target.registration_id)
        key = (target.registration_id, target.provider, target.token)
        others = self._rows.where(lambda t: t.id != target.id)
        expect_free((t for t in others if (t.registration_id, t.provider, t.token) == key), "token")


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
        self._held.put(call.call_id, replace(call, branches=through_json(call.branches)))

    def release(self, call_id: str) -> None:
        self._held.drop(call_id)

    def held(self) -> list[HeldCall]:
        rows = sorted(self._held.rows.values(), key=lambda call: (call.started_at, call.call_id))
        return [replace(call, branches=through_json(call.branches)) for call in rows]

    def put(self, record: CallRecord) -> None:
        self._records.put(record.call_id, replace(record, caller=through_json(record.caller)))

    def get(self, call_id: str) -> CallRecord | None:
        row = self._records.rows.get(call_id)
        return row and replace(row, caller=through_json(row.caller))

    def of_account(self, account_id: int, limit: int) -> list[CallRecord]:
        rows = self._records.where(lambda record: account_id in (0, record.account_id))
        last = sorted(rows, key=lambda record: (record.started_at, record.call_id), reverse=True)[:limit]
        return [replace(record, caller=through_json(record.caller)) for record in last]

    def last_called(self, after: int, until: int, since: int) -> dict[int, int]:
        rows = self._records.where(lambda one: after < one.account_id <= until and one.started_at >= since)
        last: dict[int, int] = {}
        for record in rows:
            last[record.account_id] = max(last.get(record.account_id, 0), record.started_at)
        return last

    def forget(self, before: int, limit: int) -> int:
        over = [(one.ended_at or one.expires_at, one.call_id) for one in self._records.rows.values()]
        old = sorted(entry for entry in over if entry[0] < before)[:limit]
        for _, call_id in old:
            self._records.drop(call_id)
        return len(old)


class MemoryKept:
    """`ports.store.Kept` in memory."""

    def __init__(self, tables: Tables) -> None:
        self._rows = tables.kept

    def get(self, name: str) -> bytes | None:
        return self._rows.rows.get(name)

    def put(self, name: str, value: bytes) -> None:
        self._rows.put(name, value)

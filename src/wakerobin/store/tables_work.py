"""Work for the fleet, calls, and what is kept over a restart, in SQL."""

# ruff: noqa: D102 - each method is described once, in ports/store.py

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from wakerobin.core.values import Transport, Way
from wakerobin.ports.store import CallRecord, HeldCall, Trial, Unregister
from wakerobin.store.session import Row, Session, from_json, to_json
from wakerobin.store.statements import load
from wakerobin.store.tables_accounts import (
    account_from_json,
    account_to_json,
    seal_credentials,
    unseal_credentials,
)

_WORK = load("binding_work")
_CALLS = load("calls")
_KEPT = load("kept")


class BindingWorkTable:
    """`ports.store.BindingWork` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def trial(self, registration_id: int) -> Trial | None:
        row = self._session.one(_WORK["trial"], registration_id=registration_id)
        return self._trial(row) if row else None

    def trials(self) -> list[Trial]:
        return [self._trial(row) for row in self._session.all(_WORK["trials"])]

    def trial_ids(self) -> list[int]:
        return [row[0] for row in self._session.all(_WORK["trial_ids"])]

    def put_trial(self, trial: Trial) -> None:
        values = {
            "registration_id": trial.registration_id,
            "account_id": trial.account_id,
            "sealed": seal_credentials(self._session, trial.credentials, _trial_place(trial.registration_id)),
            "way": to_json(asdict(trial.way) if trial.way is not None else {}),
            "is_trusted": trial.is_trusted,
            "started_at": trial.started_at,
        }
        if not self._session.erase("bindings", _WORK["replace_trial"], values):
            self._session.write("bindings", _WORK["add_trial"], values)

    def remove_trial(self, registration_id: int) -> None:
        self._session.erase("bindings", _WORK["remove_trial"], {"registration_id": registration_id})

    def forget_trials(self, until: int) -> int:
        return self._session.erase("bindings", _WORK["forget_trials"], {"until": until})

    def add_unregister(self, work: Unregister) -> Unregister:
        values = {
            "account_id": work.account.id,
            "account": account_to_json(work.account),
            "registration_id": work.registration_id,
            "created_at": work.created_at,
            "give_up_at": work.give_up_at,
        }
        id_ = self._session.insert("bindings", _WORK["add_unregister"], values)
        # The seal is bound to the id, which the row must have first.
        sealed = seal_credentials(self._session, work.credentials, _unregister_place(id_))
        self._session.write("bindings", _WORK["seal_unregister"], {"id": id_, "sealed": sealed})
        return replace(work, id=id_)

    def unregisters(self) -> list[Unregister]:
        return [self._unregister(row) for row in self._session.all(_WORK["unregisters"])]

    def remove_unregister(self, work_id: int) -> None:
        self._session.erase("bindings", _WORK["remove_unregister"], {"id": work_id})

    def drop_unregisters(self, account_id: int, contact_user: str) -> int:
        values = {"account_id": account_id, "contact_user": contact_user}
        return self._session.erase("bindings", _WORK["drop_unregisters"], values)

    def _trial(self, row: Row) -> Trial:
        registration_id, account_id, sealed, way, is_trusted, started_at = row
        return Trial(
            registration_id=registration_id,
            account_id=account_id,
            credentials=unseal_credentials(self._session, sealed, _trial_place(registration_id)),
            way=_way(from_json(way)),
            is_trusted=bool(is_trusted),
            started_at=started_at,
        )

    def _unregister(self, row: Row) -> Unregister:
        id_, account, sealed, registration_id, created_at, give_up_at = row
        return Unregister(
            id=id_,
            account=account_from_json(account),
            credentials=unseal_credentials(self._session, sealed, _unregister_place(id_)),
            registration_id=registration_id,
            created_at=created_at,
            give_up_at=give_up_at,
        )


class CallTable:
    """`ports.store.Calls` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def hold(self, call: HeldCall) -> None:
        values = {
            "call_id": call.call_id,
            "account_id": call.account_id,
            "invite": call.invite,
            "flow": call.flow,
            "to_tag": call.to_tag,
            "branches": to_json(call.branches),
            "started_at": call.started_at,
            "expires_at": call.expires_at,
        }
        self._session.write("calls", _CALLS["hold"], values)

    def release(self, call_id: str) -> None:
        self._session.write("calls", _CALLS["release"], {"call_id": call_id})

    def held(self) -> list[HeldCall]:
        return [_held(row) for row in self._session.all(_CALLS["held"])]

    def put(self, record: CallRecord) -> None:
        said = {
            "sip_call_id": record.sip_call_id,
            "from_tag": record.from_tag,
            "answered_by": record.answered_by,
            "caller": record.caller,
            "reason": record.reason,
        }
        values = {
            "call_id": record.call_id,
            "account_id": record.account_id,
            "state": record.state,
            "said": to_json(said),
            "started_at": record.started_at,
            "expires_at": record.expires_at,
            "ended_at": record.ended_at,
            "over_at": record.ended_at or record.expires_at,
        }
        self._session.write("calls", _CALLS["put"], values)

    def get(self, call_id: str) -> CallRecord | None:
        row = self._session.one(_CALLS["get"], call_id=call_id)
        return _record(row) if row else None

    def of_account(self, account_id: int, limit: int) -> list[CallRecord]:
        if account_id:
            rows = self._session.all(_CALLS["of_account"], account_id=account_id, limit=limit)
        else:
            rows = self._session.all(_CALLS["of_all"], limit=limit)
        return [_record(row) for row in rows]

    def last_called(self, after: int, until: int, since: int) -> dict[int, int]:
        rows = self._session.all(_CALLS["last_called"], after=after, until=until, since=since)
        return {row[0]: row[1] for row in rows}

    def forget(self, before: int, limit: int) -> int:
        return self._session.write("calls", _CALLS["forget"], {"before": before, "limit": limit})


class KeptTable:
    """`ports.store.Kept` over a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, name: str) -> bytes | None:
        row = self._session.one(_KEPT["get"], name=name)
        return self._session.unseal(row[0], f"kept:sealed:{name}") if row else None

    def put(self, name: str, value: bytes) -> None:
        values = {"name": name, "sealed": self._session.seal(value, f"kept:sealed:{name}")}
        self._session.write("kept", _KEPT["put"], values)


def _way(values: dict[str, Any]) -> Way | None:
    if not values:
        return None
    said = values["transport"]
    return Way(**{**values, "transport": Transport(said) if said else None})


def _trial_place(registration_id: int) -> str:
    return f"trial:sealed:{registration_id}"


def _unregister_place(work_id: int) -> str:
    return f"unregister:sealed:{work_id}"


def _held(row: Row) -> HeldCall:
    call_id, account_id, invite, flow, to_tag, branches, started_at, expires_at = row
    return HeldCall(
        call_id=call_id,
        account_id=account_id,
        invite=invite,
        flow=flow,
        to_tag=to_tag,
        branches=from_json(branches),
        started_at=started_at,
        expires_at=expires_at,
    )


def _record(row: Row) -> CallRecord:
    call_id, account_id, state, said, started_at, expires_at, ended_at = row
    heard = from_json(said)
    return CallRecord(
        call_id=call_id,
        sip_call_id=heard["sip_call_id"],
        from_tag=heard["from_tag"],
        account_id=account_id,
        state=state,
        answered_by=heard["answered_by"],
        caller=heard["caller"],
        started_at=started_at,
        expires_at=expires_at,
        ended_at=ended_at,
        reason=heard["reason"],
    )

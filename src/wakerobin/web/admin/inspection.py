"""What operators see of push registrations and calls, as JSON objects: for the API and the command line.

No secret is among it: no token, no password or hash, no user part of our Contact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from wakerobin.core.binding import in_words
from wakerobin.core.guests import Guest
from wakerobin.core.story import readable, words
from wakerobin.core.values import Account, PushRegistration
from wakerobin.ports.store import CallRecord, Store, StoryRow, Transaction
from wakerobin.services import story
from wakerobin.services.fleet import BindingStatus
from wakerobin.services.lives import LifeView, Lives

Json: TypeAlias = dict[str, Any]

MOST = 500
"""Rows of one page."""


class Inspection:
    """Reads the store. `status_of` knows where bindings stand: the fleet, or without a server the rows."""

    def __init__(self, store: Store, lives: Lives, status_of: Callable[[Account], BindingStatus]) -> None:
        self._store = store
        self._lives = lives
        self._status_of = status_of

    def registrations(self, after: int = 0, limit: int = 100, aor: str = "") -> Json:
        """Return a page of push registrations in the order of enrolment; `next` is 0 after the last."""
        limit = max(1, min(limit, MOST))

        def read(tx: Transaction) -> Json:
            page = tx.registrations.page(after, limit)
            shown = [self._summary(tx, one) for one in page]
            return {
                "registrations": [one for one in shown if not aor or aor in one["aor"]],
                "next": page[-1].id if len(page) == limit else 0,
            }

        return self._store.read(read)

    def registration(self, public_id: str) -> Json | None:
        """Return all there is to see of one."""

        def read(tx: Transaction) -> Json | None:
            found = tx.registrations.by_public_id(public_id)
            return self._details(tx, found) if found is not None else None

        return self._store.read(read)

    def registration_timeline(self, public_id: str) -> Json | None:
        """Return its story in words."""

        def read(tx: Transaction) -> Json | None:
            found = tx.registrations.by_public_id(public_id)
            if found is None:
                return None
            return {"events": _told(tx.stories.of(story.of_registration(found.id)))}

        return self._store.read(read)

    def calls(self, limit: int = 50) -> Json:
        """Return calls, the newest first."""
        limit = max(1, min(limit, MOST))

        def read(tx: Transaction) -> Json:
            return {"calls": [_call(tx, record) for record in tx.calls.of_account(0, limit)]}

        return self._store.read(read)

    def call(self, call_id: str) -> Json | None:
        """Return a call with its story."""

        def read(tx: Transaction) -> Json | None:
            record = tx.calls.get(call_id)
            if record is None:
                return None
            return {**_call(tx, record), "events": _told(tx.stories.of(story.of_call(call_id)))}

        return self._store.read(read)

    def guests(self, limit: int = 50, aor: str = "") -> Json:
        """Return phones that never enrolled, those of one address of record or the first of all."""
        limit = max(1, min(limit, MOST))

        def read(tx: Transaction) -> Json:
            found = tx.guests.of_aor(aor)[:limit] if aor else tx.guests.page(0, limit)
            return {"guests": [_guest(one) for one in found]}

        return self._store.read(read)

    def guest(self, id_: str) -> Json | None:
        """Return one of them with its story; known 30 days after its end."""
        if not (id_.isascii() and id_.isdecimal() and len(id_) < 17):
            return None
        subject = story.of_guest(int(id_))

        def read(tx: Transaction) -> Json | None:
            found, events = tx.guests.get(int(id_)), tx.stories.of(subject)
            if found is None and not events:
                return None
            return {**(_guest(found) if found is not None else {"id": id_}), "events": _told(events)}

        return self._store.read(read)

    def _summary(self, tx: Transaction, registration: PushRegistration) -> Json:
        account = tx.accounts.get(registration.account_id)
        view = self._lives.view(tx, registration)
        return {
            "id": registration.public_id,
            "app": registration.app,
            "aor": account.aor if account is not None else "",
            "platform": registration.platform.value,
            "proven": registration.proven,
            "stage": view.stage.value if view is not None else "",
            "expires_at": view.life.expires_at if view is not None else 0,
            "binding": self._status_of(account).state.value if account is not None else "",
        }

    def _details(self, tx: Transaction, registration: PushRegistration) -> Json:
        account = tx.accounts.get(registration.account_id)
        view = self._lives.view(tx, registration)
        return {
            **self._summary(tx, registration),
            "display_name": registration.display_name,
            "locale": registration.locale,
            "time_zone": registration.time_zone,
            "capabilities": dict(registration.capabilities),
            "sip_instance": registration.sip_instance,
            "created_at": registration.created_at,
            "life": _life(view) if view is not None else None,
            "targets": [
                {
                    "provider": target.provider.value,
                    "purposes": sorted(purpose.value for purpose in target.purposes),
                    "reported_at": target.reported_at,
                    "accepted_at": target.accepted_at,
                    "refused_at": target.refused_at,
                }
                for target in tx.targets.of_registration(registration.id)
            ],
            "messages_waiting": tx.messages.count_for(registration.id),
            "account": self._account(account) if account is not None else None,
        }

    def _account(self, account: Account) -> Json:
        status = self._status_of(account)
        return {
            "aor": account.aor,
            "registrar": account.registrar or account.aor.rpartition("@")[2],
            "outbound_proxy": account.outbound_proxy,
            "transport": account.transport or "",
            "proven": account.proven,
            "realm": account.realm,
            "state": status.state.value,
            "since_at": status.since_at,
            "reason_code": status.reason_code,
            "reason": in_words(status.reason_code, status.reason, status.since_at, self._lives.clock.now()),
            "binding_expires_at": status.expires_at,
        }


def _life(view: LifeView) -> Json:
    life = view.life
    return {
        "stage": view.stage.value,
        "generation": life.generation,
        "expires_at": life.expires_at,
        "renewed_at": life.renewed_at,
        "warnable": view.warnable,
        "ended": life.ended.value if life.ended is not None else None,
        "ended_at": life.ended_at,
        "plan": [{"kind": entry.kind.value, "at": entry.at} for entry in view.plan],
    }


def _call(tx: Transaction, record: CallRecord) -> Json:
    account = tx.accounts.get(record.account_id)
    return {
        "call_id": record.call_id,
        "sip_call_id": readable(record.sip_call_id),
        "aor": account.aor if account is not None else "",
        "state": record.state,
        "caller": dict(record.caller),
        "started_at": record.started_at,
        "expires_at": record.expires_at,
        "ended_at": record.ended_at,
        "reason": record.reason,
    }


def _guest(guest: Guest) -> Json:
    providers = sorted({target.provider.value for target in guest.targets})
    return {
        "id": str(guest.number),
        "app": guest.app,
        "aor": readable(guest.aor),
        "push": ", ".join(providers),
        "registrar": readable(guest.registrar),
        "pbx": guest.pbx,
        "registered_at": guest.registered_at,
        "expires_at": guest.expires_at,
        "next_push_at": guest.next_at if guest.next_at < guest.expires_at else 0,
    }


def _told(rows: list[StoryRow]) -> list[Json]:
    return [{"at": row.at, "event": row.event, "text": words(row.event, row.details)} for row in rows]

"""What a call leaves behind: phones that still think it rings, and users who did not hear it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wakerobin.core.call import CallState
from wakerobin.core.pushes import PushType
from wakerobin.core.sip.message import Message
from wakerobin.core.story import is_declined_elsewhere, is_elsewhere, readable
from wakerobin.core.values import Life, Purpose, PushRegistration
from wakerobin.ports.store import CallRecord, OutboxRow, Transaction
from wakerobin.services.callers import shown_name
from wakerobin.services.switchboard.exchange import Exchange
from wakerobin.services.switchboard.wake import ELSEWHERE, Wakeable

MISSED_AFTER_MS = 5_000
"""So long after its end an app that woke late can still say that it knows of the call."""
MISSED_FOR_MS = 7 * 24 * 3_600_000
MOST_COUNTED = 200

_UNHEARD = frozenset({str(CallState.MISSED), str(CallState.CANCELLED)})


@dataclass(frozen=True, slots=True)
class Missed:
    """A call that a registration's user may not know of."""

    registration_id: int
    call: str
    """The key of the call."""
    caller: str
    push_ids: tuple[str, ...]
    """Of its call pushes: a receipt for one says that the app knows of the call."""
    ended_at: int


class Aftermath:
    """Follows, for one call, which phones took its pushes, woke, or spoke up, until it is over and after."""

    def __init__(self, exchange: Exchange, invite: Message, wakeables: Iterable[Wakeable]) -> None:
        self._exchange = exchange
        self._invite = invite
        self._wakeables = {one.registration.id: one for one in wakeables}
        self._taken: dict[int, set[int]] = {}
        """By registration: the targets whose push service took the call push."""
        self._awake: set[int] = set()
        """Registrations whose phone is connected: it hears by SIP what becomes of the call."""
        self._knowing: set[int] = set()
        """Registrations whose app knows of the call: it said so, or its user declined."""
        self._shown: set[int] = set()
        """Registrations that reported the push of the call: what they show has to be replaced."""
        self._state = ""
        """The API's word for how it ended; empty before."""

    def taken(self, registration_id: int, target_id: int) -> list[str]:
        """A push service took a call push. Returns the services that were told that the call is over."""
        self._taken.setdefault(registration_id, set()).add(target_id)
        return self._take_back(registration_id, {target_id}) if self._state else []

    def awoke(self, registration_id: int) -> None:
        """A phone is connected."""
        self._awake.add(registration_id)

    def knows(self, registration_id: int) -> None:
        """An app says that it knows of the call."""
        self._knowing.add(registration_id)

    def shown(self, registration_id: int) -> None:
        """A receipt came for a call push."""
        self._shown.add(registration_id)

    def over(self, state: CallState, reason: str, answered_by: int) -> list[str]:
        """The call is over. Returns the push services that were told so."""
        if answered_by:
            self._knowing.add(answered_by)
        self._state = seen_state(str(state), reason, is_mine=False)
        told: list[str] = []
        for registration_id, target_ids in self._taken.items():
            told += self._take_back(registration_id, target_ids)
        return told

    def missed(self, record: CallRecord) -> list[Missed]:
        """Return whom to tell of a missed call, if it is one."""
        if not is_missed(record) or self._invite.has("replaces"):
            return []  # what replaces a call (RFC 3891) is one that the user knows of
        return [
            Missed(
                id_,
                record.call_id,
                shown_name(record.caller),
                tuple(self._exchange.push_ids(self._invite, wakeable)),
                record.ended_at,
            )
            for id_, wakeable in self._wakeables.items()
            if id_ not in self._awake | self._knowing | self._shown
        ]

    def snapshot(self) -> dict[str, Any]:
        """Return what a restart must not forget, as JSON."""
        return {
            "taken": [[id_, sorted(targets)] for id_, targets in self._taken.items()],
            "awake": sorted(self._awake),
            "knowing": sorted(self._knowing),
            "shown": sorted(self._shown),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up what was so before a restart."""
        self._taken = {id_: set(targets) for id_, targets in snapshot["taken"]}
        self._awake, self._knowing = set(snapshot["awake"]), set(snapshot["knowing"])
        self._shown = set(snapshot["shown"])

    def _take_back(self, registration_id: int, target_ids: Collection[int]) -> list[str]:
        wakeable = self._wakeables.get(registration_id)
        if wakeable is None or registration_id in self._awake or registration_id in self._knowing:
            return []
        return self._exchange.take_back(self._invite, wakeable, target_ids, self._state)


def seen_state(state: str, reason: str, *, is_mine: bool) -> str:
    """Return the API's word for how a call stands, as a registration sees it that took it, or did not."""
    if state == CallState.HELD:
        return str(CallState.WAKING)
    if state == CallState.ANSWERED and not is_mine:
        return ELSEWHERE
    if state == CallState.CANCELLED and is_elsewhere(reason):
        return ELSEWHERE  # on a desk phone: the PBX knows it, we do not
    return state


def is_missed(record: CallRecord) -> bool:
    """Whether nobody took the call and nobody declined it, here or at another phone of the PBX."""
    heard = is_elsewhere(record.reason) or is_declined_elsewhere(record.reason)
    return record.ended_at > 0 and record.state in _UNHEARD and not heard


def tell_missed(tx: Transaction, missed: Missed, account_id: int) -> None:
    """Have the user told of a missed call soon.

    It counts those before it, so what an outage of the push service keeps waiting need not go out any more.
    """
    registration, life = tx.registrations.get(missed.registration_id), tx.lives.get(missed.registration_id)
    if registration is None or life is None or life.ended is not None or not _can_be_told(tx, registration):
        return
    for row in tx.outbox.of_registration(registration.id, PushType.MISSED_CALL):
        if row.not_before <= missed.ended_at:
            tx.outbox.remove(row.id)
    tx.outbox.add(
        OutboxRow(
            slot=life.slot,
            registration_id=registration.id,
            generation=life.generation,
            kind=PushType.MISSED_CALL,
            step=_number(missed.call),
            not_before=missed.ended_at + MISSED_AFTER_MS,
            deadline_at=missed.ended_at + MISSED_FOR_MS,
            payload={
                "call": missed.call,
                "caller": readable(missed.caller),
                "count": _count(tx, registration, life, account_id),
                "pushes": list(missed.push_ids),
            },
        )
    )


def withdraw_missed(
    tx: Transaction, registration_id: int, *, call: str = "", push_ids: Collection[str] = ()
) -> None:
    """The app knows of a call: do not tell its user. By the key of the call, or by receipts of its pushes."""
    for row in tx.outbox.of_registration(registration_id, PushType.MISSED_CALL):
        if row.payload["call"] == call or {*row.payload["pushes"]} & {*push_ids}:
            tx.outbox.remove(row.id)


def _can_be_told(tx: Transaction, registration: PushRegistration) -> bool:
    targets = tx.targets.of_registration(registration.id)
    may_show = registration.capabilities.get("notifications", True)
    return may_show and any(Purpose.NOTICE in target.purposes for target in targets)


def _count(tx: Transaction, registration: PushRegistration, life: Life, account_id: int) -> int:
    """Return how many calls were missed since somebody last had the app open, with the one just stored."""
    since = max(life.opened_at, registration.created_at)
    records = tx.calls.of_account(account_id, MOST_COUNTED)
    return max(1, sum(is_missed(record) and record.ended_at > since for record in records))


def _number(call: str) -> int:
    """Return a number of a call: two of them at once are two decisions."""
    return int(call.replace("-", "")[:7], 16)

"""Rows of the outbox on their way: read again right before the socket, tried, and settled.

A row is one decision for all targets of a registration. Each target is settled once, by
`core.delivery`; the row goes with its last target, in the same transaction. Rows that are the same push
for several accounts of one phone travel as a parcel: one push, and each row is settled by its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from wakerobin import log
from wakerobin.core.delivery import Again, decide, is_lapsed
from wakerobin.core.pushes import Accepted, Outcome, PushType, TargetGone, Unavailable, variant_of
from wakerobin.core.values import Provider, PushTarget, Secret
from wakerobin.ports.store import OutboxRow, Transaction
from wakerobin.services.courier.around import Around
from wakerobin.services.courier.gates import Gates
from wakerobin.services.courier.messages import Addressee, purpose_of, targets_for
from wakerobin.services.courier.sending import FIRST_AT, Parked, Sender, Sent, Stop, decided_at
from wakerobin.services.courier.settling import Settler
from wakerobin.services.lives import Delivery

Parcel: TypeAlias = tuple[OutboxRow, ...]
"""Rows that were claimed together: the same kind for one installation."""

_TARGET = "target"
"""In the payload of a row that is for one target alone: its id."""
_DONE = "done"
"""In the payload of a row that is tried again: the ids of the targets that are settled."""

_TOO_LATE = Unavailable("too late", processed=False)

_log = log.get("courier")


class Carrier:
    """Carries parcels, each row to its end or to its next attempt.

    `attempt` is how long one try may take, milliseconds.
    """

    def __init__(self, around: Around, attempt: int, gates: Gates, settler: Settler) -> None:
        self._around = around
        self._gates = gates
        self._settler = settler
        self._sender = Sender(around, attempt, gates)

    async def carry(self, parcel: Parcel) -> None:
        """Try each row once to each of its open targets, and write down what came of it."""
        now = self._around.clock.now()
        stops = self._around.store.read(lambda tx: [self._stop(tx, row, now) for row in parcel])
        deliveries = [_removal(row) for row, stop in zip(parcel, stops, strict=True) if stop is None]
        there = [stop for stop in stops if stop is not None]
        late = [stop for stop in there if is_lapsed(stop.row, now)]
        deliveries += [self._settled(stop, [Sent(one, _TOO_LATE) for one in stop.targets]) for stop in late]
        awake = [stop for stop in there if stop not in late and stop.addressee.wanted.leaves_from <= now]
        for stop in there:
            if stop not in late and stop not in awake:
                wait = Parked(stop.addressee.wanted.leaves_from - now)
                deliveries.append(self._settled(stop, [Sent(one, wait) for one in stop.targets]))
        for group in _groups(awake):
            deliveries += await self._carry_together(group, now)
        await self._settler.settle(deliveries)
        self._look_for_our_fault(deliveries)

    def _stop(self, tx: Transaction, row: OutboxRow, now: int) -> Stop | None:
        """Read whom a row is for; None if no one any more: a use, the end or a later push came between."""
        wanted = self._around.lives.wanted(tx, row, now)
        registration = tx.registrations.get(row.registration_id) if wanted else None
        if wanted is None or registration is None:
            return None
        name = registration.display_name
        if not name:
            account = tx.accounts.get(registration.account_id)
            name = account.aor.removeprefix("sip:") if account else ""
        done = row.payload.get(_DONE, ())
        there = tx.targets.of_registration(registration.id, purpose_of(row.kind))
        fit = targets_for(row.kind, there, registration.capabilities)
        only = row.payload.get(_TARGET)
        targets = tuple(one for one in fit if one.id not in done and only in (None, one.id))
        if not targets:
            return None
        row = replace(row, deadline_at=wanted.deadline_at)
        return Stop(row, Addressee(registration, name, wanted), targets)

    async def _carry_together(self, stops: list[Stop], now: int) -> list[Delivery]:
        """Send one push for all stops to each target of the first; they have the same tokens."""
        sent = await self._sender.send(stops, now)
        first, *others = stops
        deliveries = [self._delivery(first, sent, now)]
        for stop in others:
            own = {(target.provider, target.token): target for target in stop.targets}
            results = [Sent(own[one.target.provider, one.target.token], one.result) for one in sent]
            deliveries.append(self._delivery(stop, results, now))
        return deliveries

    def _delivery(self, stop: Stop, sent: list[Sent], now: int) -> Delivery:
        if any(one.result is None for one in sent):
            # The push was not wanted any more in its turn: by all of its rows, or by another one of them.
            if self._around.store.read(lambda tx: self._around.lives.wanted(tx, stop.row, now)) is None:
                return _removal(stop.row)
            sent = [Sent(one.target, one.result or Parked(0)) for one in sent]
        return self._settled(stop, sent)

    def _settled(self, stop: Stop, sent: list[Sent]) -> Delivery:
        """Decide about each target, and with them about the row."""
        around, row = self._around, stop.row
        now = around.clock.now()
        again: list[Again] = []
        done: list[tuple[PushTarget, Outcome]] = []
        for target, result in ((one.target, one.result) for one in sent):
            if isinstance(result, Parked):
                again.append(Again(now + result.wait, row.attempts))
                continue
            assert result is not None
            # A random number costs more than all the rest of an accepted push's verdict.
            jitter = 0.0 if isinstance(result, Accepted) else around.jitter()
            verdict = decide(row, result, now, jitter, around.policy)
            if isinstance(verdict, Again):
                again.append(verdict)
                _log.info("push_again", kind=row.kind, reason=getattr(result, "reason", ""))
            else:
                done.append((target, result))
        also = _postponement(row, again, done) if again else _remove(row)
        return Delivery(row, done, also, is_over=not again)

    def _look_for_our_fault(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            for target, outcome in delivery.results:
                if isinstance(outcome, TargetGone):
                    app = delivery.row.app
                    if self._around.lives.is_refused_in_bulk(app, target):
                        self._gates.refused_in_bulk(app, target, outcome)


def _groups(stops: Iterable[Stop]) -> list[list[Stop]]:
    """Put together what one push can stand for: the same tokens, and the same words.

    The row that was decided first gives the push its id, whenever they meet.
    """
    found: dict[tuple[PushType, str, frozenset[tuple[Provider, Secret]]], list[Stop]] = {}
    for stop in sorted(stops, key=lambda stop: stop.row.id):
        tokens = frozenset((target.provider, target.token) for target in stop.targets)
        variant = variant_of(stop.row.kind, stop.row.payload, stop.addressee.wanted.stage)
        found.setdefault((stop.row.kind, variant, tokens), []).append(stop)
    return list(found.values())


def _removal(row: OutboxRow) -> Delivery:
    return Delivery(row, (), _remove(row))


def _remove(row: OutboxRow) -> Callable[[Transaction], None]:
    return lambda tx: tx.outbox.remove(row.id)


def _postponement(
    row: OutboxRow, again: list[Again], done: list[tuple[PushTarget, Outcome]]
) -> Callable[[Transaction], None]:
    not_before, attempts = min(one.not_before for one in again), max(one.attempts for one in again)
    payload = row.payload | {FIRST_AT: decided_at(row)}
    if done:
        payload[_DONE] = [*row.payload.get(_DONE, ()), *(target.id for target, _ in done)]
    return lambda tx: tx.outbox.postpone(row.id, not_before, attempts, payload)

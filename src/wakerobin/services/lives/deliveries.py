"""What push services answered: settled rows, gone targets, and removals that are taken back (law 5)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from wakerobin import log
from wakerobin.core.delivery import TargetVerdict
from wakerobin.core.lifetime import TROUBLE_NOTICE
from wakerobin.core.pushes import Accepted, PushType, TargetGone
from wakerobin.core.values import Ended, PushTarget
from wakerobin.ports.store import OutboxRow, Store, Transaction
from wakerobin.services import story
from wakerobin.services.lives import targets
from wakerobin.services.lives.deciding import Deciding
from wakerobin.services.lives.settlement import Delivery, Settled, event_of, line_of
from wakerobin.services.lives.tallies import Tally, tally

_log = log.get("lives")
_VISIBLE = frozenset({PushType.EXPIRY_WARNING, PushType.TARGETS_NEEDED, PushType.REGISTRATION_TROUBLE})


class Deliveries:
    """Takes outcomes in; what they mean for targets and lives is written in one transaction each."""

    def __init__(self, store: Store, deciding: Deciding, removals: targets.Removals) -> None:
        self._store = store
        self._deciding = deciding
        self._removals = removals

    async def settled(self, deliveries: Sequence[Delivery]) -> None:
        """Take in several deliveries in one transaction, as where one push was for several rows."""
        now = self._deciding.clock.now()
        judged = [self._judge(delivery, now) for delivery in deliveries]

        def work(tx: Transaction) -> list[list[Settled]]:
            return [self._settle_in(tx, *one, now) for one in zip(deliveries, judged, strict=True)]

        removals = await self._store.transact(work)
        for delivery, settled, removed in zip(deliveries, judged, removals, strict=True):
            await self._after_refusals(self._app_of_row(delivery.row), settled, removed, now)

    def is_refused_in_bulk(self, app: str, target: PushTarget) -> bool:
        """Whether the credential of this target is refused for so many tokens that nothing ends by it."""
        return self._removals.is_tripped(app, target, self._deciding.clock.now())

    async def target_gone(self, target: PushTarget, outcome: TargetGone) -> None:
        """Take in that a push service refused a target of a push that has no outbox row."""
        now = self._deciding.clock.now()
        app = self._app_of(target.registration_id)
        settled = self._removals.judge(app, target, outcome, now)
        was_removed = await self._store.transact(lambda tx: self._note_target(tx, settled, now))
        await self._after_refusals(app, [settled], [settled] if was_removed else [], now)

    async def target_accepted(self, target: PushTarget, outcome: Accepted) -> None:
        """Take in that a push service accepted a push that has no outbox row."""
        now = self._deciding.clock.now()
        app = self._app_of(target.registration_id)
        self._removals.judge(app, target, outcome, now)
        await self._store.transact(lambda tx: tx.targets.note_accepted(target.id, now, outcome.environment))

    def _judge(self, delivery: Delivery, now: int) -> list[Settled]:
        app = self._app_of_row(delivery.row)
        return [self._removals.judge(app, target, outcome, now) for target, outcome in delivery.results]

    def _settle_in(
        self, tx: Transaction, delivery: Delivery, settled: list[Settled], now: int
    ) -> list[Settled]:
        """Write what a delivery makes of its row, targets and life; returns the targets that went."""
        row = delivery.row
        delivery.also(tx)
        _tell(tx, row, settled, now)
        removed = [one for one in settled if self._note_target(tx, one, now)]
        event = event_of(row, settled, is_over=delivery.is_over)
        registration = tx.registrations.get(row.registration_id)
        if registration is not None:
            if event is not None:
                self._deciding.apply(now)(tx, registration, event)
            counted = _counted(row, settled)
            if counted is not None:
                tally(tx, registration, counted, now)
        if _is_last(tx, row):
            for one in settled:
                tx.targets.remove(one.target.id)
        return removed

    def _note_target(self, tx: Transaction, settled: Settled, now: int) -> bool:
        """Write what an outcome makes of a target; True: it was removed."""
        target, outcome = settled.target, settled.outcome
        if isinstance(outcome, Accepted):
            tx.targets.note_accepted(target.id, now, outcome.environment)
        elif settled.verdict is TargetVerdict.SUSPECTED:
            targets.suspect(tx, target, outcome.reason, now)
        elif settled.verdict is TargetVerdict.GONE:
            apply, release_at = self._deciding.apply(now), settled.release_at
            return targets.remove(tx, target, outcome.reason, now, apply, release_at=release_at)
        return False

    async def _after_refusals(
        self, app: str, settled: Sequence[Settled], removed: Sequence[Settled], now: int
    ) -> None:
        for one in removed:
            self._removals.remember(app, one.target, now)
        for one in settled:
            if one.verdict is not None and self._removals.is_tripped(app, one.target, now):
                await self._undo(app, one.target, now)

    async def _undo(self, app: str, target: PushTarget, now: int) -> None:
        taken = self._removals.take_back(app, target, now)
        # What to do is the operator's: topic, environment or key do not fit the app's tokens.
        _log.error("push_targets_refused_in_bulk", app=app, provider=target.provider, undone=len(taken))
        apply = self._deciding.apply(now)
        for one in taken:
            await self._store.transact(partial(targets.restore, target=one, apply=apply))

    def _app_of_row(self, row: OutboxRow) -> str:
        return row.app or self._app_of(row.registration_id)

    def _app_of(self, registration_id: int) -> str:
        registration = self._store.read(lambda tx: tx.registrations.get(registration_id))
        return registration.app if registration else ""


def _tell(tx: Transaction, row: OutboxRow, settled: Sequence[Settled], now: int) -> None:
    """Tell how deliveries ended."""
    life = tx.lives.get(row.registration_id)
    if life is None:
        return
    for one in settled:
        event, details = line_of(row, life, one.outcome, now)
        story.tell(tx, story.of_registration(row.registration_id), now, event, **details)


def _counted(row: OutboxRow, settled: Sequence[Settled]) -> Tally | None:
    if not any(isinstance(one.outcome, Accepted) for one in settled):
        return None
    if row.kind is PushType.RENEW:
        return Tally.RENEWAL_PUSHES
    return Tally.WARNED if row.kind in _VISIBLE and row.step != TROUBLE_NOTICE else None


def _is_last(tx: Transaction, row: OutboxRow) -> bool:
    """Whether this push was the last to its targets; those of a dormant life wait for it to be resumed."""
    if row.kind is PushType.EXPIRED:
        life = tx.lives.get(row.registration_id)
        return life is not None and life.ended is not Ended.DORMANT
    return row.kind is PushType.REGISTRATION_TROUBLE and row.step == TROUBLE_NOTICE

"""The lives of push registrations: the only caller of `lifetime.decide`.

Every change reads the record, decides, and writes the record with all that follows (outbox rows, the
released binding, the story) in one transaction. Nothing is sent here: the commit wakes courier and fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from wakerobin import log, metrics
from wakerobin.core.delivery import TargetGuard, TargetVerdict
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.lifetime import (
    Cease,
    Context,
    Decision,
    Effect,
    End,
    Event,
    Fire,
    LifetimePolicy,
    PlanEntry,
    Stage,
    Tell,
    Use,
    begin,
    deadline,
    decide,
    is_superseded,
    plan,
    stage,
)
from wakerobin.core.pushes import Accepted, Outcome, PushType, TargetGone
from wakerobin.core.values import BindingState, Ended, Life, PushRegistration, PushTarget
from wakerobin.ports.clock import Clock
from wakerobin.ports.store import OutboxRow, Standing, Store, Transaction
from wakerobin.services import story
from wakerobin.services.lives import proofs, targets
from wakerobin.services.lives.context import Surroundings, context_of, is_warnable
from wakerobin.services.lives.downtime import DowntimeRecord
from wakerobin.services.lives.effects import Apply, GrantedUntil, perform
from wakerobin.services.lives.settlement import Delivery, Settled, event_of, line_of

_log = log.get("lives")
_AFTER_A_FAULT = 3600_000
_NO_CONTEXT = Context(warnable=False, renewable=False)
_LAST_WARNINGS = frozenset({PushType.EXPIRY_WARNING, PushType.TARGETS_NEEDED})


@dataclass(frozen=True, slots=True)
class LifeView:
    """A life as people read it."""

    life: Life
    stage: Stage
    plan: tuple[PlanEntry, ...]
    warnable: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a push says of the life that it is about, and until when it is of use (0: one attempt)."""

    life: Life
    stage: Stage
    deadline_at: int


def _unknown_grant(_account_id: int) -> int | None:
    return None


def _nothing(_tx: Transaction) -> None:
    return None


class Lives:
    """`policies` gives the policy of any app; `is_call_held` is asked by registration id before an end."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        policies: Callable[[str], LifetimePolicy],
        is_call_held: Callable[[int], bool],
        *,
        granted_until: GrantedUntil = _unknown_grant,
        guard: TargetGuard | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._policies = policies
        self._is_call_held = is_call_held
        self._granted_until = granted_until
        self._removals = targets.Removals(guard or TargetGuard())
        self.downtime = DowntimeRecord(store)

    def begin_in(self, tx: Transaction, registration: PushRegistration, now: int) -> Life:
        """Create the life of a new push registration, inside the transaction that stores it."""
        account = tx.accounts.get(registration.account_id)
        assert account is not None
        policy = self._policies(registration.app)
        life = begin(registration.id, account.slot, registration.lifetime, now, policy)
        tx.lives.add(life)
        if registration.proven:
            proofs.withhold_notices(tx, registration)
        return life

    async def use(self, registration_id: int, cause: str) -> Life | None:
        """Renew by a use and return the life after its commit; None: no such registration.

        Where the returned life has ended, the use came too late: enrol again.
        """
        life = await self._store.transact(
            lambda tx: self.use_in(tx, registration_id, cause, self._clock.now())
        )
        if life is not None and life.ended is None:
            metrics.LIVES_USED.labels(cause).inc()
        return life

    def use_in(self, tx: Transaction, registration_id: int, cause: str, now: int) -> Life | None:
        """Renew by a use, inside a transaction of the caller's."""
        life = tx.lives.get(registration_id)
        registration = tx.registrations.get(registration_id)
        if life is None or registration is None or life.ended is not None:
            return life
        if life.lifetime != registration.lifetime:
            life = replace(life, lifetime=registration.lifetime)
        policy = self._policies(registration.app)
        life, effects = decide(life, Use(cause), now, policy, _NO_CONTEXT)
        perform(tx, registration.account_id, life, effects, now, self._granted_until)
        return life

    async def fire(self, now: int, limit: int = 500) -> int:
        """Decide what is due in up to `limit` lives, in one transaction; returns how many were looked at."""
        due = self._store.read(lambda tx: tx.lives.due(now, limit))
        if not due:
            return 0
        held = frozenset(id_ for id_ in due if self._is_call_held(id_))
        try:
            _count(await self._store.transact(lambda tx: self._fire_in(tx, now, due, held)))
        except StoreUnavailableError:
            raise
        except Exception:
            # A bug with one life must not stop all that are due after it.
            for id_ in due:
                await self._fire_alone(now, id_, held)
        return len(due)

    async def _fire_alone(self, now: int, id_: int, held: frozenset[int]) -> None:
        try:
            _count(await self._store.transact(lambda tx: self._fire_in(tx, now, (id_,), held)))
        except StoreUnavailableError:
            raise
        except Exception:
            metrics.FAULTS.labels("lives").inc()
            _log.error("life_fault", registration=id_, exc_info=True)
            await self._store.transact(lambda tx: _put_off(tx, id_, now + _AFTER_A_FAULT))

    async def end(self, registration_id: int, reason: Ended) -> Life | None:
        """End a life now, silently: its secrets are erased in this transaction, a tombstone stays."""
        life = await self._store.transact(
            lambda tx: self.end_in(tx, registration_id, reason, self._clock.now())
        )
        if life is not None:
            metrics.LIVES_ENDED.labels(reason.value).inc()
        return life

    def end_in(self, tx: Transaction, registration_id: int, reason: Ended, now: int) -> Life | None:
        """End a life now, inside a transaction of the caller's; an ended one stays as it ended."""
        registration = tx.registrations.get(registration_id)
        if registration is None:
            return None
        return self._apply(now)(tx, registration, Cease(reason))

    def wanted(self, tx: Transaction, row: OutboxRow, now: int) -> Wanted | None:
        """Return what a row's push says of the life; None: a use, the end or a later push has made it void.

        The courier asks right before the socket and removes a row that is not wanted. Outages of ours since
        its decision do not shorten the time of the last warning (law 3).
        """
        standing = next(iter(tx.lives.standings([row.registration_id])), None)
        if standing is None:
            return None
        life, policy = standing.life, self._policies(standing.app)
        if is_superseded(life, row.kind, row.generation, row.step, now, policy):
            return None
        warnable = is_warnable(standing.capabilities, standing.kinds)
        until = row.deadline_at
        if row.kind in _LAST_WARNINGS:
            until = deadline(life, row.step, until, policy, self.downtime.known(tx, now))
        return Wanted(life, stage(life, policy, warnable=warnable), until)

    def view(self, tx: Transaction, registration: PushRegistration) -> LifeView | None:
        """Return a life as every answer of the API shows it."""
        standing = next(iter(tx.lives.standings([registration.id])), None)
        if standing is None:
            return None
        life = standing.life
        policy = self._policies(registration.app)
        warnable = is_warnable(registration.capabilities, standing.kinds)
        planned = plan(policy, life.expires_at, life.lifetime) if life.ended is None else ()
        return LifeView(life, stage(life, policy, warnable=warnable), planned, warnable)

    async def push_settled(
        self,
        row: OutboxRow,
        results: Sequence[tuple[PushTarget, Outcome]],
        also: Callable[[Transaction], Any] = _nothing,
        *,
        is_over: bool = True,
    ) -> None:
        """Take in how the delivery of a row to some of its targets ended; no further attempt follows.

        `is_over`: to none of its targets. `also` runs in the same transaction: the courier removes the row
        there, or notes who is settled, so that a crash finds both or neither.
        """
        await self.pushes_settled([Delivery(row, results, also, is_over)])

    async def pushes_settled(self, deliveries: Sequence[Delivery]) -> None:
        """Take in several deliveries in one transaction, as where one push was for several rows."""
        now = self._clock.now()
        judged = [self._judge(delivery, now) for delivery in deliveries]

        def work(tx: Transaction) -> list[list[Settled]]:
            return [self._settle_in(tx, *one, now) for one in zip(deliveries, judged, strict=True)]

        removals = await self._store.transact(work)
        for delivery, settled, removed in zip(deliveries, judged, removals, strict=True):
            app = delivery.row.app or self._app_of(delivery.row.registration_id)
            await self._after_refusals(app, settled, removed, now)

    def is_refused_in_bulk(self, app: str, target: PushTarget) -> bool:
        """Whether the credential of this target is refused for so many tokens that nothing ends by it."""
        return self._removals.is_tripped(app, target, self._clock.now())

    def _judge(self, delivery: Delivery, now: int) -> list[Settled]:
        app = delivery.row.app or self._app_of(delivery.row.registration_id)
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
        if event is not None and registration is not None:
            self._apply(now)(tx, registration, event)
        if row.kind is PushType.EXPIRED:
            for one in settled:
                tx.targets.remove(one.target.id)
        return removed

    async def target_gone(self, target: PushTarget, outcome: TargetGone) -> None:
        """Take in that a push service refused a target, e.g. of a call push, which has no outbox row."""
        now = self._clock.now()
        app = self._app_of(target.registration_id)
        settled = self._removals.judge(app, target, outcome, now)
        was_removed = await self._store.transact(lambda tx: self._note_target(tx, settled, now))
        await self._after_refusals(app, [settled], [settled] if was_removed else [], now)

    async def target_accepted(self, target: PushTarget) -> None:
        """Take in that a push service accepted a push that has no outbox row."""
        now = self._clock.now()
        app = self._app_of(target.registration_id)
        self._removals.judge(app, target, Accepted(), now)
        await self._store.transact(lambda tx: tx.targets.note_accepted(target.id, now))

    async def proven(self, registration_id: int, proof: proofs.Proof) -> bool:
        """Take the credentials of a registration as proven; False: it is not there any more."""
        now = self._clock.now()
        return await self._store.transact(
            lambda tx: proofs.prove(tx, registration_id, proof, now, self._apply(now))
        )

    async def refused(self, registration_id: int, code: str, reason: str) -> None:
        """Drop the credentials of a registration that the PBX refused; proven ones stay."""
        now = self._clock.now()
        await self._store.transact(lambda tx: proofs.refuse(tx, registration_id, code, reason, now))

    async def binding_state(self, account_id: int, state: BindingState, code: str, reason: str) -> None:
        """Store a change of where the binding of an account stands."""
        now = self._clock.now()
        await self._store.transact(lambda tx: proofs.change_state(tx, account_id, state, code, reason, now))

    async def forget(self, registration_id: int) -> None:
        """Remove a push registration for good: unproven in time, or a tombstone that is old enough."""
        await self._store.transact(lambda tx: proofs.forget(tx, registration_id))

    def _apply(self, now: int) -> Apply:
        def apply(tx: Transaction, registration: PushRegistration, event: Event) -> Life:
            (standing,) = tx.lives.standings([registration.id])
            around = Surroundings(self.downtime.known(tx, now))
            life, effects = self._decided(standing, event, now, around)
            perform(tx, registration.account_id, life, effects, now, self._granted_until)
            return life

        return apply

    def _decided(self, standing: Standing, event: Event, now: int, around: Surroundings) -> Decision:
        policy = self._policies(standing.app)
        return decide(standing.life, event, now, policy, context_of(standing, around))

    def _fire_in(self, tx: Transaction, now: int, due: Sequence[int], held: frozenset[int]) -> list[Effect]:
        around = Surroundings(self.downtime.known(tx, now), held)
        happened: list[Effect] = []
        for standing in tx.lives.standings(due):
            life, effects = self._decided(standing, Fire(), now, around)
            perform(tx, standing.account_id, life, effects, now, self._granted_until)
            happened += effects
        return happened

    def _note_target(self, tx: Transaction, settled: Settled, now: int) -> bool:
        """Write what an outcome makes of a target; True: it was removed."""
        target, outcome = settled.target, settled.outcome
        if isinstance(outcome, Accepted):
            tx.targets.note_accepted(target.id, now)
        elif settled.verdict is TargetVerdict.SUSPECTED:
            targets.suspect(tx, target, outcome.reason, now)
        elif settled.verdict is TargetVerdict.GONE:
            apply, release_at = self._apply(now), settled.release_at
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
        for one in taken:
            await self._store.transact(partial(targets.restore, target=one, apply=self._apply(now)))

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


def _put_off(tx: Transaction, registration_id: int, until: int) -> None:
    life = tx.lives.get(registration_id)
    if life is not None and life.next_at is not None:
        tx.lives.update(replace(life, next_at=until))


def _count(happened: list[Effect]) -> None:
    for effect in happened:
        if isinstance(effect, End):
            metrics.LIVES_ENDED.labels(effect.reason.value).inc()
        elif isinstance(effect, Tell) and effect.event == "grace-over":
            metrics.LIVES_ENDED.labels("by-grace").inc()
            _log.warning("life_ended_by_grace")

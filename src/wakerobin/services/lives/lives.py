"""The lives of push registrations: the only caller of `lifetime.decide`.

Every change reads the record, decides, and writes the record with all that follows (outbox rows, the
released binding, the story) in one transaction. Nothing is sent here: the commit wakes courier and fleet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wakerobin import log, metrics
from wakerobin.core.delivery import TargetGuard
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.ids import Entropy
from wakerobin.core.lifetime import (
    Cease,
    Effect,
    End,
    Event,
    Extend,
    LifetimePolicy,
    PlanEntry,
    Rewarn,
    Stage,
    Tell,
    deadline,
    is_superseded,
    leaves_from,
    plan,
    stage,
)
from wakerobin.core.pushes import Accepted, Outcome, PushType, TargetGone
from wakerobin.core.values import BindingState, Ended, Life, PushRegistration, PushTarget
from wakerobin.ports.clock import Clock
from wakerobin.ports.store import OutboxRow, Store, Transaction
from wakerobin.services.lives import proofs, targets
from wakerobin.services.lives.clock_guard import STEP_LIMIT, ClockGuard
from wakerobin.services.lives.context import is_warnable
from wakerobin.services.lives.deciding import Deciding
from wakerobin.services.lives.deliveries import Deliveries
from wakerobin.services.lives.doubt import Doubt
from wakerobin.services.lives.downtime import DowntimeRecord
from wakerobin.services.lives.effects import GrantedUntil
from wakerobin.services.lives.policy_watch import PolicyWatch
from wakerobin.services.lives.settlement import Delivery
from wakerobin.services.lives.tallies import last_days, show
from wakerobin.services.lives.trouble import Failure, Troubles

_log = log.get("lives")
_AFTER_A_FAULT = 3600_000
_LONGEST_CATCH_UP_S = 30.0
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
    """What a push says of the life that it is about, and until when it is of use (0: one attempt).

    `leaves_from`: it may not leave before that, because its user sleeps.
    """

    life: Life
    stage: Stage
    deadline_at: int
    leaves_from: int = 0


def _unknown_grant(_account_id: int) -> int | None:
    return None


def _nothing(_tx: Transaction) -> None:
    return None


def _nobody(_account_id: int) -> None:
    return None


def _nothing_follows(_tx: Transaction, _registration: PushRegistration, _now: int) -> None:
    return None


class Lives:
    """`policies` gives the policy of any app; `is_call_held` is asked by registration id before an end.

    `apps`: those whose policy is watched for changes. `on_resumed` hears of accounts that need their
    binding again. `clock` is what lives go by: a guarded one.
    """

    def __init__(  # noqa: PLR0913 - each is one thing that a life depends on
        self,
        store: Store,
        clock: Clock,
        policies: Callable[[str], LifetimePolicy],
        is_call_held: Callable[[int], bool],
        *,
        granted_until: GrantedUntil = _unknown_grant,
        guard: TargetGuard | None = None,
        entropy: Entropy = os.urandom,
        apps: Collection[str] = (),
        step_limit: int = STEP_LIMIT,
        on_resumed: Callable[[int], None] = _nobody,
        on_proven: Callable[[Transaction, PushRegistration, int], None] = _nothing_follows,
    ) -> None:
        self._store = store
        self._is_call_held = is_call_held
        self._on_resumed = on_resumed
        self._on_proven = on_proven
        self._behind_since: float | None = None
        self.clock = ClockGuard(clock, step_limit)
        self.downtime = DowntimeRecord(store)
        self._deciding = deciding = Deciding(
            clock=self.clock,
            policies=policies,
            downtime=self.downtime,
            granted_until=granted_until,
            entropy=entropy,
        )
        self._deliveries = Deliveries(store, deciding, targets.Removals(guard or TargetGuard()))
        self._policies = PolicyWatch(store, deciding, apps)
        self._doubt = Doubt(store, deciding)
        self._troubles = Troubles(store, deciding, is_call_held)

    # Using and ending.

    def begin_in(self, tx: Transaction, registration: PushRegistration, now: int) -> Life:
        """Create the life of a new push registration, inside the transaction that stores it."""
        return self._deciding.begin_in(tx, registration, now)

    async def use(self, registration_id: int, cause: str) -> Life | None:
        """Renew by a use and return the life after its commit; None: no such registration.

        Where the returned life has ended, the use came too late: enrol again.
        """
        now = self.clock.now()
        life, resumed = await self._store.transact(
            lambda tx: self._deciding.use_or_resume_in(tx, registration_id, cause, now)
        )
        if resumed:
            self._on_resumed(resumed)
        if life is not None and life.ended is None:
            metrics.LIVES_USED.labels(cause).inc()
        return life

    def use_in(self, tx: Transaction, registration_id: int, cause: str, now: int) -> Life | None:
        """Renew a living one by a use, inside a transaction of the caller's."""
        return self._deciding.use_in(tx, registration_id, cause, now)

    async def end(self, registration_id: int, reason: Ended) -> Life | None:
        """End a life now, silently: its secrets are erased in this transaction, a tombstone stays."""
        life = await self._applied(registration_id, Cease(reason))
        if life is not None:
            metrics.LIVES_ENDED.labels(reason.value).inc()
        return life

    async def extend(self, registration_id: int, expires_at: int) -> Life | None:
        """Let it live until then, as the operator wants; never shorter than it would. None: there is none."""
        return await self._applied(registration_id, Extend(expires_at))

    async def rewarn(self, registration_id: int) -> Life | None:
        """Have its user warned now, as the operator wants. None: there is none."""
        return await self._applied(registration_id, Rewarn())

    async def forget(self, registration_id: int) -> None:
        """Remove a push registration for good: unproven in time, or a tombstone that is old enough."""
        await self._store.transact(lambda tx: proofs.forget(tx, registration_id))

    # What time brings.

    @property
    def is_frozen(self) -> bool:
        """Whether nobody is warned and nothing ends, because the clock is in doubt (law 8)."""
        return self.clock.is_doubtful

    @property
    def is_catching_up(self) -> bool:
        """Whether more is due at once than was decided yet: then what was decided need not hurry.

        What is due for the same phone can go as one push when all of it is decided, and calls have less
        beside them. That is over after half a minute, however much is still due.
        """
        since = self._behind_since
        return since is not None and self.clock.monotonic() - since < _LONGEST_CATCH_UP_S

    async def start(self) -> None:
        """Find out what happened since the last run. To be awaited before anything fires."""
        await self._doubt.start()
        await self.downtime.start(self.clock.now())
        await self._policies.start()

    async def look(self) -> None:
        """See whether the clock can be believed; to be awaited before anything fires."""
        await self._doubt.look()

    async def fire(self, now: int, limit: int = 500) -> int:
        """Decide what is due in up to `limit` lives, in one transaction; returns how many were looked at."""
        if self.is_frozen:
            return 0
        due = self._store.read(lambda tx: tx.lives.due(now, limit))
        if len(due) < limit:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self.clock.monotonic()
        if not due:
            return 0
        held = frozenset(id_ for id_ in due if self._is_call_held(id_))
        try:
            _count(await self._store.transact(lambda tx: self._deciding.fire_in(tx, now, due, held)))
        except StoreUnavailableError:
            raise
        except Exception:
            # A bug with one life must not stop all that are due after it.
            for id_ in due:
                await self._fire_alone(now, id_, held)
        return len(due)

    async def turn(self, now: int, limit: int) -> bool:
        """Do a slice of what else is due: changed policies and troubles. False: nothing is left."""
        if self.is_frozen:
            return False
        is_more = await self._policies.turn(limit)
        return await self._troubles.look(now, limit) == limit or is_more

    async def beat(self, now: int) -> None:
        """Say that the server runs, and show what operators watch; once a minute."""
        await self._doubt.beat()
        await self.downtime.beat(now)
        await self._troubles.watch(now)
        show(await self._store.transact(lambda tx: last_days(tx, now)))

    async def confirm_clock(self) -> bool:
        """Believe a clock in doubt, because the operator says so; False: it was believed already."""
        return await self._doubt.confirm()

    # Reading.

    def wanted(self, tx: Transaction, row: OutboxRow, now: int) -> Wanted | None:
        """Return what a row's push says of the life; None: a use, the end or a later push has made it void.

        The courier asks right before the socket and removes a row that is not wanted. Outages of ours since
        its decision do not shorten the time of the last warning (law 3).
        """
        standing = next(iter(tx.lives.standings([row.registration_id])), None)
        if standing is None:
            return None
        life, policy, zone = standing.life, self._deciding.policies(standing.app), standing.time_zone
        if is_superseded(life, row.kind, row.generation, row.step, now, policy, zone):
            return None
        warnable = is_warnable(standing.capabilities, standing.kinds)
        until = row.deadline_at
        if row.kind in _LAST_WARNINGS:
            until = deadline(life, row.step, until, policy, self.downtime.known(tx, now))
        shown_from = leaves_from(row.kind, row.step, now, policy, zone)
        return Wanted(life, stage(life, policy, warnable=warnable, zone=zone), until, shown_from)

    def view(self, tx: Transaction, registration: PushRegistration) -> LifeView | None:
        """Return a life as every answer of the API shows it."""
        standing = next(iter(tx.lives.standings([registration.id])), None)
        if standing is None:
            return None
        life, zone = standing.life, registration.time_zone
        policy = self._deciding.policies(registration.app)
        warnable = is_warnable(registration.capabilities, standing.kinds)
        planned: tuple[PlanEntry, ...] = ()
        if life.ended is None:
            planned = plan(policy, life.expires_at, life.lifetime, zone=zone, habits=life.habits)
        return LifeView(life, stage(life, policy, warnable=warnable, zone=zone), planned, warnable)

    # What push services say.

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
        await self._deliveries.settled([Delivery(row, results, also, is_over)])

    async def pushes_settled(self, deliveries: Sequence[Delivery]) -> None:
        """Take in several deliveries in one transaction, as where one push was for several rows."""
        await self._deliveries.settled(deliveries)

    def is_refused_in_bulk(self, app: str, target: PushTarget) -> bool:
        """Whether the credential of this target is refused for so many tokens that nothing ends by it."""
        return self._deliveries.is_refused_in_bulk(app, target)

    async def target_gone(self, target: PushTarget, outcome: TargetGone) -> None:
        """Take in that a push service refused a target, e.g. of a call push, which has no outbox row."""
        await self._deliveries.target_gone(target, outcome)

    async def target_accepted(self, target: PushTarget, outcome: Accepted) -> None:
        """Take in that a push service accepted a push that has no outbox row."""
        await self._deliveries.target_accepted(target, outcome)

    # What PBXs say.

    async def proven(self, registration_id: int, proof: proofs.Proof) -> bool:
        """Take the credentials of a registration as proven; False: it is not there any more."""
        now = self.clock.now()

        def work(tx: Transaction) -> bool:
            is_proven = proofs.prove(tx, registration_id, proof, now, self._deciding.apply(now))
            registration = tx.registrations.get(registration_id)
            if is_proven and registration is not None:
                self._on_proven(tx, registration, now)
            return is_proven

        return await self._store.transact(work)

    def target_taken_in(self, tx: Transaction, target: PushTarget, now: int) -> None:
        """Another installation has proven that a token is its own, inside a transaction of the caller's."""
        targets.remove(tx, target, targets.TAKEN, now, self._deciding.apply(now))

    async def refused(self, registration_id: int, code: str, reason: str) -> None:
        """Drop the credentials of a registration that the PBX refused; proven ones stay."""
        now = self.clock.now()
        await self._store.transact(lambda tx: proofs.refuse(tx, registration_id, code, reason, now))

    async def binding_state(self, account_id: int, state: BindingState, code: str, reason: str) -> None:
        """Store a change of where the binding of an account stands; bound again, its trouble is over."""
        now = self.clock.now()

        def work(tx: Transaction) -> None:
            proofs.change_state(tx, account_id, state, code, reason, now)
            if state is BindingState.REGISTERED:
                self._troubles.clear_in(tx, account_id, now)

        await self._store.transact(work)

    async def binding_failed(self, account_id: int, failure: Failure) -> None:
        """Store that the refresh of a binding failed: its state, and the trouble that goes on (law 7)."""
        now = self.clock.now()

        def work(tx: Transaction) -> None:
            proofs.change_state(tx, account_id, failure.state, failure.code, failure.reason, now)
            self._troubles.note_in(tx, account_id, failure, now)

        await self._store.transact(work)

    async def _applied(self, registration_id: int, event: Event) -> Life | None:
        now = self.clock.now()

        def work(tx: Transaction) -> Life | None:
            registration = tx.registrations.get(registration_id)
            return self._deciding.apply(now)(tx, registration, event) if registration is not None else None

        return await self._store.transact(work)

    async def _fire_alone(self, now: int, id_: int, held: frozenset[int]) -> None:
        try:
            _count(await self._store.transact(lambda tx: self._deciding.fire_in(tx, now, (id_,), held)))
        except StoreUnavailableError:
            raise
        except Exception:
            metrics.FAULTS.labels("lives").inc()
            _log.error("life_fault", registration=id_, exc_info=True)
            await self._store.transact(lambda tx: _put_off(tx, id_, now + _AFTER_A_FAULT))


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

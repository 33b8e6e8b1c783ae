"""Deciding events of lives inside a transaction, and writing what follows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from wakerobin.core.ids import Entropy
from wakerobin.core.lifetime import (
    Context,
    Decision,
    Effect,
    Event,
    Fire,
    LifetimePolicy,
    Rescue,
    Send,
    Use,
    begin,
    decide,
    rescue,
)
from wakerobin.core.values import Ended, Life, Platform, PushRegistration
from wakerobin.ports.store import Standing, Transaction
from wakerobin.services.lives import proofs, siblings
from wakerobin.services.lives.clock_guard import ClockGuard
from wakerobin.services.lives.context import Surroundings, context_of
from wakerobin.services.lives.downtime import DowntimeRecord
from wakerobin.services.lives.effects import (
    Apply,
    GrantedUntil,
    Writing,
    is_resumable,
    perform,
    perform_sends,
)
from wakerobin.services.lives.tallies import Tally, tally

_SAVES = {Rescue.SILENT: Tally.SAVED_SILENTLY, Rescue.WARNED: Tally.SAVED_BY_WARNING}
_CLOCK = "clock"
"""The cause of the use that writes down the end of those that were held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """The one place that calls `lifetime.decide`, with all that a decision and its writing need."""

    clock: ClockGuard
    policies: Callable[[str], LifetimePolicy]
    downtime: DowntimeRecord
    granted_until: GrantedUntil
    entropy: Entropy

    def begin_in(self, tx: Transaction, registration: PushRegistration, now: int) -> Life:
        """Create the life of a new push registration."""
        account = tx.accounts.get(registration.account_id)
        assert account is not None
        policy = self.policies(registration.app)
        life = begin(registration.id, account.slot, registration.lifetime, self._sure(now), policy)
        tx.lives.add(life)
        if self.clock.is_doubtful:
            self._hold(tx, life.id)
        if registration.proven:
            proofs.withhold_notices(tx, registration)
        return life

    def use_in(self, tx: Transaction, registration_id: int, cause: str, now: int) -> Life | None:
        """Renew a life by a use; one that has ended stays as it is. None: there is none."""
        life = tx.lives.get(registration_id)
        if life is None or life.ended is not None:
            return life
        return self._used(tx, life, cause, now)

    def use_or_resume_in(
        self, tx: Transaction, registration_id: int, cause: str, now: int
    ) -> tuple[Life | None, int]:
        """Renew a life by a use, or resume a dormant one; with the account that needs its binding again."""
        life = tx.lives.get(registration_id)
        if life is None or life.ended not in (None, Ended.DORMANT):
            return life, 0
        if life.ended is None:
            return self._used(tx, life, cause, now), 0
        registration = tx.registrations.get(registration_id)
        if registration is None or not is_resumable(tx, registration.account_id):
            return life, 0
        return self._used(tx, life, cause, now), registration.account_id

    def settle_held(self, tx: Transaction, limit: int) -> int:
        """Give lives that were used while the clock was in doubt their ends; returns how many."""
        ids = tx.held_uses.first(limit)
        now = self.clock.now()
        for id_ in ids:
            tx.held_uses.remove(id_)
            life, registration = tx.lives.get(id_), tx.registrations.get(id_)
            if life is None or registration is None or life.ended is not None:
                continue
            # The use itself was counted when it came; only its end is written now.
            policy, context = self.policies(registration.app), _of_use(registration)
            before = replace(life, generation=life.generation - 1)
            renewed, effects = decide(before, Use(_CLOCK), now, policy, context)
            renewed = replace(renewed, opened_at=min(renewed.opened_at, now))
            perform(tx, registration.account_id, renewed, effects, self.writing(now))
        return len(ids)

    def fire_in(self, tx: Transaction, now: int, due: Sequence[int], held: Collection[int]) -> list[Effect]:
        """Decide what is due in these lives, and what will be so soon in others of the same phones."""
        around = Surroundings(self.downtime.known(tx, now), frozenset(held))
        writing, happened = self.writing(now), list[Effect]()
        plain: list[tuple[Standing, Life, list[Send]]] = []

        def fire_at(standing: Standing, moment: int) -> Decision:
            return self.decided(standing, Fire(), moment, around)

        for standing in tx.lives.standings(due):
            life, effects = fire_at(standing, now)
            sends = [effect for effect in effects if isinstance(effect, Send)]
            if sends and not standing.is_alone:
                breath = siblings.Breath(self.policies(standing.app), fire_at, writing, due)
                effects = siblings.in_one_breath(tx, standing, effects, breath)
            elif len(sends) == len(effects):
                plain.append((standing, life, sends))
                happened += effects
                continue
            perform(tx, standing.account_id, life, effects, writing)
            happened += effects
        perform_sends(tx, plain)
        return happened

    def apply(self, now: int, held: frozenset[int] = frozenset()) -> Apply:
        """Return what decides an event of one registration and writes it; `held`: by a call."""

        def apply(tx: Transaction, registration: PushRegistration, event: Event) -> Life:
            (standing,) = tx.lives.standings([registration.id])
            around = Surroundings(self.downtime.known(tx, now), held)
            life, effects = self.decided(standing, event, now, around)
            perform(tx, registration.account_id, life, effects, self.writing(now))
            return life

        return apply

    def decided(self, standing: Standing, event: Event, now: int, around: Surroundings) -> Decision:
        """Decide an event, and write nothing."""
        policy = self.policies(standing.app)
        return decide(standing.life, event, now, policy, context_of(standing, around))

    def writing(self, now: int) -> Writing:
        """Return what writing a decision needs."""
        return Writing(now, self.granted_until, self.entropy)

    def _used(self, tx: Transaction, life: Life, cause: str, now: int) -> Life:
        registration = tx.registrations.get(life.id)
        assert registration is not None
        is_doubtful = self.clock.is_doubtful
        if is_doubtful:
            now = self.clock.now()
        if life.lifetime != registration.lifetime:
            life = replace(life, lifetime=registration.lifetime)
        saved = rescue(life, cause)
        if saved is not None:
            tally(tx, registration, _SAVES[saved], now)
        policy, context = self.policies(registration.app), _of_use(registration)
        renewed, effects = decide(life, Use(cause), now, policy, context)
        if is_doubtful:
            renewed = _without_an_end(life, renewed)
            self._hold(tx, life.id)
        perform(tx, registration.account_id, renewed, effects, self.writing(now))
        return renewed

    def _sure(self, now: int) -> int:
        """Return the time to write down; callers may have asked a clock that is in doubt."""
        return self.clock.now() if self.clock.is_doubtful else now

    def _hold(self, tx: Transaction, registration_id: int) -> None:
        tx.held_uses.add(registration_id)
        self.clock.save(tx.kept)  # a kill right now must not make the next run believe this clock


def _without_an_end(before: Life, renewed: Life) -> Life:
    """Return a used life whose end is not written yet; one that was dormant had none."""
    if before.ended is not None:
        return renewed
    return replace(
        renewed, expires_at=before.expires_at, next_at=before.next_at, renewed_at=before.renewed_at
    )


def _of_use(registration: PushRegistration) -> Context:
    """A use asks for nothing that the registration does not say."""
    return _context_of_use(
        registration.capabilities.get("notifications", True),
        registration.time_zone,
        registration.platform is Platform.ANDROID,
    )


@functools.lru_cache(maxsize=2048)
def _context_of_use(warnable: bool, zone: str, is_android: bool) -> Context:  # noqa: FBT001 - the key
    return Context(warnable=warnable, renewable=False, zone=zone, is_android=is_android)

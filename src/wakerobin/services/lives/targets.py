"""Refused push targets: removed, doubted or taken back (law 5)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from wakerobin.core.delivery import TargetGuard
from wakerobin.core.lifetime import TargetsLeft, TargetsRestored
from wakerobin.core.pushes import Accepted, Outcome, TargetGone
from wakerobin.core.values import Ended, Purpose, PushRegistration, PushTarget
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.services.lives.effects import Apply
from wakerobin.services.lives.settlement import Settled

TAKEN = "taken"
"""Why a target is removed whose token another installation has proven to hold."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A target that was taken as gone; forgotten when the guard can no longer want it back."""

    at: int
    credential: str
    target: PushTarget


class Removals:
    """The guard's judgement, and the removals of its window, in memory: a restart forgets both alike."""

    def __init__(self, guard: TargetGuard) -> None:
        self.guard = guard
        self._removed: deque[Removal] = deque()

    def judge(self, app: str, target: PushTarget, outcome: Outcome, now: int) -> Settled:
        """Count an outcome. Whoever removes the target by it calls `remember` after the commit."""
        credential = credential_of(app, target)
        if isinstance(outcome, Accepted):
            self.guard.accepted(credential, target, now)
        if not isinstance(outcome, TargetGone):
            return Settled(target, outcome)
        verdict = self.guard.judge(credential, target, outcome, now)
        # It may be the first of many: the account must still have what its binding needs when the guard
        # takes the removal back.
        return Settled(target, outcome, verdict, now + self.guard.policy.window)

    def is_tripped(self, app: str, target: PushTarget, now: int) -> bool:
        """Whether refusals by the credential of this target end nothing at present."""
        return self.guard.is_tripped(credential_of(app, target), now)

    def remember(self, app: str, target: PushTarget, now: int) -> None:
        """Keep a removed target as long as the guard may want it back."""
        self._forget(now)
        self._removed.append(Removal(now, credential_of(app, target), target))

    def take_back(self, app: str, target: PushTarget, now: int) -> list[PushTarget]:
        """Return, once, the removals of the window that the credential of this target caused."""
        self._forget(now)
        credential = credential_of(app, target)
        taken = [removal.target for removal in self._removed if removal.credential == credential]
        self._removed = deque(removal for removal in self._removed if removal.credential != credential)
        return taken

    def _forget(self, now: int) -> None:
        while self._removed and self._removed[0].at <= now - self.guard.policy.window:
            self._removed.popleft()


def credential_of(app: str, target: PushTarget) -> str:
    """Return the name of what an app authenticates itself with at a provider."""
    return f"{app}/{target.provider.value}"


def suspect(tx: Transaction, target: PushTarget, reason: str, now: int) -> None:
    """Note the first refusal of a suspect verdict."""
    stored = _stored(tx, target)
    if stored is not None and not stored.refused_at:
        tx.targets.update(replace(stored, refused_at=now))
        subject = story.of_registration(target.registration_id)
        story.tell(tx, subject, now, "target-suspected", reason=reason)


def remove(
    tx: Transaction, target: PushTarget, reason: str, now: int, apply: Apply, *, release_at: int = 0
) -> bool:
    """Remove a gone target and let its life follow; False: it was not there any more, or reported anew."""
    stored = _stored(tx, target)
    registration = tx.registrations.get(target.registration_id)
    if stored is None or registration is None or stored.reported_at > target.reported_at:
        return False
    tx.targets.remove(stored.id)
    if reason == TAKEN:
        story.tell(tx, story.of_registration(registration.id), now, "target-taken")
    else:
        story.tell(tx, story.of_registration(registration.id), now, "target-gone", reason=reason)
    life = tx.lives.get(registration.id)
    if life is not None and life.ended in (None, Ended.DORMANT):
        left = tx.targets.of_registration(registration.id)
        calls = sum(Purpose.CALL in one.purposes for one in left)
        notices = sum(Purpose.NOTICE in one.purposes for one in left)
        apply(tx, registration, TargetsLeft(calls, notices, release_at))
    return True


def restore(tx: Transaction, target: PushTarget, apply: Apply) -> bool:
    """Take back a removal; False where that is not possible any more."""
    registration = tx.registrations.get(target.registration_id)
    life = tx.lives.get(target.registration_id)
    account = tx.accounts.get(registration.account_id) if registration else None
    if registration is None or life is None or account is None or not account.proven:
        return False  # erased, or the binding has gone and what it needs with it
    if life.ended not in (None, Ended.TARGETS_GONE) or _has_successor(tx, registration):
        return False
    there = tx.targets.of_registration(registration.id)
    if all((one.provider, one.token) != (target.provider, target.token) for one in there):
        tx.targets.add(replace(target, id=0, refused_at=0))
    was_shortened = life.expires_at < life.renewed_at + life.lifetime
    if life.ended is not None or was_shortened:
        apply(tx, registration, TargetsRestored())
    return True


def _has_successor(tx: Transaction, registration: PushRegistration) -> bool:
    """Whether the same installation has enrolled again since."""
    others = tx.registrations.by_installation(registration.account_id, registration.installation)
    later = [tx.lives.get(other.id) for other in others if other.id > registration.id]
    return any(life is not None and life.ended is None for life in later)


def _stored(tx: Transaction, target: PushTarget) -> PushTarget | None:
    targets = tx.targets.of_registration(target.registration_id)
    return next((one for one in targets if one.id == target.id), None)

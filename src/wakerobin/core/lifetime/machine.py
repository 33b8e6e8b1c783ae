"""The life of a push registration: renewed by use, renewed silently, warned, then ended.

The record is the state and lives in the database; `decide` is a pure function of (life, event, now),
and what it returns is stored in one transaction, so a crash between two events loses nothing.

`step` counts decided rungs of the ladder. Beyond every ladder there are two more: `LAST_RESORT` + 1 says
that the warning of last resort was decided (overdue, or targets needed), one more that the end waited
for a call. A policy that changed in the middle of a life has other rungs: what is beyond them counts as
decided, and a warning that was accepted after a rung's moment is that rung's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from wakerobin.core.lifetime.moves import (
    Cease,
    Context,
    Decision,
    Effect,
    End,
    Event,
    Fire,
    Proven,
    Release,
    RenewalSent,
    Send,
    TargetsLeft,
    TargetsRestored,
    Tell,
    Use,
    Void,
    WarningSettled,
)
from wakerobin.core.lifetime.plan import LAST_RESORT, Ladder, LifetimePolicy, ladder
from wakerobin.core.lifetime.reading import grace_end
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended, Life

HELD_CALL_WAIT = 150_000
"""How long an end waits for a held call: as long as a call is held and rings by default."""
TARGETS_NEEDED_TIME = 24 * 3600_000
"""How long a life goes on when nothing is left that could ring (law 5)."""
NOTICE_TIME = 28 * 24 * 3600_000
"""How long the notice of the end is of use."""
UNPROVEN_RECHECK = 15 * 60_000
_WARNED_LAST = LAST_RESORT + 1
_WAITED = LAST_RESORT + 2
_TAIL = 60_000  # no attempt takes longer: what is in flight is settled before the next row may leave


def begin(registration_id: int, slot: int, lifetime: Duration, now: int, policy: LifetimePolicy) -> Life:
    """Return the life of a new push registration."""
    expires_at = now + lifetime
    return Life(
        id=registration_id,
        slot=slot,
        expires_at=expires_at,
        next_at=expires_at - ladder(policy, lifetime).highest,
        lifetime=lifetime,
        renewed_at=now,
    )


def decide(life: Life, event: Event, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    """Return the next record and what must happen, to be stored in one transaction.

    A life that has ended changes no more, save that its binding is released and a removal undone.
    """
    if isinstance(event, Fire):
        return _fire(life, now, policy, context)
    if isinstance(event, TargetsRestored):
        return _restored(life, policy)
    if life.ended is not None:
        return life, ()
    match event:
        case Use(cause=cause):
            return _used(life, cause, now, policy)
        case Proven():
            return replace(life, next_at=life.expires_at - ladder(policy, life.lifetime).highest), ()
        case Cease(reason=reason):
            return _ended(life, reason, now)
        case RenewalSent(generation=generation):
            return _renewal_sent(life, generation, now, policy), ()
        case WarningSettled():
            return _warning_settled(life, event, policy, now), ()
        case TargetsLeft():
            return _targets_left(life, event, now, policy, context)
        case _:
            assert_never(event)


def _used(life: Life, cause: str, now: int, policy: LifetimePolicy) -> Decision:
    expires_at = now + life.lifetime
    rungs = ladder(policy, life.lifetime)
    assert life.next_at is not None
    renewed = Life(
        id=life.id,
        slot=life.slot,
        expires_at=expires_at,
        # Lazy: an earlier moment may stay, the firing looks again; so a use need not touch the index.
        next_at=min(life.next_at, expires_at - rungs.highest),
        generation=life.generation + 1,
        lifetime=life.lifetime,
        renewed_at=now,
    )
    effects: tuple[Effect, ...] = (Void(renewed.generation),)
    # A phone in use registers every few minutes; a line for each would bury the story.
    if life.step or now - life.renewed_at >= policy.story_pause(life.lifetime):
        effects += (Tell("renewed", {"cause": cause, "expires_at": expires_at}),)
    return renewed, effects


def _fire(life: Life, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    if life.next_at is None or now < life.next_at:
        return life, ()
    if life.ended is not None:
        return replace(life, next_at=None), (Release(),)
    if not context.is_proven:
        return replace(life, next_at=now + UNPROVEN_RECHECK), ()
    rungs = ladder(policy, life.lifetime)
    if now < life.expires_at:
        life, sends = _climb(life, now, policy, context, rungs)
        return _rearmed(life, now, policy), sends
    return _overdue(life, now, policy, context, rungs)


def _climb(life: Life, now: int, policy: LifetimePolicy, context: Context, rungs: Ladder) -> Decision:
    """Decide the rungs that are due before the end: of each kind only the last."""
    life = _on_this_ladder(life, rungs)
    armed_for = life.next_at
    assert armed_for is not None
    reached = rungs.reached(life.expires_at - now)
    if reached <= life.step:
        return life, ()
    life, warning = _due_warning(life, reached, context, rungs)
    renewal = rungs.last_renewal_before(reached) if context.renewable else None
    step = reached
    if warning is not None and not _may_warn(life, now, policy, context):
        # Law 2: it waits for a silent renewal to have had its chance. Renewals go on meanwhile;
        # which of them were decided then says `next_at`, because `step` stays at the warning.
        step = next(i for i in rungs.warnings if i >= life.step)
        warning = None
    sends: list[Effect] = []
    changed = replace(life, step=step)
    if renewal is not None and renewal >= life.step and _at(life, rungs, renewal) >= armed_for:
        # From the first warning on a stored renewal could replace it: one notification per app is kept.
        has_warned = life.warned_at > 0 or (context.warnable and step > rungs.first_warning)
        deadline_at = 0 if has_warned else life.expires_at
        sends.append(Send(PushType.RENEW, life.generation, renewal, deadline_at, now))
    if warning is not None:
        sends.append(_warning(life, rungs, warning, life.expires_at, now))
        if warning == rungs.last_warning:
            changed = replace(changed, warning_tried_at=life.warning_tried_at or now)
    return changed, tuple(sends)


def _on_this_ladder(life: Life, rungs: Ladder) -> Life:
    """Return a life that was counted on a longer ladder: what came before this firing was decided."""
    if life.next_at is None or not rungs.count < life.step <= LAST_RESORT:
        return life
    return replace(life, step=rungs.reached(life.expires_at - life.next_at + 1))


def _due_warning(life: Life, reached: int, context: Context, rungs: Ladder) -> tuple[Life, int | None]:
    """Return the warning that is due, if it can be shown and was not sent before."""
    warning = rungs.last_warning_before(reached)
    if warning is None or warning < life.step or not context.warnable:
        return life, None
    if life.warned_at >= _at(life, rungs, warning):
        # Under another policy it had another step; each is sent once, and this one was accepted.
        settled = life.warning_settled or warning == rungs.last_warning
        return replace(life, warning_settled=settled), None
    return life, warning


def _may_warn(life: Life, now: int, policy: LifetimePolicy, context: Context) -> bool:
    handed_over = life.renewal_sent_at
    return not context.renewable or (handed_over > 0 and now >= handed_over + policy.renewal_every)


def _overdue(life: Life, now: int, policy: LifetimePolicy, context: Context, rungs: Ladder) -> Decision:
    """Law 3: warn if that is still owed, wait until it is settled, then end."""
    effects: tuple[Effect, ...] = ()
    if not context.warnable:
        life = replace(life, warning_settled=True)
    if not life.warning_settled and life.step <= LAST_RESORT:
        life, effects = _last_resort(life, now, policy, context, rungs)
    if not life.warning_settled:
        waits_until = grace_end(life, policy, context.downtime)
        if now < waits_until:
            return replace(life, step=max(life.step, rungs.count), next_at=waits_until), effects
        effects += (Tell("grace-over"),)
    end = _end_at(life, rungs)
    if now < end:
        return replace(life, step=max(life.step, rungs.count), next_at=end), effects
    if context.held_call and life.step < _WAITED:
        waiting = replace(life, step=_WAITED, next_at=now + HELD_CALL_WAIT)
        return waiting, (*effects, Tell("end-postponed"))
    reason = Ended.EXPIRED if context.has_call_target else Ended.TARGETS_GONE
    ended, last = _ended(life, reason, now, with_notice=context.warnable)
    return ended, effects + last


def _last_resort(
    life: Life, now: int, policy: LifetimePolicy, context: Context, rungs: Ladder
) -> tuple[Life, tuple[Effect, ...]]:
    """Decide the warning that is sent when the end has come and no warning was settled."""
    not_before = now + min(rungs.smallest_lead, _TAIL) if life.warning_tried_at else now
    life = replace(life, step=_WARNED_LAST, warning_tried_at=life.warning_tried_at or now)
    deadline_at = grace_end(life, policy, context.downtime)
    if now >= deadline_at:
        return life, ()
    return life, (_warning(life, rungs, LAST_RESORT, deadline_at, not_before),)


def _warning(life: Life, rungs: Ladder, step: int, deadline_at: int, not_before: int) -> Send:
    return Send(
        PushType.EXPIRY_WARNING,
        life.generation,
        step,
        deadline_at,
        not_before,
        _announcement(life, rungs, not_before),
    )


def _announcement(life: Life, rungs: Ladder, at: int) -> dict[str, int]:
    """Say which end a warning announces: the later of its own and, once accepted, the smallest lead."""
    lead = rungs.smallest_lead
    return {"announced_at": max(life.expires_at, at + lead), "lead": lead}


def _ended(
    life: Life, reason: Ended, now: int, *, with_notice: bool = False, release_at: int = 0
) -> Decision:
    waits = release_at > now
    ended = replace(life, ended=reason, ended_at=now, next_at=release_at if waits else None)
    effects: list[Effect] = [Void(life.generation + 1)]
    if with_notice:
        effects.append(Send(PushType.EXPIRED, life.generation, 0, now + NOTICE_TIME, now))
    effects.append(End(reason, with_targets=not with_notice))
    if not waits:
        effects.append(Release())
    told = "expired" if reason is Ended.EXPIRED else "ended"
    effects.append(Tell(told, {"reason": reason.value}))
    return ended, tuple(effects)


def _renewal_sent(life: Life, generation: int, now: int, policy: LifetimePolicy) -> Life:
    if generation != life.generation or life.renewal_sent_at or life.next_at is None:
        return life
    # A warning may wait for just this: its chance has begun.
    return replace(life, renewal_sent_at=now, next_at=min(life.next_at, now + policy.renewal_every))


def _warning_settled(life: Life, event: WarningSettled, policy: LifetimePolicy, now: int) -> Life:
    if event.generation != life.generation:
        return life
    rungs = ladder(policy, life.lifetime)
    settled = life.warning_settled or event.step >= rungs.last_warning
    warned_at = now if event.accepted else life.warned_at
    life = replace(life, warned_at=warned_at, warning_settled=settled)
    if settled and life.step >= rungs.count:
        life = replace(life, next_at=_end_at(life, rungs))
    return life


def _targets_left(
    life: Life, event: TargetsLeft, now: int, policy: LifetimePolicy, context: Context
) -> Decision:
    if event.call == 0 and event.notice == 0:
        return _ended(life, Ended.TARGETS_GONE, now, release_at=event.release_at)
    rungs = ladder(policy, life.lifetime)
    if event.call > 0:
        if event.notice == 0 and now >= life.expires_at:
            life = replace(life, warning_settled=True)
            life = replace(life, next_at=_end_at(life, rungs))
        return life, ()
    if life.step > LAST_RESORT:
        return life, ()  # told already, or ending anyway
    # Nothing can ring any more; the visible push that says so is the last warning of this life.
    expires_at = min(life.expires_at, now + TARGETS_NEEDED_TIME)
    life = replace(
        life,
        expires_at=expires_at,
        next_at=min(expires_at, life.next_at or expires_at),
        step=_WARNED_LAST,
        warning_tried_at=now,
        warning_settled=False,
    )
    if not context.warnable:
        return life, (Tell("targets-needed"),)
    deadline_at = grace_end(life, policy, context.downtime)
    said = _announcement(life, rungs, now)
    needed = Send(PushType.TARGETS_NEEDED, life.generation, LAST_RESORT, deadline_at, now, said)
    return life, (needed, Tell("targets-needed"))


def _restored(life: Life, policy: LifetimePolicy) -> Decision:
    if life.ended not in (None, Ended.TARGETS_GONE):
        return life, ()
    expires_at = life.renewed_at + life.lifetime
    restored = Life(
        id=life.id,
        slot=life.slot,
        expires_at=expires_at,
        next_at=expires_at - ladder(policy, life.lifetime).highest,
        generation=life.generation + 1,
        lifetime=life.lifetime,
        renewed_at=life.renewed_at,
    )
    return restored, (Void(restored.generation), Tell("targets-restored"))


def _rearmed(life: Life, now: int, policy: LifetimePolicy) -> Life:
    """Return the life with the next moment at which anything can be due."""
    rungs = ladder(policy, life.lifetime)
    if life.step >= rungs.count:
        return replace(life, next_at=_end_at(life, rungs) if life.warning_settled else life.expires_at)
    if _at(life, rungs, life.step) > now:
        return replace(life, next_at=_at(life, rungs, life.step))
    # A warning waits for a silent renewal's chance: look again when that is over, and at each renewal.
    moments = [life.expires_at]
    if (renewal := rungs.next_renewal(rungs.reached(life.expires_at - now))) is not None:
        moments.append(_at(life, rungs, renewal))
    if life.renewal_sent_at and life.renewal_sent_at + policy.renewal_every > now:
        moments.append(life.renewal_sent_at + policy.renewal_every)
    return replace(life, next_at=min(moments))


def _end_at(life: Life, rungs: Ladder) -> int:
    """Return the earliest end of a life whose last warning is settled (law 3)."""
    return max(life.expires_at, life.warned_at + rungs.smallest_lead if life.warned_at else 0)


def _at(life: Life, rungs: Ladder, step: int) -> int:
    return life.expires_at - rungs.leads[step]

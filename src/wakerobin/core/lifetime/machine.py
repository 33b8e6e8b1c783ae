"""The life of a push registration: renewed by use, renewed silently, warned, then ended.

The record is the state and lives in the database; `decide` is a pure function of (life, event, now),
and what it returns is stored in one transaction, so a crash between two events loses nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias, assert_never

from wakerobin.core.lifetime.changes import extended_by_operator, policy_changed, rewarned
from wakerobin.core.lifetime.ending import ended, restored
from wakerobin.core.lifetime.firing import WARNED_LAST, end_at, fired
from wakerobin.core.lifetime.moves import (
    Cease,
    Context,
    Decision,
    Event,
    Extend,
    Fire,
    PolicyChanged,
    Proven,
    Recovered,
    RenewalSent,
    Rewarn,
    Send,
    TargetsLeft,
    TargetsRestored,
    Tell,
    Trouble,
    TroubleEnd,
    Use,
    WarningSettled,
)
from wakerobin.core.lifetime.plan import LAST_RESORT, REWARN, TROUBLE_TEXT, earliest_lead, rungs_of
from wakerobin.core.lifetime.policy import LifetimePolicy
from wakerobin.core.lifetime.reading import grace_end
from wakerobin.core.lifetime.trouble import ended_by_trouble, recovered, troubled
from wakerobin.core.lifetime.using import used
from wakerobin.core.lifetime.warning import announcement
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended, Life

TARGETS_NEEDED_TIME = 24 * 3600_000
"""How long a life goes on when nothing is left that could ring (law 5)."""


_OfTheLiving: TypeAlias = (
    Proven
    | RenewalSent
    | WarningSettled
    | Cease
    | TargetsLeft
    | Trouble
    | TroubleEnd
    | Recovered
    | PolicyChanged
    | Extend
    | Rewarn
)


def begin(registration_id: int, slot: int, lifetime: Duration, now: int, policy: LifetimePolicy) -> Life:
    """Return the life of a new push registration."""
    expires_at = now + lifetime
    return Life(
        id=registration_id,
        slot=slot,
        expires_at=expires_at,
        next_at=expires_at - earliest_lead(policy, lifetime),
        lifetime=lifetime,
        renewed_at=now,
        opened_at=now,
    )


def decide(life: Life, event: Event, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    """Return the next record and what must happen, to be stored in one transaction.

    A life that has ended changes no more, save that its binding is released, a removal undone, or a
    dormant one resumed.
    """
    match event:
        case Fire():
            return fired(life, now, policy, context)
        case Use(cause=cause):
            return used(life, cause, now, policy, context)
        case TargetsRestored():
            return restored(life, now, policy)
        case _ if life.ended is None:
            return _living(life, event, now, policy, context)
        case _ if life.ended is Ended.DORMANT:
            return _dormant(life, event, now)
        case _:
            return life, ()


def _living(life: Life, event: _OfTheLiving, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    match event:
        case Proven() | RenewalSent() | WarningSettled():
            return _noted(life, event, now, policy, context), ()
        case Cease(reason=reason):
            return ended(life, reason, now)
        case TargetsLeft():
            return _targets_left(life, event, now, policy, context)
        case Trouble() | TroubleEnd() | Recovered():
            return _of_trouble(life, event, now, policy, context)
        case PolicyChanged() | Extend() | Rewarn():
            return _changed(life, event, now, policy, context)
        case _:
            assert_never(event)


def _dormant(life: Life, event: _OfTheLiving, now: int) -> Decision:
    """End a dormant life for good when it is deleted or its last target is gone."""
    match event:
        case Cease(reason=reason):
            return ended(life, reason, now)
        case TargetsLeft(call=0, notice=0, release_at=release_at):
            return ended(life, Ended.TARGETS_GONE, now, release_at=release_at)
        case _:
            return life, ()


def _noted(
    life: Life,
    event: Proven | RenewalSent | WarningSettled,
    now: int,
    policy: LifetimePolicy,
    context: Context,
) -> Life:
    match event:
        case Proven():
            return replace(life, next_at=life.expires_at - earliest_lead(policy, life.lifetime))
        case RenewalSent(generation=generation):
            return _renewal_sent(life, generation, now, policy)
        case WarningSettled(step=step):
            if event.generation != life.generation:
                return life
            if step == TROUBLE_TEXT:
                return replace(life, trouble_settled=life.trouble_told_at > 0)
            return _warning_settled(life, event, now, policy, context)


def _of_trouble(
    life: Life,
    event: Trouble | TroubleEnd | Recovered,
    now: int,
    policy: LifetimePolicy,
    context: Context,
) -> Decision:
    match event:
        case Trouble():
            return troubled(life, event, now, policy, context)
        case TroubleEnd():
            return ended_by_trouble(life, event, now, policy, context)
        case Recovered():
            return recovered(life, now, policy, context)


def _changed(
    life: Life,
    event: PolicyChanged | Extend | Rewarn,
    now: int,
    policy: LifetimePolicy,
    context: Context,
) -> Decision:
    match event:
        case PolicyChanged():
            return policy_changed(life, event, now, policy)
        case Extend():
            return extended_by_operator(life, event, policy)
        case Rewarn():
            return rewarned(life, now, policy, context)


def _renewal_sent(life: Life, generation: int, now: int, policy: LifetimePolicy) -> Life:
    if generation != life.generation or life.renewal_sent_at or life.next_at is None:
        return life
    # A warning may wait for just this: its chance has begun.
    return replace(life, renewal_sent_at=now, next_at=min(life.next_at, now + policy.renewal_every))


def _warning_settled(
    life: Life, event: WarningSettled, now: int, policy: LifetimePolicy, context: Context
) -> Life:
    rungs = rungs_of(life, policy, context.zone)
    if event.step == REWARN:
        # The operator's warning is the last one only where that is all that the end waits for.
        is_last = event.accepted and life.step >= rungs.count
    else:
        is_last = event.step >= rungs.last_warning
    settled = life.warning_settled or is_last
    warned_at = now if event.accepted else life.warned_at
    life = replace(life, warned_at=warned_at, warning_settled=settled)
    if settled and life.step >= rungs.count:
        life = replace(life, next_at=end_at(life, rungs))
    return life


def _targets_left(
    life: Life, event: TargetsLeft, now: int, policy: LifetimePolicy, context: Context
) -> Decision:
    if event.call == 0 and event.notice == 0:
        return ended(life, Ended.TARGETS_GONE, now, release_at=event.release_at)
    rungs = rungs_of(life, policy, context.zone)
    if event.call > 0:
        if event.notice == 0 and now >= life.expires_at:
            life = replace(life, warning_settled=True)
            life = replace(life, next_at=end_at(life, rungs))
        return life, ()
    if life.step > LAST_RESORT:
        return life, ()  # told already, or ending anyway
    # Nothing can ring any more; the visible push that says so is the last warning of this life.
    expires_at = min(life.expires_at, now + TARGETS_NEEDED_TIME)
    life = replace(
        life,
        expires_at=expires_at,
        next_at=min(expires_at, life.next_at or expires_at),
        step=WARNED_LAST,
        warning_tried_at=now,
        warning_settled=False,
    )
    if not context.warnable:
        return life, (Tell("targets-needed"),)
    deadline_at = grace_end(life, policy, context.downtime)
    shown_from = policy.shown_from(context.zone, now)
    said = announcement(life, rungs, shown_from)
    needed = Send(PushType.TARGETS_NEEDED, life.generation, LAST_RESORT, deadline_at, shown_from, said)
    return life, (needed, Tell("targets-needed"))

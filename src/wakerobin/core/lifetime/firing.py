"""What is due in a life at a moment: its renewals and warnings, and when it is over its end (laws 2 and 3).

`step` counts decided rungs of the ladder. Beyond every ladder there are two more: `LAST_RESORT` + 1 says
that the warning of last resort was decided (overdue, or targets needed), one more that the end waited
for a call. A policy that changed in the middle of a life has other rungs: what is beyond them counts as
decided, and a warning that was accepted after a rung's moment is that rung's.
"""

from __future__ import annotations

from dataclasses import replace

from wakerobin.core.lifetime.ending import expired, forgotten
from wakerobin.core.lifetime.moves import Context, Decision, Effect, Release, Send, Tell
from wakerobin.core.lifetime.plan import LAST_RESORT, Ladder, rungs_of
from wakerobin.core.lifetime.policy import LifetimePolicy
from wakerobin.core.lifetime.reading import grace_end
from wakerobin.core.lifetime.warning import warning
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Life

HELD_CALL_WAIT = 150_000
"""How long an end waits for a held call: as long as a call is held and rings by default."""
WARNED_LAST = LAST_RESORT + 1
_WAITED = LAST_RESORT + 2
_UNPROVEN_RECHECK = 15 * 60_000
_TAIL = 60_000  # no attempt takes longer: what is in flight is settled before the next row may leave


def fired(life: Life, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    """Decide all that is due, if anything is, and when to look again."""
    if life.next_at is None or now < life.next_at:
        return life, ()
    if life.ended is Ended.DORMANT:
        return forgotten(life, now)
    if life.ended is not None:
        return replace(life, next_at=None), (Release(),)
    if not context.is_proven:
        return replace(life, next_at=now + _UNPROVEN_RECHECK), ()
    rungs = rungs_of(life, policy, context.zone)
    if now < life.expires_at:
        return _climbed(life, now, policy, context, rungs)
    return _overdue(life, now, policy, context, rungs)


def end_at(life: Life, rungs: Ladder) -> int:
    """Return the earliest end of a life whose last warning is settled (law 3)."""
    return max(life.expires_at, life.warned_at + rungs.smallest_lead if life.warned_at else 0)


def _climbed(life: Life, now: int, policy: LifetimePolicy, context: Context, rungs: Ladder) -> Decision:
    """Decide the rungs that are due before the end, of each kind only the last, and when to look again."""
    life = _on_this_ladder(life, rungs)
    armed_for = life.next_at
    assert armed_for is not None
    reached = rungs.reached(life.expires_at - now)
    if reached <= life.step:
        return replace(life, next_at=_next_at(life, life.step, now, policy, context, rungs)), ()
    life, due = _due_warning(life, reached, now, context, rungs)
    renewal = rungs.last_renewal_before(reached) if context.renewable else None
    step = reached
    if due is not None and not _may_warn(life, now, policy, context):
        # It waits: for a silent renewal to have had its chance (law 2), or for the morning. Renewals go on
        # meanwhile; which of them were decided then says `next_at`, because `step` stays at the warning.
        step = rungs.next_warning(life.step)
        due = None
    sends: list[Effect] = []
    tried_at = life.warning_tried_at
    if renewal is not None and renewal >= life.step and _at(life, rungs, renewal) >= armed_for:
        # From the first warning on a stored renewal could replace it: one notification per app is kept.
        has_warned = life.warned_at > 0 or (context.warnable and step > rungs.first_warning)
        deadline_at = 0 if has_warned else life.expires_at
        sends.append(Send(PushType.RENEW, life.generation, renewal, deadline_at, now))
    if due is not None:
        sends.append(warning(life, rungs, context, due, life.expires_at, now))
        if due == rungs.last_warning:
            tried_at = tried_at or now
    # One copy for all that changed: this is where the time goes when many lives are due at once.
    next_at = _next_at(life, step, now, policy, context, rungs)
    return replace(life, step=step, warning_tried_at=tried_at, next_at=next_at), tuple(sends)


def _on_this_ladder(life: Life, rungs: Ladder) -> Life:
    """Return a life that was counted on a longer ladder: what came before this firing was decided."""
    if life.next_at is None or not rungs.count < life.step <= LAST_RESORT:
        return life
    return replace(life, step=rungs.reached(life.expires_at - life.next_at + 1))


def _due_warning(
    life: Life, reached: int, now: int, context: Context, rungs: Ladder
) -> tuple[Life, int | None]:
    """Return the warning that is due, if it can be shown and was not sent before."""
    due = rungs.last_warning_before(reached)
    if due is None or due < life.step or not context.warnable:
        return life, None
    if due != rungs.last_warning and (_is_told(life, rungs) or rungs.gives_way(due, life.expires_at - now)):
        return life, None
    if life.warned_at >= _at(life, rungs, due):
        # Under another policy it had another step; each is sent once, and this one was accepted.
        settled = life.warning_settled or due == rungs.last_warning
        return replace(life, warning_settled=settled), None
    return life, due


def _is_told(life: Life, rungs: Ladder) -> bool:
    """Whether the user knows already what an ordinary warning would say.

    They heard in this generation that the PBX is in the way (law 7), or were warned before the first
    warning was due: under another policy (law 9), or because the operator wanted it.
    """
    return life.trouble_generation == life.generation or (
        life.warned_at > 0 and life.step <= rungs.first_warning
    )


def _may_warn(life: Life, now: int, policy: LifetimePolicy, context: Context) -> bool:
    handed_over = life.renewal_sent_at
    had_its_chance = handed_over > 0 and now >= handed_over + policy.renewal_every
    return (had_its_chance or not context.renewable) and policy.shown_from(context.zone, now) <= now


def _overdue(life: Life, now: int, policy: LifetimePolicy, context: Context, rungs: Ladder) -> Decision:
    """Law 3: warn if that is still owed, wait until it is settled, then end."""
    effects: tuple[Effect, ...] = ()
    if not context.warnable:
        life = replace(life, warning_settled=True)
    if not life.warning_settled and life.step <= LAST_RESORT:
        if (morning := policy.shown_from(context.zone, now)) > now:
            return replace(life, step=max(life.step, rungs.count), next_at=morning), ()
        life, effects = _last_resort(life, now, policy, context, rungs)
    if not life.warning_settled:
        waits_until = grace_end(life, policy, context.downtime)
        if now < waits_until:
            return replace(life, step=max(life.step, rungs.count), next_at=waits_until), effects
        effects += (Tell("grace-over"),)
    end = end_at(life, rungs)
    if now < end:
        return replace(life, step=max(life.step, rungs.count), next_at=end), effects
    if context.held_call and life.step < _WAITED:
        waiting = replace(life, step=_WAITED, next_at=now + HELD_CALL_WAIT)
        return waiting, (*effects, Tell("end-postponed"))
    over, last = expired(life, now, policy, context)
    return over, effects + last


def _last_resort(
    life: Life, now: int, policy: LifetimePolicy, context: Context, rungs: Ladder
) -> tuple[Life, tuple[Effect, ...]]:
    """Decide the warning that is sent when the end has come and no warning was settled."""
    not_before = now + min(rungs.smallest_lead, _TAIL) if life.warning_tried_at else now
    life = replace(life, step=WARNED_LAST, warning_tried_at=life.warning_tried_at or now)
    deadline_at = grace_end(life, policy, context.downtime)
    if now >= deadline_at:
        return life, ()
    return life, (warning(life, rungs, context, LAST_RESORT, deadline_at, not_before),)


def _next_at(life: Life, step: int, now: int, policy: LifetimePolicy, context: Context, rungs: Ladder) -> int:
    """Return the next moment at which anything can be due for a life that is at this step."""
    if step >= rungs.count:
        return end_at(life, rungs) if life.warning_settled else life.expires_at
    if _at(life, rungs, step) > now:
        return _at(life, rungs, step)
    # A warning waits for a silent renewal's chance or the morning: look again then, and at each renewal.
    moments = [life.expires_at]
    if (renewal := rungs.next_renewal(rungs.reached(life.expires_at - now))) is not None:
        moments.append(_at(life, rungs, renewal))
    if life.renewal_sent_at and life.renewal_sent_at + policy.renewal_every > now:
        moments.append(life.renewal_sent_at + policy.renewal_every)
    if (morning := policy.shown_from(context.zone, now)) > now:
        moments.append(morning)
    return min(moments)


def _at(life: Life, rungs: Ladder, step: int) -> int:
    return life.expires_at - rungs.leads[step]

"""What changes a life beside time and use: another policy (law 9), and the operator."""

from __future__ import annotations

from dataclasses import replace

from wakerobin.core.lifetime.ending import anew
from wakerobin.core.lifetime.moves import Context, Decision, Extend, PolicyChanged, Tell, Void
from wakerobin.core.lifetime.plan import LAST_RESORT, REWARN, earliest_lead, rungs_of
from wakerobin.core.lifetime.policy import LifetimePolicy
from wakerobin.core.lifetime.reading import grace_end
from wakerobin.core.lifetime.warning import warning
from wakerobin.core.values import Duration, Life

_JITTER = 0.05


def policy_changed(life: Life, event: PolicyChanged, now: int, policy: LifetimePolicy) -> Decision:
    """Take a new policy in: a shorter lifetime at once, but with time for its renewals; all else as it comes.

    Warnings of this generation stay sent.
    """
    assert life.next_at is not None
    if life.step > LAST_RESORT:
        return life, ()  # about to end as it was told
    lifetime = policy.lifetime if event.lifetime is None else event.lifetime
    expires_at = _shortened(life, lifetime, event.jitter, now, policy)
    if expires_at >= life.expires_at:
        # Its rungs may be others now: what is due is looked at again, at once where it has begun to climb.
        first_at = now if life.step else life.expires_at - earliest_lead(policy, life.lifetime)
        return replace(life, next_at=min(life.next_at, first_at)), ()
    told = Tell("policy-changed", {"expires_at": expires_at})
    if life.step == 0:
        next_at = min(life.next_at, expires_at - earliest_lead(policy, lifetime))
        return replace(life, expires_at=expires_at, lifetime=lifetime, next_at=next_at), (told,)
    # What was decided counts rungs of another ladder; what the user was told remains.
    changed = replace(
        anew(replace(life, lifetime=lifetime), expires_at, policy),
        warning_tried_at=life.warning_tried_at,
        warned_at=life.warned_at,
        warning_settled=life.warning_settled,
    )
    return changed, (Void(changed.generation), told)


def extended_by_operator(life: Life, event: Extend, policy: LifetimePolicy) -> Decision:
    """Move the end to a later moment; a new generation, because its warnings are others."""
    if event.expires_at <= life.expires_at:
        return life, ()
    longer = anew(life, event.expires_at, policy)
    return longer, (Void(longer.generation), Tell("extended", {"expires_at": event.expires_at}))


def rewarned(life: Life, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    """Warn now; where the next planned warning is not the last, this is it."""
    if not context.warnable:
        return life, ()
    rungs = rungs_of(life, policy, context.zone)
    deadline_at = life.expires_at if now < life.expires_at else grace_end(life, policy, context.downtime)
    if now >= deadline_at:
        return life, ()
    return life, (warning(life, rungs, context, REWARN, deadline_at, now), Tell("rewarned"))


def _shortened(life: Life, lifetime: Duration, jitter: float, now: int, policy: LifetimePolicy) -> int:
    """Return the end under a shorter lifetime: jittered, so that a fleet does not end in one moment."""
    if lifetime >= life.lifetime:
        return life.expires_at
    first = policy.first_renewal(lifetime, policy.leads(lifetime))
    left = max(life.renewed_at + lifetime, now + first) - now
    return now + round(left * (1 + _JITTER * max(-1.0, min(1.0, jitter))))

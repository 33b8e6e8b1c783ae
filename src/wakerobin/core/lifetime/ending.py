"""The end of a life: for good, or dormant until a use resumes it; and the guard that takes an end back."""

from __future__ import annotations

from dataclasses import replace

from wakerobin.core.lifetime.moves import Context, Decision, Effect, End, Release, Send, Tell, Void
from wakerobin.core.lifetime.plan import earliest_lead
from wakerobin.core.lifetime.policy import LifetimePolicy
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Life

NOTICE_TIME = 28 * 24 * 3600_000
"""How long the notice of the end is of use."""


def ended(
    life: Life, reason: Ended, now: int, *, notice: Send | None = None, release_at: int = 0
) -> Decision:
    """End a life for good (law 4). `release_at`: until then the binding waits for the guard."""
    waits = release_at > now
    over = replace(life, ended=reason, ended_at=now, next_at=release_at if waits else None)
    effects: list[Effect] = [Void(life.generation + 1)]
    if notice is not None:
        effects.append(notice)
    effects.append(End(reason, with_targets=notice is None))
    if not waits:
        effects.append(Release())
    effects.append(_told(reason))
    return over, tuple(effects)


def expired(life: Life, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    """End a life that nobody used in time: for good, or dormant where the policy says so."""
    notice = _notice(life, now, policy, context) if context.warnable else None
    if not context.has_call_target:
        return ended(life, Ended.TARGETS_GONE, now, notice=notice)
    if not policy.dormant_for:
        return ended(life, Ended.EXPIRED, now, notice=notice)
    asleep = replace(life, ended=Ended.DORMANT, ended_at=now, next_at=now + policy.dormant_for)
    effects: list[Effect] = [Void(life.generation + 1)]
    if notice is not None:
        effects.append(notice)
    effects += [
        End(Ended.DORMANT, with_targets=False, keeps_credentials=True),
        Release(keeps_credentials=True),
        _told(Ended.DORMANT),
    ]
    return asleep, tuple(effects)


def forgotten(life: Life, now: int) -> Decision:
    """End a dormant life that no use resumed in time; its user was told long ago."""
    over = replace(life, ended=Ended.EXPIRED, ended_at=now, next_at=None)
    effects = Void(life.generation + 1), End(Ended.EXPIRED, with_targets=True), Release(), Tell("forgotten")
    return over, effects


def restored(life: Life, now: int, policy: LifetimePolicy) -> Decision:
    """Take back what a removed target did to a life: it is again as its last use left it."""
    if life.ended not in (None, Ended.TARGETS_GONE):
        return life, ()
    expires_at = life.renewed_at + life.lifetime
    back = anew(life, expires_at, policy)
    if policy.dormant_for and life.ended is not None and now >= expires_at:
        # It was dormant when its last target was refused, or would be by now.
        back = replace(
            back, ended=Ended.DORMANT, ended_at=expires_at, next_at=expires_at + policy.dormant_for
        )
    return back, (Void(back.generation), Tell("targets-restored"))


def anew(life: Life, expires_at: int, policy: LifetimePolicy) -> Life:
    """Return a life at the foot of its ladder, in a new generation that is nobody's use."""
    return Life(
        id=life.id,
        slot=life.slot,
        expires_at=expires_at,
        next_at=expires_at - earliest_lead(policy, life.lifetime),
        generation=life.generation + 1,
        lifetime=life.lifetime,
        renewed_at=life.renewed_at,
        opened_at=life.opened_at,
        noted_at=life.noted_at,
        trouble_generation=life.trouble_generation,
        trouble_told_at=life.trouble_told_at if life.trouble_settled else 0,
        trouble_settled=life.trouble_settled,
        trouble_cause=life.trouble_cause if life.trouble_settled else "",
        habits=life.habits,
    )


def _notice(life: Life, now: int, policy: LifetimePolicy, context: Context) -> Send:
    return Send(PushType.EXPIRED, life.generation, 0, now + NOTICE_TIME, policy.shown_from(context.zone, now))


def _told(reason: Ended) -> Tell:
    return Tell("expired" if reason is Ended.EXPIRED else "ended", {"reason": reason.value})

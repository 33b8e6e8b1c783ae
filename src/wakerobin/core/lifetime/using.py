"""A use: it renews the life, resumes a dormant one, and teaches how the phone answers."""

from __future__ import annotations

import bisect
import enum
from dataclasses import replace

from wakerobin.core.lifetime.habits import Habits
from wakerobin.core.lifetime.moves import Context, Decision, Effect, Resume, Send, Tell, Void
from wakerobin.core.lifetime.plan import earliest_lead, rungs_of
from wakerobin.core.lifetime.policy import LifetimePolicy
from wakerobin.core.lifetime.quiet import local_hour
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Life

_DAY = 24 * 3600_000
_UNOPENED = 60 * _DAY
_NOTE_PAUSE = 30 * _DAY
_NOTE_TIME = 7 * _DAY
_RENEWABLE = (None, Ended.DORMANT)
_ENOUGH = 12
"""So many `renewal_every` without an answer say something about a phone; less is chance."""

_BY_A_PERSON = frozenset({"opened", "foreground", "call", "register"})
_BY_A_PUSH = "renewal-push"
_ANSWERED_UNSEEN = frozenset({"warning-extension", "service-worker"})


class Rescue(enum.StrEnum):
    """How a use saved a life that had begun to end."""

    SILENT = "silent"
    """A renewal push woke the app; nobody saw anything."""
    WARNED = "warned"
    """After a warning was shown."""


def rescue(life: Life, cause: str) -> Rescue | None:
    """Return how a use would save this life, as it is before the use; None: it was in no danger."""
    if life.ended is not None:
        return None
    if cause == _BY_A_PUSH and life.renewal_sent_at:
        return Rescue.SILENT
    if life.warned_at and (is_personal(cause) or cause in _ANSWERED_UNSEEN):
        return Rescue.WARNED
    return None


def is_personal(cause: str) -> bool:
    """Whether a use of this cause shows that a person used the phone."""
    return cause in _BY_A_PERSON or cause.startswith("tapped-")


def used(life: Life, cause: str, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    """Renew a life, or resume a dormant one (law 1); what has ended for good stays so."""
    if life.ended not in _RENEWABLE:
        return life, ()
    expires_at = now + life.lifetime
    next_at = expires_at - earliest_lead(policy, life.lifetime)
    is_by_person = is_personal(cause)
    renewed = Life(
        id=life.id,
        slot=life.slot,
        expires_at=expires_at,
        # Lazy: an earlier moment may stay, the firing looks again; so a use need not touch the index.
        next_at=next_at if life.next_at is None or life.ended is not None else min(life.next_at, next_at),
        generation=life.generation + 1,
        lifetime=life.lifetime,
        renewed_at=now,
        opened_at=now if is_by_person else life.opened_at,
        noted_at=life.noted_at,
        trouble_generation=life.trouble_generation,
        # A text that did not leave is void now, and nobody was told.
        trouble_told_at=life.trouble_told_at if life.trouble_settled else 0,
        trouble_settled=life.trouble_settled,
        trouble_cause=life.trouble_cause if life.trouble_settled else "",
        habits=_habits(life, cause, now, policy, context.zone) if life.renewal_sent_at else life.habits,
    )
    effects: tuple[Effect, ...] = (Void(renewed.generation),)
    if policy.monthly_note and not is_by_person and _is_forgotten(life, now, context):
        renewed = replace(renewed, noted_at=now)
        effects += (_note(renewed, now, policy, context),)
    if life.ended is not None:
        return renewed, (*effects, Resume(), Tell("revived", {"cause": cause, "expires_at": expires_at}))
    # A phone in use registers every few minutes; a line for each would bury the story.
    if life.step or now - life.renewed_at >= policy.story_pause(life.lifetime):
        effects += (Tell("renewed", {"cause": cause, "expires_at": expires_at}),)
    return renewed, effects


def _habits(life: Life, cause: str, now: int, policy: LifetimePolicy, zone: str) -> str:
    """Fold what this generation showed of the phone."""
    known = Habits.decode(life.habits)
    if cause == _BY_A_PUSH:
        rungs = rungs_of(life, policy, zone)
        tries = max(1, bisect.bisect_left(rungs.renewals, rungs.reached(life.expires_at - now)))
        last = life.expires_at - rungs.leads[rungs.renewals[tries - 1]]
        delay = now - max(last, life.renewal_sent_at)
        return known.answered_at(local_hour(zone, now), tries, delay).encode()
    if now - life.renewal_sent_at >= _ENOUGH * policy.renewal_every:
        return known.not_answered().encode()
    return life.habits


def _is_forgotten(life: Life, now: int, context: Context) -> bool:
    """Whether nobody opened an Android app for so long that the system may hibernate it."""
    return (
        context.is_android
        and context.warnable
        and now - life.opened_at >= _UNOPENED
        and now - life.noted_at >= _NOTE_PAUSE
    )


def _note(life: Life, now: int, policy: LifetimePolicy, context: Context) -> Send:
    shown_from = policy.shown_from(context.zone, now)
    return Send(PushType.STILL_REACHABLE, life.generation, 0, shown_from + _NOTE_TIME, shown_from)

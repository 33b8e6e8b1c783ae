"""Law 7: what a life makes of a PBX that refuses its account, or cannot be reached.

For how long that has been, and whether it is this account's trouble or the registrar's, is counted outside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wakerobin.core.lifetime.ending import NOTICE_TIME, ended
from wakerobin.core.lifetime.moves import Context, Decision, Effect, Send, Tell, Trouble, TroubleEnd
from wakerobin.core.lifetime.plan import TROUBLE_NOTICE, TROUBLE_TEXT, rungs_of
from wakerobin.core.lifetime.policy import LifetimePolicy
from wakerobin.core.lifetime.reading import extended
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Life

_REFUSED = "refused"
_OVER_TIME = 24 * 3600_000
"""How long it is of use to say that trouble is over."""


def troubled(life: Life, event: Trouble, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    """Tell the user, once until it is over; once more where what was out of reach turns out to refuse."""
    if life.trouble_cause in (event.cause, _REFUSED) or not context.warnable:
        return life, ()
    told = replace(
        life,
        trouble_generation=life.generation,
        trouble_told_at=now,
        trouble_settled=False,
        trouble_cause=event.cause,
    )
    said = {"cause": event.cause, "reason": event.reason}
    shown_from = policy.shown_from(context.zone, now)
    deadline_at = shown_from + policy.grace_limit
    text = _send(PushType.REGISTRATION_TROUBLE, life, TROUBLE_TEXT, (shown_from, deadline_at), said)
    return told, (text, Tell("trouble", said))


def ended_by_trouble(
    life: Life, event: TroubleEnd, now: int, policy: LifetimePolicy, context: Context
) -> Decision:
    """End the life early, once the user was told and had time to hear it."""
    if context.warnable:
        if life.trouble_cause != _REFUSED:
            return troubled(life, Trouble(_REFUSED, event.reason), now, policy, context)
        if now < _heard_by(life, policy, context):
            return life, ()
    if context.held_call:
        return life, ()
    notice = None
    if context.warnable:
        said = {"cause": _REFUSED, "reason": event.reason, "ended": True}
        when = policy.shown_from(context.zone, now), now + NOTICE_TIME
        notice = _send(PushType.REGISTRATION_TROUBLE, life, TROUBLE_NOTICE, when, said)
    return ended(life, Ended.REFUSED, now, notice=notice)


def recovered(life: Life, now: int, policy: LifetimePolicy, context: Context) -> Decision:
    """Say that it is over, once, to who was told of it."""
    if not life.trouble_told_at:
        return life, ()
    effects: tuple[Effect, ...] = (Tell("trouble-over"),)
    if life.trouble_settled and context.warnable:
        shown_from = policy.shown_from(context.zone, now)
        when = shown_from, shown_from + _OVER_TIME
        effects = (_send(PushType.REGISTRATION_TROUBLE_OVER, life, 0, when, {}), *effects)
    return replace(life, trouble_told_at=0, trouble_settled=False, trouble_cause=""), effects


def _heard_by(life: Life, policy: LifetimePolicy, context: Context) -> int:
    """Return when the end may follow the text, as law 3 has it for warnings."""
    if life.trouble_settled:
        return life.trouble_told_at + rungs_of(life, policy, context.zone).smallest_lead
    return extended(life.trouble_told_at, policy.grace_limit, context.downtime)


def _send(kind: PushType, life: Life, step: int, when: tuple[int, int], payload: dict[str, Any]) -> Send:
    not_before, deadline_at = when
    return Send(kind, life.generation, step, deadline_at, not_before, payload)

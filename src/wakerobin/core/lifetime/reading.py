"""Reading a life: its stage, whether a decided push is still wanted, when its grace is over."""

from __future__ import annotations

import enum

from wakerobin.core.lifetime.moves import Downtime
from wakerobin.core.lifetime.plan import LAST_RESORT, REWARN, TROUBLE_NOTICE, rungs_of
from wakerobin.core.lifetime.policy import LifetimePolicy
from wakerobin.core.pushes import OUTLIVES_USE, PushType
from wakerobin.core.values import Ended, Life


class Stage(enum.StrEnum):
    """Where a push registration stands on its way; the words of the API."""

    ACTIVE = "active"
    RENEWING = "renewing"
    WARNED = "warned"
    EXPIRED = "expired"
    DORMANT = "dormant"
    ENDED = "ended"


_TOLD = frozenset(
    {
        PushType.EXPIRY_WARNING,
        PushType.EXPIRED,
        PushType.TARGETS_NEEDED,
        PushType.REGISTRATION_TROUBLE,
        PushType.REGISTRATION_TROUBLE_OVER,
        PushType.CREDENTIALS_NEEDED,
        PushType.STILL_REACHABLE,
    }
)
_ENDS = {Ended.EXPIRED: Stage.EXPIRED, Ended.DORMANT: Stage.DORMANT}


def stage(life: Life, policy: LifetimePolicy, *, warnable: bool = True, zone: str = "") -> Stage:
    """Return what people read of a life's step; a phone that shows no warning is never `warned`."""
    if life.ended is not None:
        return _ENDS.get(life.ended, Stage.ENDED)
    if life.step == 0:
        return Stage.ACTIVE
    rungs = rungs_of(life, policy, zone)
    return Stage.WARNED if warnable and life.step > rungs.first_warning else Stage.RENEWING


def is_superseded(  # noqa: PLR0913 - what names the push, and what decides about it
    life: Life, kind: PushType, generation: int, step: int, now: int, policy: LifetimePolicy, zone: str = ""
) -> bool:
    """Whether a push that was decided must not leave any more. Asked right before the socket.

    Newer than the row are: a use, the end, a later warning, trouble that is over or back, and for renewals
    the next one's moment.
    """
    if kind in OUTLIVES_USE:
        return life.ended is not None
    if generation < life.generation:
        return True
    if life.ended is not None:
        return not _is_notice(kind, step)
    match kind:
        case PushType.RENEW:
            rungs = rungs_of(life, policy, zone)
            later = rungs.next_renewal(step + 1)
            return life.step > LAST_RESORT or (
                later is not None and life.expires_at - rungs.leads[later] <= now
            )
        case PushType.EXPIRY_WARNING:
            return step != REWARN and _is_late_warning(life, step, now, policy, zone)
        case PushType.REGISTRATION_TROUBLE:
            return not life.trouble_told_at
        case PushType.REGISTRATION_TROUBLE_OVER:
            return life.trouble_told_at > 0
        case _:
            return False


def deadline(life: Life, step: int, decided: int, policy: LifetimePolicy, downtime: Downtime) -> int:
    """Return until when a push is of use; `decided` is what its decision said.

    The warning of last resort is wanted as long as the end waits for it, and that is longer than was
    decided where the server did not run in between (law 3).
    """
    if step != LAST_RESORT or life.ended is not None:
        return decided
    return max(decided, grace_end(life, policy, downtime))


def leaves_from(kind: PushType, step: int, now: int, policy: LifetimePolicy, zone: str) -> int:
    """Return when a push may leave that has waited until now: what a life tells its user, not at night.

    It was decided by day, and held up on its way. What an operator wants said now is said now.
    """
    return policy.shown_from(zone, now) if kind in _TOLD and step != REWARN else now


def grace_end(life: Life, policy: LifetimePolicy, downtime: Downtime) -> int:
    """Return when a life stops waiting for its last warning (law 3); downtime does not count."""
    return extended(max(life.expires_at, life.warning_tried_at), policy.grace_limit, downtime)


def extended(began: int, limit: int, downtime: Downtime) -> int:
    """Return when a time limit is over that does not count while the server was not running."""
    end = began + limit
    for down, up in downtime:
        if up > began and down < end:
            end += up - max(down, began)
    return end


def _is_notice(kind: PushType, step: int) -> bool:
    if kind is PushType.REGISTRATION_TROUBLE:
        return step == TROUBLE_NOTICE
    return kind is PushType.EXPIRED


def _is_late_warning(life: Life, step: int, now: int, policy: LifetimePolicy, zone: str) -> bool:
    """Whether a later warning was decided, or follows so soon that the user would get two in one breath."""
    if life.warning_settled:
        return True
    if life.step > LAST_RESORT:
        return step < LAST_RESORT
    rungs = rungs_of(life, policy, zone)
    latest = rungs.last_warning_before(life.step)
    return (latest is not None and step < latest) or rungs.gives_way(step, life.expires_at - now)

"""Reading a life: its stage, whether a decided push is still wanted, when its grace is over."""

from __future__ import annotations

import enum

from wakerobin.core.lifetime.moves import Downtime
from wakerobin.core.lifetime.plan import LAST_RESORT, LifetimePolicy, ladder
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Life


class Stage(enum.StrEnum):
    """Where a push registration stands on its way; the words of the API."""

    ACTIVE = "active"
    RENEWING = "renewing"
    WARNED = "warned"
    EXPIRED = "expired"
    ENDED = "ended"


def stage(life: Life, policy: LifetimePolicy, *, warnable: bool = True) -> Stage:
    """Return what people read of a life's step; a phone that shows no warning is never `warned`."""
    if life.ended is not None:
        return Stage.EXPIRED if life.ended is Ended.EXPIRED else Stage.ENDED
    if life.step == 0:
        return Stage.ACTIVE
    rungs = ladder(policy, life.lifetime)
    return Stage.WARNED if warnable and life.step > rungs.first_warning else Stage.RENEWING


def is_superseded(
    life: Life, kind: PushType, generation: int, step: int, now: int, policy: LifetimePolicy
) -> bool:
    """Whether a push that was decided must not leave any more. Asked right before the socket.

    Newer than the row are: a use, the end, a later warning, and for renewals the next one's moment.
    """
    if generation < life.generation:
        return True
    if life.ended is not None:
        return kind is not PushType.EXPIRED
    rungs = ladder(policy, life.lifetime)
    match kind:
        case PushType.RENEW:
            later = rungs.next_renewal(step + 1)
            return life.step > LAST_RESORT or (
                later is not None and life.expires_at - rungs.leads[later] <= now
            )
        case PushType.EXPIRY_WARNING:
            latest = LAST_RESORT if life.step > LAST_RESORT else rungs.last_warning_before(life.step)
            return life.warning_settled or (latest is not None and step < latest)
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


def grace_end(life: Life, policy: LifetimePolicy, downtime: Downtime) -> int:
    """Return when a life stops waiting for its last warning (law 3); downtime does not count."""
    began = max(life.expires_at, life.warning_tried_at)
    end = began + policy.grace_limit
    for down, up in downtime:
        if up > began and down < end:
            end += up - max(down, began)
    return end

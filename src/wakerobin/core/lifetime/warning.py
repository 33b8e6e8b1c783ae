"""What a warning says: which end it announces, and whether calls still arrive."""

from __future__ import annotations

from typing import Any

from wakerobin.core.lifetime.moves import Context, Send
from wakerobin.core.lifetime.plan import Ladder
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Life


def warning(
    life: Life, rungs: Ladder, context: Context, step: int, deadline_at: int, not_before: int
) -> Send:
    """Return the push that warns of the end."""
    said = announcement(life, rungs, not_before)
    if not context.is_registered:
        said["registered"] = False
    return Send(PushType.EXPIRY_WARNING, life.generation, step, deadline_at, not_before, said)


def announcement(life: Life, rungs: Ladder, at: int) -> dict[str, Any]:
    """Say which end a warning announces: the later of its own and, once accepted, the smallest lead."""
    lead = rungs.smallest_lead
    return {"announced_at": max(life.expires_at, at + lead), "lead": lead}

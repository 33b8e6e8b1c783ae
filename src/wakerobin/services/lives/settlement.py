"""What the end of a push's delivery means for the life that asked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wakerobin.core.delivery import TargetVerdict
from wakerobin.core.lifetime import Event, RenewalSent, WarningSettled
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, TargetGone
from wakerobin.core.values import Life, PushTarget
from wakerobin.ports.store import OutboxRow, Transaction

_WARNINGS = frozenset({PushType.EXPIRY_WARNING, PushType.TARGETS_NEEDED, PushType.REGISTRATION_TROUBLE})
_TOLD = {
    PushType.RENEW: "renewal",
    PushType.EXPIRY_WARNING: "warning",
    PushType.EXPIRED: "notice",
    PushType.TARGETS_NEEDED: "targets-needed",
    PushType.CREDENTIALS_NEEDED: "credentials-needed",
    PushType.MISSED_CALL: "missed-call",
    PushType.MESSAGE: "message",
    PushType.MWI: "mwi",
    PushType.REGISTRATION_TROUBLE: "trouble",
    PushType.REGISTRATION_TROUBLE_OVER: "trouble-over",
    PushType.STILL_REACHABLE: "still-reachable",
}


@dataclass(frozen=True, slots=True)
class Settled:
    """How the delivery of a row to one target ended; a verdict where the target was refused."""

    target: PushTarget
    outcome: Outcome
    verdict: TargetVerdict | None = None
    release_at: int = 0
    """Until when the binding of a life that ends by it waits for the guard."""


def _nothing(_tx: Transaction) -> None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """How the delivery of a row to some of its targets ended; no further attempt at these follows.

    `is_over`: at none of its targets. `also` runs in the same transaction: the courier removes the row
    there, or notes who is settled, so that a crash finds both or neither.
    """

    row: OutboxRow
    results: Sequence[tuple[PushTarget, Outcome]]
    also: Callable[[Transaction], Any] = _nothing
    is_over: bool = True


def line_of(row: OutboxRow, life: Life, outcome: Outcome, now: int) -> tuple[str, dict[str, object]]:
    """Return the line of the story for one target: the event and its details."""
    name = _TOLD.get(row.kind, row.kind.value)
    if not isinstance(outcome, Accepted):
        return f"{name}-failed", {"reason": outcome.reason}
    if row.kind is PushType.EXPIRY_WARNING:
        return f"{name}-sent", {"lead_s": max(0, life.expires_at - now) // 1000}
    return f"{name}-sent", {}


def event_of(row: OutboxRow, settled: Sequence[Settled], *, is_over: bool) -> Event | None:
    """Return what the life hears of it.

    A refusal settles a warning only where no target is left that may still show it, each refusal was
    final, and none was our own fault (law 3).
    """
    if any(isinstance(one.outcome, Accepted) for one in settled):
        if row.kind is PushType.RENEW:
            return RenewalSent(row.generation)
        return WarningSettled(row.generation, row.step, accepted=True) if row.kind in _WARNINGS else None
    if row.kind not in _WARNINGS or not is_over or not settled:
        return None
    if all(_is_final(one.outcome, one.verdict) for one in settled):
        return WarningSettled(row.generation, row.step, accepted=False)
    return None


def _is_final(outcome: Outcome, verdict: TargetVerdict | None) -> bool:
    match outcome:
        case Rejected(ours=ours):
            return not ours
        case TargetGone():
            return verdict is TargetVerdict.GONE
        case _:
            return False

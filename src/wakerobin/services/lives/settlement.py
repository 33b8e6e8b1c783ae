"""What the end of a push's delivery means for the life that asked for it."""

from __future__ import annotations

from dataclasses import dataclass

from wakerobin.core.delivery import TargetVerdict
from wakerobin.core.lifetime import Event, RenewalSent, WarningSettled
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, TargetGone
from wakerobin.core.values import Life
from wakerobin.ports.store import OutboxRow

_WARNINGS = frozenset({PushType.EXPIRY_WARNING, PushType.TARGETS_NEEDED})
_TOLD = {
    PushType.RENEW: "renewal",
    PushType.EXPIRY_WARNING: "warning",
    PushType.EXPIRED: "notice",
    PushType.TARGETS_NEEDED: "targets-needed",
    PushType.CREDENTIALS_NEEDED: "credentials-needed",
    PushType.MISSED_CALL: "missed-call",
}


@dataclass(frozen=True, slots=True)
class Settlement:
    """One line for the story, and the event for the life if there is one."""

    told: str
    details: dict[str, object]
    event: Event | None = None

    def __hash__(self) -> int:
        return hash(self.told)


def settlement(
    row: OutboxRow, life: Life, outcome: Outcome, verdict: TargetVerdict | None, now: int
) -> Settlement:
    """Read the outcome with which the delivery of a row to a target ended.

    A refusal settles a warning only where it is final and not our own fault (law 3).
    """
    name = _TOLD.get(row.kind, row.kind.value)
    if isinstance(outcome, Accepted):
        details: dict[str, object] = {}
        event: Event | None = None
        if row.kind is PushType.RENEW:
            event = RenewalSent(row.generation)
        elif row.kind in _WARNINGS:
            event = WarningSettled(row.generation, row.step, accepted=True)
        if row.kind is PushType.EXPIRY_WARNING:
            details = {"lead_s": max(0, life.expires_at - now) // 1000}
        return Settlement(f"{name}-sent", details, event)
    refused = WarningSettled(row.generation, row.step, accepted=False)
    settles = row.kind in _WARNINGS and _is_final(outcome, verdict)
    return Settlement(f"{name}-failed", {"reason": outcome.reason}, refused if settles else None)


def _is_final(outcome: Outcome, verdict: TargetVerdict | None) -> bool:
    match outcome:
        case Rejected(ours=ours):
            return not ours
        case TargetGone():
            return verdict is TargetVerdict.GONE
        case _:
            return False

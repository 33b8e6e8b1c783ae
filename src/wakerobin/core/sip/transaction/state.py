"""What the four machines share: the names of their states, and when a timer is due."""

from __future__ import annotations

import enum


class TransactionState(enum.Enum):
    """The states of RFC 3261, figures 5 to 8, and of RFC 6026; no machine has them all."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


def earliest(*timers: float | None) -> float | None:
    """The first of the timers that are set, or None."""
    first: float | None = None
    for at in timers:
        if at is not None and (first is None or at < first):
            first = at
    return first


def is_due(timer: float | None, now: float) -> bool:
    """Whether the timer is set and its time has come."""
    return timer is not None and timer <= now

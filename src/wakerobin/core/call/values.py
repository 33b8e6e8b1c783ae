"""What a call is called while it rings, and the choices that it rings by."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class CallState(enum.StrEnum):
    """The words of the API and of the design."""

    HELD = "held"
    WAKING = "waking"
    OFFERED = "offered"
    ANSWERED = "answered"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    MISSED = "missed"

    @property
    def is_over(self) -> bool:
        """Whether the call rings no more."""
        return self not in (CallState.HELD, CallState.WAKING, CallState.OFFERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPolicy:
    """Seconds and choices; see `[sip]` and `[apps.NAME]` in the configuration."""

    wake_timeout: float = 30.0
    ring_timeout: float = 120.0
    ringback: str = "pushed"
    live_flow: float = 15.0
    live_flow_answer: float = 1.0
    decline_all: bool = True
    decline_code: int = 486
    max_breadth: int = 60
    t1: float = 0.5

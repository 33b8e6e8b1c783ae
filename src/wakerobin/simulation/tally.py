"""What is counted of a fleet under one policy. Whole numbers only: sums do not depend on their order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Tally:
    """Times in milliseconds."""

    phones: int = 0
    installed: int = 0
    """Time with the app on the phone."""
    on: int = 0
    """…with the phone on and in reach of a network."""
    reachable: int = 0
    """…in which a call push would ring."""
    renewals: int = 0
    """Silent pushes that a push service accepted."""
    warnings_sent: int = 0
    warnings: int = 0
    """Warnings that were shown."""
    notices: int = 0
    """Notices of the end that were shown."""
    calls: int = 0
    """Days on which somebody called while the phone was on."""
    calls_lost: int = 0
    """…and the life had ended."""
    in_need: int = 0
    """Lives for which a push was decided."""
    silent: int = 0
    """…saved by a silent push."""
    by_warning: int = 0
    """…saved by a warning."""
    ended: Counter[str] = field(default_factory=Counter)
    """Lives that ended, by reason."""
    lost_days: Counter[int] = field(default_factory=Counter)
    """By day: phones on which a life ended, less those that came back."""

    def add(self, other: Tally) -> None:
        """Add what was counted elsewhere."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, one.name, mine + theirs)

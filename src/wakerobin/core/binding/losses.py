"""Bindings that a PBX dropped, and the PBX that keeps only one contact for each account.

Such a PBX forgets us when the desk phone registers, and the desk phone when we do. Two that fight leave
both dead half of the time, so it is said in words and not fought.
"""

from __future__ import annotations

from dataclasses import dataclass

ONE_CONTACT_CODE = "one-contact"
ONE_CONTACT_REASON = (
    "The PBX allows one device for this extension, and another one is registered: "
    "raise its limit (FreePBX: Max Contacts) to 5."
)

_DAY_S = 86_400.0
_SUSPECT = 2


@dataclass(frozen=True, slots=True)
class Losses:
    """What was noticed of one account: when it was lost last (monotonic seconds), and to whom."""

    last_at_s: float = float("-inf")
    to_others: int = 0
    """Losses in a row after which another contact was there; 2 stand for any more."""

    @property
    def is_one_contact(self) -> bool:
        """Whether this PBX keeps one contact."""
        return self.to_others >= _SUSPECT

    def is_wary(self, now_s: float) -> bool:
        """Whether there was a loss today that is not understood yet: it pays to look more often."""
        return 0 < self.to_others < _SUSPECT and now_s - self.last_at_s < _DAY_S


def lost(losses: Losses, others: int, now_s: float) -> tuple[Losses, bool]:
    """Note a loss. Also return whether to bind again at once: only after the first in a day."""
    is_first = now_s - losses.last_at_s >= _DAY_S
    if others == 0:
        to_others = 0
    elif is_first and not losses.is_one_contact:
        to_others = 1
    else:
        to_others = min(losses.to_others + 1, _SUSPECT)
    return Losses(now_s, to_others), is_first


def found(losses: Losses, others: int) -> Losses:
    """Note that the binding was there: beside another contact, the PBX does keep several."""
    return Losses(losses.last_at_s, 0) if others else losses

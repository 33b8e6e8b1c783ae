"""What a call asks of the world, beside the effects of its response context (`core.sip.forking`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wakerobin.core.call.values import CallState
from wakerobin.core.sip import forking
from wakerobin.core.values import PhoneFlow


@dataclass(frozen=True, slots=True)
class Push:
    """Send a call push to every call target of this push registration."""

    registration_id: int


@dataclass(frozen=True, slots=True)
class Offer:
    """Send the INVITE to a phone as a branch of its own (16.5: late branches are allowed)."""

    key: str
    phone: PhoneFlow
    breadth: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """Send the INVITE of a branch that said nothing yet once more: its phone has just woken."""

    key: str


@dataclass(frozen=True, slots=True)
class Follow:
    """The phone of a branch that rings is on another flow: that one counts from now on.

    The INVITE goes there once more under the branch that it had. A phone that still rings takes it for a
    repetition; one that has lost the call, for a call.
    """

    key: str
    phone: PhoneFlow


@dataclass(frozen=True, slots=True)
class Recall:
    """CANCEL a branch once more where its phone is now: it was gone when the first one was sent."""

    key: str
    phone: PhoneFlow
    reason: str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop a branch that had no provisional response; it may not be cancelled (9.1)."""

    key: str


@dataclass(frozen=True, slots=True)
class Ring:
    """Send our own 180 upstream; `is_first` or again, so that no proxy's timer C fires (16.6 step 11)."""

    is_first: bool = True


@dataclass(frozen=True, slots=True)
class Tell:
    """One event of the call's story."""

    event: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Save:
    """Store the call as it is now: what it waits for has changed."""


@dataclass(frozen=True, slots=True)
class Over:
    """The call rings no more. `answered_by`: the registration that took or declined it, 0 for none."""

    state: CallState
    reason: str
    answered_by: int = 0


Effect: TypeAlias = (
    forking.Effect | Push | Offer | Repeat | Follow | Recall | Abandon | Ring | Tell | Save | Over
)

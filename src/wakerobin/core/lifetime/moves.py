"""What can happen to a life, and what must happen then: the inputs and effects of `decide`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Life

Downtime: TypeAlias = tuple[tuple[int, int], ...]
"""When the server was not running: (from, to) in epoch milliseconds, in order."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the record does not say: what the phone's targets can do, and what goes on around it."""

    warnable: bool
    """A notice target is there and notifications were not denied."""
    renewable: bool
    """A silent push can be sent."""
    held_call: bool = False
    has_call_target: bool = True
    is_proven: bool = True
    downtime: Downtime = ()


@dataclass(frozen=True, slots=True)
class Use:
    """The app was used, or the phone registered, or a renewal push was answered."""

    cause: str


@dataclass(frozen=True, slots=True)
class Fire:
    """`next_at` is reached. It may be late, early or a duplicate."""


@dataclass(frozen=True, slots=True)
class Proven:
    """The registration's own credentials were proven: from now on it gets pushes."""


@dataclass(frozen=True, slots=True)
class Cease:
    """It is to end now, with no notice: deleted, or replaced."""

    reason: Ended


@dataclass(frozen=True, slots=True)
class RenewalSent:
    """A push service accepted a renewal push of this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class WarningSettled:
    """A push service accepted a warning of this generation, or refused it for good."""

    generation: int
    step: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class TargetsLeft:
    """A target was removed; so many are left for calls and for notices.

    `release_at`: until then the binding stays, so that the guard can undo (0: it goes at once).
    """

    call: int
    notice: int
    release_at: int = 0


@dataclass(frozen=True, slots=True)
class TargetsRestored:
    """The guard took back a removal that had ended or shortened the life."""


Event: TypeAlias = Use | Fire | Proven | Cease | RenewalSent | WarningSettled | TargetsLeft | TargetsRestored


@dataclass(frozen=True, slots=True)
class Send:
    """Put a push into the outbox. `deadline_at` 0: one attempt, never stored on the way."""

    kind: PushType
    generation: int
    step: int
    deadline_at: int
    not_before: int
    payload: dict[str, Any] = field(default_factory=dict)
    """Of warnings: `announced_at`, the end that it announces if it is sent at once, epoch milliseconds, and
    `lead`, which lies at least between its acceptance and the end. Sent later, it announces the later."""

    def __hash__(self) -> int:
        return hash((self.kind, self.generation, self.step))


@dataclass(frozen=True, slots=True)
class Void:
    """Remove what waits in the outbox for older generations."""

    below_generation: int


@dataclass(frozen=True, slots=True)
class End:
    """The life is over: its secrets go. `with_targets`: its tokens too, nothing is sent any more."""

    reason: Ended
    with_targets: bool


@dataclass(frozen=True, slots=True)
class Release:
    """The account's binding goes, unless another active push registration needs it (law 6)."""


@dataclass(frozen=True, slots=True)
class Tell:
    """One line of the registration's story."""

    event: str
    details: dict[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.event)


Effect: TypeAlias = Send | Void | End | Release | Tell
Decision: TypeAlias = tuple[Life, tuple[Effect, ...]]

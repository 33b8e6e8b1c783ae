"""What can happen to a life, and what must happen then: the inputs and effects of `decide`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended, Life

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
    zone: str = ""
    """The user's time zone (IANA); empty or unknown: no quiet hours, and hours are UTC's."""
    is_registered: bool = True
    """The account has a binding at its PBX; where not, no text says that calls still arrive."""
    is_android: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """The app was used, or the phone registered, or a renewal push was answered.

    `cause`: a word of the API. `renewal-push` says that a silent push did it, also where a receipt says so.
    """

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
    """A push service accepted a warning of this generation, or refused it for good.

    Trouble texts count as warnings: their `step` is TROUBLE_TEXT.
    """

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


@dataclass(frozen=True, slots=True)
class Trouble:
    """The PBX is in the way for so long that the user must hear of it (law 7).

    To be said again and again while it lasts: the user is told once. `cause`: `refused` or `unreachable`.
    """

    cause: str
    reason: str


@dataclass(frozen=True, slots=True)
class TroubleEnd:
    """The PBX refused the account for too long (law 7). To be said again until the life has ended.

    It ends only when the user was told before, that text was settled, and no call is held.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """The account is registered at its PBX again; who was told of trouble is told of this."""


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """The policy that is given is another than that of the last event (law 9).

    `jitter`, -1 to 1: spreads the new ends. `lifetime`: of this registration under the new policy; None:
    the app's. A longer one changes nothing before the next use.
    """

    jitter: float
    lifetime: Duration | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """The operator lets it live until then; never shorter than it would."""

    expires_at: int


@dataclass(frozen=True, slots=True)
class Rewarn:
    """The operator has the user warned now, whatever was planned."""


Event: TypeAlias = (
    Use
    | Fire
    | Proven
    | Cease
    | RenewalSent
    | WarningSettled
    | TargetsLeft
    | TargetsRestored
    | Trouble
    | TroubleEnd
    | Recovered
    | PolicyChanged
    | Extend
    | Rewarn
)


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
    `lead`, which lies at least between its acceptance and the end; sent later, it announces the later. A
    `registered` of False: it must not say that calls still arrive. Of trouble: `cause`, `reason`, and
    `ended` whether the life is over by it."""

    def __hash__(self) -> int:
        return hash((self.kind, self.generation, self.step))


@dataclass(frozen=True, slots=True)
class Void:
    """Remove what waits in the outbox for older generations."""

    below_generation: int


@dataclass(frozen=True, slots=True)
class End:
    """The life is over: its secrets go. `with_targets`: its tokens too, nothing is sent any more.

    `keeps_credentials`: it is dormant; secrets and all targets stay for a use that resumes it.
    """

    reason: Ended
    with_targets: bool
    keeps_credentials: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """The account's binding goes, unless another active push registration needs it (law 6).

    `keeps_credentials`: the account keeps what it needs to get a new one.
    """

    keeps_credentials: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    """A use woke a dormant life: the account needs its binding again."""


@dataclass(frozen=True, slots=True)
class Tell:
    """One line of the registration's story."""

    event: str
    details: dict[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.event)


Effect: TypeAlias = Send | Void | End | Release | Resume | Tell
Decision: TypeAlias = tuple[Life, tuple[Effect, ...]]

"""When an attempt at a push is made again: `decide` settles one attempt of an outbox row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from wakerobin.core.pacing import Backoff
from wakerobin.core.pushes import Accepted, Outcome, PushType, Rejected, TargetGone, Throttled, Unavailable

_MINUTE = 60_000
_A_WHILE = 10 * _MINUTE


class Pending(Protocol):
    """What `decide` reads of an outbox row."""

    @property
    def kind(self) -> PushType:
        """The type of push."""
        ...

    @property
    def attempts(self) -> int:
        """How many attempts were made before the one that is settled."""
        ...

    @property
    def deadline_at(self) -> int:
        """Epoch milliseconds after which nobody wants it; 0: one attempt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """How attempts follow each other; milliseconds."""

    first_wait: int = 20_000
    """The bound of the first wait, which is half of it at least: Google asks for 10 s."""
    most_wait: int = 60 * _MINUTE
    ours_wait: int = 15 * _MINUTE
    """A refused credential is not asked more often; someone has to mend it."""
    call_wait: int = 250
    """A call is tried once more, on another connection."""


@dataclass(frozen=True, slots=True)
class Settled:
    """No further attempt. `delivered`: a push service took it."""

    delivered: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, no earlier than `not_before`; `attempts` is what the row then says."""

    not_before: int
    attempts: int


Verdict: TypeAlias = Settled | Again


def is_lapsed(row: Pending, now: int) -> bool:
    """Whether the time of a row is over: it must not be tried any more."""
    return now >= row.deadline_at if row.deadline_at else row.attempts > 0


def decide(row: Pending, outcome: Outcome, now: int, jitter: float, policy: DeliveryPolicy) -> Verdict:
    """Say what follows from the outcome of an attempt; `jitter` is a random number from 0 to 1.

    What the push service asks for (Retry-After), and up to a tenth of it more, goes before the back-off of
    20 s * 2**n; a wait shorter than the back-off is granted once. Both end at the deadline. A push that is
    to be tried once was not tried where the push service only said when it may be.
    """
    if isinstance(outcome, Accepted):
        return Settled(delivered=True)
    if isinstance(outcome, Throttled) and row.deadline_at == 0 and 0 < outcome.retry_after <= _A_WHILE:
        return Again(now + _spread(outcome.retry_after, jitter), row.attempts)
    wait = _wait(row, outcome, jitter, policy)
    if wait is None:
        return Settled(delivered=False, reason=outcome.reason)
    if row.deadline_at == 0 or now + wait >= row.deadline_at:
        return Settled(delivered=False, reason=f"lapsed: {outcome.reason}")
    return Again(now + wait, row.attempts + 1)


def _wait(
    row: Pending,
    outcome: TargetGone | Rejected | Throttled | Unavailable,
    jitter: float,
    policy: DeliveryPolicy,
) -> int | None:
    """Return how long to wait before the next attempt, None for no further one."""
    match outcome:
        case TargetGone():
            return None
        case Rejected(ours=ours):
            return policy.ours_wait if ours and row.kind is not PushType.CALL else None
        case Throttled(retry_after=retry_after):
            return None if row.kind is PushType.CALL else _asked(row, retry_after, jitter, policy)
        case Unavailable(retry_after=retry_after, processed=processed):
            if row.kind is PushType.CALL:
                return policy.call_wait if row.attempts == 0 else None
            if row.kind is PushType.RENEW and processed is None:
                return None  # it may have arrived, and silent pushes are rationed; the next follows soon
            return _asked(row, retry_after, jitter, policy)


def _asked(row: Pending, retry_after: int, jitter: float, policy: DeliveryPolicy) -> int:
    if retry_after and row.attempts == 0:
        return _spread(retry_after, jitter)
    return max(_spread(retry_after, jitter), _backoff(row, jitter, policy))


def _spread(wait: int, jitter: float) -> int:
    """Return a wait that is no shorter, and that not everybody has who was told the same."""
    return wait + round(wait * jitter / 10)


def _backoff(row: Pending, jitter: float, policy: DeliveryPolicy) -> int:
    backoff = Backoff(first_s=policy.first_wait / 1000, most_s=policy.most_wait / 1000)
    return round(backoff.delay(row.attempts, jitter) * 1000)

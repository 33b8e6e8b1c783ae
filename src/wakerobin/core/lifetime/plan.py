"""When a life is renewed silently and when its user is warned, counted back from its end."""

from __future__ import annotations

import bisect
import enum
import functools
from dataclasses import dataclass

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.values import Duration

_HOUR = Duration(3600_000)
_HALF_DAY = Duration(12 * _HOUR)
_DAY = Duration(24 * _HOUR)
_TWO_DAYS = Duration(2 * _DAY)
_WEEK = Duration(7 * _DAY)
_LONGEST_GRACE = 30 * _DAY
_MOST_RUNGS = 1000
_STORY_PAUSES = 168  # of a week: one hour

LAST_RESORT = 1_000_000
"""The step of the warning of last resort (overdue, or targets needed). Beyond every ladder, so that it
means the same under another policy: a configuration may change in the middle of a life."""


class PlanKind(enum.StrEnum):
    """What is planned; the words of the API."""

    RENEW = "renew"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One planned push: at `at` (epoch milliseconds), `lead` milliseconds before the end."""

    kind: PlanKind
    at: int
    lead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimePolicy:
    """How long push registrations of an app live and how they are warned; all in milliseconds.

    Raises ConfigurationError, in words, for numbers that make no life.
    """

    lifetime: Duration = _WEEK
    renewal_from: Duration = _DAY
    renewal_every: Duration = _HOUR
    warnings: tuple[Duration, ...] = (_HALF_DAY, _HOUR)
    grace_limit: Duration = _TWO_DAYS

    def __post_init__(self) -> None:
        for name in ("lifetime", "renewal_from", "renewal_every"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"lifetime.{name} must be longer than nothing")
        if any(not 0 < lead < self.lifetime for lead in self.warnings):
            raise ConfigurationError(
                "each of lifetime.warnings must be longer than nothing and shorter than lifetime.lifetime"
            )
        if not 0 < self.grace_limit <= _LONGEST_GRACE:
            raise ConfigurationError("lifetime.grace_limit must be longer than nothing and at most 30d")
        if _renewal_from(self, self.lifetime, _leads(self, self.lifetime)) > _MOST_RUNGS * self.renewal_every:
            raise ConfigurationError(
                f"lifetime.renewal_every is so short that a life has more than {_MOST_RUNGS} renewal pushes"
            )

    def story_pause(self, lifetime: Duration) -> int:
        """Return how far apart routine uses are told: an hour in a week."""
        return lifetime // _STORY_PAUSES


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs of a life, first to last, as leads before its end; at one lead the renewal comes first."""

    leads: tuple[int, ...]
    kinds: tuple[PlanKind, ...]
    renewals: tuple[int, ...]
    """Indexes of the renewals."""
    warnings: tuple[int, ...]
    """Indexes of the warnings; never empty."""

    @property
    def count(self) -> int:
        """How many rungs there are."""
        return len(self.leads)

    @property
    def highest(self) -> int:
        """The lead of the first rung."""
        return self.leads[0]

    @property
    def smallest_lead(self) -> int:
        """The lead of the last warning."""
        return self.leads[self.warnings[-1]]

    @property
    def first_warning(self) -> int:
        """The index of the first warning."""
        return self.warnings[0]

    @property
    def last_warning(self) -> int:
        """The index of the last warning."""
        return self.warnings[-1]

    def reached(self, left: int) -> int:
        """Return how many rungs are due when so much of the life is left."""
        return bisect.bisect_right(self.leads, -left, key=lambda lead: -lead)

    def last_warning_before(self, step: int) -> int | None:
        """Return the last warning below a step."""
        return _last_below(self.warnings, step)

    def last_renewal_before(self, step: int) -> int | None:
        """Return the last renewal below a step."""
        return _last_below(self.renewals, step)

    def next_renewal(self, step: int) -> int | None:
        """Return the first renewal at a step or above."""
        return _first_from(self.renewals, step)


@functools.lru_cache(maxsize=256)
def ladder(policy: LifetimePolicy, lifetime: Duration) -> Ladder:
    """Return the ladder of a life of this length.

    Leads above half of it are dropped; where none is left there is one at a quarter. Renewals begin
    early enough that one has been tried before the first warning, and at half of it at the earliest.
    """
    leads = _leads(policy, lifetime)
    first = _renewal_from(policy, lifetime, leads)
    rungs = [(lead, PlanKind.RENEW) for lead in range(first, 0, -policy.renewal_every)]
    rungs += [(lead, PlanKind.WARNING) for lead in leads]
    rungs.sort(key=lambda rung: (-rung[0], rung[1] is PlanKind.WARNING))
    kinds = tuple(kind for _, kind in rungs)
    return Ladder(
        leads=tuple(lead for lead, _ in rungs),
        kinds=kinds,
        renewals=tuple(i for i, kind in enumerate(kinds) if kind is PlanKind.RENEW),
        warnings=tuple(i for i, kind in enumerate(kinds) if kind is PlanKind.WARNING),
    )


def plan(policy: LifetimePolicy, expires_at: int, lifetime: Duration | None = None) -> tuple[PlanEntry, ...]:
    """Return what is planned for a life that ends then; `lifetime` is its own where it is not the app's.

    Renewal pushes follow the plan until one works; a warning needs that a renewal was tried in vain.
    """
    rungs = ladder(policy, policy.lifetime if lifetime is None else lifetime)
    return tuple(
        PlanEntry(kind, expires_at - lead, lead) for lead, kind in zip(rungs.leads, rungs.kinds, strict=True)
    )


def _leads(policy: LifetimePolicy, lifetime: int) -> tuple[int, ...]:
    kept = sorted({int(lead) for lead in policy.warnings if lead <= lifetime // 2}, reverse=True)
    return tuple(kept) or (max(1, lifetime // 4),)


def _renewal_from(policy: LifetimePolicy, lifetime: int, leads: tuple[int, ...]) -> int:
    return max(1, min(max(policy.renewal_from, leads[0] + policy.renewal_every), lifetime // 2))


def _last_below(indexes: tuple[int, ...], step: int) -> int | None:
    found = bisect.bisect_left(indexes, step)
    return indexes[found - 1] if found else None


def _first_from(indexes: tuple[int, ...], step: int) -> int | None:
    found = bisect.bisect_left(indexes, step)
    return indexes[found] if found < len(indexes) else None

"""How long push registrations of an app live, and by which rules: `[apps.NAME.lifetime]` for the core."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.lifetime.quiet import LATE, QuietHours
from wakerobin.core.values import Duration

_NEVER = Duration(0)
_HOUR = Duration(3600_000)
_HALF_DAY = Duration(12 * _HOUR)
_DAY = Duration(24 * _HOUR)
_TWO_DAYS = Duration(2 * _DAY)
_WEEK = Duration(7 * _DAY)
_LONGEST = Duration(400 * _DAY)
_LONGEST_GRACE = 30 * _DAY
_MOST_RUNGS = 1000
_STORY_PAUSES = 168  # of a week: one hour


class Renewal(enum.StrEnum):
    """When silent renewals are tried."""

    ADAPTIVE = "adaptive"
    """By what this phone answered before."""
    LADDER = "ladder"
    """For every phone alike: from `renewal_from` on, each `renewal_every`."""
    SINGLE = "single"
    """Once in a life. Nobody can configure it: it is what others do, for the simulation to compare."""


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
    renewal: Renewal = Renewal.LADDER
    lifetime_min: Duration = _HOUR
    lifetime_max: Duration = _LONGEST
    unregistered_limit: Duration = _HALF_DAY
    quiet_hours: QuietHours | None = None
    dormant_for: Duration = _NEVER
    """How long one use resumes what has expired; 0: it is forgotten."""
    monthly_note: bool = False
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        for name in ("lifetime", "renewal_from", "renewal_every", "unregistered_limit", "lifetime_min"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"lifetime.{name} must be longer than nothing")
        if any(not 0 < lead < self.lifetime for lead in self.warnings):
            raise ConfigurationError(
                "each of lifetime.warnings must be longer than nothing and shorter than lifetime.lifetime"
            )
        if not 0 < self.grace_limit <= _LONGEST_GRACE:
            raise ConfigurationError("lifetime.grace_limit must be longer than nothing and at most 30d")
        if self.lifetime_min > self.lifetime_max:
            raise ConfigurationError("lifetime.lifetime_min must not be longer than lifetime.lifetime_max")
        if self.dormant_for < 0:
            raise ConfigurationError("lifetime.dormant_for must not be shorter than nothing")
        if self.first_renewal(self.lifetime, self.leads(self.lifetime)) > _MOST_RUNGS * self.renewal_every:
            raise ConfigurationError(
                f"lifetime.renewal_every is so short that a life has more than {_MOST_RUNGS} renewal pushes"
            )
        # Ladders are looked up by their policy at every firing.
        values = tuple(getattr(self, one.name) for one in fields(self) if one.compare)
        object.__setattr__(self, "_hash", hash(values))

    def __hash__(self) -> int:
        return self._hash

    def story_pause(self, lifetime: Duration) -> int:
        """Return how far apart routine uses are told: an hour in a week."""
        return lifetime // _STORY_PAUSES

    def clamped(self, asked: int) -> Duration:
        """Return the lifetime that an enrolment gets which asks for one; the app's own is always allowed."""
        shortest = min(self.lifetime_min, self.lifetime)
        return Duration(max(shortest, min(asked, max(self.lifetime_max, self.lifetime))))

    def shown_from(self, zone: str, at: int) -> int:
        """Return when something visible may be shown that is ready at this moment: after the night."""
        night = self.quiet_hours.night(zone, at) if self.quiet_hours is not None else None
        return night[1] if night is not None and at >= night[0] + LATE else at

    def leads(self, lifetime: int) -> tuple[int, ...]:
        """Return the leads of the warnings in a life of this length, the longest first; never none."""
        kept = sorted({int(lead) for lead in self.warnings if lead <= lifetime // 2}, reverse=True)
        return tuple(kept) or (max(1, lifetime // 4),)

    def first_renewal(self, lifetime: int, leads: tuple[int, ...]) -> int:
        """Return how long before the end renewals begin.

        One has been tried before the first warning, wherever the night moves that; and not in the first
        half of a life.
        """
        night = self.quiet_hours.length if self.quiet_hours is not None else 0
        first = max(self.renewal_from, leads[0] + night + self.renewal_every)
        return max(1, min(first, lifetime // 2))

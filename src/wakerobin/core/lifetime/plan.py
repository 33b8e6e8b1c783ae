"""When a life is renewed silently and when its user is warned, counted back from its end."""

from __future__ import annotations

import bisect
import enum
import functools
from dataclasses import dataclass

from wakerobin.core.lifetime.habits import Answering, Habits
from wakerobin.core.lifetime.policy import LifetimePolicy, Renewal
from wakerobin.core.lifetime.quiet import local_hours
from wakerobin.core.lifetime.renewal import Moment, Reason, earliest, renewals
from wakerobin.core.values import Duration, Life

_HOUR = 3600_000
_NOBODY = Habits()
_TIMELESS = frozenset({Answering.UNKNOWN, Answering.SILENT})
"""Phones that are asked without regard to the hour."""

# Steps beyond every ladder, so that they mean the same under another policy: a configuration may change in
# the middle of a life.
REWARN = 999_999
"""The step of a warning that the operator asked for."""
LAST_RESORT = 1_000_000
"""The step of the warning of last resort (overdue, or targets needed)."""
TROUBLE_TEXT = 2_000_000
"""The step of the text that says that the PBX is in the way."""
TROUBLE_NOTICE = 2_000_001
"""The step of the notice that it was in the way for too long."""


class PlanKind(enum.StrEnum):
    """What is planned; the words of the API."""

    RENEW = "renew"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One planned push: at `at` (epoch milliseconds), `lead` milliseconds before the end, and why then."""

    kind: PlanKind
    at: int
    lead: int
    reason: Reason = Reason.CONFIGURED


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs of a life, first to last, as leads before its end; at one lead the renewal comes first."""

    leads: tuple[int, ...]
    kinds: tuple[PlanKind, ...]
    reasons: tuple[Reason, ...]
    renewals: tuple[int, ...]
    """Indexes of the renewals."""
    warnings: tuple[int, ...]
    """Indexes of the warnings; never empty."""
    smallest_lead: int
    """The smallest lead that is configured: so long the user has from a warning on, however late it came."""

    @property
    def count(self) -> int:
        """How many rungs there are."""
        return len(self.leads)

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

    def gives_way(self, step: int, left: int) -> bool:
        """Whether a warning that is late, with so much of the life left, is left to the one after it.

        Two that come within an hour, or half of what lies between them, are one too many. The last one never
        gives way.
        """
        if step >= self.last_warning:
            return False
        after = self.leads[self.next_warning(step + 1)]
        return left - after < min(_HOUR, (self.leads[step] - after) // 2)

    def last_renewal_before(self, step: int) -> int | None:
        """Return the last renewal below a step."""
        return _last_below(self.renewals, step)

    def next_renewal(self, step: int) -> int | None:
        """Return the first renewal at a step or above."""
        return _first_from(self.renewals, step)

    def next_warning(self, step: int) -> int:
        """Return the first warning at a step or above; the last one where none is left."""
        found = _first_from(self.warnings, step)
        return self.last_warning if found is None else found


@functools.lru_cache(maxsize=256)
def ladder(policy: LifetimePolicy, lifetime: Duration) -> Ladder:
    """Return the ladder of a life of this length where neither the night nor habits move it.

    Leads above half of it are dropped; where none is left there is one at a quarter. Renewals begin
    early enough that one has been tried before the first warning, and at half of it at the earliest.
    """
    warnings = tuple(Moment(lead) for lead in policy.leads(lifetime))
    first = policy.first_renewal(lifetime, policy.leads(lifetime))
    return _joined(_of_all(policy, lifetime, first), warnings, policy, lifetime)


def rungs_of(life: Life, policy: LifetimePolicy, zone: str) -> Ladder:
    """Return the ladder of one life: the same in all of a generation while neither policy nor zone change."""
    if policy.quiet_hours is None and not (life.habits and policy.renewal is Renewal.ADAPTIVE):
        return ladder(policy, life.lifetime)
    return _own(policy, life.lifetime, life.habits, zone, life.expires_at)


@functools.lru_cache(maxsize=256)
def earliest_lead(policy: LifetimePolicy, lifetime: Duration) -> int:
    """Return a lead before which nothing is due, whatever zone and habits."""
    if policy.quiet_hours is not None:
        # A night may be longer than it is by the clock, when that is put back.
        return max(1, lifetime // 2)
    return earliest(policy, lifetime, policy.first_renewal(lifetime, policy.leads(lifetime)))


def plan(
    policy: LifetimePolicy,
    expires_at: int,
    lifetime: Duration | None = None,
    *,
    zone: str = "",
    habits: str = "",
) -> tuple[PlanEntry, ...]:
    """Return what is planned for a life that ends then; `lifetime` is its own where it is not the app's.

    Renewal pushes follow the plan until one works; a warning needs that a renewal was tried in vain.
    `habits` as the record keeps them.
    """
    rungs = _own(policy, policy.lifetime if lifetime is None else lifetime, habits, zone, expires_at)
    return tuple(
        PlanEntry(kind, expires_at - lead, lead, reason)
        for lead, kind, reason in zip(rungs.leads, rungs.kinds, rungs.reasons, strict=True)
    )


@functools.lru_cache(maxsize=4096)
def _own(policy: LifetimePolicy, lifetime: Duration, habits: str, zone: str, expires_at: int) -> Ladder:
    warnings = _warnings(policy, lifetime, zone, expires_at)
    first = policy.first_renewal(lifetime, policy.leads(lifetime))
    needed = warnings[0].lead + policy.renewal_every
    if warnings[0].reason is Reason.BEFORE_NIGHT and needed > first:
        first = min(needed, max(1, lifetime // 2))

    def hours(lead: int, count: int, every: int) -> list[int]:
        return local_hours(zone, expires_at - lead, count, every)

    known = Habits.decode(habits)
    if known.answering in _TIMELESS:
        renewed = _of_all(policy, lifetime, first, known)
    else:
        renewed = renewals(policy, lifetime, first, known, hours)
    return _joined(renewed, warnings, policy, lifetime)


@functools.lru_cache(maxsize=256)
def _of_all(
    policy: LifetimePolicy, lifetime: int, first: int, habits: Habits = _NOBODY
) -> tuple[Moment, ...]:
    """Return the renewals of all phones of a kind, whatever their clocks show."""
    return renewals(policy, lifetime, first, habits, None)


def _warnings(policy: LifetimePolicy, lifetime: int, zone: str, expires_at: int) -> tuple[Moment, ...]:
    """Return the leads of the warnings, none of them in the night where that is possible.

    One that would come before half of the life gives way; the last one stays then, and waits for the
    morning with the end.
    """
    leads = policy.leads(lifetime)
    if policy.quiet_hours is None:
        return tuple(Moment(lead) for lead in leads)
    moved: list[Moment] = []
    for lead in leads:
        began = policy.quiet_hours.began(zone, expires_at - lead)
        if began is None or began == expires_at - lead:
            moved.append(Moment(lead))
        elif expires_at - began + policy.renewal_every <= lifetime // 2:
            moved.append(Moment(expires_at - began, Reason.BEFORE_NIGHT))
        elif lead == leads[-1]:
            moved.append(Moment(lead))
    kept: list[Moment] = []
    for one in reversed(moved):
        if not (kept and _is_one(one, kept[-1])):
            kept.append(one)
    return tuple(reversed(kept))


def _is_one(one: Moment, after: Moment) -> bool:
    """Whether a warning is left out because the night moved it and the next one together."""
    return Reason.BEFORE_NIGHT in (one.reason, after.reason) and one.lead - after.lead <= _HOUR


def _joined(
    renewed: tuple[Moment, ...], warned: tuple[Moment, ...], policy: LifetimePolicy, lifetime: int
) -> Ladder:
    """Put the few warnings between the many renewals: done for each life that has a night of its own."""
    leads, kinds, reasons = _columns(renewed)
    warnings = []
    for number, one in enumerate(warned):
        place = bisect.bisect_right(renewed, -one.lead, key=_order) + number
        leads.insert(place, one.lead)
        kinds.insert(place, PlanKind.WARNING)
        reasons.insert(place, one.reason)
        warnings.append(place)
    return Ladder(
        leads=tuple(leads),
        kinds=tuple(kinds),
        reasons=tuple(reasons),
        renewals=tuple(i for i in range(len(leads)) if i not in warnings),
        warnings=tuple(warnings),
        smallest_lead=policy.leads(lifetime)[-1],
    )


def _columns(renewed: tuple[Moment, ...]) -> tuple[list[int], list[PlanKind], list[Reason]]:
    return (
        [one.lead for one in renewed],
        [PlanKind.RENEW] * len(renewed),
        [one.reason for one in renewed],
    )


def _order(one: Moment) -> int:
    return -one.lead


def _last_below(indexes: tuple[int, ...], step: int) -> int | None:
    found = bisect.bisect_left(indexes, step)
    return indexes[found - 1] if found else None


def _first_from(indexes: tuple[int, ...], step: int) -> int | None:
    found = bisect.bisect_left(indexes, step)
    return indexes[found] if found < len(indexes) else None

"""At which moments before its end a life is renewed silently, and why just then.

The configured ladder asks every phone alike. The adaptive choice asks earlier and more widely spread,
because what keeps a phone from answering lasts for hours or days: it lies switched off, sleeps deeply,
saves its battery, or the system rations silent pushes and has put the app out of memory. A push that waits
for the phone on its way needs no repetition each hour, but other hours and other days do help.

- A phone that was never asked is asked from three times `renewal_from` before the end, every six
  `renewal_every`; from `renewal_from` on each `renewal_every`, as the ladder does.
- One that answers soon is asked as early, since it does not answer while it lies switched off on a
  holiday; the first push mostly does, and no other is sent.
- One that answers seldom is asked earliest, and in addition at the hours at which it answered before.
- One that answers after hours is asked at longer intervals: the next push would only replace the last.
- One that gave no answer two lives long is asked twice a day only. Never not at all: people allow again
  what they forbade.

Nothing begins before half of the life, no two are closer than `renewal_every` or half an hour, which is
what Apple allows, and the first lies before the first warning, so that law 2 is kept by each of them.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from wakerobin.core.lifetime.habits import Answering, Habits
from wakerobin.core.lifetime.policy import LifetimePolicy, Renewal

_HALF_AN_HOUR = 30 * 60_000
_LONG_LIFE = 24 * 3600_000
_MINUTE = 60_000

_BEGINS = {Answering.UNKNOWN: 3, Answering.RELIABLE: 3, Answering.SELDOM: 6, Answering.SILENT: 3}
EARLIEST = max(_BEGINS.values())
"""So many times `renewal_from` before the end at the earliest."""
_SPREAD = 6
_WIDE_SPREAD = 12
_FEW = 6

Hours: TypeAlias = Callable[[int, int, int], Sequence[int]]
"""The local hours at so many moments: of the first lead, their count, and how far apart they are."""


class Reason(enum.StrEnum):
    """Why something is planned for just this moment."""

    CONFIGURED = "configured"
    """By the configuration alone, as for every phone."""
    EARLY = "early"
    """On other days and hours than the last: what keeps a phone from answering may be over then."""
    GOOD_HOUR = "good-hour"
    """This phone answered at this hour before."""
    FEW = "few"
    """This phone has not answered lately; it is not asked in vain each hour."""
    BEFORE_NIGHT = "before-night"
    """It would have fallen into the user's night."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of renewal: so long before the end, for a reason."""

    lead: int
    reason: Reason = Reason.CONFIGURED


def renewals(
    policy: LifetimePolicy, lifetime: int, first: int, habits: Habits, hours: Hours | None
) -> tuple[Moment, ...]:
    """Return when a life is renewed silently, the earliest first.

    `first`: the lead at which the configured ladder begins. `hours`: None where local time is not known.
    """
    every = policy.renewal_every
    match policy.renewal:
        case Renewal.SINGLE:
            return (Moment(first),)
        case Renewal.LADDER:
            return tuple(Moment(lead) for lead in range(first, 0, -every))
        case Renewal.ADAPTIVE:
            if lifetime >= _LONG_LIFE:
                every = type(every)(max(every, _HALF_AN_HOUR))
            return _early(every, lifetime, first, habits, hours) + _late(every, first, habits)


def earliest(policy: LifetimePolicy, lifetime: int, first: int) -> int:
    """Return a lead before which no renewal begins, whatever the habits."""
    if policy.renewal is Renewal.ADAPTIVE:
        return max(first, min(lifetime // 2, EARLIEST * first))
    return first


def _early(every: int, lifetime: int, first: int, habits: Habits, hours: Hours | None) -> tuple[Moment, ...]:
    """Choose from the steps that lie before the configured ladder."""
    answering = habits.answering
    begins = min(lifetime // 2, _BEGINS[answering] * first)
    count = max(0, begins - first) // every
    spread = _spread(every, habits)
    good = habits.good_hours if answering in (Answering.SELDOM, Answering.RELIABLE) else frozenset()
    local = hours(first + count * every, count, every) if good and hours and count else ()
    chosen = []
    for number in range(count, 0, -1):
        lead = first + number * every
        if local and local[count - number] in good:
            chosen.append(Moment(lead, Reason.GOOD_HOUR))
        elif number % spread == 0:
            chosen.append(Moment(lead, Reason.FEW if answering is Answering.SILENT else Reason.EARLY))
    return tuple(chosen)


def _late(every: int, first: int, habits: Habits) -> tuple[Moment, ...]:
    if habits.answering is Answering.SILENT:
        return tuple(Moment(lead, Reason.FEW) for lead in range(first, 0, -_FEW * every))
    return tuple(Moment(lead) for lead in range(first, 0, -every))


def _spread(every: int, habits: Habits) -> int:
    if habits.answering is Answering.SILENT:
        return _WIDE_SPREAD
    if not habits.answered:
        return _SPREAD
    return max(_SPREAD, min(_WIDE_SPREAD, habits.delay * _MINUTE // every + 1))

"""What happens to a phone and its owner whatever the policy: drawn once, from the seed and the number."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Protocol, TypeVar

from wakerobin.simulation.intervals import Intervals
from wakerobin.simulation.luck import Luck, Purpose
from wakerobin.simulation.model import DAY, HOUR, Model

_ENROLLED_WITHIN = 7 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What stays as it is with a phone and its owner."""

    is_ios: bool
    custom: str
    acts: float
    sleeps_from: int
    """Milliseconds after midnight."""
    notifications: bool
    refresh_off: bool
    force_quits: bool
    low_power: bool
    keenness: float
    killed: bool
    demoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One phone's time, from its enrolment; milliseconds from the start of the simulation."""

    number: int
    traits: Traits
    start: int
    end: int
    gone_at: int
    """When the app is removed; `end` where it is not."""
    opens: tuple[int, ...]
    """The last time on each day that they open the app on their own."""
    calls: tuple[int, ...]
    """The last time on each day that somebody calls them while their phone is on."""
    off: Intervals
    force_stops: tuple[int, ...]
    luck: Luck
    night: int
    """How long they sleep, milliseconds."""
    charges_at_night: float

    def wakes_at(self, moment: int) -> int:
        """Return when the owner gets up, who sleeps then; else the moment itself."""
        into = (moment - self.traits.sleeps_from) % DAY
        return moment - into + self.night if into < self.night else moment

    def is_charging(self, moment: int) -> bool:
        """Whether the phone is on its charger, as it is through most nights."""
        into = (moment - self.traits.sleeps_from) % DAY
        return into < self.night and self.luck.at(Purpose.CHARGES, moment - into) < self.charges_at_night

    def is_night(self, moment: int) -> bool:
        """Whether the owner sleeps."""
        return (moment - self.traits.sleeps_from) % DAY < self.night


class _Shared(Protocol):
    @property
    def share(self) -> float: ...


S = TypeVar("S", bound=_Shared)


def draw(number: int, seed: int, days: int, model: Model) -> Fate:
    """Return the fate of a phone: the same number and seed, the same fate."""
    rng = random.Random(f"{seed} {number}")  # noqa: S311 - drawn again from the same seed, no secret
    custom = _one_of(rng, model.customs)
    sleeps_from = model.night_from * HOUR + round(rng.uniform(-2, 2) * HOUR)
    traits = _traits(rng, model, custom.name, sleeps_from)
    end = days * DAY
    start = min(round(rng.random() * _ENROLLED_WITHIN), end - 1)
    gone_at = min(end, start + _wait(rng, model.uninstalls_a_month / 30))
    holidays, away = _holidays(rng, model, start, end)
    off = Intervals([*away, *_nights_off(rng, model, traits, days), *_gaps(rng, model, days)])
    uses = _Days(rng, start, gone_at, sleeps_from + model.night_hours * HOUR, DAY - model.night_hours * HOUR)
    opens = tuple(at for at in uses.drawn(custom.opens) if not off.covers(at) and not holidays.covers(at))
    calls = tuple(at for at in uses.drawn(custom.is_called) if not off.covers(at))
    return Fate(
        number=number,
        traits=traits,
        start=start,
        end=end,
        gone_at=gone_at,
        opens=opens,
        calls=calls,
        off=off,
        force_stops=_force_stops(rng, model, traits, start, gone_at),
        luck=Luck(rng.getrandbits(64)),
        night=model.night_hours * HOUR,
        charges_at_night=model.charges_at_night,
    )


def _traits(rng: random.Random, model: Model, custom: str, sleeps_from: int) -> Traits:
    return Traits(
        is_ios=rng.random() < model.ios,
        custom=custom,
        acts=_one_of(rng, model.tempers).acts,
        sleeps_from=sleeps_from,
        notifications=rng.random() >= model.notifications_denied,
        refresh_off=rng.random() < model.refresh_off,
        force_quits=rng.random() < model.force_quits,
        low_power=rng.random() < model.low_power,
        keenness=rng.uniform(*model.keenness),
        killed=rng.random() < model.killed,
        demoted=rng.random() < model.demoted,
    )


def _one_of(rng: random.Random, kinds: tuple[S, ...]) -> S:
    left = rng.random()
    for kind in kinds:
        left -= kind.share
        if left < 0:
            return kind
    return kinds[-1]


def _wait(rng: random.Random, a_day: float) -> int:
    """Return how long it takes until something happens that happens so often a day."""
    return round(rng.expovariate(a_day) * DAY) if a_day > 0 else 10**15


def _holidays(
    rng: random.Random, model: Model, start: int, end: int
) -> tuple[Intervals, list[tuple[int, int]]]:
    """Return all holidays, and those on which the phone is off."""
    every: list[tuple[int, int]] = []
    away: list[tuple[int, int]] = []
    at = start + _wait(rng, model.holidays_a_year / 365)
    while at < end:
        until = at + round(rng.uniform(7, 21) * DAY)
        every.append((at, until))
        if rng.random() < model.offline_on_holiday:
            away.append((at, until))
        at = until + _wait(rng, model.holidays_a_year / 365)
    return Intervals(every), away


def _nights_off(rng: random.Random, model: Model, traits: Traits, days: int) -> list[tuple[int, int]]:
    if rng.random() >= model.off_at_night:
        return []
    nights = (day * DAY + traits.sleeps_from for day in range(-1, days))
    return [(at, at + model.night_hours * HOUR) for at in nights]


def _gaps(rng: random.Random, model: Model, days: int) -> list[tuple[int, int]]:
    found = []
    at = _wait(rng, model.gaps_a_day)
    while at < days * DAY:
        until = at + round(rng.uniform(2, 10) * HOUR)
        found.append((at, until))
        at = until + _wait(rng, model.gaps_a_day)
    return found


def _force_stops(
    rng: random.Random, model: Model, traits: Traits, start: int, gone_at: int
) -> tuple[int, ...]:
    found: list[int] = []
    at = start + _wait(rng, model.force_stops_a_month / 30)
    while at < gone_at and not traits.is_ios:
        found.append(at)
        at += _wait(rng, model.force_stops_a_month / 30)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Days:
    """The waking hours of somebody's days."""

    rng: random.Random
    start: int
    end: int
    wakes_at: int
    awake: int

    def drawn(self, chance: float) -> list[int]:
        """Return a moment on each day on which something happens; of several the last is enough."""
        rng = self.rng
        found: list[int] = []
        day = -1
        log = math.log1p(-chance)
        while True:
            day += 1 + int(math.log(1.0 - rng.random()) / log)  # days until the next one: geometric
            at = day * DAY - DAY + self.wakes_at + round(math.sqrt(rng.random()) * self.awake)
            if at >= self.end:
                return found
            if at > self.start:
                found.append(at)

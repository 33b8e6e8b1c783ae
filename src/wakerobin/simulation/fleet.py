"""A fleet of phones under every policy, on all cores; the same seed gives the same result on any number."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from wakerobin.simulation.fate import draw
from wakerobin.simulation.model import Model
from wakerobin.simulation.policies import Contestant, contestants
from wakerobin.simulation.tally import Tally
from wakerobin.simulation.walk import Walk

_TOGETHER = 500

Tallies = Mapping[str, "Platforms"]
"""By policy."""


@dataclass(slots=True)
class Platforms:
    """What was counted on either system."""

    ios: Tally = field(default_factory=Tally)
    android: Tally = field(default_factory=Tally)

    def add(self, other: Platforms) -> None:
        """Add what was counted elsewhere."""
        self.ios.add(other.ios)
        self.android.add(other.android)

    def both(self) -> Tally:
        """Return what was counted on all phones."""
        total = Tally()
        total.add(self.ios)
        total.add(self.android)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to simulate."""

    phones: int
    days: int
    seed: int
    model: Model = field(default_factory=Model)
    contestants: Mapping[str, Contestant] = field(default_factory=contestants)
    skips: bool = True

    def __hash__(self) -> int:
        return hash((self.phones, self.days, self.seed))


def simulate(plan: Plan, processes: int, on_progress: Callable[[int], None] = lambda _done: None) -> Tallies:
    """Return what became of the fleet, by policy. `on_progress` hears how many phones are done."""
    total = {name: Platforms() for name in plan.contestants}
    done = 0
    for first, tallies in _in_parts(plan, processes):
        for name, found in tallies.items():
            total[name].add(found)
        done += len(first)
        on_progress(done)
    return total


def walk(plan: Plan, numbers: Iterable[int]) -> dict[str, Platforms]:
    """Return what becomes of some of the phones."""
    found = {name: Platforms() for name in plan.contestants}
    for number in numbers:
        fate = draw(number, plan.seed, plan.days, plan.model)
        for name, contestant in plan.contestants.items():
            tally = found[name].ios if fate.traits.is_ios else found[name].android
            Walk(fate, plan.model, contestant, tally, skips=plan.skips).run()
    return found


def _in_parts(plan: Plan, processes: int) -> Iterator[tuple[range, dict[str, Platforms]]]:
    parts = [range(n, min(n + _TOGETHER, plan.phones)) for n in range(0, plan.phones, _TOGETHER)]
    if processes <= 1 or len(parts) == 1:
        for part in parts:
            yield part, walk(plan, part)
        return
    with multiprocessing.get_context("spawn").Pool(min(processes, len(parts))) as pool:
        yield from zip(parts, pool.imap(functools.partial(walk, plan), parts), strict=True)

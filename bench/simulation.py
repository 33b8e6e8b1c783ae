"""The simulated fleet: phones a second on all cores, beside the bare decisions of the core."""

from __future__ import annotations

import asyncio
import os
import time

from bench.scale import Scale
from bench.table import Row
from wakerobin.core.lifetime import Context, Fire, LifetimePolicy, Use, begin, decide
from wakerobin.simulation import Plan, report, simulate

TITLE = "The simulation: a fleet over 90 days under three policies"

_FLEET = 100_000
_DAYS = 90
_MINUTES = 5
_DECISIONS = 20_000


async def run(scale: Scale) -> list[Row]:
    """Simulate as many phones as fit, and say how long a whole fleet takes."""
    cores = os.cpu_count() or 1
    os.sched_setaffinity(0, range(cores))  # a benchmark is kept on one core; this one is about all
    plan = Plan(phones=scale.of(10_000, 500), days=_DAYS, seed=1)
    began = time.perf_counter()
    tallies = await asyncio.to_thread(simulate, plan, cores)
    took = time.perf_counter() - began
    rate = plan.phones / took
    policies = report(plan, tallies)["policies"]
    ratio = policies["adaptive"]["beside_ladder"]
    return [
        Row(
            what=f"phones, {_DAYS} days each, {cores} processes",
            value=rate,
            unit="phones/s",
            beside="decisions of a life, alone, on one core",
            beside_value=_bare(),
            at_least=_FLEET / (_MINUTES * 60),
            remark=f"a fleet of {_FLEET:,} takes {_FLEET / rate:,.0f} s",
        ),
        Row(
            what="visible warnings, adaptive beside the ladder",
            value=ratio["visible_warnings_per_user_month"],
            unit="times",
            at_most=0.5,
            remark=f"reachable {ratio['reachable_share']:.4f} times as long",
        ),
    ]


def _bare() -> float:
    """Return how many decisions a second one core makes."""
    policy, context = LifetimePolicy(), Context(warnable=True, renewable=True)
    life = begin(1, 0, policy.lifetime, 1, policy)
    began = time.perf_counter()
    for number in range(_DECISIONS):
        now = life.expires_at - policy.renewal_from
        life, _ = decide(life, Fire() if number % 2 else Use("opened"), now, policy, context)
    return _DECISIONS / (time.perf_counter() - began)

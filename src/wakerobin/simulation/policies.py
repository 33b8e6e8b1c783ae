"""The policies that are compared; all else about phones, people and pushes is the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wakerobin.core.lifetime import LifetimePolicy, Renewal
from wakerobin.core.values import Duration


@dataclass(frozen=True, slots=True)
class Contestant:
    """A policy, and whether users hear of an end at all."""

    policy: LifetimePolicy
    warns: bool = True


def contestants() -> Mapping[str, Contestant]:
    """Return them by name."""
    return {
        "adaptive": Contestant(LifetimePolicy(renewal=Renewal.ADAPTIVE)),
        # SIPIS 4.2: silent from 24 h on, each hour; visible 12 h and 1 h before the end.
        "ladder": Contestant(LifetimePolicy(renewal=Renewal.LADDER)),
        # OpenSIPS 3: one push 120 s before the end (RFC 8599 section 5.5), and nobody is told.
        "single": Contestant(_single(Duration(120_000)), warns=False),
    }


def _single(lead: Duration) -> LifetimePolicy:
    return LifetimePolicy(
        renewal=Renewal.SINGLE,
        renewal_from=lead,
        renewal_every=Duration(lead // 2),
        warnings=(Duration(lead // 2),),
    )

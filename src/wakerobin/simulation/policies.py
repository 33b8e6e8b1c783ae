"""The policies that are compared; all else about phones, people and pushes is the same."""

from __future__ import annotations

from collections.abc import Mapping

from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.values import Duration


def policies() -> Mapping[str, LifetimePolicy]:
    """Return them by name."""
    return {
        "adaptive": LifetimePolicy(),
        "ladder": LifetimePolicy(),
        "single": LifetimePolicy(
            warnings=(Duration(1),), renewal_from=Duration(120_000), renewal_every=Duration(119_999)
        ),
    }

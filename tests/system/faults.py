"""What must never happen, whatever comes."""

from __future__ import annotations

from wakerobin import metrics


def faults() -> float:
    """How many exceptions the rooms have caught at their tops: each is a bug."""
    (family,) = metrics.FAULTS.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))

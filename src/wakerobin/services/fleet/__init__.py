"""The fleet keeps every account's binding at its PBX alive (RFC 3261 section 10)."""

from wakerobin.services.fleet.fleet import Fleet
from wakerobin.services.fleet.values import BindingStatus, TrialResult, TrialVerdict, Upstream

__all__ = ["BindingStatus", "Fleet", "TrialResult", "TrialVerdict", "Upstream"]

"""Carries pushes to the push services: calls at once, everything else from the outbox."""

from wakerobin.services.courier.courier import Courier
from wakerobin.services.courier.gates import PaceOptions
from wakerobin.services.courier.lanes import LaneOptions

__all__ = ["Courier", "LaneOptions", "PaceOptions"]

"""The delivery of a push: when it is tried again, whether its target is gone, what an operator mends."""

from wakerobin.core.delivery.advice import refused_in_bulk, refused_key, service_down
from wakerobin.core.delivery.attempts import Again, DeliveryPolicy, Settled, Verdict, decide, is_lapsed
from wakerobin.core.delivery.guard import GuardPolicy, TargetGuard, TargetVerdict

__all__ = [
    "Again",
    "DeliveryPolicy",
    "GuardPolicy",
    "Settled",
    "TargetGuard",
    "TargetVerdict",
    "Verdict",
    "decide",
    "is_lapsed",
    "refused_in_bulk",
    "refused_key",
    "service_down",
]

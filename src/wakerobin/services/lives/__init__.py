"""The lives of push registrations, stored: use, firing, the end, gone targets, proofs."""

from wakerobin.services.lives.context import is_renewable, is_warnable, policy_of
from wakerobin.services.lives.lives import LifeView, Lives, Wanted
from wakerobin.services.lives.proofs import Proof, tried_at, way_of
from wakerobin.services.lives.settlement import Delivery
from wakerobin.services.lives.tallies import Tally
from wakerobin.services.lives.trouble import Failure

__all__ = [
    "Delivery",
    "Failure",
    "LifeView",
    "Lives",
    "Proof",
    "Tally",
    "Wanted",
    "is_renewable",
    "is_warnable",
    "policy_of",
    "tried_at",
    "way_of",
]

"""Enrolment: who may be woken, proven at the PBX; and the registration's own secret."""

from wakerobin.services.enrolment.access import Access, secret_hash
from wakerobin.services.enrolment.enrolment import Enrolment
from wakerobin.services.enrolment.requests import (
    Enrolled,
    EnrolRequest,
    PatchRequest,
    Refusal,
    TargetRequest,
)
from wakerobin.services.enrolment.usability import providers_of

__all__ = [
    "Access",
    "EnrolRequest",
    "Enrolled",
    "Enrolment",
    "PatchRequest",
    "Refusal",
    "TargetRequest",
    "providers_of",
    "secret_hash",
]

"""Refusals of the services as problems of the API."""

from __future__ import annotations

from wakerobin.services.enrolment import Refusal
from wakerobin.web.problems import FieldError, ProblemError


def problem_of(refusal: Refusal) -> ProblemError:
    """Return the problem that a refusal of the services is."""
    errors = []
    if refusal.pointer:
        errors.append(FieldError(refusal.pointer, refusal.problem, refusal.detail))
    return ProblemError(refusal.problem, refusal.detail, errors=errors, retry_after_s=refusal.retry_after_s)

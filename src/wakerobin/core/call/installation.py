"""One phone of the account that is called, as the call machine knows it."""

from __future__ import annotations

from dataclasses import dataclass

from wakerobin.core.values import PhoneFlow


@dataclass(slots=True)
class Installation:
    """One phone, awake or not. Its key in the response context is that of its present branch."""

    name: str
    registration_id: int
    key: str
    can_wake: bool = False
    """Whether there is a push registration that a push can wake."""
    phone: PhoneFlow | None = None
    is_pushed: bool = False
    """A push was handed over, or is on its way."""
    is_woken: bool = False
    """A push service took a push, so that it is known to have left."""
    is_done: bool = False
    """It has answered, or its user has: it is not offered the call again."""
    push_at: float | None = None
    """When it is pushed although its flow looked alive."""
    wake_ends: float | None = None
    ring_ends: float | None = None


def is_same_way(known: PhoneFlow | None, phone: PhoneFlow) -> bool:
    """Whether a phone that registers is where it was."""
    return known is not None and (known.flow, known.contact_uri) == (phone.flow, phone.contact_uri)

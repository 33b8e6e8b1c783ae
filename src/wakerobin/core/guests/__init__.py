"""Phones that nobody enrolled and that speak RFC 8599: what their REGISTERs get, and when they are woken."""

from wakerobin.core.guests.guest import (
    Guest,
    guest_number,
    is_guest_number,
    refreshes,
    steps_behind,
)
from wakerobin.core.guests.reading import (
    hosts_named,
    instance_of,
    is_wrong_answer,
    keeps_flow,
    of_registrar,
    registrar_of,
    shows_resource,
    who_is,
)
from wakerobin.core.guests.registering import (
    MIN_EXPIRES_S,
    PNSREG_S,
    Asked,
    Passed,
    Refused,
    decide,
    granted_s,
    is_same_contact,
    read_register,
)
from wakerobin.core.guests.resource import Offer, PushWish, push_wish, targets_at

__all__ = [
    "MIN_EXPIRES_S",
    "PNSREG_S",
    "Asked",
    "Guest",
    "Offer",
    "Passed",
    "PushWish",
    "Refused",
    "decide",
    "granted_s",
    "guest_number",
    "hosts_named",
    "instance_of",
    "is_guest_number",
    "is_same_contact",
    "is_wrong_answer",
    "keeps_flow",
    "of_registrar",
    "push_wish",
    "read_register",
    "refreshes",
    "registrar_of",
    "shows_resource",
    "steps_behind",
    "targets_at",
    "who_is",
]

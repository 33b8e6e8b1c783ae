"""What a phone's REGISTER with push parameters gets (RFC 8599 sections 5.6.1 and 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.guests.resource import Offer, PushWish, push_wish, targets_at
from wakerobin.core.sip.header import NameAddr, delta_seconds
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri, equivalent
from wakerobin.core.values import Provider, PushTarget

MIN_EXPIRES_S = 300
"""Shorter bindings leave no time to wake a phone that has to refresh its own (5.6.1.1: 423)."""

PNSREG_S = 130
"""How long before the end a phone that can, refreshes by itself. Before we would push for it (5.5: 120 s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A REGISTER, read."""

    wish: PushWish | None
    """None: it says nothing of pushes."""
    contact: NameAddr | None
    """None: it has no Contact, or more than one, or `*`."""
    expires_s: int | None
    """What it asks for; None where it leaves that to the registrar; 0 takes the Contact back."""
    has_own_timer: bool = False
    """Its Contact has the media feature tag `sip.pnsreg`: it can refresh its binding by itself."""
    is_of_all: bool = False
    """`Contact: *`: it is about every Contact of its AOR."""
    is_served: bool = False
    """A proxy nearer to the phone has said that it does the pushing (Feature-Caps in the request)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It goes no further."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Passed:
    """It goes on. `capabilities`: Feature-Caps of the 2xx; `targets`: where the phone is pushed."""

    app: str = ""
    targets: tuple[PushTarget, ...] = ()
    capabilities: tuple[str, ...] = ()


Verdict: TypeAlias = Refused | Passed


def read_register(request: Message) -> Asked:
    """Return what a REGISTER asks for. Raises SipSyntaxError for one that cannot be meant."""
    contacts = request.contacts
    is_served = any("+sip.pns=" in value.replace(" ", "").lower() for value in request.all("feature-caps"))
    if len(contacts) != 1 or contacts[0].uri == "*":
        if any(push_wish(SipUri.parse(one.uri)) for one in contacts if one.uri != "*"):
            raise SipSyntaxError("A REGISTER for pushes has one Contact")
        is_of_all = len(contacts) == 1 and request.expires == 0
        return Asked(wish=None, contact=None, expires_s=request.expires, is_of_all=is_of_all)
    contact = contacts[0]
    uri = SipUri.parse(contact.uri)
    own = contact.params.get("expires")
    return Asked(
        wish=push_wish(uri),
        contact=contact,
        expires_s=delta_seconds(own) if own else request.expires,
        has_own_timer="+sip.pnsreg" in {name.lower() for name in contact.params},
        is_served=is_served,
    )


def decide(asked: Asked, offers: Sequence[Offer], now: int) -> Verdict:
    """Return what becomes of a REGISTER; `offers` are those of the apps that are allowed for its PBX."""
    wish = asked.wish
    if wish is None or asked.is_served or asked.expires_s == 0:
        return Passed(app=offers[0].app if offers else "")
    if not wish.is_request:
        # 4.1.5, 5.6.1.2: the phone asks what there is; all, or the one that it names.
        named = [offer for offer in offers if wish.provider in ("", offer.provider.value)]
        return Passed(
            app=offers[0].app if offers else "",
            capabilities=_capabilities(named, asked),
        )
    for offer in offers:
        targets = targets_at(offer, wish, now)
        if not targets:
            continue
        if asked.expires_s is not None and asked.expires_s < MIN_EXPIRES_S:
            return Refused(423, "", (("Min-Expires", str(MIN_EXPIRES_S)),))
        return Passed(offer.app, targets, _capabilities([offer], asked))
    return Refused(555, "No app here pushes to this resource")


def granted_s(response: Message, asked: Asked) -> int:
    """Return for how many seconds a 2xx binds the Contact of its REGISTER; 0: it does not.

    A registrar that lists no Contacts means what was asked for, an hour where nothing was (RFC 3261 10.3).
    """
    if asked.contact is None:
        return 0
    try:
        listed = response.contacts
        whole = response.expires
    except SipSyntaxError:
        return 0
    wanted = 3600 if asked.expires_s is None else asked.expires_s
    fallback = wanted if whole is None else min(whole, wanted)
    if not listed:
        return fallback
    longest = 0
    for contact in listed:
        own = delta_seconds(contact.params.get("expires") or "")
        seconds = fallback if own is None else own
        if is_same_contact(contact.uri, asked.contact.uri):
            return seconds
        longest = max(longest, seconds)
    return min(fallback, longest)  # a PBX that writes Contacts anew: it has said 2xx, so one of them is ours


def is_same_contact(uri: str, other: str) -> bool:
    """Whether two Contacts are one: by RFC 3261 19.1.4, or by their push resource (RFC 8599 5.3)."""
    if uri == other:
        return True
    try:
        one, two = SipUri.parse(uri), SipUri.parse(other)
        wishes = push_wish(one), push_wish(two)
        if wishes[0] is not None and wishes[0].is_request:
            return wishes[0] == wishes[1]
        return wishes == (None, None) and equivalent(one, two)
    except SipSyntaxError:
        return False


def _capabilities(offers: Iterable[Offer], asked: Asked) -> tuple[str, ...]:
    """Return a Feature-Caps value for each push service, once (RFC 6809; RFC 8599 8.2 to 8.4)."""
    seen: set[Provider] = set()
    values = []
    for offer in offers:
        if offer.provider in seen:
            continue
        seen.add(offer.provider)
        value = f'*;+sip.pns="{offer.provider.value}"'
        if offer.provider is Provider.WEBPUSH and offer.vapid:
            value += f';+sip.vapid="{offer.vapid}"'
        if asked.has_own_timer and asked.wish is not None and asked.wish.is_request:
            value += f';+sip.pnsreg="{PNSREG_S}"'
        values.append(value)
    return tuple(values)

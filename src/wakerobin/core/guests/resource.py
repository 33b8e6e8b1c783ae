"""What a phone's Contact says of its push resource (RFC 8599 section 8.7), and whom of ours it is for.

A REGISTER asks for pushes (`pn-provider` and `pn-prid`), asks what there is (`pn-provider` alone), or says
nothing of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import NO_SECRET, Provider, Purpose, PushTarget, Secret

LONGEST = 4096
"""Characters of a value: tokens are opaque, and no push service's is longer."""

VOIP = "voip"
BARE = "bare"
"""A subscription without keys: nothing can be encrypted for it (section 12)."""

_NAMES = ("pn-provider", "pn-param", "pn-prid", "pn-purr")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_HEX = re.compile(r"[0-9A-Fa-f]{2,400}\Z")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class PushWish:
    """The push parameters of a Contact URI, unescaped. `prid` is empty where the phone only asks."""

    provider: str
    """In lower case; empty: every one that there is."""
    param: str = ""
    prid: Secret = NO_SECRET

    @property
    def resource(self) -> Secret:
        """What tells this resource from every other; empty where the phone only asks."""
        parts = (self.provider, self.param, self.prid.reveal())
        return Secret(" ".join(parts)) if self.is_request else NO_SECRET

    @property
    def is_request(self) -> bool:
        """Whether the phone wants to be pushed; else it wants to know by whom it could be."""
        return bool(self.prid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A push service that an app of the operator has credentials for, as RFC 8599 names it."""

    app: str
    provider: Provider
    """APNs, FCM or Web Push: the push services of the RFC."""
    team: str = ""
    """Apple's; empty where a certificate says it."""
    topic: str = ""
    """Apple's: the bundle id."""
    project: str = ""
    """Google's."""
    vapid: str = ""
    """The public key of RFC 8292, base64url."""


def push_wish(uri: SipUri) -> PushWish | None:
    """Return what a Contact URI says of pushes, None where it says nothing.

    Raises SipSyntaxError for what cannot be meant: a resource without a push service, a parameter twice.
    """
    given: dict[str, str] = {}
    for name, value in uri.params:
        name = name.lower()
        if name not in _NAMES:
            continue
        if name in given:
            raise SipSyntaxError(f"{name} stands there twice")
        given[name] = _unescaped(name, value or "")
    if "pn-provider" not in given:
        if given.keys() & {"pn-param", "pn-prid"}:
            raise SipSyntaxError("A push resource needs pn-provider")
        return None
    return PushWish(given["pn-provider"].lower(), given.get("pn-param", ""), Secret(given.get("pn-prid", "")))


def targets_at(offer: Offer, wish: PushWish, now: int) -> tuple[PushTarget, ...]:
    """Return where this offer would push for a wish; empty: the resource is not one of its.

    Of Apple's, linphone gives two in one: `pn-param=TEAM.bundle.voip&remote`, `pn-prid=A:voip&B:remote`.
    """
    if not wish.is_request or wish.provider != offer.provider.value:
        return ()
    match offer.provider:
        case Provider.APNS:
            return _apns(offer, wish, now)
        case Provider.FCM:
            # Google's own clients give the number of the project, which no key file tells.
            is_ours = wish.param == offer.project or wish.param.isdecimal()
            purposes = frozenset(Purpose)
        case _:
            is_ours = not wish.param and wish.prid.reveal().startswith("https://")
            purposes = frozenset({Purpose.CALL})  # a browser may not be pushed without being shown something
    if not is_ours:
        return ()
    target = _target(offer.provider, purposes, wish.prid.reveal(), "", now)
    return (replace(target, token_kind=BARE) if offer.provider is Provider.WEBPUSH else target,)


def _apns(offer: Offer, wish: PushWish, now: int) -> tuple[PushTarget, ...]:
    team, _, topic = wish.param.partition(".")
    base, _, last = topic.rpartition(".")
    services = last.split("&") if base and (VOIP in last.split("&") or "remote" in last.split("&")) else []
    bundle = base if services else topic
    if not team or (offer.team and team != offer.team) or not _TOPIC.match(bundle):
        return ()
    if offer.topic and bundle != offer.topic:
        return ()
    kinds = {VOIP: Purpose.CALL, "remote": Purpose.NOTICE}
    found = []
    for one in wish.prid.reveal().split("&"):
        token, _, service = one.partition(":")
        service = service or (services[0] if services else "remote")
        if service not in kinds or not _HEX.match(token):
            return ()
        found.append(_target(offer.provider, frozenset({kinds[service]}), token, bundle, now))
    return tuple(found)


def _target(provider: Provider, purposes: frozenset[Purpose], token: str, topic: str, now: int) -> PushTarget:
    return PushTarget(
        registration_id=0,
        provider=provider,
        purposes=purposes,
        token=Secret(token),
        topic=topic,
        reported_at=now,
    )


def _unescaped(name: str, value: str) -> str:
    if len(value) > LONGEST:
        raise SipSyntaxError(f"{name} is longer than {LONGEST} characters")
    octets = value.encode("utf-8", "surrogateescape")
    try:
        text = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), octets).decode("utf-8")
    except UnicodeDecodeError:
        raise SipSyntaxError(f"{name} is no text") from None
    if not text.isprintable():
        raise SipSyntaxError(f"{name} holds what nobody can read")
    return text

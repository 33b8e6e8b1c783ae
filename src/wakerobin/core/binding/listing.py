"""What a 2xx to a REGISTER says about our binding (RFC 3261 10.2.4, and what PBXs make of it)."""

from __future__ import annotations

from collections.abc import Sequence

from wakerobin.core.binding.request import BindingRequest
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import NameAddr, delta_seconds
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri, equivalent

LONGEST_GRANT_S = 86_400
"""A registrar that grants more is asked again within a day all the same."""

_MOST_ROUTES = 10
_ROUTES_LENGTH = 2_000


def contacts(response: Message) -> list[NameAddr]:
    """Return the contacts that can be read; one that is nonsense hides no other."""
    found: list[NameAddr] = []
    for line in response.all("contact"):
        try:
            found += NameAddr.parse_all(line)
        except SipSyntaxError:
            continue
    return [contact for contact in found if contact.uri != "*"]


def ours_among(listed: Sequence[NameAddr], request: BindingRequest) -> NameAddr | None:
    """Return our Contact: by its URI, by our random user part, or by our `+sip.instance`.

    Asterisk with `rewrite_contact` lists the address that it saw in place of ours, and keeps the user.
    """
    for contact in listed:
        if contact.uri == request.contact_uri:
            return contact
    for matches in (_is_equivalent, _has_our_user, _has_our_instance):
        for contact in listed:
            if matches(contact, request):
                return contact
    return None


def others_among(listed: Sequence[NameAddr], request: BindingRequest) -> int:
    """Return how many contacts are not ours by any sign: desk phones."""
    return sum(not _is_ours(contact, request) for contact in listed)


def leftovers_among(listed: Sequence[NameAddr], request: BindingRequest) -> tuple[str, ...]:
    """Return contacts of ours that stand beside the present one, from an address that we had before.

    A PBX that holds two contacts of ours rings us twice for one call.
    """
    if len(listed) < 2 or not any(_is_equivalent(contact, request) for contact in listed):
        return ()
    return tuple(
        contact.uri
        for contact in listed
        if (_has_our_user(contact, request) or _has_our_instance(contact, request))
        and not _is_equivalent(contact, request)
    )


def granted_s(response: Message, listed: Sequence[NameAddr], ours: NameAddr | None, asked_s: int) -> int:
    """Return for how long our binding was granted: seconds, 0 where it was not.

    Without our Contact in the answer the only or newest one is taken for it, the one that has the
    longest to live; else the Expires header counts, else what we asked for.
    """
    header = delta_seconds(response.get("expires") or "")
    default = asked_s if header is None else header
    if ours is None and listed:
        ours = max(listed, key=lambda contact: _expires(contact, default))
    granted = default if ours is None else _expires(ours, default)
    return min(granted, LONGEST_GRANT_S)


def routes(response: Message, name: str) -> tuple[str, ...]:
    """Return the values of Service-Route or Path; none at all where one is nonsense or they are too many."""
    if not response.has(name):
        return ()
    values = response.values(name)
    if len(values) > _MOST_ROUTES or sum(map(len, values)) > _ROUTES_LENGTH:
        return ()
    try:
        for value in values:
            SipUri.parse(NameAddr.parse(value).uri)
    except SipSyntaxError:
        return ()
    return tuple(values)


def seen(response: Message, *, is_reliable: bool) -> tuple[str, int | None] | None:
    """Return where the peer saw our request come from, by the Via that comes back to us.

    Over a stream the port is that of a connection and says nothing about our listener.
    """
    try:
        via = response.top_via
    except SipSyntaxError:
        return None
    if via.received is None and (via.rport is None or is_reliable):
        return None
    return via.received or via.host.strip("[]"), None if is_reliable else via.rport


def _is_ours(contact: NameAddr, request: BindingRequest) -> bool:
    return (
        contact.uri == request.contact_uri
        or _is_equivalent(contact, request)
        or _has_our_user(contact, request)
        or _has_our_instance(contact, request)
    )


def _expires(contact: NameAddr, default: int) -> int:
    seconds = delta_seconds(contact.params.get("expires") or "")
    return default if seconds is None else seconds


def _is_equivalent(contact: NameAddr, request: BindingRequest) -> bool:
    try:
        return contact.uri == request.contact_uri or equivalent(contact.uri, request.contact_uri)
    except SipSyntaxError:
        return False


def _has_our_user(contact: NameAddr, request: BindingRequest) -> bool:
    if not request.has_secret_user:
        return False
    try:
        user = SipUri.parse(request.contact_uri).user
        return bool(user) and SipUri.parse(contact.uri).user == user
    except SipSyntaxError:
        return False


def _has_our_instance(contact: NameAddr, request: BindingRequest) -> bool:
    instance = (contact.params.get("+sip.instance") or "").strip('"')
    return instance.lower() == f"<{request.instance}>".lower()

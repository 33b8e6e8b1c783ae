"""What a REGISTER says of who sent it, and what it names on its way."""

from __future__ import annotations

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.guests.guest import Guest
from wakerobin.core.guests.registering import Asked
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri, equivalent


def hosts_named(onward: Message) -> list[str]:
    """Return every host that a REGISTER names on its way, our Routes taken off. Raises SipSyntaxError."""
    hosts = [SipUri.parse(onward.uri).host, SipUri.parse(onward.to.uri).host]
    routes = onward.values("route")
    if routes:
        hosts.append(SipUri.parse(NameAddr.parse(routes[0]).uri).host)
    return hosts


def is_of(guest: Guest, asked: Asked) -> bool:
    """Whether a REGISTER with a Contact is of this phone: by instance, else push resource, else Contact."""
    assert asked.contact is not None
    instance = instance_of(asked.contact)
    if instance and guest.instance:
        return instance == guest.instance
    if asked.wish is not None and asked.wish.is_request and guest.targets:
        given = asked.wish.prid.reveal()
        tokens = {given, *(part.partition(":")[0] for part in given.split("&"))}
        return all(target.token.reveal() in tokens for target in guest.targets)
    try:
        return equivalent(asked.contact.uri, guest.contact_uri)
    except SipSyntaxError:
        return False


def instance_of(contact: NameAddr) -> str:
    """Return the `urn:uuid:…` of a Contact's `+sip.instance`; empty where it has none."""
    return (contact.params.get("+sip.instance") or "").strip('"').strip("<>").lower()


def keeps_flow(request: Message, asked: Asked) -> bool:
    """Whether the phone asks for RFC 5626 and we are its first hop: then we say that we keep its flow."""
    contact = asked.contact
    if contact is None or "reg-id" not in contact.params or len(request.values("via")) != 1:
        return False
    return "outbound" in {option.strip().lower() for option in request.values("supported")}


def is_wrong_answer(request: Message, refusal: Message) -> bool:
    """Whether a REGISTER that was refused had answered a challenge, and not one that was too old."""
    challenges = [*refusal.all("www-authenticate"), *refusal.all("proxy-authenticate")]
    is_stale = any("stale=true" in value.replace(" ", "").lower() for value in challenges)
    return (request.has("authorization") or request.has("proxy-authorization")) and not is_stale

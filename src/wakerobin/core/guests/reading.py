"""What a REGISTER says of who sent it, and what it names on its way."""

from __future__ import annotations

from collections.abc import Iterable

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


def registrar_of(onward: Message) -> str:
    """Return where a REGISTER asks: its outbound proxy, else its Request-URI. Raises SipSyntaxError."""
    routes = onward.values("route")
    return NameAddr.parse(routes[0]).uri if routes else onward.uri


def of_registrar(guests: Iterable[Guest], registrar: str) -> list[Guest]:
    """Return those whom this very PBX has let in: at another one a user of the same name is somebody else.

    Raises SipSyntaxError.
    """
    wanted = _place(registrar)
    return [one for one in guests if _place(one.registrar) == wanted]


def _place(registrar: str) -> tuple[str, int | None, bool]:
    uri = SipUri.parse(registrar)
    return uri.host.lower(), uri.port, uri.has_param("lr")


def who_is(guests: Iterable[Guest], asked: Asked) -> Guest | None:
    """Return whose REGISTER this is: by its push resource, else its instance, else its Contact.

    A web page has another instance each time it is loaded, and an app another token now and then.
    """
    known = list(guests)
    for is_same in (shows_resource, _has_instance, _has_contact):
        found = next((one for one in known if is_same(one, asked)), None)
        if found is not None:
            return found
    return None


def shows_resource(guest: Guest, asked: Asked) -> bool:
    """Whether a REGISTER shows the push resource of a guest, which its phone and its PBX alone know."""
    if asked.wish is None or not asked.wish.is_request or not guest.targets:
        return False
    given = asked.wish.prid.reveal()
    tokens = {given, *(part.partition(":")[0] for part in given.split("&"))}
    return all(target.token.reveal() in tokens for target in guest.targets)


def _has_instance(guest: Guest, asked: Asked) -> bool:
    return bool(guest.instance and asked.contact) and guest.instance == instance_of(asked.contact)


def _has_contact(guest: Guest, asked: Asked) -> bool:
    if asked.contact is None or (guest.instance and instance_of(asked.contact)):
        return False
    try:
        return equivalent(asked.contact.uri, guest.contact_uri)
    except SipSyntaxError:
        return False


def instance_of(contact: NameAddr | None) -> str:
    """Return the `urn:uuid:…` of a Contact's `+sip.instance`; empty where it has none."""
    if contact is None:
        return ""
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

"""What a request of a PBX becomes when we hand it to a phone ourselves, at once or later. Pure."""

from __future__ import annotations

from email.utils import formatdate

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import Message, parse
from wakerobin.core.sip.routing import MAX_FORWARDS, put_routes
from wakerobin.core.values import PhoneFlow

_OF_ITS_WAY = ("Via", "Route", "Record-Route", "Max-Forwards", "Max-Breadth", "Content-Length")
"""What a request says of the way on which it came: it ended here."""


def kept(request: Message, received_at: int) -> bytes:
    """Return what is kept of a MESSAGE, without its way, and with the time where it has none."""
    copy = _without_its_way(request)
    copy.remove("Contact")  # RFC 3428 section 4: there is none in a MESSAGE
    if not copy.has("date"):
        # Section 7: it may be read much later, and its Expires counts from then.
        copy.add("Date", formatdate(received_at / 1000, usegmt=True))
    return copy.encode()


def for_phone(request: Message, phone: PhoneFlow) -> Message:
    """Return the request for a phone, to its very Contact.

    Call-ID, CSeq and From stay: by them an app knows again what it has got already in another way.
    """
    onward = _without_its_way(request)
    onward.uri = phone.contact_uri
    to = onward.to
    if to.tag is not None:  # of a subscription of ours, which is none of the phone's
        onward.set("To", f"<{to.uri}>")
    onward.add("Max-Forwards", str(MAX_FORWARDS))
    put_routes(onward, phone.path)
    return onward


def opened(content: bytes) -> Message | None:
    """Return the request that was kept; None where nobody can read it any more."""
    try:
        return parse(content)
    except SipSyntaxError:
        return None


def _without_its_way(request: Message) -> Message:
    copy = request.copy()
    for name in _OF_ITS_WAY:
        copy.remove(name)
    return copy

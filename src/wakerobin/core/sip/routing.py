"""What a stateful, record-routing proxy does to a message between its two sides (RFC 3261 16, RFC 5658)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri

MAX_FORWARDS = 70


def take_own_routes(request: Message, is_ours: Callable[[SipUri], bool]) -> list[SipUri]:
    """Remove all of our Route values at the top, and return them; the first tells the side it came from.

    A strict router (RFC 2543) puts our Record-Route into the Request-URI and the real one last (16.4).
    """
    taken: list[SipUri] = []
    if request.has("route"):
        target = _uri(request.uri)
        if target is not None and is_ours(target):
            taken.append(target)
            request.uri = _pop_last_route(request)
    while values := request.values("route"):
        uri = _uri(_address(values[0]))
        if uri is None or not is_ours(uri):
            break
        taken.append(uri)
        request.pop_first("route")
    return taken


def forwarded(request: Message) -> Message:
    """Return the copy that travels on, Max-Forwards lowered (16.3, 16.6 step 3). 483 when it is used up."""
    hops = request.max_forwards
    if hops is not None and hops <= 0:
        raise SipSyntaxError("Too Many Hops", 483)
    onward = request.copy()
    onward.set("Max-Forwards", str(MAX_FORWARDS if hops is None else hops - 1))
    return onward


def record_routes(request: Message, *, first: str, second: str) -> None:
    """Add our two Record-Routes: `second`, nearest to where the request goes, ends on top (RFC 5658)."""
    request.prepend("Record-Route", f"<{first}>")
    request.prepend("Record-Route", f"<{second}>")


def record_again(request: Message, taken: Iterable[SipUri]) -> None:
    """Add the Record-Routes of a dialog once more, by the Routes of ours that its request brought.

    A NOTIFY makes its subscriber's dialog, also where it outruns the 2xx to the SUBSCRIBE (RFC 6665 4.4.1).
    """
    for uri in taken:
        if uri.user:
            request.prepend("Record-Route", f"<{uri}>")


def put_routes(request: Message, routes: Iterable[str]) -> None:
    """Put a preloaded route set (Path, Service-Route, outbound proxy) before what is there."""
    for value in reversed(list(routes)):
        request.prepend("Route", value)


def next_hop(request: Message) -> SipUri:
    """Return where the request goes next, after the fix for strict routers (16.6 step 6)."""
    values = request.values("route")
    if not values:
        return SipUri.parse(request.uri)
    address = _address(values[0])
    uri = SipUri.parse(address)
    if not uri.has_param("lr"):
        request.pop_first("route")
        rest = request.values("route")
        request.remove("route")
        for value in [*rest, f"<{request.uri}>"]:
            request.add("Route", value)
        request.uri = address
    return uri


def _pop_last_route(request: Message) -> str:
    values = request.values("route")
    request.remove("route")
    for value in values[:-1]:
        request.add("Route", value)
    return _address(values[-1])


def _address(value: str) -> str:
    try:
        return NameAddr.parse(value).uri
    except SipSyntaxError:
        return ""


def _uri(text: str) -> SipUri | None:
    try:
        return SipUri.parse(text)
    except SipSyntaxError:
        return None

"""What a phone's own request becomes on its way to the PBX (RFC 3261 16.6, RFC 5658)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import forwarded, put_routes, record_routes
from wakerobin.core.sip.uri import aor
from wakerobin.services.fleet.values import Upstream

DIALOG_FORMING = frozenset({"INVITE", "SUBSCRIBE", "REFER"})

REQUESTS_PER_SECOND = 10.0
"""So many may a phone begin over its flow."""

REQUESTS_AT_ONCE = 50.0


def claimed_aors(request: Message) -> list[str]:
    """Return the addresses that the sender says are his: P-Preferred-Identity (RFC 3325), then From."""
    claimed = []
    for header in ("p-preferred-identity", "from"):
        for value in request.all(header):
            try:
                claimed.append(aor(NameAddr.parse(value).uri))
            except SipSyntaxError:
                continue
    return claimed


def for_pbx(onward: Message, upstream: Upstream, routes: tuple[str, str]) -> Message:
    """Return the request as the PBX gets it: record-routed twice, by the binding's own route.

    Raises SipSyntaxError where it may travel no further.
    """
    sent = forwarded(onward)
    if sent.method in DIALOG_FORMING:
        pbx_side, phone_side = routes
        record_routes(sent, first=phone_side, second=pbx_side)
    put_routes(sent, upstream.service_route or filter(None, [upstream.proxy_uri]))
    return sent


def without_credentials(message: Message, is_unwanted: Callable[[str], bool]) -> None:
    """Remove the answers to challenges of ours: a client that has one realm has one nonce for it."""
    for name in ("Authorization", "Proxy-Authorization"):
        values = message.all(name)
        kept = [value for value in values if not is_unwanted(value)]
        if len(kept) < len(values):
            message.remove(name)
            _add_all(message, name, kept)


def _add_all(message: Message, name: str, values: Iterable[str]) -> None:
    for value in values:
        message.add(name, value)

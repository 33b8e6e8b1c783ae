"""The first look at what a socket brings: read, checked, its Via completed; or refused with an answer."""

from __future__ import annotations

import hashlib

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import MalformedMessageError, Message, check, parse, respond

DEFAULT_PORT = 5060

_KEEP_ALIVE = 4
"""Octets: CRLF CRLF, or what phones make of it (a CRLF, four NULs, an empty datagram)."""


class RefusedError(SipSyntaxError):
    """What came is no message. `answer` is what to tell its sender, if that is worth an answer."""

    def __init__(self, fault: SipSyntaxError, answer: Message | None) -> None:
        super().__init__(str(fault), fault.status)
        self.answer = answer


def is_keep_alive(datagram: bytes) -> bool:
    """Whether a datagram only shows that somebody is there."""
    return len(datagram) <= _KEEP_ALIVE and not datagram.strip(b"\r\n\0")


def read(data: bytes, remote: tuple[str, int]) -> Message:
    """Return the message, checked, a request with `received` and `rport`. Raises RefusedError."""
    message: Message | None = None
    try:
        message = parse(data)
        check(message)
        if message.is_request:
            complete_via(message, remote)
    except SipSyntaxError as fault:
        if isinstance(fault, MalformedMessageError):
            message = fault.message
        raise RefusedError(fault, refusal(message, fault, remote)) from None
    return message


def complete_via(request: Message, remote: tuple[str, int]) -> None:
    """Write down in the top Via where the request came from (RFC 3261 18.2.1, RFC 3581 section 4).

    What the sender wrote there itself is overwritten: it would decide where our response goes.
    Raises SipSyntaxError for a Via that cannot be read.
    """
    via = request.top_via
    address, port = remote
    wants_port = "rport" in via.params
    if via.host.strip("[]").lower() == address and not wants_port and "received" not in via.params:
        return
    changed = {"received": address, "rport": str(port)} if wants_port else {"received": address}
    request.replace_first("Via", str(via.with_params(changed)))


def response_port(message: Message) -> int:
    """Return the port that a response goes to by its request's, or its own, top Via (18.2.2)."""
    via = message.top_via
    return via.rport or via.port or DEFAULT_PORT


def refusal(message: Message | None, fault: SipSyntaxError, remote: tuple[str, int]) -> Message | None:
    """Return the answer to a bad request, as far as it can be told where that goes."""
    if message is None or not message.is_request or message.method == "ACK":
        return None
    try:
        complete_via(message, remote)
        # The same for each retransmission (8.2.6.2), without remembering anything.
        seed = "\n".join(message.all("via") + message.all("call-id")).encode("utf-8", "surrogateescape")
        tag = hashlib.blake2b(seed, digest_size=8).hexdigest()
        return respond(message, fault.status, str(fault), to_tag=tag)
    except SipSyntaxError:
        return None

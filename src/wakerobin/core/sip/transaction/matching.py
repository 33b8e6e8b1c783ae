"""Which transaction a message belongs to: RFC 3261 sections 17.1.3, 17.2.3 and 9.2.

The keys are opaque text for a dictionary; two messages of one transaction have the same one. A
client's and a server's keys are never to be looked up in one dictionary.
"""

from __future__ import annotations

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.message import Message

MAGIC_COOKIE = "z9hG4bK"

_COOKIE = MAGIC_COOKIE.lower()


def has_magic_cookie(branch: str | None) -> bool:
    """Whether this branch names a transaction by itself, as RFC 3261 peers make them.

    The bare cookie with nothing behind it does not (RFC 4475 3.2.1): it would be the same for all.
    """
    return branch is not None and len(branch) > len(_COOKIE) and branch.lower().startswith(_COOKIE)


def client_key(message: Message) -> str:
    """The key of the client transaction that sent this request or gets this response (17.1.3).

    Raises SipSyntaxError for a response without a branch, which can belong to none.
    """
    branch = message.branch
    if branch is None:
        raise SipSyntaxError("Via without a branch")
    method = message.method if message.is_request else message.cseq.method
    return f"{method} {branch.lower()}"


def server_key(request: Message) -> str:
    """The key of the server transaction that this request makes or repeats (17.2.3).

    An ACK has its INVITE's key, a CANCEL a key of its own; see `cancelled_key`. Raises
    SipSyntaxError where Via, From, To, Call-ID or CSeq are needed and cannot be read.
    """
    return _server_key(request, "INVITE" if request.method == "ACK" else request.method)


def cancelled_key(cancel: Message) -> str:
    """The key of the INVITE server transaction that this CANCEL means (9.2)."""
    return _server_key(cancel, "INVITE")


def _server_key(request: Message, method: str) -> str:
    via = request.top_via
    sent_by = f"{via.host.lower()}:{via.port or ''}"
    if via.branch is not None and has_magic_cookie(via.branch):
        return f"{method} {via.branch.lower()} {sent_by}"
    # A peer of RFC 2543. The To tag is left out for INVITE, since its ACK brings the tag of our
    # response; `received` and `rport` are ours and depend on when the key is made.
    to_tag = "" if method == "INVITE" else request.to_tag
    hop = f"{via.protocol_transport.upper()} {sent_by} {via.branch or ''}"
    dialog = f"{request.from_tag or ''} {to_tag or ''} {request.call_id} {request.cseq.number}"
    return f"{method} {request.uri} {dialog} {hop}"

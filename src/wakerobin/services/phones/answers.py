"""Final responses of our own, to requests that go no further."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from wakerobin.core.sip.message import Message, respond
from wakerobin.ports.sip import ServerTransactionHandle


def answer(request: Message, status: int, text: str = "", headers: Iterable[tuple[str, str]] = ()) -> Message:
    """Return a response whose To tag is the same however often it is made (RFC 3261 8.2.7).

    `text` says why, to people: it goes into a Reason header (RFC 3326).
    """
    lines = list(headers)
    if text:
        quoted = text.replace("\\", "").replace('"', "'")
        lines.append(("Reason", f'SIP;cause={status};text="{quoted}"'))
    return respond(request, status, to_tag=_tag(request), headers=lines)


def refuse(
    transaction: ServerTransactionHandle, status: int, text: str = "", *, retry_after: int = 0
) -> None:
    """Answer a request finally; `retry_after` in seconds, 0 for none."""
    headers = [("Retry-After", str(retry_after))] if retry_after else []
    transaction.respond(answer(transaction.request, status, text, headers))


def _tag(request: Message) -> str:
    named = "\0".join(request.get(name) or "" for name in ("via", "from", "call-id", "cseq"))
    return hashlib.blake2b(named.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()

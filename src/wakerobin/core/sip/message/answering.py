"""The response to a request (RFC 3261 section 8.2.6)."""

from __future__ import annotations

from collections.abc import Iterable

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.grammar import is_token
from wakerobin.core.sip.message.message import Message

_COPIED = frozenset({"via", "from", "to", "call-id", "cseq"})


def respond(  # noqa: PLR0913 - one answer, one call; whatever is optional goes by its name
    request: Message,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str = "",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    record_route: bool = False,
) -> Message:
    """Make the response to a request, also to one that is malformed.

    `to_tag` is added to a To that has none, except to a 100. Record-Route is copied where
    `record_route` says so: into the responses that make a dialog. Raises ValueError for a tag,
    reason or header that would break the message.
    """
    copied = set(_COPIED)
    if status == 100:
        copied.add("timestamp")
    if record_route:
        copied.add("record-route")
    response = Message.response(status, reason, body=body)
    response.copy_lines(request, copied)
    if to_tag and status > 100:
        _add_to_tag(response, to_tag)
    for name, value in headers:
        response.add(name, value)
    return response


def _add_to_tag(response: Message, tag: str) -> None:
    if not is_token(tag):
        raise ValueError("the tag is no token")
    try:
        has_tag = response.to_tag is not None
    except SipSyntaxError:
        return  # a To that nobody can read goes back as it came
    if not has_tag:
        response.set("to", f"{response.get('to')};tag={tag}")

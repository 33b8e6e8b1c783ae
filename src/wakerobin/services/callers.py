"""Who calls or writes, as a request from the PBX says it. Pure."""

from __future__ import annotations

import re

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.story import readable

_NUMBER = re.compile(r"\+?[0-9*#]{2,}\Z")
_LONGEST_SHOWN = 200


def caller_of(request: Message) -> dict[str, str]:
    """Return who calls or writes: `uri`, `number`, `name`.

    The PBX's assertion goes before the From (RFC 3325). What is too long for any display is cut: it has to
    fit into a push.
    """
    for header in ("p-asserted-identity", "from"):
        try:
            address = NameAddr.parse((request.values(header) or [""])[0])
            user = SipUri.parse(address.uri).user or ""
        except SipSyntaxError:
            continue
        return {
            "uri": _cut(readable(address.uri)),
            "number": _cut(user) if _NUMBER.match(user) else "",
            "name": _cut(readable(address.display)),
        }
    return {"uri": "", "number": "", "name": ""}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def shown_name(caller: dict[str, str]) -> str:
    """Return what a caller is called in a text: by name, else by number, else by address."""
    return caller.get("name") or caller.get("number") or caller.get("uri", "").removeprefix("sip:")

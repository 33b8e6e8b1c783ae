"""What is read from an INVITE, and what it becomes on its way to a phone. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache

from wakerobin.core.addresses import Reach, parse_address, reach
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.sip.forking import loop_hash
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import forwarded, put_routes, record_routes
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Flow, PhoneFlow, Transport

_VIDEO = re.compile(rb"^m=video +([1-9]\d*) ", re.MULTILINE)


def call_key(secret: bytes, invite: Message, account_id: int) -> str:
    """Return the UUID of a call: by Call-ID, From tag and account."""
    return uuid_from(keyed_hash(secret, "call", invite.call_id, invite.from_tag or "", str(account_id)))


def registration_call_id(secret: bytes, sip_call_id: str, from_tag: str, registration: str) -> str:
    """Return the `call_id` under which one registration knows a call; a UUID, fit for CallKit."""
    return uuid_from(keyed_hash(secret, "call-of", sip_call_id, from_tag, registration))


def has_video(invite: Message) -> bool:
    """Whether the offer has a video stream that is on."""
    return _VIDEO.search(invite.body) is not None


def leads_somewhere(invite: Message, seen: Flow) -> bool:
    """Whether the Contact is an address that the PBX answers at: a public one, or where it was seen."""
    try:
        address = parse_address(SipUri.parse(invite.contacts[0].uri).host)
    except (SipSyntaxError, IndexError):
        return False
    return address is not None and (reach(address) is Reach.PUBLIC or str(address) == seen.remote[0])


def for_phone(invite: Message, phone: PhoneFlow, routes: tuple[str, str], breadth: int) -> Message:
    """Return the INVITE as this phone gets it (16.6): to its very Contact, record-routed twice."""
    onward = forwarded(invite)
    onward.uri = phone.contact_uri
    onward.set("Max-Breadth", str(breadth))
    pbx_side, phone_side = routes
    record_routes(onward, first=pbx_side, second=phone_side)
    put_routes(onward, phone.path)
    return onward


def with_loop_mark(branch: str, invite: Message) -> str:
    """Return the branch with what RFC 5393 needs to know the request again."""
    return f"{branch}.{loop_hash(invite)}"


def without_loop_mark(branch: str) -> str:
    """Return the branch as `tokens.branch` made it."""
    return branch.rpartition(".")[0] or branch


@lru_cache(maxsize=1024)
def flow_to_json(flow: Flow) -> str:
    """Return a flow as text for the store."""
    return json.dumps(asdict(flow))


def flow_from_json(text: str) -> Flow:
    """Return a flow from the store; the connections of an earlier run are closed (-1)."""
    fields = json.loads(text)
    return Flow(
        Transport(fields["transport"]),
        _pair(fields["local"]),
        _pair(fields["remote"]),
        -1 if fields["connection"] else 0,
    )


def _pair(value: Iterable[object]) -> tuple[str, int]:
    host, port = value
    return str(host), int(str(port))

"""A `PushMessage` as Apple wants it: the headers of each push type and the JSON body, within its limits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from wakerobin.core.pushes import PushMessage, PushType
from wakerobin.push.connection import Headers
from wakerobin.push.shortening import encoded, fit, shortened

MOST_OCTETS: Final = 4096
MOST_VOIP_OCTETS: Final = 5120
MOST_COLLAPSE_OCTETS: Final = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """How Apple's system treats a push: `apns-push-type`, `apns-priority`, and what the topic ends in."""

    push_type: str
    priority: str
    topic_suffix: str = ""


VOIP: Final = Kind("voip", "10", ".voip")
ALERT: Final = Kind("alert", "10")
BACKGROUND: Final = Kind("background", "5")  # 10 would be refused

# Only a call may be a VoIP push: an app that reports no call after one is ended, and at last not woken.
KINDS: Final[dict[PushType, Kind]] = {
    PushType.CALL: VOIP,
    PushType.RENEW: BACKGROUND,
    PushType.EXPIRY_WARNING: ALERT,
    PushType.EXPIRED: ALERT,
    PushType.MISSED_CALL: ALERT,
    PushType.MESSAGE: ALERT,
    PushType.MWI: ALERT,
    PushType.TARGETS_NEEDED: ALERT,
    PushType.CREDENTIALS_NEEDED: ALERT,
    PushType.REGISTRATION_TROUBLE: ALERT,
    PushType.REGISTRATION_TROUBLE_OVER: ALERT,
    PushType.STILL_REACHABLE: ALERT,
    PushType.VERIFY: BACKGROUND,
    PushType.TEST: VOIP,
}
"""What Apple can carry. A call that is over is no call, and there is no other way to reach a dark screen."""

_THREADS: Final = {PushType.MISSED_CALL: "missed", PushType.MESSAGE: "messages", PushType.MWI: "mwi"}
"""What is shown together, by type; all else is about the app's being reachable."""

# What is no news to the user makes no sound and lights no screen.
_PASSIVE: Final = frozenset((PushType.STILL_REACHABLE, PushType.REGISTRATION_TROUBLE_OVER))


def headers(message: PushMessage, authority: str, topic: str, token: str) -> Headers:
    """Build the request's headers; `topic` is the app's bundle id, `token` the provider token.

    An empty token: the connection has proved us by a certificate.
    """
    kind = KINDS[message.type]
    fields: Headers = (
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", authority),
        (":path", f"/3/device/{message.target.token.reveal()}"),
        *((("authorization", f"bearer {token}"),) if token else ()),
        ("apns-id", message.id),
        ("apns-topic", (message.target.topic or topic) + kind.topic_suffix),
        ("apns-push-type", kind.push_type),
        ("apns-priority", "5" if _is_badge_only(message) else kind.priority),
        ("apns-expiration", str(message.expires_at // 1000)),
    )
    # Two calls are two calls, and what shows nothing replaces nothing that is shown.
    if not message.collapse_key or kind is not ALERT:
        return fields
    return (*fields, ("apns-collapse-id", collapse_id(message.collapse_key)))


def collapse_id(key: str) -> str:
    """Return a key as it is where Apple and a header can carry it, else a hash of it."""
    if 0 < len(key) <= MOST_COLLAPSE_OCTETS and key.isascii() and key.isprintable() and " " not in key:
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def body(message: PushMessage) -> bytes | None:
    """Build the JSON body; None if it is too long even without what an app can do without."""
    limit = MOST_VOIP_OCTETS if KINDS[message.type] is VOIP else MOST_OCTETS
    return fit(
        message, limit, lambda payload, text: encoded({"aps": _aps(message, text), "wakerobin": payload})
    )


def _aps(message: PushMessage, text: str) -> dict[str, Any]:
    kind = KINDS[message.type]
    if kind is BACKGROUND:
        return {"content-available": 1}
    if kind is VOIP:
        return {}
    aps: dict[str, Any] = {} if message.badge is None else {"badge": message.badge}
    if _is_badge_only(message):
        return aps
    aps["alert"] = _alert(message, text)
    aps["thread-id"] = _THREADS.get(message.type, "life")
    if message.type in _PASSIVE:
        aps["interruption-level"] = "passive"
    else:
        aps["sound"] = "default"
    if message.is_mutable:
        aps["mutable-content"] = 1
    return aps


def _is_badge_only(message: PushMessage) -> bool:
    """Whether only the number on the app's icon changes: nobody is told what he has just listened to."""
    return message.is_quiet and message.badge is not None


def _alert(message: PushMessage, text: str) -> dict[str, Any]:
    keys = message.loc_keys
    if keys is None:
        return {"title": shortened(message.title), "body": text}
    return {
        "title-loc-key": keys.title_key,
        "title-loc-args": [shortened(arg) for arg in keys.title_args],
        "loc-key": keys.body_key,
        "loc-args": [shortened(arg) for arg in keys.body_args],
    }

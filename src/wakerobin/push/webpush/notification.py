"""A `PushMessage` as Web Push wants it: the headers of RFC 8030 and the text that is encrypted.

A browser must show something for every push: WebKit takes the subscription away after three that
showed nothing, and goes on answering 2xx. So a browser's text is a declarative push message, which
WebKit shows by itself if the service worker does not; in UnifiedPush an app may stay silent.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from wakerobin.core.pushes import Lane, PushMessage, PushType
from wakerobin.core.values import Provider
from wakerobin.push.connection import Headers
from wakerobin.push.shortening import encoded, fit, shortened
from wakerobin.push.webpush.encryption import MOST_PLAINTEXT, base64url
from wakerobin.push.webpush.endpoint import Endpoint

MOST_TTL: Final = 28 * 86_400
"""The limit of the push services behind some endpoints, seconds."""

_DECLARATIVE: Final = 8030  # the number that makes JSON a declarative push message
_SCOPE: Final = "./"  # relative to the scope of the service worker
_TOPIC: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")

URGENCY: Final[dict[PushType, str]] = {
    PushType.CALL: "high",
    PushType.CALL_OVER: "high",
    PushType.TEST: "high",
    PushType.RENEW: "low",
    PushType.STILL_REACHABLE: "low",
}
"""How much battery a push is worth (RFC 8030 5.3); what is in no row is `normal`."""

# They show nothing by nature and are never sent to a browser.
_SILENT: Final = frozenset((PushType.RENEW,))
# A call cannot wait for words: who is calling says enough.
_NEEDS_NO_WORDS: Final = frozenset((PushType.CALL, PushType.CALL_OVER, PushType.TEST))
# They replace what is shown, or need nobody's attention now.
_QUIET: Final = frozenset((PushType.CALL_OVER, PushType.STILL_REACHABLE, PushType.REGISTRATION_TROUBLE_OVER))


def shows_nothing(message: PushMessage) -> bool:
    """Whether this push would show nothing: such a push must not go to a browser."""
    return message.type in _SILENT or not _title(message)


def headers(
    message: PushMessage, endpoint: Endpoint, authorization: str, now: int, *, has_body: bool = True
) -> Headers:
    """Build the request's headers; `now` is epoch milliseconds, `authorization` the VAPID field."""
    content = (("content-type", "application/octet-stream"), ("content-encoding", "aes128gcm"))
    fields = (
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", endpoint.authority),
        (":path", endpoint.path),
        ("authorization", authorization),
        *(content if has_body else ()),
        ("ttl", str(ttl(message, now))),
        ("urgency", "low" if message.is_quiet else URGENCY.get(message.type, "normal")),
    )
    # Two calls are two calls.
    if not message.collapse_key or message.lane is Lane.CALLS:
        return fields
    return (*fields, ("topic", topic(message.collapse_key)))


def ttl(message: PushMessage, now: int) -> int:
    """Return for how many seconds the push service may keep it; a call's are what is left of the ringing."""
    left = message.expires_at - now
    return min(-(-left // 1000), MOST_TTL) if left > 0 else 0


def topic(key: str) -> str:
    """Return a key as it is where RFC 8030 5.4 allows it, else a hash of it."""
    if _TOPIC.fullmatch(key) is not None:
        return key
    return base64url(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:24])


def plaintext(message: PushMessage, page: str = "", limit: int = MOST_PLAINTEXT) -> bytes | None:
    """Build what is encrypted, without what an app can do without if it is too long; None if it still is.

    `page` is what a tap on the notification opens; empty: the scope of the service worker.
    """
    if message.target.provider is Provider.WEBPUSH:

        def build(payload: dict[str, Any], text: str) -> bytes:
            shown = _shown(message, text, page or _SCOPE)
            return encoded(
                {"web_push": _DECLARATIVE, "mutable": True, "notification": shown, "wakerobin": payload}
            )
    else:

        def build(payload: dict[str, Any], text: str) -> bytes:
            title = shortened(message.title)
            shown = {"title": title, "body": text} if title or text else None
            return encoded({"notification": shown, "wakerobin": payload} if shown else {"wakerobin": payload})

    return fit(message, limit, build)


def tag(message: PushMessage) -> str:
    """Return what a notification is known by: the next one with the same tag takes its place."""
    if message.type in (PushType.CALL, PushType.CALL_OVER):
        call_id = message.payload.get("call_id")  # unknown where the payload is encrypted once more
        return f"call-{call_id}" if call_id else PushType.CALL.value
    if message.type is PushType.MESSAGE and (message_id := message.payload.get("message_id")):
        return f"message-{message_id}"  # two messages are two
    return message.collapse_key or message.type.value


def _shown(message: PushMessage, text: str, page: str) -> dict[str, Any]:
    """Return the `notification` of a declarative push message, in the words of NotificationOptions."""
    is_quiet = message.is_quiet or message.type in _QUIET
    ids = {name: message.payload.get(name) for name in ("call_id", "message_id")}
    data = {"type": message.type.value, **ids}
    shown: dict[str, Any] = {
        "title": shortened(_title(message)),  # a caller's name, as long as the caller likes
        "body": text,
        "navigate": page,
        "tag": tag(message),
        "dir": "auto",
        "data": {name: value for name, value in data.items() if value},
        # What takes the place of something that is shown is not heard unless it asks for it.
        "renotify": not is_quiet,
        "silent": is_quiet,
    }
    if message.type is PushType.CALL:
        shown["requireInteraction"] = True
    return shown


def _title(message: PushMessage) -> str:
    if message.title or message.type not in _NEEDS_NO_WORDS:
        return message.title
    caller = message.payload.get("caller")
    said = caller if isinstance(caller, dict) else {}
    return str(said.get("name") or said.get("number") or said.get("uri") or message.app)

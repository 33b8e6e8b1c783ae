"""A `PushMessage` as a verb of the Acrobits push interface.

The interface has no verb for a push that shows nothing, and its apps know nothing of push
registrations: what an app of ours would read from the payload is not sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from wakerobin.core.pushes import Outcome, PushMessage, PushType, Rejected, TargetGone
from wakerobin.push.posting import Letter
from wakerobin.push.shortening import encoded, shortened

CALL: Final = "NotifyIncomingCall"
MISSED: Final = "NotifyIncomingCallMissed"
ELSEWHERE: Final = "NotifyIncomingCallAnsweredElsewhere"
MESSAGE: Final = "NotifyTextMessage"
TEXT: Final = "NotifyGenericTextMessage"

VERBS: Final[dict[PushType, str]] = {
    PushType.CALL: CALL,
    PushType.CALL_OVER: ELSEWHERE,
    PushType.MISSED_CALL: MISSED,
    PushType.MESSAGE: MESSAGE,
    PushType.MWI: TEXT,
    PushType.EXPIRY_WARNING: TEXT,
    PushType.EXPIRED: TEXT,
    PushType.REGISTRATION_TROUBLE: TEXT,
    PushType.REGISTRATION_TROUBLE_OVER: TEXT,
    PushType.CREDENTIALS_NEEDED: TEXT,
    PushType.TARGETS_NEEDED: TEXT,
    PushType.STILL_REACHABLE: TEXT,
    PushType.TEST: TEXT,  # a test that rings for a call that never comes would be a fault to its user
}
"""Renewals and verifications are not among them: they show nothing."""

_ELSEWHERE: Final = "answered-elsewhere"
_TEST_TEXT: Final = "Push test"
_MOST_FIELD: Final = 4096


@dataclass(frozen=True, slots=True)
class Address:
    """Where a push goes at Acrobits: the account inside the app, and the device."""

    selector: str
    device_token: str


def address(token: str) -> Address | None:
    """Read a target's token, `SELECTOR/DEVICETOKEN` or the device token alone; None for what is neither."""
    selector, slash, device_token = token.rpartition("/")
    if slash and not _is_plain(selector):
        return None
    return Address(selector, device_token) if _is_plain(device_token) else None


def write(message: PushMessage, now: int) -> Letter | Outcome:
    """Build the letter; the interface has no time in it."""
    verb = VERBS.get(message.type)
    if verb is None:
        return Rejected("this push service has no silent pushes")
    if verb == ELSEWHERE and message.payload.get("state") != _ELSEWHERE:
        return Rejected("this push service cannot say that a call was given up")
    where = address(message.target.token.reveal())
    if where is None:
        return TargetGone("not a token", certain=False)
    if not _is_plain(message.target.topic):
        return Rejected("the target has no AppId as its topic")
    fields = {
        "verb": verb,
        "AppId": message.target.topic,
        "DeviceToken": where.device_token,
        "Selector": where.selector,
        "Id": str(message.payload.get("call_id") or message.payload.get("message_id") or message.id),
    }
    return Letter((("content-type", "application/json"),), encoded(fields | _words(message, verb)))


def _words(message: PushMessage, verb: str) -> dict[str, Any]:
    """Return what the user gets to read."""
    if verb == TEXT:
        badge = {} if message.badge is None else {"Badge": message.badge}
        return {"Message": shortened(message.text or message.title or _TEST_TEXT)} | badge
    caller = message.payload.get("from" if verb == MESSAGE else "caller")
    caller = caller if isinstance(caller, dict) else {}
    words: dict[str, Any] = {
        "UserName": shortened(str(caller.get("number") or caller.get("uri") or "")),
        "UserDisplayName": shortened(str(caller.get("name") or "")),
    }
    if verb == MESSAGE:
        words["Message"] = shortened(message.text)
    if verb == MISSED:
        words["Message"] = shortened(message.text)
        count = message.payload.get("count")
        if isinstance(count, int) and count > 0:
            words["Badge"] = count
    return words


def _is_plain(text: str) -> bool:
    return 0 < len(text) <= _MOST_FIELD and text.isascii() and text.isprintable() and " " not in text

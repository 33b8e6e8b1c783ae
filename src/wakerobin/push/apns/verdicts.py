"""What each answer of Apple's means for a push: data, with the reason beside every row.

A row says what the outcome is, and what else follows for the connection and the token. Answers that
are in no row never end a target.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wakerobin.core.pushes import Accepted, Outcome, TargetGone, Throttled, Unavailable
from wakerobin.push.connection import Answer
from wakerobin.push.retry_after import retry_after
from wakerobin.push.verdict import json_object, ours, refused, suspect, throttled


class Consequence(enum.Enum):
    """What follows beside the outcome."""

    NOTHING = "nothing"
    LEAVE_CONNECTION = "no further push over this connection"
    SIGN_AGAIN = "another provider token, and no further push over this connection"


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer says beside its reason. Times and durations in milliseconds, 0 for unsaid."""

    status: int
    reason: str
    timestamp: int = 0
    retry_after: int = 0
    is_call: bool = False


Make: TypeAlias = Callable[[Facts], Outcome]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row."""

    make: Make
    why: str
    consequence: Consequence = Consequence.NOTHING


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome of a push and what follows for connection and token."""

    outcome: Outcome
    consequence: Consequence = Consequence.NOTHING
    reason: str = ""


TOKEN_UPDATES_PAUSE: Final = 60_000
"""So long nothing is tried after Apple saw too many tokens."""
SERVER_ERROR_PAUSE: Final = 15 * 60_000
"""Apple allows another try 15 minutes after a 500 or 503; a call rings by then or never."""
QUICK: Final = 250
"""The pause where another try costs nobody anything."""


def _gone(facts: Facts) -> Outcome:
    return TargetGone(facts.reason, gone_at=facts.timestamp)


def _too_many_tokens(facts: Facts) -> Outcome:
    return Throttled(facts.reason, facts.retry_after or TOKEN_UPDATES_PAUSE)


def _again_soon(facts: Facts) -> Outcome:
    return Unavailable(facts.reason, facts.retry_after or QUICK, processed=False)


def _again_later(facts: Facts) -> Outcome:
    pause = QUICK if facts.is_call else SERVER_ERROR_PAUSE
    return Unavailable(facts.reason, facts.retry_after or pause, processed=False)


_LEAVE = Consequence.LEAVE_CONNECTION
_SIGN = Consequence.SIGN_AGAIN

VERDICTS: Final[dict[tuple[int, str], Verdict]] = {
    (400, "BadDeviceToken"): Verdict(suspect, "dead, or a token of the other environment"),
    (400, "DeviceTokenNotForTopic"): Verdict(suspect, "dead, or our topic is another app's"),
    (400, "BadTopic"): Verdict(ours, "the topic in the settings is no bundle id"),
    (400, "MissingTopic"): Verdict(ours, "the key serves several topics and the settings name none"),
    (400, "TopicDisallowed"): Verdict(ours, "the key does not serve this topic"),
    (403, "Forbidden"): Verdict(ours, "the key may not do this"),
    (400, "BadCollapseId"): Verdict(refused, "a bug of ours: longer than 64 octets"),
    (400, "BadExpirationDate"): Verdict(refused, "a bug of ours: no number"),
    (400, "BadMessageId"): Verdict(refused, "a bug of ours: no UUID"),
    (400, "BadPriority"): Verdict(refused, "a bug of ours: not the priority of this push type"),
    (400, "DuplicateHeaders"): Verdict(refused, "a bug of ours"),
    (400, "InvalidPushType"): Verdict(refused, "a bug of ours"),
    (400, "MissingDeviceToken"): Verdict(refused, "a bug of ours: no token in the path"),
    (400, "PayloadEmpty"): Verdict(refused, "a bug of ours"),
    (404, "BadPath"): Verdict(refused, "a bug of ours, or the token has a character of paths in it"),
    (405, "MethodNotAllowed"): Verdict(refused, "a bug of ours"),
    (413, "PayloadTooLarge"): Verdict(refused, "a bug of ours: the limits are kept before sending"),
    (400, "IdleTimeout"): Verdict(_again_soon, "this connection is over, the push is not", _LEAVE),
    (403, "ExpiredProviderToken"): Verdict(_again_soon, "a clock is wrong; the connection is wedged", _SIGN),
    (403, "UnrelatedKeyIdInToken"): Verdict(_again_soon, "the connection is bound to another key", _LEAVE),
    (403, "InvalidProviderToken"): Verdict(ours, "key, key id or team id do not fit together"),
    (403, "MissingProviderToken"): Verdict(ours, "something between us and Apple strips headers"),
    (403, "BadCertificate"): Verdict(ours, "a proxy between us and Apple presents one"),
    (403, "BadCertificateEnvironment"): Verdict(ours, "the certificate is for the other environment"),
    (403, "BadEnvironmentKeyIdInToken"): Verdict(ours, "the key is for the other environment"),
    (410, "Unregistered"): Verdict(_gone, "no longer active since the timestamp"),
    (410, "ExpiredToken"): Verdict(_gone, "the token has expired"),
    (429, "TooManyProviderTokenUpdates"): Verdict(_too_many_tokens, "this connection saw several", _LEAVE),
    (429, "TooManyRequests"): Verdict(throttled, "too many to this device, not over this connection"),
    (500, "InternalServerError"): Verdict(_again_later, "Apple's trouble"),
    (503, "ServiceUnavailable"): Verdict(_again_later, "Apple's trouble"),
    (503, "Shutdown"): Verdict(_again_later, "this server of Apple's stops", _LEAVE),
}

BY_STATUS: Final[dict[int, Verdict]] = {
    401: Verdict(ours, "no reason of Apple's: a proxy wants to be asked first"),
    403: Verdict(ours, "whatever is forbidden, it is forbidden to this key"),
    408: Verdict(_again_soon, "a proxy's timeout: the request was not complete"),
    429: Verdict(throttled, "whatever there are too many of"),
}
"""For reasons in no row."""

SERVER_ERROR: Final = Verdict(_again_later, "any other 5xx is theirs, as 500")
UNKNOWN: Final = Verdict(refused, "what nobody knows ends no target and is not tried again")


def judge(answer: Answer, now: int, *, is_call: bool = False) -> Judgement:
    """Read an answer of APNs. Never raises, whatever the body holds; `now` is epoch milliseconds."""
    if answer.status == 200:
        return Judgement(Accepted(answer.headers.get("apns-id", "")))
    facts = _facts(answer, now, is_call=is_call)
    verdict = VERDICTS.get((facts.status, facts.reason)) or _by_status(facts.status)
    return Judgement(verdict.make(facts), verdict.consequence, facts.reason)


def _by_status(status: int) -> Verdict:
    fallback = SERVER_ERROR if status >= 500 else UNKNOWN
    return BY_STATUS.get(status, fallback)


def _facts(answer: Answer, now: int, *, is_call: bool) -> Facts:
    body = json_object(answer.body)
    reason = body.get("reason")
    return Facts(
        status=answer.status,
        reason=reason[:100] if isinstance(reason, str) and reason else f"status {answer.status}",
        timestamp=_timestamp(body.get("timestamp"), now),
        retry_after=retry_after(answer.headers.get("retry-after", ""), now),
        is_call=is_call,
    )


def _timestamp(value: object, now: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return 0
    return min(value, now)  # Apple's clock may be a little ahead of ours

"""What each answer of Firebase's means for a push: data, with the reason beside every row.

A row says what the outcome is, and what else follows for access token and quotas. Answers that are in
no row never end a target.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from wakerobin.core.pushes import Accepted, Outcome, Throttled, Unavailable
from wakerobin.push.connection import Answer
from wakerobin.push.retry_after import retry_after
from wakerobin.push.verdict import gone, json_object, ours, refused, suspect


class Consequence(enum.Enum):
    """What follows beside the outcome."""

    NOTHING = "nothing"
    RENEW_TOKEN = "another access token, and the push once more"  # noqa: S105 - words, no token
    PAUSE_PROJECT = "nothing but calls to the whole project for a while"
    PAUSE_DEVICE = "nothing but calls to this device for a while"


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer says. `retry_after` in milliseconds, 0 for unsaid."""

    status: int
    reason: str
    """The code of FCM, else of Google's APIs, else the status."""
    has_fcm_code: bool = False
    names_token: bool = False
    """It is the token that is wrong, and no other field of the message."""
    quota: str = ""
    """`device` or `project`; empty where it does not say whose."""
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
    """The outcome of a push and what follows beside it."""

    outcome: Outcome
    consequence: Consequence = Consequence.NOTHING


FIRST_RETRY: Final = 10_000
"""Google asks to wait so long, at least, before another try."""
QUOTA_PAUSE: Final = 60_000
"""Google's pause after 429 without Retry-After."""


def _throttled(facts: Facts) -> Outcome:
    return Throttled(facts.reason, facts.retry_after or QUOTA_PAUSE)


def _again(facts: Facts) -> Outcome:
    # A call has no ten seconds; it is repeated once, by whoever carries it.
    wait = facts.retry_after or (0 if facts.is_call else FIRST_RETRY)
    return Unavailable(facts.reason, wait, processed=False)


_TOKEN = Consequence.RENEW_TOKEN
_TOKEN_FIELDS: Final = ("message.token", "message.fid")

VERDICTS: Final[dict[tuple[int, str], Verdict]] = {
    (400, "INVALID_ARGUMENT of the token"): Verdict(suspect, "no registration token, or cut short"),
    (400, "INVALID_ARGUMENT"): Verdict(refused, "a bug of ours: a field of the message"),
    (401, "UNAUTHENTICATED"): Verdict(ours, "the access token is refused, also a new one", _TOKEN),
    (401, "THIRD_PARTY_AUTH_ERROR"): Verdict(ours, "a key for Apple or the web in the Firebase console"),
    (403, "SENDER_ID_MISMATCH"): Verdict(suspect, "a token of another project, or our project is wrong"),
    (403, "PERMISSION_DENIED"): Verdict(ours, "the service account may not send for this project"),
    (403, "SERVICE_DISABLED"): Verdict(ours, "the Cloud Messaging API is off in this project"),
    (404, "UNREGISTERED"): Verdict(gone, "the app was removed, or was idle for 270 days"),
    (404, "NOT_FOUND"): Verdict(ours, "no such project: the token is not what was not found"),
    (429, "QUOTA_EXCEEDED of the project"): Verdict(
        _throttled, "600,000 a minute for all apps of the project", Consequence.PAUSE_PROJECT
    ),
    (429, "QUOTA_EXCEEDED of the device"): Verdict(
        _throttled, "240 a minute or 5,000 an hour to one device", Consequence.PAUSE_DEVICE
    ),
    (429, "QUOTA_EXCEEDED"): Verdict(_throttled, "some quota; it does not say whose"),
    (429, "RESOURCE_EXHAUSTED"): Verdict(_throttled, "some quota; it does not say whose"),
    (500, "INTERNAL"): Verdict(_again, "Google's trouble"),
    (503, "UNAVAILABLE"): Verdict(_again, "Google's trouble, or too many at once"),
}

BY_STATUS: Final[dict[int, Verdict]] = {
    401: Verdict(ours, "whatever else is wrong with who we are"),
    403: Verdict(ours, "whatever is forbidden, it is forbidden to this service account"),
    404: Verdict(ours, "nothing is there: the address in the settings is wrong"),
    408: Verdict(_again, "a proxy's timeout: the request was not complete"),
    429: Verdict(_throttled, "whatever there are too many of"),
}
"""For codes in no row."""

SERVER_ERROR: Final = Verdict(_again, "any other 5xx is theirs, as 500")
UNKNOWN: Final = Verdict(refused, "what nobody knows ends no target and is not tried again")


def judge(answer: Answer, now: int, *, is_call: bool = False) -> Judgement:
    """Read an answer of FCM. Never raises, whatever the body holds; `now` is epoch milliseconds."""
    body = json_object(answer.body)
    if answer.status == 200:
        name = body.get("name")
        return Judgement(Accepted(name[:200] if isinstance(name, str) else ""))
    facts = _facts(answer, body, now, is_call=is_call)
    verdict = VERDICTS.get((facts.status, _row(facts))) or _by_status(facts.status)
    return Judgement(verdict.make(facts), verdict.consequence)


def _by_status(status: int) -> Verdict:
    return BY_STATUS.get(status, SERVER_ERROR if status >= 500 else UNKNOWN)


def _row(facts: Facts) -> str:
    """Return the key of the table: some codes mean two things."""
    if facts.reason == "INVALID_ARGUMENT" and facts.names_token:
        return "INVALID_ARGUMENT of the token"
    if facts.reason == "UNREGISTERED" and not facts.has_fcm_code:
        return "NOT_FOUND"  # only FCM itself knows of devices
    if facts.reason == "QUOTA_EXCEEDED" and facts.quota:
        return f"QUOTA_EXCEEDED of the {facts.quota}"
    return facts.reason


def _facts(answer: Answer, body: dict[str, Any], now: int, *, is_call: bool) -> Facts:
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    details = list(_details(error))
    fcm_code = next((_text(d.get("errorCode")) for d in details if _is(d, "firebase.fcm.v1.FcmError")), "")
    info = next((_text(d.get("reason")) for d in details if _is(d, "rpc.ErrorInfo")), "")
    is_disabled = info == "SERVICE_DISABLED"
    return Facts(
        status=answer.status,
        reason=fcm_code or (info if is_disabled else _text(error.get("status"))) or f"status {answer.status}",
        has_fcm_code=bool(fcm_code),
        names_token=bool(fcm_code) and _names_token(error, details),
        quota=_quota(details),
        retry_after=retry_after(answer.headers.get("retry-after", ""), now),
        is_call=is_call,
    )


def _names_token(error: dict[str, Any], details: list[dict[str, Any]]) -> bool:
    fields = [
        violation.get("field") if isinstance(violation, dict) else None
        for detail in details
        if _is(detail, "rpc.BadRequest") and isinstance(detail.get("fieldViolations"), list)
        for violation in detail["fieldViolations"]
    ]
    if fields:
        return all(field in _TOKEN_FIELDS for field in fields)
    return "registration token" in str(error.get("message"))


def _quota(details: list[dict[str, Any]]) -> str:
    failures = [d.get("violations") for d in details if _is(d, "rpc.QuotaFailure")]
    if not failures:
        return ""
    return "device" if "device" in json.dumps(failures).lower() else "project"


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    details = error.get("details")
    if isinstance(details, list):
        yield from (one for one in details if isinstance(one, dict))


def _is(detail: dict[str, Any], type_: str) -> bool:
    return str(detail.get("@type")).endswith(f"google.{type_}")


def _text(value: object) -> str:
    return value[:100] if isinstance(value, str) else ""

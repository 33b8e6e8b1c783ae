"""What each answer of a Web Push service means for a push: data, with the reason beside every row.

RFC 8030 says little of errors, so that a row without a reason is for every push service, and one with
a reason for those that give it: Mozilla's numbers (`errno`) and Apple's words. Answers that are in no
row never end a target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wakerobin.core.pushes import Outcome, Unavailable
from wakerobin.push.connection import Answer
from wakerobin.push.retry_after import retry_after
from wakerobin.push.verdict import accepted, gone, json_object, ours, refused, suspect, throttled


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer says. `retry_after` in milliseconds, 0 for unsaid."""

    status: int
    reason: str
    retry_after: int = 0


Make: TypeAlias = Callable[[Facts], Outcome]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row. `signs_again`: our token is not to be used there any more."""

    make: Make
    why: str
    signs_again: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome of a push, and whether another token must be signed for its push service."""

    outcome: Outcome
    signs_again: bool = False


QUICK: Final = 250
"""Milliseconds until another try where that costs nobody anything."""


def _again_soon(facts: Facts) -> Outcome:
    return Unavailable(facts.reason, facts.retry_after or QUICK, processed=False)


def _again_later(facts: Facts) -> Outcome:
    return Unavailable(facts.reason, facts.retry_after, processed=False)


TOO_LARGE: Final = Verdict(refused, "longer than this push service takes, even shortened")

VERDICTS: Final[dict[tuple[int, str], Verdict]] = {
    (200, ""): Verdict(accepted, "some answer so instead of 201"),
    (201, ""): Verdict(accepted, "created (RFC 8030 5)"),
    (202, ""): Verdict(accepted, "taken, with a receipt to come"),
    (204, ""): Verdict(accepted, "taken, and nothing to say of it"),
    (301, ""): Verdict(suspect, "moved for good: a redirect could lead anywhere, the app has the new URL"),
    (308, ""): Verdict(suspect, "as 301"),
    (302, ""): Verdict(_again_later, "moved for now, and redirects are not followed"),
    (303, ""): Verdict(_again_later, "as 302"),
    (307, ""): Verdict(_again_later, "as 302"),
    (400, ""): Verdict(refused, "a bug of ours: a header or the encryption"),
    (400, "BadDeviceToken"): Verdict(suspect, "Apple: no subscription is behind this URL"),
    (400, "BadWebPushTopic"): Verdict(refused, "Apple: a bug of ours, the Topic"),
    (400, "VapidPkHashMismatch"): Verdict(suspect, "Apple: made with another key; lost, or ours changed"),
    (401, ""): Verdict(suspect, "another key's subscription, or our token is wrong", signs_again=True),
    (401, "109"): Verdict(suspect, "Mozilla: as 401 without a number", signs_again=True),
    (401, "BadJwtToken"): Verdict(ours, "Apple: as 403", signs_again=True),
    (403, ""): Verdict(suspect, "another key's subscription, or our token is wrong", signs_again=True),
    (403, "BadJwtToken"): Verdict(ours, "Apple: subject, clock or key of ours", signs_again=True),
    (403, "ExpiredProviderToken"): Verdict(ours, "Apple: a clock is wrong", signs_again=True),
    (403, "VapidPkHashMismatch"): Verdict(suspect, "Apple: made with another key; lost, or ours changed"),
    (404, ""): Verdict(gone, "no such subscription (RFC 8030 7.3: expired)"),
    (405, ""): Verdict(refused, "no push service answers so; this URL is none"),
    (406, ""): Verdict(throttled, "Microsoft: too many; it has no 429"),
    (408, ""): Verdict(_again_soon, "a proxy's timeout: the request was not complete"),
    (410, ""): Verdict(gone, "the subscription is no more"),
    (410, "Unregistered"): Verdict(gone, "Apple: the subscription is no more"),
    (413, ""): TOO_LARGE,
    (413, "104"): TOO_LARGE,
    (421, ""): Verdict(_again_soon, "this connection is not for that host"),
    (425, ""): Verdict(_again_soon, "too early in the TLS handshake for this server"),
    (429, ""): Verdict(throttled, "too many, to this subscription or from us"),
    (500, ""): Verdict(_again_later, "their trouble"),
    (502, ""): Verdict(_again_later, "trouble behind their proxy"),
    (503, ""): Verdict(_again_later, "their trouble; Mozilla: come back later (201)"),
    (503, "202"): Verdict(_again_soon, "Mozilla: may be tried again at once"),
    (504, ""): Verdict(_again_later, "as 502"),
    (507, ""): Verdict(_again_later, "no room there at present"),
}

SUCCESS: Final = Verdict(accepted, "any other 2xx means that it was taken")
SERVER_ERROR: Final = Verdict(_again_later, "any other 5xx is theirs")
UNKNOWN: Final = Verdict(refused, "what nobody knows ends no target and is not tried again")


def judge(answer: Answer, now: int) -> Judgement:
    """Read an answer. Never raises, whatever the body holds; `now` is epoch milliseconds."""
    said = _said(answer.body)
    reason = f"status {answer.status} {said}".rstrip()
    facts = Facts(answer.status, reason, retry_after(answer.headers.get("retry-after", ""), now))
    status = answer.status
    verdict = VERDICTS.get((status, said)) or VERDICTS.get((status, "")) or _other(status)
    return Judgement(verdict.make(facts), verdict.signs_again)


def is_too_large(answer: Answer) -> bool:
    """Whether a shorter push may be taken."""
    return answer.status == 413


def _other(status: int) -> Verdict:
    if status >= 500:
        return SERVER_ERROR
    return SUCCESS if 200 <= status < 300 else UNKNOWN


def _said(body: bytes) -> str:
    """Return Mozilla's number or Apple's word; nothing else of a body, which may repeat the endpoint."""
    value = json_object(body)
    number, word = value.get("errno"), value.get("reason")
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 1000:
        return str(number)
    return word if isinstance(word, str) and word.isascii() and word.isalnum() and len(word) <= 40 else ""

"""What each answer of the Acrobits push server means for a push: data, with the reason beside every row.

Its answer is JSON, `{"code": …, "response": …}`, and the code counts, whatever the status of HTTP is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wakerobin.core.pushes import Accepted, Outcome, Rejected, TargetGone, Throttled, Unavailable
from wakerobin.push.connection import Answer
from wakerobin.push.retry_after import retry_after


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer says. `retry_after` in milliseconds, 0 for unsaid."""

    code: int
    is_said: bool
    """The push server gave this code itself; else it is the status of HTTP."""
    retry_after: int = 0

    @property
    def reason(self) -> str:
        """The code, in words for logs."""
        return f"code {self.code}" if self.is_said else f"status {self.code}"


Make: TypeAlias = Callable[[Facts], Outcome]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row."""

    make: Make
    why: str


def _accepted(_: Facts) -> Outcome:
    return Accepted()


def _gone(facts: Facts) -> Outcome:
    return TargetGone(facts.reason)


def _throttled(facts: Facts) -> Outcome:
    return Throttled(facts.reason, facts.retry_after)


def _again(facts: Facts) -> Outcome:
    return Unavailable(facts.reason, facts.retry_after, processed=False)


def _refused(facts: Facts) -> Outcome:
    return Rejected(facts.reason)


def _ours(facts: Facts) -> Outcome:
    return Rejected(facts.reason, ours=True)


VERDICTS: Final[dict[tuple[int, bool], Verdict]] = {
    (404, True): Verdict(_gone, "the device token is dead"),
    (404, False): Verdict(_ours, "nothing is there: the URL in the settings is wrong"),
    (400, True): Verdict(_refused, "a required field is missing or wrong"),
    (401, True): Verdict(_ours, "the app id is not served for us"),
    (403, True): Verdict(_ours, "the app id is not served for us"),
    (401, False): Verdict(_ours, "something in front of it wants to know who we are"),
    (403, False): Verdict(_ours, "something in front of it keeps us out"),
    (408, False): Verdict(_again, "the request did not arrive in time"),
    (429, True): Verdict(_throttled, "too many"),
    (429, False): Verdict(_throttled, "too many"),
}
"""By code, and whether the push server gave it itself."""
BY_CLASS: Final[dict[int, Verdict]] = {
    2: Verdict(_accepted, "taken"),
    3: Verdict(_ours, "a redirect: it is not followed, the settings name the place"),
    4: Verdict(_refused, "any other refusal is of this push, and not tried again"),
    5: Verdict(_again, "trouble of theirs"),
}
UNKNOWN: Final = Verdict(_refused, "no code that anybody knows")


def judge(answer: Answer, now: int) -> Outcome:
    """Read an answer. Never raises, whatever the body holds; `now` is epoch milliseconds."""
    said = _code(answer.body)
    code = answer.status if said is None else said
    facts = Facts(code, said is not None, retry_after(answer.headers.get("retry-after", ""), now))
    verdict = VERDICTS.get((code, facts.is_said)) or BY_CLASS.get(code // 100, UNKNOWN)
    return verdict.make(facts)


def _code(body: bytes) -> int | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    code = value.get("code") if isinstance(value, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) == 3:
        code = int(code)
    return code if isinstance(code, int) and 200 <= code <= 599 else None

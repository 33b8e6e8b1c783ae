"""What each answer of the Acrobits push server means for a push: data, with the reason beside every row.

Its answer is JSON, `{"code": …, "response": …}`, and the code counts, whatever the status of HTTP is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wakerobin.core.pushes import Outcome, Unavailable
from wakerobin.push.connection import Answer
from wakerobin.push.retry_after import retry_after
from wakerobin.push.verdict import accepted, gone, json_object, ours, refused, throttled


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


def _again(facts: Facts) -> Outcome:
    return Unavailable(facts.reason, facts.retry_after, processed=False)


VERDICTS: Final[dict[tuple[int, bool], Verdict]] = {
    (404, True): Verdict(gone, "the device token is dead"),
    (404, False): Verdict(ours, "nothing is there: the URL in the settings is wrong"),
    (400, True): Verdict(refused, "a required field is missing or wrong"),
    (401, True): Verdict(ours, "the app id is not served for us"),
    (403, True): Verdict(ours, "the app id is not served for us"),
    (401, False): Verdict(ours, "something in front of it wants to know who we are"),
    (403, False): Verdict(ours, "something in front of it keeps us out"),
    (408, False): Verdict(_again, "the request did not arrive in time"),
    (429, True): Verdict(throttled, "too many"),
    (429, False): Verdict(throttled, "too many"),
}
"""By code, and whether the push server gave it itself."""
BY_CLASS: Final[dict[int, Verdict]] = {
    2: Verdict(accepted, "taken"),
    3: Verdict(ours, "a redirect: it is not followed, the settings name the place"),
    4: Verdict(refused, "any other refusal is of this push, and not tried again"),
    5: Verdict(_again, "trouble of theirs"),
}
UNKNOWN: Final = Verdict(refused, "no code that anybody knows")


def judge(answer: Answer, now: int) -> Outcome:
    """Read an answer. Never raises, whatever the body holds; `now` is epoch milliseconds."""
    said = _code(answer.body)
    code = answer.status if said is None else said
    facts = Facts(code, said is not None, retry_after(answer.headers.get("retry-after", ""), now))
    verdict = VERDICTS.get((code, facts.is_said)) or BY_CLASS.get(code // 100, UNKNOWN)
    return verdict.make(facts)


def _code(body: bytes) -> int | None:
    code = json_object(body).get("code")
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) == 3:
        code = int(code)
    return code if isinstance(code, int) and 200 <= code <= 599 else None

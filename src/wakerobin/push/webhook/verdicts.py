"""What each answer of a webhook means for a push: data, with the reason beside every row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from wakerobin.core.pushes import Outcome, Unavailable
from wakerobin.push.connection import Answer
from wakerobin.push.retry_after import retry_after
from wakerobin.push.verdict import accepted, gone, ours, refused, throttled


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer says. `retry_after` in milliseconds, 0 for unsaid."""

    status: int
    retry_after: int = 0

    @property
    def reason(self) -> str:
        """The status, in words for logs."""
        return f"status {self.status}"


Make: TypeAlias = Callable[[Facts], Outcome]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row."""

    make: Make
    why: str


def _not_taken(facts: Facts) -> Outcome:
    return Unavailable(facts.reason, facts.retry_after, processed=False)


def _perhaps_taken(facts: Facts) -> Outcome:
    return Unavailable(facts.reason, facts.retry_after)


VERDICTS: Final[dict[int, Verdict]] = {
    401: Verdict(ours, "our signature is refused: the secrets differ"),
    403: Verdict(ours, "our signature is refused: the secrets differ"),
    404: Verdict(ours, "nothing is there: the URL in the settings is wrong"),
    405: Verdict(ours, "no POST is taken there: the URL in the settings is wrong"),
    408: Verdict(_not_taken, "the request did not arrive in time"),
    410: Verdict(gone, "the receiver says that this target is no more"),
    425: Verdict(_not_taken, "too early in the connection"),
    429: Verdict(throttled, "too many"),
    500: Verdict(_perhaps_taken, "it broke, before or after it took the push"),
    502: Verdict(_perhaps_taken, "a proxy in front of it lost it"),
    503: Verdict(_not_taken, "it is busy or being mended"),
    504: Verdict(_perhaps_taken, "a proxy in front of it had no answer in time"),
}
BY_CLASS: Final[dict[int, Verdict]] = {
    2: Verdict(accepted, "taken"),
    3: Verdict(ours, "a redirect: it is not followed, the settings name the place"),
    4: Verdict(refused, "any other refusal is of this push, and not tried again"),
    5: Verdict(_perhaps_taken, "any other trouble is theirs, as 500"),
}
UNKNOWN: Final = Verdict(refused, "no status of HTTP")


def judge(answer: Answer, now: int) -> Outcome:
    """Read an answer. Never raises; `now` is epoch milliseconds."""
    verdict = VERDICTS.get(answer.status) or BY_CLASS.get(answer.status // 100, UNKNOWN)
    return verdict.make(Facts(answer.status, retry_after(answer.headers.get("retry-after", ""), now)))

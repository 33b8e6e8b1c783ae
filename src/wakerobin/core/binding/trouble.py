"""What an account does when it could not be bound: how it is said, and when it is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from wakerobin.core.binding.outcomes import (
    ComeLater,
    Outcome,
    RealmUnknown,
    Refusal,
    Refused,
    Unreachable,
    Unusable,
)
from wakerobin.core.pacing import Backoff
from wakerobin.core.values import BindingState

FULL_CODE = "registrar-full"

REFUSED_WAITS_S = (600.0, 3_600.0, 21_600.0)
"""A refused account asks again after these, the last one for ever: more would look like guessing."""

_BACKOFF = Backoff(first_s=30.0, most_s=1_800.0)
_RESTART_S = 2.0
"""A PBX that was only started again is there by then: one try, then the back-off."""
_STARTING_S = 60.0
"""A PBX that was just started may not have read its users yet. Asking for one it does not know is no guess
of a password."""
_SOON_S = 6.0
_MOST_SOON = 3
_REALM_WAIT_S = 300.0
_REALM_PATIENCE_S = 600.0
_REALM_ATTEMPTS = 3
_SHORTEST_RETRY_S = 1.0
_LONGEST_RETRY_S = 3_600.0
_JITTER = 0.1

_REFUSALS = {
    Refusal.WRONG: ("credentials-refused", "The PBX does not accept the password."),
    Refusal.FORBIDDEN: (
        "registrar-forbids",
        "The PBX refuses: the password is wrong, or it allows no more devices for this extension.",
    ),
    Refusal.FULL: (
        FULL_CODE,
        "The PBX allows no more devices for this extension: raise its limit (FreePBX: Max Contacts) to 5.",
    ),
    Refusal.UNKNOWN: ("account-unknown", "The PBX does not know this account."),
}


_FOR_PEOPLE = {
    "credentials-refused": "Your provider refuses the password {since}.",
    "registrar-forbids": (
        "Your provider refuses this phone {since}: the password is wrong, or it allows no more devices."
    ),
    "registrar-full": "Your provider allows no more devices for your number {since}.",
    "account-unknown": "Your provider does not know this account {since}.",
    "credentials-needed": "Your provider asks for the password anew {since}.",
    "realm-unknown": "Your provider asks for the password anew {since}.",
    "registrar-unreachable": "Your provider cannot be reached {since}. {reason}",
    "registrar-busy": "Your provider has no time {since}. {reason}",
    "registrar-unusable": "Your provider answers {since} in a way that is of no use. {reason}",
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_A_WEEK = 6 * 24 * 3600_000


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an account is not bound, since when (monotonic seconds), and how often in a row."""

    state: BindingState
    code: str
    reason: str
    since_s: float
    failures: int

    def is_worth_telling(self, now_s: float, bound_until_s: float, wait_s: float) -> bool:
        """Whether it is more than a refresh that has to be repeated: the binding is, or may be, lost.

        What is tried again within seconds may be over before anybody has read of it.
        """
        if wait_s <= _SOON_S and self.failures <= _MOST_SOON:
            return False
        if self.state is not BindingState.UNREACHABLE or now_s >= bound_until_s:
            return True
        return self.failures > 1 and self.code != "realm-unknown"


def troubled(before: Trouble | None, outcome: Outcome, now_s: float, jitter: float) -> tuple[Trouble, float]:
    """Return the trouble after an outcome that is no binding, and in how many seconds to try again.

    `jitter` is a random number from 0 to 1: accounts that failed together do not come back together.
    """
    state, code, reason = _said(outcome)
    is_same = before is not None and _kind(before.code) == _kind(code)
    failures = before.failures + 1 if before is not None and is_same else 1
    since_s = before.since_s if before is not None and is_same else now_s
    if code == "realm-unknown" and failures >= _REALM_ATTEMPTS and now_s - since_s >= _REALM_PATIENCE_S:
        state, code = BindingState.CREDENTIALS_NEEDED, "credentials-needed"
    trouble = Trouble(state, code, reason, since_s, failures)
    return trouble, _wait_s(outcome, trouble, jitter)


def in_words(code: str, reason: str, since_at: int, now: int, zone: str = "") -> str:
    """Return why an account is not bound, for its user: with since when, in their time zone or UTC.

    A reason that has no such sentence is returned as it is.
    """
    sentence = _FOR_PEOPLE.get(code)
    if sentence is None or since_at <= 0:
        return reason
    return sentence.format(since=_since(since_at, now, zone), reason=reason)


def _since(at: int, now: int, zone: str) -> str:
    try:
        tz: tzinfo = ZoneInfo(zone) if zone else UTC
    except (KeyError, ValueError, OSError):  # no zone of this name: it was somebody's free text
        tz = UTC
    when = datetime.fromtimestamp(at / 1000, tz)
    day = _DAYS[when.weekday()] if 0 <= now - at < _A_WEEK else f"{when:%Y-%m-%d}"
    return f"since {day} {when:%H:%M}" + ("" if tz is not UTC else " UTC")


def resumed_wait_s(state: BindingState, jitter: float) -> float:
    """Return when an account that was in this trouble before a restart may be tried: never all at once."""
    if state in (BindingState.REFUSED, BindingState.CREDENTIALS_NEEDED):
        return REFUSED_WAITS_S[0] * (1 + jitter)
    return _BACKOFF.delay(0, jitter) if state is BindingState.UNREACHABLE else 0.0


def _said(outcome: Outcome) -> tuple[BindingState, str, str]:
    match outcome:
        case Refused(why=why):
            return BindingState.REFUSED, *_REFUSALS[why]
        case RealmUnknown():
            reason = "The PBX asks for a login in another realm than before; the password is needed again."
            return BindingState.UNREACHABLE, "realm-unknown", reason
        case ComeLater(status=status):
            reason = f"The PBX is busy or asks for patience ({status})."
            return BindingState.UNREACHABLE, "registrar-busy", reason
        case Unusable(reason=reason):
            return BindingState.UNREACHABLE, "registrar-unusable", reason
        case Unreachable(reason=reason):
            return BindingState.UNREACHABLE, "registrar-unreachable", reason
        case _:
            raise ValueError("a binding that succeeded is no trouble")


def _kind(code: str) -> str:
    """Return what counts as the same trouble when it is met again."""
    if code in ("realm-unknown", "credentials-needed"):
        return "realm"
    if code in ("credentials-refused", "registrar-forbids", FULL_CODE, "account-unknown"):
        return "refused"
    return "unreachable"


def _wait_s(outcome: Outcome, trouble: Trouble, jitter: float) -> float:
    match outcome:
        case ComeLater(retry_after_s=int(seconds)):
            wait = min(max(seconds, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)
        case Unreachable(is_refused=True) if trouble.failures == 1:
            wait = _RESTART_S
        case Unreachable(is_refused=True):
            return _BACKOFF.delay(trouble.failures - 2, jitter)
        case Refused(why=Refusal.UNKNOWN):
            waits = (_STARTING_S, *REFUSED_WAITS_S)
            wait = waits[min(trouble.failures, len(waits)) - 1]
        case Refused():
            wait = REFUSED_WAITS_S[min(trouble.failures, len(REFUSED_WAITS_S)) - 1]
        case RealmUnknown():
            late = trouble.state is BindingState.CREDENTIALS_NEEDED
            wait = REFUSED_WAITS_S[-1] if late else _REALM_WAIT_S
        case _:
            return _BACKOFF.delay(trouble.failures - 1, jitter)
    # Later than asked, never sooner.
    return wait * (1 + _JITTER * min(1.0, max(0.0, jitter)))

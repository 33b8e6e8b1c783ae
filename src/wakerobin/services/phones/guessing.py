"""What makes guessing passwords slow: wrong answers are counted, and each further answer waits longer.

A source that has shown the password of an account is not slowed there by what others do, and little by what
it does itself: a guesser may sit behind the same address. Pure; times are seconds of one clock.
"""

from __future__ import annotations

from dataclasses import dataclass

FREE_BY_PAIR = 4
"""Wrong answers of one source for one account that cost nothing."""

FREE_BY_ACCOUNT = 20
FREE_BY_SOURCE = 50
"""Many phones may share an address, and one of them may be set up wrongly for days."""

FREE_BY_KNOWN = 20
"""Of a source that has shown the password."""

LONGEST_WAIT_OF_KNOWN_S = 8.0
AT_ONCE_OF_KNOWN = 4
"""Answers of such a source that may wait at a time: its phone is not to be kept out by one that guesses."""

LONGEST_WAIT_S = 20.0
"""Shorter than timer F: whoever asked is still there."""

FORGIVEN_AFTER_S = 3600.0
MOST_REMEMBERED = 50_000


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


class Guessing:
    """Counts by account and source, by account, and by source."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, str], _Failures] = {}
        self._known: dict[tuple[str, str], None] = {}

    def delay(self, account: str, source: str, now: float) -> float:
        """Return how many seconds an answer has to wait before it is looked at."""
        if (account, source) in self._known:
            wait = self._wait((account, source), FREE_BY_KNOWN, now)
            return min(wait, LONGEST_WAIT_OF_KNOWN_S)
        waits = (
            self._wait((account, source), FREE_BY_PAIR, now),
            self._wait((account, ""), FREE_BY_ACCOUNT, now),
            self._wait(("", source), FREE_BY_SOURCE, now),
        )
        return max(waits)

    def at_once(self, account: str, source: str) -> int:
        """Return how many answers may wait at a time; what comes beside them is not looked at."""
        return AT_ONCE_OF_KNOWN if (account, source) in self._known else 1

    def failed(self, account: str, source: str, now: float) -> None:
        """Count a wrong answer."""
        for key in ((account, source), (account, ""), ("", source)):
            found = self._failures.pop(key, None)
            count = found.count if found is not None and _is_remembered(found, now) else 0
            _keep_below(self._failures, MOST_REMEMBERED)
            self._failures[key] = _Failures(count + 1, now)  # the last in the order of forgetting

    def succeeded(self, account: str, source: str) -> None:
        """Remember that this source knows the password."""
        if (account, source) in self._known:
            del self._known[account, source]
        else:  # only once: a guesser beside a phone is not to be forgiven at each refresh of it
            self._failures.pop((account, source), None)
        _keep_below(self._known, MOST_REMEMBERED)
        self._known[account, source] = None

    def prune(self, now: float) -> None:
        """Forget what is forgiven."""
        while self._failures:
            key = next(iter(self._failures))
            if _is_remembered(self._failures[key], now):
                return
            del self._failures[key]

    def _wait(self, key: tuple[str, str], free: int, now: float) -> float:
        found = self._failures.get(key)
        if found is None or found.count < free or not _is_remembered(found, now):
            return 0.0
        return min(2.0 ** min(found.count - free, 10), LONGEST_WAIT_S)


def _is_remembered(found: _Failures, now: float) -> bool:
    return now - found.last < FORGIVEN_AFTER_S


def _keep_below(
    remembered: dict[tuple[str, str], _Failures] | dict[tuple[str, str], None], most: int
) -> None:
    if len(remembered) >= most:
        del remembered[next(iter(remembered))]

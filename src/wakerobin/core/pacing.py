"""How fast, and how soon again: a token bucket for a rate, a back-off for repeated failures.

Both are pure: the time and the randomness are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

# 2**64 times any first wait is beyond every bound in use; above it the power would overflow.
_MOST_DOUBLINGS = 64


class TokenBucket:
    """A rate of `rate` tokens a second with room for `burst` at once; it starts full.

    Two ways to use it: `take` for what may be refused ("come again in n seconds"),
    `reserve` for what has to go and only waits for its turn. `now` is monotonic seconds; a
    `now` before the last one adds nothing and takes nothing away.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, tokens: float | None = None, at: float = 0.0) -> None:
        """Make a bucket holding `tokens` at the time `at`; ValueError if it could never serve."""
        if rate <= 0 or burst < 1:
            raise ValueError("a token bucket needs a rate above 0 and a burst of at least 1")
        self._rate = rate
        self._burst = burst
        self._tokens = burst if tokens is None else min(tokens, burst)
        self._at = at

    def level(self, now: float) -> float:
        """How many tokens are there at `now`; below 0 when some are reserved ahead."""
        gained = max(0.0, now - self._at) * self._rate
        return min(self._burst, self._tokens + gained)

    def take(self, now: float) -> float:
        """Take a token and return 0.0, or take none and return the seconds until there is one."""
        missing = self._refill(now) - 1.0
        if missing >= 0:
            self._tokens = missing
            return 0.0
        return -missing / self._rate

    def reserve(self, now: float) -> float:
        """Take the next token in any case and return the seconds until it may be used.

        Whoever waits that long goes without asking again; later callers get later turns.
        """
        self._tokens = self._refill(now) - 1.0
        return max(0.0, -self._tokens / self._rate)

    def _refill(self, now: float) -> float:
        self._tokens = self.level(now)
        self._at = max(self._at, now)
        return self._tokens


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waiting times that double with each failure in a row, RFC 5626 section 4.5.

    `first_s` is the shortest wait after the first failure, `most_s` the longest of all.
    The RFC's own numbers are 30 s and 30 min.
    """

    first_s: float = 30.0
    most_s: float = 1800.0

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.most_s:
            raise ValueError("a back-off needs 0 < first_s <= most_s")

    def upper_bound(self, attempt: int) -> float:
        """The longest wait after `attempt` failures in a row: first_s * 2**attempt, capped."""
        doublings = max(0, min(attempt, _MOST_DOUBLINGS))
        return min(self.most_s, self.first_s * 2.0**doublings)

    def delay(self, attempt: int, jitter: float) -> float:
        """Seconds to wait after `attempt` failures in a row.

        `jitter`, a random number from 0 to 1, places the wait between 50 and 100 % of the upper
        bound, so that clients that failed together do not come back together.
        """
        return self.upper_bound(attempt) * (0.5 + 0.5 * min(1.0, max(0.0, jitter)))


class Breaker:
    """Stops asking a service after failures in a row, then lets one request at a time find out; in memory."""

    def __init__(self, failures: int = 5, backoff: Backoff = Backoff(first_s=1.0, most_s=30.0)) -> None:
        self._most = failures
        self._backoff = backoff
        self._failures = 0
        self._until = 0.0

    def room(self, now: float) -> int | None:
        """Return how many requests may be out: None for no limit, 0 while it is open, then 1."""
        if self._failures < self._most:
            return None
        return 1 if now >= self._until else 0

    def failed(self, now: float, jitter: float) -> bool:
        """Count a failure at `now`; True where this one opens it. Those of before it opened count once."""
        if now < self._until:
            return False
        self._failures += 1
        if self._failures < self._most:
            return False
        self._until = now + self._backoff.delay(self._failures - self._most, jitter)
        return self._failures == self._most

    def succeeded(self) -> None:
        """The service serves: close it."""
        self._failures = 0
        self._until = 0.0

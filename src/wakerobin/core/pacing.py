"""How fast, and how soon again: rates, back-offs, and a breaker for a service that fails.

All are pure: the time and the randomness are arguments.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# 2**64 times any first wait is beyond every bound in use; above it the power would overflow.
_MOST_DOUBLINGS = 64
_FIRST_SHARE = 0.1
_MOST_CREDIT = 4.0


class TokenBucket:
    """A rate of `rate` tokens a second with room for `burst` at once; it starts full.

    Three ways to use it: `take` for what may be refused ("come again in n seconds"),
    `reserve` for what has to go and only waits for its turn, `spend` for what has come already.
    `now` is monotonic seconds; a `now` before the last one adds nothing and takes nothing away.
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

    def take(self, now: float, cost: float = 1.0) -> float:
        """Take a token (or `cost`) and return 0.0, or take none and return the seconds until there is one."""
        missing = self._refill(now) - cost
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

    def spend(self, now: float, cost: float, most_s: float) -> float:
        """Take `cost` in any case and return the seconds until nothing is owed: `most_s` at the most."""
        self._tokens = max(self._refill(now) - cost, -most_s * self._rate)
        return max(0.0, -self._tokens / self._rate)

    def _refill(self, now: float) -> float:
        self._tokens = self.level(now)
        self._at = max(self._at, now)
        return self._tokens


class TokenBuckets(Generic[K]):
    """A token bucket for each key; the key that was quiet for the longest time is forgotten above `most`."""

    def __init__(self, rate: float, burst: float, most: int = 20_000) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: dict[K, TokenBucket] = {}

    def take(self, key: K, now: float) -> float:
        """Take a token of `key` and return 0.0, or take none and return the seconds until there is one."""
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            if len(self._buckets) >= self._most:
                del self._buckets[next(iter(self._buckets))]
            bucket = TokenBucket(self._rate, self._burst, at=now)
        self._buckets[key] = bucket  # the last in the order of forgetting
        return bucket.take(now)

    def forget(self, key: K) -> None:
        """Its next token is taken out of a full bucket."""
        self._buckets.pop(key, None)


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


class Pace:
    """A rate that grows from a tenth to the whole over `ramp_s` seconds: whoever was away does not rush in.

    Holds up to `burst` tokens, and begins full. `now` is monotonic seconds.
    """

    __slots__ = ("_at", "_burst", "_ramp_s", "_rate", "_since", "_tokens")

    def __init__(self, rate: float, ramp_s: float, burst: float, at: float) -> None:
        """Begin at `at`. ValueError for what could never serve."""
        if rate <= 0 or burst < 1 or ramp_s < 0:
            raise ValueError("a pace needs a rate above 0, a burst of at least 1 and no negative ramp")
        self._rate, self._ramp_s, self._burst = rate, ramp_s, burst
        self._tokens, self._at, self._since = burst, at, at

    def level(self, now: float) -> int:
        """Return how many may go now."""
        if now > self._at:
            gained = self._until(now - self._since) - self._until(self._at - self._since)
            self._tokens = min(self._burst, self._tokens + gained)
            self._at = now
        return max(0, int(self._tokens))

    def take(self, count: int) -> None:
        """Spend tokens of the last `level`; more than there are is paid back before others go."""
        self._tokens -= count

    def wait(self, now: float, count: int = 1) -> float:
        """Return the seconds until so many may go, at the most; 0 for now."""
        self.level(now)
        missing = min(count, self._burst) - self._tokens
        if missing <= 0:
            return 0.0
        return missing / (self._rate * self._share(now - self._since))

    def restart(self, now: float) -> None:
        """Begin the ramp anew, with little in hand: the service is only just there again."""
        self.level(now)
        self._since = now
        self._tokens = min(self._tokens, max(1.0, self._burst * _FIRST_SHARE))

    def _share(self, age: float) -> float:
        return 1.0 if age >= self._ramp_s else self._share_within(age)

    def _until(self, age: float) -> float:
        """Return the tokens that come in the first `age` seconds."""
        in_ramp = min(age, self._ramp_s)
        tokens = max(0.0, age - self._ramp_s)
        if in_ramp > 0:
            tokens += in_ramp * (_FIRST_SHARE + self._share_within(in_ramp)) / 2
        return tokens * self._rate

    def _share_within(self, age: float) -> float:
        return _FIRST_SHARE + (1 - _FIRST_SHARE) * age / self._ramp_s


class Turns(Generic[K]):
    """Who goes next where not all can: each by its weight, over time, and nobody never.

    `shares` decides and remembers nothing; `took` is told what was taken.
    """

    def __init__(self, weight: Callable[[K], int]) -> None:
        self._weight = weight
        self._turns: dict[K, float] = {}
        """How much each has had, by its weight: who has had least goes next."""

    def shares(self, total: int, wanted: Mapping[K, int]) -> dict[K, int]:
        """Share `total` out among those who want so many; what one does not want goes to the others."""
        least = min((self._turns[key] for key in wanted if key in self._turns), default=0.0)
        waiting = [
            (self._turns.get(key, least), place, key)
            for place, (key, want) in enumerate(wanted.items())
            if want > 0
        ]
        heapq.heapify(waiting)
        shares = dict.fromkeys(wanted, 0)
        while waiting and total > 0:
            turn, place, key = waiting[0]
            shares[key] += 1
            total -= 1
            if shares[key] < wanted[key]:
                heapq.heapreplace(waiting, (turn + 1 / self._weight(key), place, key))
            else:
                heapq.heappop(waiting)
        return shares

    def took(self, taken: Mapping[K, int], waiting: Collection[K]) -> None:
        """Remember what was taken, of those who waited; who does not wait any more is forgotten.

        Who had nothing to take for long does not get it all at once afterwards.
        """
        least = min((self._turns[key] for key in waiting if key in self._turns), default=0.0)
        turns = {key: self._turns.get(key, least) + taken.get(key, 0) / self._weight(key) for key in waiting}
        most = max(turns.values(), default=0.0)
        self._turns = {key: max(turn, most - _MOST_CREDIT) for key, turn in turns.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a service is not asked any more, and how soon again; seconds."""

    failures: int = 5
    """In a row."""
    window_s: float = 10.0
    share: float = 0.5
    """Of the requests of a window, if there were `least` at least."""
    least: int = 20
    backoff: Backoff = Backoff(first_s=1.0, most_s=30.0)
    refused: Backoff = Backoff(first_s=60.0, most_s=900.0)
    """Where it refuses us, and someone has to mend it."""

    def __hash__(self) -> int:
        return hash((self.failures, self.window_s, self.share, self.least))


class Breaker:
    """Stops asking a service that serves nobody or refuses us, and lets one request at a time find out.

    It opens on failures in a row, on a share of failures in a window, and at once on a refusal of our
    credential. In memory.
    """

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._in_a_row = 0
        self._seconds: deque[list[float]] = deque()
        """Of each second of the window: when it began, the requests, the failures."""
        self._openings = 0
        self._until = 0.0
        self._is_by_share = False
        self._is_probing = False
        self.opened_at = 0.0
        """Since when it is open, monotonic seconds; probes that failed do not change it."""

    @property
    def is_open(self) -> bool:
        """Whether the service is not asked, but for a probe."""
        return self._openings > 0

    def wait(self, now: float) -> float:
        """Return the seconds until a request may go; 0 for now."""
        if not self.is_open:
            return 0.0
        if now < self._until:
            return self._until - now
        return self._policy.backoff.first_s if self._is_probing else 0.0

    def admit(self, now: float) -> bool:
        """Whether a request may go now. While it is open that one is the probe: tell how it ended."""
        if not self.is_open:
            return True
        if now < self._until or self._is_probing:
            return False
        self._is_probing = True
        return True

    def gave_up(self) -> None:
        """The request that was admitted did not leave."""
        self._is_probing = False

    def failed(self, now: float, jitter: float, *, is_refusal: bool = False) -> bool:
        """Count a failure; True where this one opens it. Those of before it opened count once."""
        self._is_probing = False
        if now < self._until:
            return False
        was_open = self.is_open
        self._in_a_row += 1
        self._count(now, is_failure=True)
        self._is_by_share = self._in_a_row < self._policy.failures and not is_refusal
        if was_open or is_refusal or self._in_a_row >= self._policy.failures or self._is_share_reached():
            backoff = self._policy.refused if is_refusal else self._policy.backoff
            self._until = now + backoff.delay(self._openings, jitter)
            self._openings += 1
            if not was_open:
                self.opened_at = now
        return self.is_open and not was_open

    def succeeded(self, now: float) -> bool:
        """Count a success; True where it closes it.

        Where it opened because many failed, those that succeed beside them prove nothing until its time is
        over.
        """
        self._is_probing = False
        self._in_a_row = 0
        if self.is_open and self._is_by_share and now < self._until:
            return False
        was_open = self.is_open
        if was_open:
            self._seconds.clear()
            self._openings, self._until = 0, 0.0
        self._count(now, is_failure=False)
        return was_open

    def _count(self, now: float, *, is_failure: bool) -> None:
        seconds = self._seconds
        while seconds and seconds[0][0] <= now - self._policy.window_s:
            seconds.popleft()
        if not seconds or now >= seconds[-1][0] + 1.0:
            seconds.append([now, 0, 0])
        seconds[-1][1] += 1
        seconds[-1][2] += is_failure

    def _is_share_reached(self) -> bool:
        requests = sum(second[1] for second in self._seconds)
        failures = sum(second[2] for second in self._seconds)
        return requests >= self._policy.least and failures >= self._policy.share * requests

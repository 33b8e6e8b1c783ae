"""How fast strangers may ask: one token bucket for each name, as many as fit."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from wakerobin.core.pacing import TokenBucket

MOST_NAMES = 20_000

N = TypeVar("N", bound=Hashable)


class Limits(Generic[N]):
    """Each name may ask `rate` times a second, `burst` times at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[N, TokenBucket] = {}

    def take(self, name: N, now: float) -> float:
        """Return 0.0 for one that may go, else the seconds until one may."""
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= MOST_NAMES:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[name] = TokenBucket(self._rate, self._burst, at=now)
        return bucket.take(now)

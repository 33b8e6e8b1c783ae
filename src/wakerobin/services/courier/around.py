"""What the courier needs of the rest of the server, and how its pushes are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wakerobin import metrics
from wakerobin.core.delivery import DeliveryPolicy
from wakerobin.core.ids import Entropy
from wakerobin.core.pushes import Outcome, PushMessage
from wakerobin.core.values import Provider
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.push import PushService
from wakerobin.ports.store import Store
from wakerobin.ports.texts import Texts
from wakerobin.services.lives import Lives


@dataclass(frozen=True, slots=True)
class Around:
    """What the courier needs of the rest of the server."""

    store: Store
    clock: Clock
    timers: Timers
    texts: Texts
    service: Callable[[str, Provider], PushService | None]
    """The push service of an app, None where the app has none."""
    lives: Lives
    entropy: Entropy
    policy: DeliveryPolicy = field(default_factory=DeliveryPolicy)

    def jitter(self) -> float:
        """Return a random number from 0 to 1."""
        return int.from_bytes(self.entropy(4), "big") / 2**32


def count(message: PushMessage, outcome: Outcome, seconds: float) -> None:
    """Count a push by what the push service said of it."""
    lane = message.lane.value
    metrics.PUSHES.labels(message.target.provider.value, lane, type(outcome).__name__.lower()).inc()
    metrics.PUSH_SECONDS.labels(lane).observe(seconds)

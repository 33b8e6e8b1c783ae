"""What the courier needs of the rest of the server, and how its pushes are counted."""

from __future__ import annotations

import functools
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


def is_apple(_app: str, provider: Provider) -> bool:
    """Say that Apple rations silent pushes, and nobody else."""
    return provider is Provider.APNS


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

    is_rationed: Callable[[str, Provider], bool] = is_apple
    """Whether the push service of an app rations silent pushes to a phone."""

    def jitter(self) -> float:
        """Return a random number from 0 to 1."""
        return int.from_bytes(self.entropy(4), "big") / 2**32


def count(message: PushMessage, outcome: Outcome, seconds: float) -> None:
    """Count a push by what the push service said of it."""
    lane, provider = message.lane.value, message.target.provider.value
    _pushes(message.app, provider, lane, type(outcome).__name__.lower()).inc()
    _seconds(provider, lane).observe(seconds)


def count_delay(message: PushMessage, seconds: float) -> None:
    """Count how long it took from the decision to push until the push service accepted it."""
    _delays(message.target.provider.value, message.lane.value).observe(seconds)


# Finding a child of a metric costs more than counting it; there are few.
_pushes = functools.cache(metrics.PUSHES.labels)
_seconds = functools.cache(metrics.PUSH_SECONDS.labels)
_delays = functools.cache(metrics.PUSH_DELAY_SECONDS.labels)

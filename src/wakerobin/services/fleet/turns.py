"""Whose turn it is at a registrar: three queues, paced so that no PBX ever sees a storm."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from wakerobin.core.binding import RecoveryPace
from wakerobin.core.pacing import TokenBucket
from wakerobin.ports.clock import Timer
from wakerobin.services.fleet.surroundings import Surroundings

Turn: TypeAlias = Callable[[], None]
"""Something that sends a REGISTER when its turn has come."""

_TURNS_AT_ONCE = 50
_SHORTEST_WAIT_S = 0.001  # a wait that rounding makes nothing of would never fill a bucket
_RECOVERY_FACTOR = 4.0


class Urgency(enum.Enum):
    """Who goes first, and at which rate."""

    ROUTINE = "routine"
    RECOVERY = "recovery"
    """Many have lost their binding together: they come back at a rate of their own, which is higher."""
    URGENT = "urgent"


class Queue:
    """The turns at one registrar. A number stands for a row of the roster: then `on_row` is called with it.

    `is_open` is asked before any turn is given; whoever said no calls `pump` when that has changed.
    """

    def __init__(
        self, around: Surroundings, on_row: Callable[[int], None], is_open: Callable[[], bool]
    ) -> None:
        options, now = around.options.sip, around.clock.monotonic()
        self._around = around
        self._on_row = on_row
        self._is_open = is_open
        self._bucket = TokenBucket(options.register_rate, max(1, options.register_burst), at=now)
        first = options.recovery_rate or _RECOVERY_FACTOR * options.register_rate
        self.recovery = RecoveryPace(first, options.register_rate, now)
        """The pace of those who come back."""
        # A row waits as its number alone: after a first start a million of them may.
        self._urgent: deque[Turn | int] = deque()
        self._recovering: deque[Turn | int] = deque()
        self._routine: deque[Turn | int] = deque()
        self._timer: Timer | None = None

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._urgent) + len(self._recovering) + len(self._routine)

    def ask(self, turn: Turn | int, urgency: Urgency = Urgency.ROUTINE) -> None:
        """Let `turn` have its turn."""
        match urgency:
            case Urgency.URGENT:
                self._urgent.append(turn)
            case Urgency.RECOVERY:
                self._recovering.append(turn)
            case Urgency.ROUTINE:
                self._routine.append(turn)
        if self._timer is None:
            self.pump()

    def spend(self, urgency: Urgency = Urgency.ROUTINE) -> None:
        """Count a REGISTER that goes without waiting for its turn: the answer to a challenge."""
        now = self._around.clock.monotonic()
        if urgency is Urgency.RECOVERY:
            self.recovery.spend(now)
        else:
            self._bucket.reserve(now)

    def stop(self) -> None:
        """Forget everyone who waits: the fleet ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._urgent.clear()
        self._recovering.clear()
        self._routine.clear()

    def pump(self) -> None:
        """Give the turns that may be given now, and come back for the others."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._around.tasks is None or not self._is_open():
            return
        for _ in range(_TURNS_AT_ONCE):
            wait, turn = self._next(self._around.clock.monotonic())
            if turn is None:
                if wait:
                    self._pump_in(wait)
                return
            if isinstance(turn, int):
                self._on_row(turn)
            else:
                turn()
        # A long queue leaves the loop to others between its slices.
        self._pump_in(0.0)

    def _next(self, now: float) -> tuple[float, Turn | int | None]:
        """Return the next turn, or how long nobody may have one; 0.0 where nobody waits."""
        waits: list[float] = []
        for queue, bucket in (
            (self._urgent, self._bucket),
            (self._recovering, self.recovery),
            (self._routine, self._bucket),
        ):
            if queue:
                wait = bucket.take(now)
                if not wait:
                    return 0.0, queue.popleft()
                waits.append(wait)
        return min(waits, default=0.0), None

    def _pump_in(self, seconds: float) -> None:
        # A turn may have asked for another one, which then has set the timer.
        if self._timer is None:
            when = self._around.clock.monotonic() + max(seconds, _SHORTEST_WAIT_S)
            self._timer = self._around.timers.call_at(when, self.pump)

"""A phone in a pocket or in a drawer, with the push service before it: `ports.push` in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wakerobin.core.pushes import Accepted, Outcome, PushMessage, PushType
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.push import Attempt, always_wanted

WAKES_AFTER_S = 3.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A push that the service took; `at` is epoch milliseconds."""

    at: int
    message: PushMessage


@dataclass(frozen=True, slots=True)
class _Taken:
    """An attempt that is over already."""

    def withdraw(self) -> None:
        """Too late: it was delivered."""


@dataclass(slots=True)
class Pocket:
    """Takes every push, as a push service does for a phone that is switched off as well."""

    clock: Clock
    timers: Timers
    on_push: Callable[[PushMessage], None]
    on_renewal: Callable[[], None]
    """The app, woken by a silent push for a few seconds, renews."""
    is_in_drawer: bool = False
    """Its battery is empty: the pushes are taken, and nobody is there."""
    sent: list[Sent] = field(default_factory=list)

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        """Take it, and wake the app if it is a silent one."""
        return self._take(message)

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: Callable[[Outcome], None],
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> Attempt:
        """Take it as `send` does, at once."""
        on_outcome(self._take(message))
        return _Taken()

    async def warm(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """There is nothing to close."""

    def of(self, *types: PushType) -> list[Sent]:
        """Return what was sent of these types."""
        return [one for one in self.sent if one.message.type in types]

    def _take(self, message: PushMessage) -> Outcome:
        self.sent.append(Sent(self.clock.now(), message))
        self.on_push(message)
        if message.type is PushType.RENEW and not self.is_in_drawer:
            self._wake()
        return Accepted(message.id)

    def _wake(self) -> None:
        self.timers.call_at(self.clock.monotonic() + WAKES_AFTER_S, self.on_renewal)

"""What a push service offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wakerobin.core.pushes import Outcome, PushMessage


def always_wanted() -> bool:
    """Say of a push that nothing can make it unwanted before its deadline."""
    return True


class Attempt(Protocol):
    """A push that is being tried."""

    def withdraw(self) -> None:
        """Do not send it, nor send it again; what is on the wire stays. Its outcome comes all the same."""
        ...


class PushService(Protocol):
    """One push service with the credential of one app."""

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        """Try once, until `deadline` (monotonic seconds). Never raises for what a provider may answer.

        A push that certainly was not processed (GOAWAY, REFUSED_STREAM, never written) is sent again by
        the service itself, on another connection, while there is time. A call push, which the app knows
        again by its id, is sent a second time also where nobody can know, or nobody answers for a second.
        """
        ...

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: Callable[[Outcome], None],
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> Attempt:
        """Try as `send` does, without awaiting: `on_outcome` is called once, perhaps before this returns.

        A call is on the wire when this returns, if a call connection is free. What waits for its turn is
        asked `is_wanted` right before it leaves; where it is not, it ends as Unavailable, not processed.
        """
        ...

    async def warm(self) -> None:
        """Open the connections that a call push must not wait for; keep them open."""
        ...

    async def close(self) -> None:
        """Close every connection. Pushes on their way end as Unavailable."""
        ...

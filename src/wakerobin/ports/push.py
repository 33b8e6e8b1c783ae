"""What a push service offers."""

from __future__ import annotations

from typing import Protocol

from wakerobin.core.pushes import Outcome, PushMessage


class PushService(Protocol):
    """One push service with the credential of one app."""

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        """Try once, until `deadline` (monotonic seconds). Never raises for what a provider may answer.

        A push that certainly was not processed (GOAWAY, REFUSED_STREAM, never written) is sent again by
        the service itself, on another connection, while there is time.
        """
        ...

    async def warm(self) -> None:
        """Open the connections that a call push must not wait for; keep them open."""
        ...

    async def close(self) -> None:
        """Close every connection. Pushes on their way end as Unavailable."""
        ...

"""Connections to the HTTP servers: bounded in number, and none waits for ever for its request."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_PATIENCE_S = 10.0
"""How long a request's head may take. Its body has a limit of its own (`web.limits`)."""


def most_connections() -> int:
    """Return how many there may be: half the file descriptors, as SIP, pushes and the store need some."""
    return max(64, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Connection(H11Protocol):
    """uvicorn's own, closed where the head of a request stays away, or where there are too many."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, or close it at once."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Read on; what is no whole head yet does not buy more time."""
        super().data_received(data)
        is_asked = self._is_asked()
        if is_asked and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        elif not is_asked and self._waiting is None:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._waiting = self.loop.call_later(HEAD_PATIENCE_S, self._give_up)

    def _give_up(self) -> None:
        self._waiting = None
        if not self._is_asked():
            self.transport.abort()

    def _is_asked(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, whatever its declaration says
        return cycle is not None and not cycle.response_complete

"""A socket that accepts connections: who comes is looked at before anything is spent on him.

asyncio's own servers make a TLS handshake with everybody first, and say only afterwards who it was.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from typing import TypeAlias

from wakerobin import log
from wakerobin.ports.clock import Clock, Timer, Timers

OnConnection: TypeAlias = Callable[[socket.socket, tuple[str, int]], None]
"""Called with each connection, which is then its own to close. Must not raise."""

_BACKLOG = 512
_AT_ONCE = 32
"""Connections for a wake-up: others have their turn as well."""

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_REST_S = 1.0
_RESET = struct.pack("ii", 1, 0)

_log = log.get("net")


class Door:
    """Driven by the loop's readability from its making on. Raises OSError where it cannot be bound."""

    def __init__(
        self, place: tuple[str, int], clock: Clock, timers: Timers, on_connection: OnConnection
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock, self._timers = clock, timers
        self._on_connection = on_connection
        self._resting: Timer | None = None
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            if family == socket.AF_INET6:
                # As for UDP: IPv4 has a listener of its own, or none.
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.settimeout(0)
            self._socket.bind(place)
            self._socket.listen(_BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Accept no more."""
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, remote = self._socket.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                return  # nobody is left, or who came has gone already
            accepted.settimeout(0)
            self._on_connection(accepted, (remote[0], remote[1]))

    def _rest(self, error: OSError) -> None:
        """Wait for others to end: those who come meanwhile stay in the kernel's queue."""
        _log.error("no_connection_accepted", reason=error.strerror)
        self._loop.remove_reader(self._socket)
        self._resting = self._timers.call_at(self._clock.monotonic() + _REST_S, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        self._loop.add_reader(self._socket, self._accept)


def turn_away(accepted: socket.socket) -> None:
    """Close a connection by a reset: nothing of it is left in the kernel."""
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    accepted.close()

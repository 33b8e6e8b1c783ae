"""Names to addresses through the system's resolver, remembered for half a minute.

A registrar with ten thousand accounts is asked for once: lookups under way are shared, and while DNS
is out the last good answer goes on serving. NAPTR and SRV (RFC 3263) follow later.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from wakerobin import log
from wakerobin.core.addresses import parse_address
from wakerobin.core.values import Transport
from wakerobin.ports.clock import Clock

Addresses: TypeAlias = list[tuple[str, int]]
Lookup: TypeAlias = Callable[[str, int, socket.SocketKind], list[tuple[Any, ...]]]
"""`getaddrinfo(host, port, type=kind)`: may block, may raise."""

_FRESH = 30.0
_FRESH_FAILURE = 5.0
_STALE = 3600.0
_PATIENCE = 5.0
_MOST_NAMES = 2048

_log = log.get("net")


@dataclass(frozen=True, slots=True)
class _Answer:
    addresses: Addresses
    found_at: float
    fresh_until: float


def _getaddrinfo(host: str, port: int, kind: socket.SocketKind) -> list[tuple[Any, ...]]:
    return list(socket.getaddrinfo(host, port, type=kind))


class Resolver:
    """Implements `ports.sip.Resolver`. Lookups run in the loop's default executor."""

    def __init__(self, clock: Clock, lookup: Lookup = _getaddrinfo) -> None:
        self._clock = clock
        self._lookup = lookup
        self._answers: dict[tuple[str, Transport], _Answer] = {}
        self._pending: dict[tuple[str, Transport], asyncio.Future[list[tuple[Any, ...]]]] = {}

    async def resolve(self, host: str, port: int | None, transport: Transport) -> Addresses:
        """Return (address, port) in the order to try; empty where the name does not resolve.

        Never raises; answers within five seconds.
        """
        wanted = transport.default_port if port is None else port
        if parse_address(host) is not None:
            return [(host.strip("[]"), wanted)]
        key = (host.lower().removesuffix("."), transport)
        known = self._answers.get(key)
        if known is None or known.fresh_until <= self._clock.monotonic():
            await self._ask(key)
            known = self._answers.get(key)
        return [(address, wanted) for address, _ in known.addresses] if known else []

    async def _ask(self, key: tuple[str, Transport]) -> None:
        """Look a name up, or join the lookup that is under way."""
        pending = self._pending.get(key)
        if pending is None:
            kind = socket.SOCK_DGRAM if key[1] is Transport.UDP else socket.SOCK_STREAM
            loop = asyncio.get_running_loop()
            pending = loop.run_in_executor(None, self._lookup, key[0], 0, kind)
            self._pending[key] = pending
            pending.add_done_callback(lambda done: self._settle(key, done))
        # A waiter that loses patience must not take the answer from the others.
        await asyncio.wait((pending,), timeout=_PATIENCE)

    def _settle(self, key: tuple[str, Transport], done: asyncio.Future[list[tuple[Any, ...]]]) -> None:
        self._pending.pop(key, None)
        now = self._clock.monotonic()
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            found = list(dict.fromkeys((str(entry[4][0]), 0) for entry in done.result()))
            answer = _Answer(found, now, now + (_FRESH if found else _FRESH_FAILURE))
        else:
            # OSError for a name that is not there, UnicodeError or ValueError for one that cannot be.
            _log.debug("name_not_resolved", host=key[0], reason=str(error))
            last = self._answers.get(key)
            is_kept = last is not None and last.addresses and now - last.found_at < _STALE
            found, found_at = (last.addresses, last.found_at) if last and is_kept else ([], now)
            answer = _Answer(found, found_at, now + _FRESH_FAILURE)
        if len(self._answers) >= _MOST_NAMES:
            self._answers.clear()  # names come with enrolments: a flood of them must not fill the memory
        self._answers[key] = answer

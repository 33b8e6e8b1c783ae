"""The uses that phones' REGISTERs are: stored one and all, and answered for when they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.values import Life
from wakerobin.ports.clock import Clock, Timer, Timers

ANSWER_WITHIN_S = 0.25
"""A phone that was woken for a call does not wait for a disk that hangs."""

RETRY_S = 2.0

_log = log.get("phones")
_FAULTS = metrics.FAULTS.labels("phones")


class UsedLives(Protocol):
    """The part of lives that phones need."""

    async def use(self, registration_id: int, cause: str) -> Life | None:
        """Renew by a use; returns after the commit."""
        ...


class _Wanted:
    """The uses of one REGISTER, and what happens when all are stored, or after `ANSWER_WITHIN_S`."""

    def __init__(self, registrations: list[int], done: Callable[[], None]) -> None:
        self.registrations = registrations
        self.timer: Timer | None = None
        self._done: Callable[[], None] | None = done

    def finish(self) -> None:
        """Go on; once."""
        if self.timer is not None:
            self.timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done()


class Uses:
    """A queue to `lives`. `run` stores; where the store cannot take a use it is tried until it can."""

    def __init__(self, lives: UsedLives, clock: Clock, timers: Timers) -> None:
        self._lives = lives
        self._clock = clock
        self._timers = timers
        self._wanted: asyncio.Queue[_Wanted] = asyncio.Queue()

    def store(self, registrations: list[int], done: Callable[[], None]) -> None:
        """Store a use of each; `done` is called once, after the commit where that comes soon enough."""
        wanted = _Wanted(registrations, done)
        when = self._clock.monotonic() + ANSWER_WITHIN_S
        wanted.timer = self._timers.call_at(when, wanted.finish)
        self._wanted.put_nowait(wanted)

    async def run(self) -> None:
        """Store what is wanted, as many at a time as have gathered: they share a commit."""
        while True:
            batch = [await self._wanted.get()]
            while not self._wanted.empty():
                batch.append(self._wanted.get_nowait())
            async with asyncio.TaskGroup() as group:
                for wanted in batch:
                    group.create_task(self._store(wanted))

    async def _store(self, wanted: _Wanted) -> None:
        try:
            for registration_id in wanted.registrations:
                await self._use(registration_id)
            wanted.finish()
        except Exception:
            _FAULTS.inc()
            _log.error("use_failed", registrations=wanted.registrations, exc_info=True)

    async def _use(self, registration_id: int) -> None:
        while True:
            try:
                await self._lives.use(registration_id, "register")
                return
            except StoreUnavailableError as error:
                _log.error("use_not_stored", registration=registration_id, reason=str(error))
                await self._pause()

    async def _pause(self) -> None:
        over = asyncio.Event()
        self._timers.call_at(self._clock.monotonic() + RETRY_S, over.set)
        await over.wait()

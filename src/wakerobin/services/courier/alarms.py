"""Alarms about pushes: raised and taken back at once in memory, and written down behind it."""

from __future__ import annotations

import asyncio

from wakerobin import log
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.store import Store, Transaction

_RETRY_S = 1.0
_PREFIX = "push-"

_log = log.get("courier")


class PushAlarms:
    """The alarms whose names begin with `push-`. Whoever raises one does not wait for the store."""

    def __init__(self, store: Store, clock: Clock, timers: Timers) -> None:
        self._store = store
        self._clock = clock
        self._timers = timers
        self._standing: dict[str, str] = {}
        self._wishes: dict[str, Alarm | None] = {}
        """What is to be written: an alarm to raise, or None to take it back."""
        self._woken = asyncio.Event()

    @property
    def any(self) -> bool:
        """Whether one stands."""
        return bool(self._standing)

    def stands(self, name: str) -> bool:
        """Whether it is raised."""
        return name in self._standing

    def put(self, name: str, words: str) -> bool:
        """Raise it; True where it did not stand before."""
        is_new = name not in self._standing
        if is_new or self._standing[name] != words:
            self._standing[name] = words
            self._wish(name, Alarm(name, self._clock.now(), words))
        if is_new:
            _log.error("push_alarm", name=name, words=words)
        return is_new

    def clear(self, name: str) -> None:
        """Take it back."""
        if self._standing.pop(name, None) is not None:
            self._wish(name, None)
            _log.warning("push_alarm_over", name=name)

    async def run(self) -> None:
        """Take up what stood when an earlier run ended, and write down what changes, until cancelled."""
        has_loaded = False
        while True:
            try:
                if not has_loaded:
                    self._load()
                    has_loaded = True
                await self._write_wishes()
            except StoreUnavailableError as error:
                _log.warning("store_unavailable", reason=str(error))
                await self._pause()
                continue
            await self._woken.wait()
            self._woken.clear()

    def _load(self) -> None:
        for alarm in self._store.read(lambda tx: tx.alarms.all()):
            if alarm.name.startswith(_PREFIX) and alarm.name not in self._wishes:
                self._standing.setdefault(alarm.name, alarm.words)

    async def _write_wishes(self) -> None:
        while self._wishes:
            wishes, self._wishes = self._wishes, {}
            try:
                await self._store.transact(lambda tx: _write(tx, wishes))  # noqa: B023 - awaited at once
            except StoreUnavailableError:
                self._wishes = wishes | self._wishes  # a later wish of the same name goes before
                raise

    def _wish(self, name: str, alarm: Alarm | None) -> None:
        self._wishes[name] = alarm
        self._woken.set()

    async def _pause(self) -> None:
        over = asyncio.Event()
        timer = self._timers.call_at(self._clock.monotonic() + _RETRY_S, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()


def _write(tx: Transaction, wishes: dict[str, Alarm | None]) -> None:
    for name, alarm in wishes.items():
        if alarm is None:
            tx.alarms.clear(name)
        else:
            tx.alarms.put(alarm)

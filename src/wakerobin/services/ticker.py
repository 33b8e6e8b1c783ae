"""The durable clock: fires lives when they are due, and sweeps out what is old.

It sleeps until the smallest `next_at`, a minute at most, so that a step of the wall clock is noticed; a
commit that touched lives wakes it. A late firing is as good as one in time, so there is nothing to keep.
"""

from __future__ import annotations

import asyncio
import math

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.store import Store, Transaction
from wakerobin.services.lives import Lives

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SLICE = 100
"""Lives looked at in one transaction: a few milliseconds of the writer, then others have their turn."""
OLD_ROWS = 500
"""So many old rows of a kind are erased in one transaction, for the same reason."""
TOMBSTONES = 30 * DAY
STORIES = 30 * DAY
RECEIPTS = 30 * DAY
TALLIES = 400
"""Days for which operators see what became of lives."""
CALLS = 2 * DAY
FETCHED_MESSAGES = DAY
"""So long an app has time to say that it has a message that it fetched."""
SENT_MESSAGES = 2 * DAY
UNPROVEN = 15 * MINUTE
WAITING_PASSWORD = DAY
_AFTER_A_FAULT = 1000

_log = log.get("ticker")


class Ticker:
    """One loop for all durable times. `stories_kept` is the retention of timelines, milliseconds."""

    def __init__(
        self, store: Store, clock: Clock, lives: Lives, timers: Timers, *, stories_kept: int = STORIES
    ) -> None:
        self._store = store
        self._clock = clock
        self._lives = lives
        self._timers = timers
        self._stories_kept = stories_kept
        self._woken = asyncio.Event()
        self._beat_at = self._sweep_at = 0.0
        store.on_commit(self._committed)

    async def run(self) -> None:
        """Fire and sweep until cancelled. The gap since the last run is found first (law 3)."""
        is_started = False
        while True:
            try:
                if not is_started:
                    await self._lives.start()
                    is_started = True
                await self.turn()
                await self._sleep()
            except StoreUnavailableError as error:
                _log.warning("store_unavailable", reason=str(error))
                self._woken.clear()
                await self._wait(_AFTER_A_FAULT)
            except Exception:
                metrics.FAULTS.labels("ticker").inc()
                _log.error("ticker_fault", exc_info=True)
                self._woken.clear()
                await self._wait(_AFTER_A_FAULT)

    async def turn(self) -> None:
        """Do all that is due now."""
        await self._lives.look()
        now = self._lives.clock.now()
        is_more = True
        while is_more:  # each slice is a transaction of its own, and others have their turn between
            is_more = await self._lives.fire(now, SLICE) == SLICE
            is_more = await self._lives.turn(now, SLICE) or is_more
        # By the clock that never steps: a wall clock that was set back must not stop them.
        if self._clock.monotonic() >= self._beat_at:
            await self._lives.beat(now)
            self._beat_at = self._clock.monotonic() + MINUTE / 1000
            if not self._lives.is_frozen:
                await self._forget_unproven(now)
        if self._clock.monotonic() >= self._sweep_at and not self._lives.is_frozen:
            await self.sweep(now)
            self._sweep_at = self._clock.monotonic() + HOUR / 1000

    async def sweep(self, now: int) -> None:
        """Erase what is old: tombstones, timelines, calls, receipts, messages."""
        while ended := self._store.read(lambda tx: tx.lives.ended(now - TOMBSTONES, SLICE)):
            for life in ended:
                await self._lives.forget(life.id)
        while await self._store.transact(lambda tx: self._forget_old(tx, now)) == OLD_ROWS:
            continue
        # In the writer's thread: of a million lives this takes longer than the loop may stand still.
        counted = await self._store.transact(lambda tx: tx.lives.count())
        for state, count in counted.items():
            metrics.LIVES.labels(state).set(count)

    async def _forget_unproven(self, now: int) -> None:
        """Erase passwords that were never proven, and registrations whose time to be proven is over.

        A first enrolment waits longer, as long as its password does: its PBX may be out of reach for a day.
        """
        until, before = now - WAITING_PASSWORD, now - UNPROVEN
        await self._store.transact(lambda tx: tx.binding_work.forget_trials(until))
        while over := self._store.read(lambda tx: tx.registrations.unproven(before, until, SLICE)):
            for registration in over:
                await self._lives.forget(registration.id)

    def _forget_old(self, tx: Transaction, now: int) -> int:
        """Erase some of what is old; `OLD_ROWS`: there may be more."""
        stories = tx.stories.forget(now - self._stories_kept, OLD_ROWS)
        calls = tx.calls.forget(now - CALLS, OLD_ROWS)
        receipts = tx.receipts.forget(now - RECEIPTS, OLD_ROWS)
        messages = tx.messages.forget(now, now - FETCHED_MESSAGES, OLD_ROWS)
        sent = tx.sent_messages.forget(now - SENT_MESSAGES, OLD_ROWS)
        tx.tallies.forget(now // DAY - TALLIES)
        return max(stories, calls, receipts, messages, sent)

    def _committed(self, groups: frozenset[str]) -> None:
        if "lives" in groups:
            self._woken.set()

    async def _sleep(self) -> None:
        """Wait until a life is due, or for the next beat. Commits only make it look again."""
        while True:
            self._woken.clear()
            next_due = None
            if not self._lives.is_frozen:
                next_due = self._store.read(lambda tx: tx.lives.next_due())
            wait = min(MINUTE, math.ceil((self._beat_at - self._clock.monotonic()) * 1000))
            if next_due is not None:
                wait = min(wait, next_due - self._lives.clock.now())
            if wait <= 0:
                return
            await self._wait(wait)

    async def _wait(self, milliseconds: int) -> None:
        timer = self._timers.call_at(self._clock.monotonic() + milliseconds / 1000, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()

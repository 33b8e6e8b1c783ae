"""Guests that sleep are woken to refresh their binding before it ends (RFC 8599 5.5), and forgotten after."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.guests import Guest, steps_behind
from wakerobin.ports.clock import Timer
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.services.guests.around import Around
from wakerobin.services.guests.waking import Settled, Waking

AT_ONCE = 100
LONGEST_SLEEP_S = 60.0
RETRY_S = 5.0

_log = log.get("guests")


class Refreshing:
    """The durable clock of guests. `run` works until it is cancelled."""

    def __init__(self, around: Around, waking: Waking) -> None:
        self._around = around
        self._waking = waking
        self._news = asyncio.Event()
        around.store.on_commit(self._written)

    async def run(self) -> None:
        """Do what is due, then sleep until something is."""
        while True:
            self._news.clear()
            wait: float | None = RETRY_S
            try:
                wait = await self._work()
            except StoreUnavailableError as error:
                _log.error("guests_not_refreshed", reason=str(error))
            if wait != 0:
                await self._sleep(wait)

    async def _work(self) -> float | None:
        """Do what is due now; return the seconds until there may be more, None while there is nobody."""
        now = self._around.clock.now()
        metrics.GUESTS.set(self._around.store.read(lambda tx: tx.guests.count()))
        due = self._around.store.read(lambda tx: tx.guests.due(now, AT_ONCE))
        if due:
            woken = await self._around.store.transact(lambda tx: _advance(tx, due, now))
            for guest in woken:
                self._wake(guest)
            return 0.0
        next_at = self._around.store.read(lambda tx: tx.guests.next_due())
        if next_at is None:
            return None
        return min(LONGEST_SLEEP_S, max(0.001, (next_at - now) / 1000))

    def _wake(self, guest: Guest) -> None:
        def settled(one: Settled) -> None:
            _log.info("guest_pushed_to_refresh", app=guest.app, accepted=one.is_accepted, reason=one.reason)

        self._waking.in_silence(guest, f"refresh {guest.registered_at} {guest.step}", settled)

    async def _sleep(self, seconds: float | None) -> None:
        timer: Timer | None = None
        if seconds is not None:
            when = self._around.clock.monotonic() + seconds
            timer = self._around.timers.call_at(when, self._news.set)
        await self._news.wait()
        if timer is not None:
            timer.cancel()

    def _written(self, groups: frozenset[str]) -> None:
        if "guests" in groups:
            self._news.set()


def _advance(tx: Transaction, due: list[Guest], now: int) -> list[Guest]:
    """Move each on by what is due; return those to be pushed. One whose binding has ended must not be."""
    woken = []
    for one in due:
        guest = tx.guests.get(one.number)
        if guest is None or guest.next_at > now:
            continue  # it has registered meanwhile
        subject = story.of_guest(guest.number)
        if now >= guest.expires_at:
            tx.guests.remove(guest.number)
            story.tell(tx, subject, now, "guest-expired")
            continue
        moved = replace(guest, step=max(guest.step + 1, steps_behind(guest, now)))
        tx.guests.put(moved)
        story.tell(tx, subject, now, "guest-pushed-to-refresh", step=moved.step)
        woken.append(moved)
    return woken

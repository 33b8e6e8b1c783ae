"""When the server was not running: that time is nobody's grace (law 3), and no trouble's either (law 7).

A beat a minute is kept; the gap before a start is remembered for as long as any grace may last. A process
that stood still, on a machine that slept or before a database that was locked, was not running either.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from wakerobin.core.lifetime import Downtime
from wakerobin.ports.store import Store, Transaction

BEAT = 60_000
_NAME = "lives-downtime"
_REMEMBERED = 62 * 24 * 3600_000  # twice the longest grace
_SHORTEST = 5_000
_STOOD_STILL = 3 * BEAT
_MOST = 500


class DowntimeRecord:
    """The gaps, as they were found at this start and since, and the beat that will show the next one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._beat_at: int | None = None
        self.gaps: Downtime = ()

    async def start(self, now: int) -> None:
        """Find out for how long nothing ran before now. To be awaited before any life is looked at."""
        self.gaps = await self._store.transact(_opened(now))
        self._beat_at = now

    def known(self, tx: Transaction, now: int) -> Downtime:
        """Return the gaps, also to those who ask before `start` has written down the last one."""
        return self.gaps if self._beat_at is not None else _found(tx, now)

    async def beat(self, now: int) -> None:
        """Say that the server runs."""
        if self._beat_at is not None and now - self._beat_at >= _STOOD_STILL:
            self.gaps = _kept((*self.gaps, (self._beat_at, now)), now)
        await self._store.transact(_written(now, self.gaps))
        self._beat_at = now

    async def skip(self, since: int, now: int) -> None:
        """Count the time between as one in which nothing ran: the clock was moved on (law 8)."""
        if now - since >= _SHORTEST:
            self.gaps = _kept((*self.gaps, (since, now)), now)
        self._beat_at = now
        await self._store.transact(_written(now, self.gaps))


def outside(downtime: Downtime, since: int, until: int) -> int:
    """Return for how long of the time between the server was running, milliseconds."""
    down = sum(max(0, min(up, until) - max(gone, since)) for gone, up in downtime)
    return max(0, until - since - down)


def _opened(now: int) -> Callable[[Transaction], Downtime]:
    def work(tx: Transaction) -> Downtime:
        gaps = _found(tx, now)
        _written(now, gaps)(tx)
        return gaps

    return work


def _found(tx: Transaction, now: int) -> Downtime:
    ran_until, gaps = _read(tx)
    if ran_until is not None and now - ran_until >= _SHORTEST:
        gaps += ((ran_until, now),)
    return _kept(gaps, now)


def _kept(gaps: Downtime, now: int) -> Downtime:
    """Return the gaps that still matter; what lies ahead was measured by a clock that was wrong."""
    return tuple((down, up) for down, up in gaps if now - _REMEMBERED < up <= now)[-_MOST:]


def _written(now: int, gaps: Downtime) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        tx.kept.put(_NAME, json.dumps({"ran_until": now, "gaps": gaps}).encode())

    return work


def _read(tx: Transaction) -> tuple[int | None, Downtime]:
    kept = tx.kept.get(_NAME)
    if kept is None:
        return None, ()
    value = json.loads(kept)
    return value["ran_until"], tuple((down, up) for down, up in value["gaps"])

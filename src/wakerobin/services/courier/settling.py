"""Writes down how deliveries ended: several in one transaction, and surely."""

from __future__ import annotations

import asyncio
from collections import deque

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.services.courier.around import Around
from wakerobin.services.lives import Delivery

_RETRY_S = 1.0
_AT_ONCE = 20
"""A transaction of more would hold up those behind it."""

_log = log.get("courier")


class Settler:
    """Commits as soon as the store can: the pushes have left, and would leave again if this were lost."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._waiting: deque[tuple[list[Delivery], asyncio.Future[None]]] = deque()
        self._woken = asyncio.Event()

    async def settle(self, deliveries: list[Delivery]) -> None:
        """Return when all of them are written, in one transaction; raise only for a bug."""
        if deliveries:
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((deliveries, written))
            self._woken.set()
            await written

    async def run(self) -> None:
        """Write, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                batch = [self._waiting.popleft()]
                while self._waiting and sum(len(each) for each, _ in batch) < _AT_ONCE:
                    batch.append(self._waiting.popleft())
                await self._write(batch)

    async def _write(self, batch: list[tuple[list[Delivery], asyncio.Future[None]]]) -> None:
        while True:
            try:
                await self._around.lives.pushes_settled([one for each, _ in batch for one in each])
            except StoreUnavailableError as error:
                _log.warning("store_unavailable", reason=str(error))
                await self._pause()
                continue
            except Exception as error:
                if len(batch) > 1:
                    for one in batch:  # a bug with one of them must not stop the others
                        await self._write([one])
                    return
                metrics.FAULTS.labels("courier").inc()
                _log.error("courier_fault", exc_info=True)
                _end(batch, error)
                return
            _end(batch, None)
            return

    async def _pause(self) -> None:
        over = asyncio.Event()
        timer = self._around.timers.call_at(self._around.clock.monotonic() + _RETRY_S, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()


def _end(batch: list[tuple[list[Delivery], asyncio.Future[None]]], error: Exception | None) -> None:
    for _, written in batch:
        if written.done():
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)

"""Calls that ring at a steady rate, and the moments at which their pushes left and were read."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.process import Stopwatch
from bench.scale import Scale
from bench.script import Script
from bench.stock import APP
from wakerobin.core.pushes import Outcome, PushMessage, PushType
from wakerobin.core.values import Provider
from wakerobin.ports.push import always_wanted
from wakerobin.push.apns import ApnsService
from wakerobin.push.apns.service import ApnsAttempt
from wakerobin.server.building import Rooms

CALLS_PER_SECOND = 100
_WITHIN = 15.0


@dataclass(frozen=True, slots=True)
class Ringing:
    """For how many seconds, and how many accounts in turn."""

    seconds: int
    callees: int

    @property
    def calls(self) -> int:
        """How many calls that are."""
        return self.seconds * CALLS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds from the caller's `sendto`: until the push was written, and until it was read."""

    written: list[float]
    read: list[float]
    others: int
    """Pushes that were not calls."""
    cpu: float
    """The part of a core that it took."""
    queued: float
    """For what part of the time it waited for a core."""


class Stage:
    """A server that runs, its push service, and the caller's place."""

    def __init__(
        self,
        rooms: Rooms,
        sink: Script,
        sink_folder: Path,
        places: tuple[tuple[str, int], tuple[str, int]],
    ) -> None:
        self._sink, self._sink_folder = sink, sink_folder
        self._places = places
        self._written: dict[str, float] = {}
        service = rooms.pushing.of(APP, Provider.APNS)
        assert isinstance(service, ApnsService)
        self._begin = service.begin
        service.begin = self._noted  # type: ignore[method-assign] # the moment is to be seen from outside

    def _noted(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: Callable[[Outcome], None],
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> ApnsAttempt:
        attempt = self._begin(message, deadline, on_outcome, is_wanted)
        if message.type is PushType.CALL:  # on the wire when `begin` returns
            self._written[message.payload["sip_call_id"]] = time.monotonic()
        return attempt

    async def ring(self, load: Ringing) -> Times:
        """Let the caller ring; when the pushes left, and what the push service got."""
        await self._received()
        self._written = {}
        (own, server), watch = self._places, Stopwatch()
        async with Script("ringing", *own, *server, CALLS_PER_SECOND, load.calls, load.callees) as caller:
            told = await caller.told(load.seconds + _WITHIN)
        cpu, queued, wall = watch.cpu, watch.queued, watch.wall
        received = await self._received()
        read = dict(received["calls"])
        if min(told["rang"], len(read)) < load.calls / 2:
            found = f"{told['rang']} rang, {len(self._written)} were pushed, {len(read)} were read"
            raise RuntimeError(f"of {load.calls} calls {found}")
        return Times(
            _since_sent(self._written), _since_sent(read), received["others"], cpu / wall, queued / wall
        )

    async def _received(self) -> dict[str, Any]:
        path = self._sink_folder / "received.json"
        path.unlink(missing_ok=True)
        self._sink.signal(signal.SIGUSR1)
        return await appeared(path)


def _since_sent(moments: dict[str, float]) -> list[float]:
    return [(at - int(call_id.partition("-")[0]) / 1e9) * 1000 for call_id, at in moments.items()]


async def appeared(path: Path) -> dict[str, Any]:
    """Return what another process writes into a file, once it is there."""
    async with asyncio.timeout(_WITHIN):
        while not path.exists():
            await asyncio.sleep(0.02)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


async def bare(scale: Scale, load: Ringing) -> list[float]:
    """Return how long the same INVITEs take to a loop that does nothing but read them: the floor."""
    own, server = scale.place(), scale.place()
    moments: dict[str, float] = {}

    class Reader(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _addr: object) -> None:
            moments[data.partition(b"Call-ID: ")[2].split(b"\r\n", 1)[0].decode()] = time.monotonic()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Reader, local_addr=server)
    try:
        async with Script("ringing", *own, *server, CALLS_PER_SECOND, load.calls, load.callees) as caller:
            await caller.told(load.seconds + _WITHIN)
    finally:
        transport.close()
    return _since_sent(moments)

"""From the INVITE to the call push on the wire: alone, and with warnings being sent beside it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.kamailio import Kamailio
from bench.machine import OTHERS
from bench.process import Stopwatch, quantile
from bench.scale import Scale, app
from bench.script import Script
from bench.serving import Place, serving
from bench.stock import APP, Stock, now_ms
from bench.table import Row
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.pushes import Outcome, PushMessage, PushType
from wakerobin.core.values import Provider
from wakerobin.ports.options import ApnsOptions, HttpOptions, Options, SipOptions
from wakerobin.ports.push import always_wanted
from wakerobin.ports.store import Transaction
from wakerobin.push.apns import ApnsService
from wakerobin.push.apns.service import ApnsAttempt
from wakerobin.server.building import Rooms

TITLE = "From the caller's INVITE to the call push on the wire"

_CALLEES = 200
_CALLS_PER_SECOND = 100
_WITHIN = 15.0
_SHIFT_MS = 4_000
_SHIFTED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class _Load:
    """How long each part takes, and how many warnings fall due in the second one."""

    seconds: int
    warnings_per_second: int

    @property
    def calls(self) -> int:
        return self.seconds * _CALLS_PER_SECOND

    @property
    def warnings(self) -> int:
        return self.seconds * self.warnings_per_second


@dataclass(frozen=True, slots=True)
class _Times:
    """Milliseconds from the caller's `sendto`: until the push was written, and until it was read."""

    written: list[float]
    read: list[float]
    others: int
    """Pushes that were not calls."""
    cpu: float
    """The part of a core that it took."""
    queued: float
    """For what part of the time it waited for a core."""


async def run(scale: Scale) -> list[Row]:
    """Ring at a steady rate, first with nothing else to do, then with warnings at a steady rate."""
    load = _Load(scale.of(10, 1), scale.of(1_000, 100))
    bare = await _bare(scale, load)
    sink_folder = scale.folder / "sink"
    sink_folder.mkdir()
    async with (
        Script("sink", sink_folder, *scale.place()) as sink,
        Kamailio(*scale.place(), core=OTHERS) as pbx,
    ):
        apns = ApnsOptions(**await _appeared(sink_folder / "options.json"))
        place = Place.new(scale.folder)
        stock = Stock(
            count=_CALLEES + load.warnings,
            bound=_CALLEES,
            registrar=pbx.address,
            key=place.key,
            capabilities={"background_refresh": False},  # a warning that need not wait for a silent renewal
        )
        ids = await place.keep(stock)
        caller, (ip, port) = scale.place(), scale.place()
        options = Options(
            sip=SipOptions(listen=(f"udp:{ip}:{port}",), call_sources=(caller[0],), register_rate=500.0),
            http=HttpOptions(listen=""),
            apps=app(pbx.ip, apns),
        )
        async with serving(options, place) as rooms:
            stage = _Stage(rooms, sink, sink_folder, (caller, (ip, port)), load)
            await asyncio.sleep(1.5)  # the bindings of the callees are made in this time
            idle = await stage.ring()
            await _let_fall_due(rooms, ids[_CALLEES:], load)
            busy = await stage.ring()
    return [*_rows("alone", idle, bare), *_rows(_busy_words(busy, load), busy, bare)]


def _busy_words(busy: _Times, load: _Load) -> str:
    return f"{load.warnings_per_second:,} warnings/s due beside it ({busy.others / load.seconds:,.0f}/s sent)"


def _rows(when: str, times: _Times, bare: list[float]) -> list[Row]:
    cost = f"{len(times.written):,} calls, {times.cpu:.0%} of a core used, {times.queued:.0%} waited for"

    def row(part: float, goal: float) -> Row:
        read = quantile(times.read, part)
        return Row(
            what=f"{when}: p{part * 100:.0f}",
            value=quantile(times.written, part),
            unit="ms",
            beside="a loop that only reads datagrams",
            beside_value=quantile(bare, part),
            at_most=goal,
            remark=f"the push service on the other core had read it after {read:.2f} ms; {cost}",
        )

    return [row(0.5, 1.0), row(0.99, 5.0)]


async def _let_fall_due(rooms: Rooms, ids: list[int], load: _Load) -> None:
    """Change lives so that their first warnings fall due one after the other, and wait for the first one."""
    first_at = now_ms() + _SHIFT_MS
    lead = LifetimePolicy().warnings[0]

    def shift(numbers: range, tx: Transaction) -> None:
        for number in numbers:
            life = tx.lives.get(ids[number])
            assert life is not None
            at = first_at + number * 1000 // load.warnings_per_second
            renewed_at = at + lead - life.lifetime
            tx.lives.update(replace(life, expires_at=at + lead, next_at=at, renewed_at=renewed_at))

    for first in range(0, len(ids), _SHIFTED_AT_ONCE):
        numbers = range(first, min(first + _SHIFTED_AT_ONCE, len(ids)))
        await rooms.ground.store.transact(partial(shift, numbers))
    left = first_at - now_ms()
    if left < 0:
        raise RuntimeError(f"the warnings were due {-left} ms too early for this machine")
    await asyncio.sleep(left / 1000)


class _Stage:
    """Everything that a part of the measurement needs."""

    def __init__(
        self,
        rooms: Rooms,
        sink: Script,
        sink_folder: Path,
        places: tuple[tuple[str, int], tuple[str, int]],
        load: _Load,
    ) -> None:
        self._sink, self._sink_folder = sink, sink_folder
        self._places, self._load = places, load
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

    async def ring(self) -> _Times:
        """Let the caller ring; when the pushes left, and what the push service got."""
        load = self._load
        await self._received()
        self._written = {}
        (own, server), watch = self._places, Stopwatch()
        async with Script("ringing", *own, *server, _CALLS_PER_SECOND, load.calls, _CALLEES) as caller:
            told = await caller.told(load.seconds + _WITHIN)
        cpu, queued, wall = watch.cpu, watch.queued, watch.wall
        received = await self._received()
        read = dict(received["calls"])
        if min(told["rang"], len(read)) < load.calls / 2:
            found = f"{told['rang']} rang, {len(self._written)} were pushed, {len(read)} were read"
            raise RuntimeError(f"of {load.calls} calls {found}")
        return _Times(
            _since_sent(self._written), _since_sent(read), received["others"], cpu / wall, queued / wall
        )

    async def _received(self) -> dict[str, Any]:
        path = self._sink_folder / "received.json"
        path.unlink(missing_ok=True)
        self._sink.signal(signal.SIGUSR1)
        return await _appeared(path)


def _since_sent(moments: dict[str, float]) -> list[float]:
    return [(at - int(call_id.partition("-")[0]) / 1e9) * 1000 for call_id, at in moments.items()]


async def _appeared(path: Path) -> dict[str, Any]:
    async with asyncio.timeout(_WITHIN):
        while not path.exists():
            await asyncio.sleep(0.02)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


async def _bare(scale: Scale, load: _Load) -> list[float]:
    """Return how long the same INVITEs take to a loop that does nothing but read them: the floor."""
    own, server = scale.place(), scale.place()
    moments: dict[str, float] = {}

    class Reader(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _addr: object) -> None:
            moments[data.partition(b"Call-ID: ")[2].split(b"\r\n", 1)[0].decode()] = time.monotonic()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Reader, local_addr=server)
    try:
        async with Script("ringing", *own, *server, _CALLS_PER_SECOND, load.calls, _CALLEES) as caller:
            await caller.told(load.seconds + _WITHIN)
    finally:
        transport.close()
    return _since_sent(moments)

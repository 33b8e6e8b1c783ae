"""Durable renewals: `Lives.use` on SQLite, and over HTTP; beside raw batched updates of the same table."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import dataclass
from pathlib import Path

from bench.process import Stopwatch, quantile
from bench.scale import Scale, app
from bench.script import Script
from bench.serving import Place, serving
from bench.stock import Stock
from bench.table import Row
from wakerobin.core.values import Life
from wakerobin.ports.options import HttpOptions, Options, SipOptions
from wakerobin.services.lives import Lives
from wakerobin.store.engine import connect_writer

TITLE = "Durable renewals (each on the disk before it is answered)"

_RATE = 5_000
_SLICE = 0.002
_AT_ONCE = 200
_RAW_BATCH = 100
_CONNECTIONS = 16
_WITHIN = 30.0
_UPDATE = "UPDATE life SET expires_at = ?, generation = generation + 1, renewed_at = ? WHERE id = ?"


@dataclass(frozen=True, slots=True)
class _Measured:
    """How many were done, in how much time (seconds), and how long each one took (milliseconds)."""

    count: int
    cpu: float
    queued: float
    wall: float
    took: list[float]

    @property
    def per_cpu(self) -> float:
        return self.count / self.cpu

    @property
    def per_second(self) -> float:
        return self.count / self.wall


async def run(scale: Scale) -> list[Row]:
    """Renew at a steady rate, as fast as possible, over HTTP, and then without any of our code."""
    count, seconds = scale.of(20_000, 300), scale.of(6, 1)
    place = Place.new(scale.folder)
    ids = await place.keep(Stock(count=count, registrar="127.0.0.1:5060", key=place.key, bound=0))
    random.Random(7).shuffle(ids)
    (sip_ip, sip_port), (ip, port) = scale.place(), scale.place()
    options = Options(
        sip=SipOptions(listen=(f"udp:{sip_ip}:{sip_port}",)),
        http=HttpOptions(listen=f"{ip}:{port}"),
        apps=app("127.0.0.1"),
    )
    rate = scale.of(_RATE, 500)
    async with serving(options, place) as rooms:
        steady = await _steady(rooms.lives, ids, rate, seconds)
        closed = await _closed(rooms.lives, ids, seconds / 2)
        http = await _over_http((ip, port), count, seconds)
    raw = _raw(place.folders.data / "wakerobin.db", ids, seconds / 3)
    return [
        Row(
            what=f"uses offered at {rate:,}/s: done each second",
            value=steady.per_second,
            unit="/s",
            at_least=rate * 0.99,
            remark=f"{steady.cpu / steady.wall:.0%} of a core used (the goal is half a core), "
            f"{steady.queued / steady.wall:.0%} waited for",
        ),
        Row(what="the same: p50", value=quantile(steady.took, 0.5), unit="ms"),
        Row(what="the same: p99", value=quantile(steady.took, 0.99), unit="ms", at_most=50.0),
        Row(
            what=f"uses as fast as they go, {_AT_ONCE} at once",
            value=closed.per_cpu,
            unit="uses/CPU-s",
            beside=f"raw SQLite, {_RAW_BATCH} a transaction",
            beside_value=raw.per_cpu,
            at_least=10_000,
            remark=f"{closed.per_second:,.0f}/s on the clock; raw SQLite {raw.per_second:,.0f}/s",
        ),
        Row(
            what=f"POST …/renew, {_CONNECTIONS} connections",
            value=http.per_cpu,
            unit="uses/CPU-s",
            beside="`Lives.use`",
            beside_value=closed.per_cpu,
            at_least=1500,
            remark=f"{http.per_second:,.0f}/s on the clock",
        ),
        Row(what="the same: p50", value=quantile(http.took, 0.5), unit="ms"),
        Row(what="the same: p99", value=quantile(http.took, 0.99), unit="ms"),
    ]


async def _steady(lives: Lives, ids: list[int], rate: int, seconds: float) -> _Measured:
    """Offer uses at a rate, whether or not those before are done."""
    took: list[float] = []
    under_way: set[asyncio.Task[None]] = set()
    loop, numbers = asyncio.get_running_loop(), itertools.cycle(ids)

    async def one() -> None:
        took.append(await _timed(lives, next(numbers)))

    watch, began, offered = Stopwatch(), loop.time(), 0
    while offered < rate * seconds:
        wanted = min(int((loop.time() - began) * rate), int(rate * seconds))
        for _ in range(wanted - offered):
            task = loop.create_task(one())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        offered = wanted
        await asyncio.sleep(_SLICE)
    if under_way:
        await asyncio.wait(under_way, timeout=_WITHIN)
    return _Measured(len(took), watch.cpu, watch.queued, watch.wall, took)


async def _closed(lives: Lives, ids: list[int], seconds: float) -> _Measured:
    """Let so many workers renew one after the other."""
    took: list[float] = []
    numbers, watch = itertools.cycle(ids), Stopwatch()

    async def work() -> None:
        while watch.wall < seconds:
            took.append(await _timed(lives, next(numbers)))

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return _Measured(len(took), watch.cpu, watch.queued, watch.wall, took)


async def _timed(lives: Lives, registration_id: int) -> float:
    began = time.perf_counter()
    life = await lives.use(registration_id, "opened")
    assert isinstance(life, Life)
    assert life.ended is None
    return (time.perf_counter() - began) * 1000


async def _over_http(api: tuple[str, int], count: int, seconds: int) -> _Measured:
    watch = Stopwatch()
    async with Script("renewing", *api, count, _CONNECTIONS, seconds) as client:
        told = await client.told(seconds + _WITHIN)
    if told["refused"]:
        raise RuntimeError(f"{told['refused']} renewals were refused, e.g. {told['example']}")
    return _Measured(len(told["took"]), watch.cpu, watch.queued, told["wall"], told["took"])


def _raw(database: Path, ids: list[int], seconds: float) -> _Measured:
    """Update the same rows in the same file with nothing of ours between."""
    connection = connect_writer(database, 0)
    numbers, done, watch = itertools.cycle(ids), 0, Stopwatch()
    while watch.wall < seconds:
        now = time.time_ns() // 1_000_000
        connection.execute("BEGIN IMMEDIATE")
        rows = [(now + 604_800_000, now, next(numbers)) for _ in range(_RAW_BATCH)]
        connection.executemany(_UPDATE, rows)
        connection.execute("COMMIT")
        done += _RAW_BATCH
    measured = _Measured(done, watch.cpu, watch.queued, watch.wall, [])
    connection.close()
    return measured

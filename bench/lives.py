"""A million lives in one server: how long it starts, and what 100,000 warnings at once do to calls."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import million
from bench.process import Stopwatch, quantile
from bench.scale import Scale, app
from bench.script import Script
from bench.serving import Place, serving
from bench.stage import Ringing, Stage, Times, appeared, bare
from bench.stock import Stock, now_ms
from bench.table import Row
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.ports.options import ApnsOptions, HttpOptions, Options, SipOptions
from wakerobin.ports.store import Transaction
from wakerobin.server.building import Rooms
from wakerobin.store.engine import connect_reader, connect_writer

TITLE = "A million lives: the start, and 100,000 warnings due at once"

_CALLEES = 200
_SLICE = 500
_LOOK_EVERY = 0.05
_AHEAD_MS = 2_000
_PAGE = 200
_OUTBOX_ADD = """INSERT INTO outbox (slot, registration_id, generation, kind, step, lane, app, provider,
  not_before, try_at, deadline_at, attempts, payload)
VALUES (0, ?, 9, 'expiry-warning', 1, 'warnings', 'softphone', 'apns', ?, ?, ?, 0, '{"lead":43200000}')"""
_LIFE_UPDATE = "UPDATE life SET step = step + 1, next_at = ? WHERE id = ?"


@dataclass(frozen=True, slots=True)
class _Size:
    lives: int
    due: int
    sealed: int
    """So many can really be sent something: more than leave while it is measured."""
    ringing: Ringing


async def run(scale: Scale) -> list[Row]:
    """Start a server that has a million lives, ring, and let the warnings fall due while it rings."""
    size = _Size(
        scale.of(1_000_000, 3_000),
        scale.of(100_000, 600),
        scale.of(20_000, 600),
        Ringing(scale.of(10, 1), _CALLEES),
    )
    floor = await bare(scale, size.ringing)
    sink_folder, registrar_folder = scale.folder / "sink", scale.folder / "registrar"
    sink_folder.mkdir()
    registrar_folder.mkdir()
    registrar = scale.place()
    async with (
        Script("sink", sink_folder, *scale.place()) as sink,
        Script("accepting", registrar_folder, *registrar),
    ):
        apns = ApnsOptions(**await appeared(sink_folder / "options.json"))
        place = Place.new(scale.folder)
        await _fill(place, size, f"{registrar[0]}:{registrar[1]}")
        caller, (ip, port) = scale.place(), scale.place()
        options = Options(
            sip=SipOptions(listen=(f"udp:{ip}:{port}",), call_sources=(caller[0],)),
            http=HttpOptions(listen=""),
            apps=app(registrar[0], apns),
        )
        read = _read_all(_database(place))
        started = time.perf_counter()
        async with serving(options, place) as rooms:
            took = time.perf_counter() - started
            stage = Stage(rooms, sink, sink_folder, (caller, (ip, port)))
            busy, outbox_s, outbox_cpu = await _all_at_once(rooms, stage, size)
        storm = max(json.loads((registrar_folder / "registers.json").read_text()).values(), default=0)
        raw = _raw(_database(place), size)
    return [
        Row(
            what=f"a start with {size.lives:,} lives, until calls are taken",
            value=took,
            unit="s",
            beside="reading the same accounts from SQLite, nothing else",
            beside_value=read,
            at_most=10.0,
        ),
        Row(
            what="REGISTERs in the second that had most of them",
            value=storm,
            unit="/s",
            beside="[sip] register_rate and register_burst together",
            beside_value=options.sip.register_rate + options.sip.register_burst,
            at_most=options.sip.register_rate + options.sip.register_burst,
        ),
        Row(
            what=f"{size.due:,} warnings due at once: all in the outbox",
            value=outbox_s,
            unit="s",
            beside=f"raw SQLite, {_SLICE} a transaction",
            beside_value=raw,
            at_most=10.0,
            remark=f"{outbox_cpu:.1f} CPU-s of the whole server in that time; "
            f"{busy.others:,} of them were with the push service when the calls had ended; "
            f"{busy.cpu:.0%} of a core used, {busy.queued:.0%} waited for",
        ),
        *(_row(busy, part, goal, floor) for part, goal in ((0.5, 1.0), (0.99, 5.0))),
    ]


def _row(times: Times, part: float, goal: float, floor: list[float]) -> Row:
    return Row(
        what=f"calls meanwhile, INVITE to push: p{part * 100:.0f}",
        value=quantile(times.written, part),
        unit="ms",
        beside="a loop that only reads datagrams",
        beside_value=quantile(floor, part),
        at_most=goal,
    )


def _database(place: Place) -> Path:
    return place.folders.data / "wakerobin.db"


async def _fill(place: Place, size: _Size, registrar: str) -> None:
    stock = Stock(
        count=size.sealed,
        registrar=registrar,
        key=place.key,
        capabilities={"background_refresh": False},  # a warning that need not wait for a silent renewal
    )
    ids = await place.keep(stock)
    million.copy(_database(place), of=ids[-1], up_to=size.lives)


async def _all_at_once(rooms: Rooms, stage: Stage, size: _Size) -> tuple[Times, float, float]:
    """Ring, with the warnings due a moment after the first call; returns the calls, seconds, CPU-s."""
    lead = LifetimePolicy().warnings[0]
    # Changing so many lives takes a while; what was armed for later is not looked at before.
    due_at = now_ms() + size.due // 10 + _AHEAD_MS

    def arm(numbers: range, tx: Transaction) -> None:
        for number in numbers:
            life = tx.lives.get(number)
            assert life is not None
            # Those that can really be sent end first, so that they are sent first.
            end = due_at + lead + (number > size.sealed)
            tx.lives.update(replace(life, expires_at=end, next_at=due_at, renewed_at=end - life.lifetime))

    for first in range(_CALLEES + 1, size.due + _CALLEES + 1, _SLICE):
        numbers = range(first, min(first + _SLICE, size.due + _CALLEES + 1))
        await rooms.ground.store.transact(partial(arm, numbers))
    left = due_at - now_ms()
    if left < 0:
        raise RuntimeError(f"the warnings were due {-left} ms too early for this machine")
    await asyncio.sleep(left / 1000 - 0.5)
    ringing, watch = asyncio.create_task(stage.ring(size.ringing)), Stopwatch()
    while now_ms() < due_at or (rooms.ground.store.read(lambda tx: tx.lives.next_due()) or 0) <= due_at + 1:
        await asyncio.sleep(_LOOK_EVERY)
    took, cpu = (now_ms() - due_at) / 1000, watch.cpu
    return await ringing, took, cpu


def _read_all(database: Path) -> float:
    """Return how long the rows take that a start reads, page by page."""
    connection = connect_reader(database)
    began, after = time.perf_counter(), 0
    while rows := connection.execute(
        "SELECT * FROM account WHERE id > ? ORDER BY id LIMIT ?", (after, _PAGE)
    ).fetchall():
        after = rows[-1][0]
    connection.close()
    return time.perf_counter() - began


def _raw(database: Path, size: _Size) -> float:
    """Return how long the same rows take with nothing of ours between."""
    connection = connect_writer(database, 0)
    began, now = time.perf_counter(), now_ms()
    last = size.lives
    for first in range(last - size.due + 1, last + 1, _SLICE):
        ids = range(first, min(first + _SLICE, last + 1))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_LIFE_UPDATE, [(now, id_) for id_ in ids])
        connection.executemany(_OUTBOX_ADD, [(id_, now, now, now) for id_ in ids])
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return took

"""From the INVITE to the call push on the wire: alone, and with warnings being sent beside it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial

from bench.kamailio import Kamailio
from bench.machine import OTHERS
from bench.process import quantile
from bench.scale import Scale, app
from bench.script import Script
from bench.serving import Place, serving
from bench.stage import Ringing, Stage, Times, appeared, bare
from bench.stock import Stock, now_ms
from bench.table import Row
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.values import Duration
from wakerobin.ports.options import ApnsOptions, HttpOptions, Options, PushOptions, SipOptions
from wakerobin.ports.store import Transaction
from wakerobin.server.building import Rooms

TITLE = "From the caller's INVITE to the call push on the wire"

_CALLEES = 200
_SHIFT_MS = 4_000
_SHIFTED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class _Load:
    """How long each part takes, and how many warnings fall due in the second one."""

    seconds: int
    warnings_per_second: int

    @property
    def ringing(self) -> Ringing:
        return Ringing(self.seconds, _CALLEES)

    @property
    def warnings(self) -> int:
        return self.seconds * self.warnings_per_second


async def run(scale: Scale) -> list[Row]:
    """Ring at a steady rate, first with nothing else to do, then with warnings at a steady rate."""
    load = _Load(scale.of(10, 1), scale.of(1_000, 100))
    floor = await bare(scale, load.ringing)
    sink_folder = scale.folder / "sink"
    sink_folder.mkdir()
    async with (
        Script("sink", sink_folder, *scale.place()) as sink,
        Kamailio(*scale.place(), core=OTHERS) as pbx,
    ):
        apns = ApnsOptions(**await appeared(sink_folder / "options.json"))
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
            push=PushOptions(rate=2_000.0, ramp=Duration(0)),  # all that is due: the worst for a call
            apps=app(pbx.ip, apns),
        )
        async with serving(options, place) as rooms:
            stage = Stage(rooms, sink, sink_folder, (caller, (ip, port)))
            await asyncio.sleep(1.5)  # the bindings of the callees are made in this time
            idle = await stage.ring(load.ringing)
            await _let_fall_due(rooms, ids[_CALLEES:], load)
            busy = await stage.ring(load.ringing)
    return [*_rows("alone", idle, floor), *_rows(_busy_words(busy, load), busy, floor)]


def _busy_words(busy: Times, load: _Load) -> str:
    return f"{load.warnings_per_second:,} warnings/s due beside it ({busy.others / load.seconds:,.0f}/s sent)"


def _rows(when: str, times: Times, bare: list[float]) -> list[Row]:
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

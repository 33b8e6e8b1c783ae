"""REGISTER cycles: our fleet, with its storage, against a real Kamailio; beside it sippy, SIPp, Kamailio."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from bench.kamailio import PASSWORD, REALM, Kamailio
from bench.machine import OTHERS, OURS
from bench.process import Process, Stopwatch
from bench.scale import Scale, app
from bench.serving import Place, serving
from bench.sipp import Sipp
from bench.stock import Stock, user
from bench.table import Row
from wakerobin import metrics
from wakerobin.ports.options import HttpOptions, Options, SipOptions
from wakerobin.server.building import Rooms

TITLE = "REGISTER cycles against a real registrar"

_RATE = 5000.0
"""REGISTERs a second: a cycle takes two of them."""
_LOOK_EVERY = 0.02
_WITHIN = 40.0
_SIPPY = Path(__file__).parent.parent / ".venv" / "sippy" / "bin" / "python"
_UNIT = "cycles/CPU-s"


async def run(scale: Scale) -> list[Row]:
    """Register accounts from nothing, refresh them with the nonces that were kept, let others do the same."""
    count = scale.of(6_000, 200)
    pbx_place = scale.place()
    async with Kamailio(*pbx_place, core=OTHERS) as pbx:
        place = Place.new(scale.folder)
        await place.keep(Stock(count=count, registrar=pbx.address, key=place.key))
        ip, port = scale.place()
        options = Options(
            sip=SipOptions(listen=(f"udp:{ip}:{port}",), register_rate=_RATE, register_burst=50),
            http=HttpOptions(listen=""),
            apps=app(pbx.ip),
        )
        pbx_before = pbx.cpu_seconds()
        async with serving(options, place) as rooms:
            full, full_wall = await _until_bound(count)
            pbx_cpu = pbx.cpu_seconds() - pbx_before
            contacts = await pbx.contacts()
            if contacts != count:
                raise RuntimeError(f"the registrar holds {contacts} contacts, not {count}")
            refresh, _ = await _refreshed(rooms, count)
    sippy = await _sippy(scale)
    sipp = await _sipp(scale)
    held = f"{count:,} accounts, {count / full_wall:,.0f} cycles/s on the clock"
    return [
        Row(
            what="401 and digest, end to end with storage; beside sippy's agent",
            value=count / full,
            unit=_UNIT,
            beside="sippy" if sippy else "sippy is not installed",
            beside_value=sippy,
            at_least=5000,
            remark=held,
        ),
        Row(
            what="the same, beside the registrar that answers",
            value=count / full,
            unit=_UNIT,
            beside="Kamailio, answering us",
            beside_value=count / pbx_cpu,
        ),
        Row(
            what="the same, beside a client in C without storage",
            value=count / full,
            unit=_UNIT,
            beside="SIPp",
            beside_value=sipp,
        ),
        Row(what="refresh with a kept nonce (one round trip)", value=count / refresh, unit=_UNIT),
    ]


async def _until_bound(count: int) -> tuple[float, float]:
    """Return the CPU and wall seconds from the first binding to the last."""
    before = _bound()
    watch, began = Stopwatch(), 0.0
    async with asyncio.timeout(_WITHIN):
        while (done := _bound() - before) < count:
            if not done:
                began = watch.wall
            await asyncio.sleep(_LOOK_EVERY)
    return watch.cpu, watch.wall - began


async def _refreshed(rooms: Rooms, count: int) -> tuple[float, float]:
    accounts = rooms.ground.store.read(lambda tx: tx.accounts.page(0, count))
    waiting = asyncio.create_task(_until_bound(count))
    await asyncio.sleep(0)
    for account in accounts:
        rooms.fleet.refresh_now(account.id)
    return await waiting


def _bound() -> float:
    (family,) = metrics.REGISTERS.labels("bound").collect()
    return family.samples[0].value


async def _sippy(scale: Scale) -> float:
    """Return the cycles of sippy's registration agent for each of its CPU seconds; 0.0: not installed."""
    if not _SIPPY.exists():
        return 0.0
    async with Kamailio(*scale.place(), core=OTHERS) as pbx:
        agent = Process("sippy", core=OURS)
        ip, port = scale.place()
        script = str(Path(__file__).with_name("sippy_agent.py"))
        count = scale.of(2_000, 100)
        try:
            await agent.start([str(_SIPPY), script, ip, str(port), pbx.ip, str(pbx.port), str(count)])
            await agent.ended(_WITHIN)
            told = json.loads(agent.output().splitlines()[-1])
        except (TimeoutError, ValueError, IndexError):
            raise RuntimeError(f"sippy's agent failed: {agent.output()[-500:]}") from None
        finally:
            await agent.end()
        if told["registered"] != count or await pbx.contacts() != count:
            raise RuntimeError(f"sippy registered {told['registered']} of {count}")
        return count / float(told["cpu_s"])


async def _sipp(scale: Scale) -> float:
    count = scale.of(6_000, 200)
    place = scale.place()
    lines = [f"{user(n)};[authentication username={user(n)} password={PASSWORD}]" for n in range(count)]
    keys: dict[str, str | int] = {"domain": REALM, "contact_port": place[1]}
    async with Kamailio(*scale.place(), core=OTHERS) as pbx:
        target = (pbx.ip, pbx.port)
        client = Sipp("register", place, target=target, lines=lines, count=count, rate=2000, keys=keys)
        async with client:
            result = await client.finished(_WITHIN, weighed=True)
    if result.successful != count:
        raise RuntimeError(f"SIPp registered {result.successful} of {count}")
    return count / result.cpu_seconds

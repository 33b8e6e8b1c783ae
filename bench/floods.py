"""Calls answered for others while somebody floods the server, beside the same calls without a flood."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trustme

from bench.process import Stopwatch
from bench.scale import Scale, app
from bench.script import Script
from bench.serving import Place, serving
from bench.stage import appeared
from bench.stock import Stock
from bench.table import Row
from wakerobin.ports.options import HttpOptions, Options, SipOptions

TITLE = "Calls of others under a flood (phones awake, 25 calls/s, nothing of the limits changed)"

_RATE = 25
_ACCOUNTS = 10
_LINGER = 20.0
_FLOODS: dict[str, tuple[str, int, int]] = {
    "register": ("REGISTERs from one address", 0, 5_000),
    "many": ("REGISTERs from 200 addresses", 0, 5_000),
    "invite": ("INVITEs to numbers that are nobody's", 0, 5_000),
    "garbage": ("garbage by UDP", 0, 5_000),
    "connects": ("TCP connections", 0, 1_000),
    "handshakes": ("TLS handshakes", 1, 500),
    "websockets": ("junk over WebSockets", 2, 500),
}
"""What it is, how far its port is from the first one, and how many a second."""


async def run(scale: Scale) -> list[Row]:
    """Call without a flood, then under each."""
    seconds = scale.of(8, 1)
    pbx, (phones, _), (ip, port) = scale.place(), scale.place(), scale.place()
    arguments = (*pbx, phones, ip, port, _RATE, seconds, _ACCOUNTS, scale.folder)
    async with Script("flood_calls", *arguments) as calls, _served(scale, pbx, (ip, port)):
        await _there(scale.folder / "ready", calls)
        quiet, _ = await _round(scale.folder, calls)
        rows = []
        for kind in ("register", "handshakes") if scale.quick else _FLOODS:
            rows += await _under(kind, scale, calls, (ip, port), seconds, quiet)
    return rows


@contextlib.asynccontextmanager
async def _served(scale: Scale, pbx: tuple[str, int], us: tuple[str, int]) -> AsyncIterator[None]:
    ip, port = us
    issued = trustme.CA().issue_cert("push.example.com")
    cert, key = scale.folder / "cert.pem", scale.folder / "key.pem"
    cert.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    listen = (f"udp:{ip}:{port}", f"tcp:{ip}:{port}", f"tls:{ip}:{port + 1}", f"ws:{ip}:{port + 2}")
    sip = SipOptions(
        listen=listen,
        tls_cert=str(cert),
        tls_key=str(key),
        live_flow=SipOptions().ring_timeout,  # nobody is to be woken: these phones are awake
    )
    place = Place.new(scale.folder)
    await place.keep(Stock(count=_ACCOUNTS, registrar=f"{pbx[0]}:{pbx[1]}", key=place.key))
    options = Options(sip=sip, http=HttpOptions(listen=""), apps=app(pbx[0]))
    async with serving(options, place):
        yield


async def _under(
    kind: str, scale: Scale, calls: Script, us: tuple[str, int], seconds: int, quiet: dict[str, Any]
) -> list[Row]:
    what, offset, rate = _FLOODS[kind]
    own, _ = scale.place()
    async with Script("flood", kind, own, us[0], us[1] + offset, seconds + 1, rate) as flood:
        told, cpu = await _round(scale.folder, calls)
        sent = (await flood.told(_LINGER))["sent"]
    return [
        Row(
            what=f"calls answered under {what}",
            value=told["answered"] / seconds,
            unit="/s",
            beside="no flood",
            beside_value=quiet["answered"] / seconds,
            at_least=0.99 * _RATE,
            remark=f"{sent:,} sent in {seconds + 1} s; our core was busy for {cpu:.0%}; of {told['calls']} "
            f"calls {told['answered']} were answered",
        ),
        Row(
            what=f"time to the 200, 99 of 100, under {what}",
            value=told["p99"],
            unit="ms",
            beside="no flood",
            beside_value=quiet["p99"],
        ),
    ]


async def _round(folder: Path, calls: Script) -> tuple[dict[str, Any], float]:
    """Let a round of calls be made; what came of it, and the part of a core that this server took."""
    path = folder / "round.json"
    path.unlink(missing_ok=True)
    watch = Stopwatch()
    calls.signal(signal.SIGUSR1)
    return await _result(path, calls), watch.cpu / watch.wall


async def _result(path: Path, calls: Script) -> dict[str, Any]:
    await _there(path, calls)
    return await appeared(path)


async def _there(path: Path, calls: Script) -> None:
    async with asyncio.timeout(30.0):
        while not path.exists():
            if not calls.is_running:
                raise RuntimeError(f"the callers have ended: {calls.output()[-1000:]}")
            await asyncio.sleep(0.05)

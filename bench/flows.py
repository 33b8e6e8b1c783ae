"""What an idle phone costs on each transport: memory of the whole server, and CPU time to take it in."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from bench.machine import OURS
from bench.process import Process
from bench.scale import Scale
from bench.table import Row

TITLE = "Memory and CPU time of idle phones: connected, registered, silent"

_ROOT = Path(__file__).parent.parent
_KINDS = ("tcp", "tls", "ws", "wss")
_WITHIN = 60.0
_SETTLE = 1.0
_PEER = "a TLS server of asyncio's own, no SIP"


async def run(scale: Scale) -> list[Row]:
    """Hold the same number of phones on each transport, in a new server for each."""
    count = scale.of(1_500, 30)
    plain, plain_cpu = await _measured(scale, "plain", count)
    rows = []
    for kind in ("wss",) if scale.quick else _KINDS:
        octets, cpu = await _measured(scale, kind, count)
        is_tls = kind in ("tls", "wss")
        rows += [
            Row(
                what=f"memory of a phone over {kind.upper()}",
                value=octets / 1000,
                unit="kB",
                beside=_PEER if is_tls else "",
                beside_value=plain / 1000 if is_tls else 0.0,
                at_most=80.0,
                remark=f"{count:,} phones, each with its account and its transactions of the last 32 s",
            ),
            Row(
                what=f"phones over {kind.upper()} that connect and register",
                value=count / cpu,
                unit="/CPU-s",
                beside=f"{_PEER}: handshakes alone" if is_tls else "",
                beside_value=count / plain_cpu if is_tls else 0.0,
            ),
        ]
    return rows


async def _measured(scale: Scale, kind: str, count: int) -> tuple[float, float]:
    """Return octets of memory and CPU seconds for each phone that is held."""
    server, phones = Process(f"flow-{kind}", core=OURS), Process(f"phones-{kind}")
    (ip, port), (own, _) = scale.place(), scale.place()
    try:
        folder = server.folder
        await server.start(_python("flow_server", kind, count, ip, port, folder), folder=_ROOT)
        await _appeared(folder / "ready", server)
        await asyncio.sleep(_SETTLE)
        memory, cpu = server.resident(), server.cpu_seconds()
        ca = folder / "ca.pem"
        command = _python("flow_phones", kind, count, own, ip, port, ca, phones.folder)
        await phones.start(command, folder=_ROOT)
        told = json.loads(await _appeared(phones.folder / "held", phones))
        if told["held"] != count:
            raise RuntimeError(f"only {told['held']} of {count} phones stand")
        cpu = server.cpu_seconds() - cpu
        await asyncio.sleep(_SETTLE)
        return (server.resident() - memory) / count, max(cpu, 0.001)
    finally:
        await phones.end()
        await server.end()


async def _appeared(path: Path, process: Process) -> str:
    async with asyncio.timeout(_WITHIN):
        while not path.exists():
            if not process.is_running:
                raise RuntimeError(f"{process.name} has ended: {process.output()[-1000:]}")
            await asyncio.sleep(0.05)
    return path.read_text()


def _python(module: str, *arguments: str | int | Path) -> list[str]:
    return [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]

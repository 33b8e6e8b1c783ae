"""Pushes over HTTP/2 to nginx: what each costs, how long it takes, and what a call waits for under bulk."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import OTHERS, OURS, pin
from bench.process import Process, Stopwatch, quantile
from bench.push_client import Far, a_message, our_service
from bench.scale import Scale
from bench.script import Script
from bench.table import Row
from tests.interop.peers.network import find_program
from tests.interop.peers.nginx import Nginx
from tests.interop.peers.node import modules
from wakerobin.core.pushes import PushType
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions
from wakerobin.testing.pns_certificates import make_server_context, make_signing_key

TITLE = "Pushes over HTTP/2 to nginx, beside other clients"

GOAL = 4_000.0
CALL_GOAL_MS = 5.0
AT_ONCE = (1, 50, 500)
_ROOT = Path(__file__).parent.parent
_NODE = Path(__file__).parent / "node"
_BULK_PER_SECOND = 1_000
_CALLS_PER_SECOND = 100


@dataclass(frozen=True, slots=True)
class Cost:
    """What one client took for its pushes; times in milliseconds."""

    per_cpu: float
    per_second: float
    p50: float
    p99: float
    lost: int
    samples: dict[str, int]

    def __hash__(self) -> int:
        return hash(self.per_cpu)

    @classmethod
    def of(cls, told: dict[str, Any], count: int) -> Cost:
        """Read what a client told."""
        pushed, samples = told["pushed"], told.get("samples", {})
        lost = count - pushed
        return cls(pushed / told["cpu"], pushed / told["wall"], told["p50"], told["p99"], lost, samples)


async def run(scale: Scale) -> list[Row]:
    """Measure every client at each number of pushes in flight, then calls beside bulk."""
    far, nginx = await _far(scale)
    try:
        costs = {
            (name, at_once): await _measure(name, far, scale, at_once)
            for at_once in AT_ONCE
            for name in _clients(scale)
        }
        sampled = await _python("ours", far, scale.of(8_000, 300), 50, with_samples=True)
        waits = [await _calls_beside(far, scale, bulk) for bulk in (0, _BULK_PER_SECOND)]
    finally:
        await nginx.stop()
    rows = [row for at_once in AT_ONCE for row in _rows(costs, at_once)]
    return [*rows, _share(sampled), *_waited(waits)]


async def _far(scale: Scale) -> tuple[Far, Nginx]:
    ip, port = scale.place()
    _, ca_file = make_server_context(scale.folder, ip)
    both = scale.folder / "server.pem"
    nginx = Nginx(ip, port, both, both, requests=10_000_000, streams=1000, has_log=False)
    await nginx.start()
    for pid in nginx.pids:
        pin(pid, OTHERS)
    key_file = scale.folder / "key.p8"
    make_signing_key(key_file)
    return Far(ip, port, str(ca_file), str(key_file)), nginx


def _clients(scale: Scale) -> list[str]:
    there = [name for name in ("aioapns", "httpx") if importlib.util.find_spec(name) is not None]
    return ["ours", *there, *([] if scale.quick else ["node-apn"]), "h2load"]


def _count(name: str, scale: Scale, at_once: int) -> int:
    """Return how many pushes take about two seconds."""
    a_second = {"ours": 4_000, "aioapns": 3_000, "httpx": 700, "node-apn": 5_000, "h2load": 40_000}[name]
    slower = 3 if at_once == 1 else 1
    return scale.of(2 * a_second // slower, 100 + at_once)


async def _measure(name: str, far: Far, scale: Scale, at_once: int) -> Cost:
    count = _count(name, scale, at_once)
    if name == "h2load":
        return await asyncio.to_thread(_h2load, far, count, at_once, scale.folder)
    if name != "node-apn":
        return await _python(name, far, count, at_once)
    packages = await modules(_NODE)
    script = packages / "push_client.cjs"
    script.write_text((_NODE / "push_client.cjs").read_text())  # where it finds its packages
    files = (far.ca_file, far.key_file)
    return await _told("node", ["node", script, far.ip, far.port, *files, count, at_once], count)


def _python(name: str, far: Far, count: int, at_once: int, *, with_samples: bool = False) -> Awaitable[Cost]:
    arguments = [name, far.ip, far.port, far.ca_file, far.key_file, count, at_once]
    command = [sys.executable, "-m", "bench.push_client", *arguments, *(["sample"] if with_samples else [])]
    return _told(name, command, count)


async def _told(name: str, command: list[Any], count: int) -> Cost:
    process = Process(name, core=OURS)
    words = [find_program(word) if word == "node" else str(word) for word in command]
    try:
        await process.start(words, folder=_ROOT)
        await process.ended(60)
        lines = [line for line in process.output().splitlines() if line.startswith("{")]
        if not lines:
            raise RuntimeError(f"{name}: {process.output()[-500:]}")
        return Cost.of(json.loads(lines[-1]), count)
    finally:
        await process.end()


def _h2load(far: Far, count: int, at_once: int, folder: Path) -> Cost:
    """Return what nghttp2's load generator, in C, takes: about the least that is possible."""
    body, log = folder / "body", folder / "h2load.log"
    body.write_bytes(b"x" * 308)
    log.unlink(missing_ok=True)
    command = [find_program("h2load"), f"-n{count}", "-c1", f"-m{at_once}", f"-d{body}"]
    command += [f"--log-file={log}", "-Hapns-id: c3a4f9d2-5b6e-8a01-9c2d-3e4f5a6b7c8d"]
    command += ["-Hapns-topic: com.example.phone", f"-Hauthorization: bearer {'x' * 230}"]
    command += [f"https://{far.ip}:{far.port}/3/device/{'ab' * 32}"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, preexec_fn=lambda: pin(0, OURS))
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    times = [int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines()]
    told = {"pushed": len(times), "cpu": cpu, "wall": wall}
    return Cost.of(told | {"p50": quantile(times, 0.5), "p99": quantile(times, 0.99)}, count)


def _rows(costs: dict[tuple[str, int], Cost], at_once: int) -> list[Row]:
    ours = costs["ours", at_once]
    others = [(name, cost) for (name, number), cost in costs.items() if number == at_once and name != "ours"]
    rows = []
    for name, cost in others:
        lost = f"; it lost {cost.lost} of its pushes" if cost.lost else ""
        rows.append(
            Row(
                what=f"{at_once} in flight, beside {name}",
                value=ours.per_cpu,
                unit="pushes/CPU-s",
                beside=name,
                beside_value=cost.per_cpu,
                at_least=GOAL if at_once > 1 else 0.0,
                remark=f"ours {_speed(ours)}; {name} {_speed(cost)}{lost}",
            )
        )
    return rows


def _speed(cost: Cost) -> str:
    return f"{cost.per_second:,.0f}/s, p50 {cost.p50:.2f} ms, p99 {cost.p99:.2f} ms"


def _share(sampled: Cost) -> Row:
    counts = sampled.samples
    all_ = max(1, counts.get("all", 1))
    parts = {name: 100 * counts.get(name, 0) / all_ for name in ("h2", "tls", "wakerobin")}
    left = 100 - sum(parts.values())
    return Row(
        what="of the CPU time of a push, in `h2`",
        value=parts["h2"],
        unit="%",
        remark=(
            f"with hpack and hyperframe; {parts['wakerobin']:.0f} % in our own code, {parts['tls']:.0f} % in "
            f"TLS, {left:.0f} % in asyncio and the rest; {all_:,} samples, 50 pushes in flight"
        ),
    )


async def _calls_beside(far: Far, scale: Scale, bulk_per_second: int) -> tuple[list[float], float]:
    """Push a call for each INVITE of a caller at a steady rate, and bulk beside them.

    Returns milliseconds from the caller's `sendto` to the moment at which the push is on the wire, and for
    what part of the time this process waited for a core.
    """
    seconds = scale.of(8, 1)
    own, server = scale.place(), scale.place()
    loop = asyncio.get_running_loop()
    pin(os.getpid(), OURS)
    gc.collect()
    gc.freeze()  # as the server does when it has started
    waits: list[float] = []
    watch = Stopwatch()
    async with our_service(far, PoolOptions(bulk_rate=float(bulk_per_second or 1))) as service:

        class Callee(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, _addr: object) -> None:
                call_id = data.partition(b"Call-ID: ")[2].split(b"\r\n", 1)[0].decode()
                number = len(waits)
                message = a_message(f"{number:064x}", str(uuid.UUID(int=number)), PushType.CALL)
                service.begin(message, loop.time() + 10, lambda _outcome: None)
                waits.append((time.monotonic() - int(call_id.partition("-")[0]) / 1e9) * 1000)

        transport, _ = await loop.create_datagram_endpoint(Callee, local_addr=server)
        bulk = asyncio.create_task(_bulk(service, bulk_per_second * seconds, loop.time() + seconds + 10))
        try:
            count = seconds * _CALLS_PER_SECOND
            async with Script("ringing", *own, *server, _CALLS_PER_SECOND, count, count) as caller:
                await caller.told(seconds + 15)
        finally:
            transport.close()
            bulk.cancel()
            await asyncio.wait([bulk])
    return waits, watch.queued / watch.wall


async def _bulk(service: ApnsService, count: int, deadline: float) -> None:
    """Push notices, as many as the courier has out at once; their rate is the pool's."""
    numbers = iter(range(10**6, 10**6 + count))

    async def work() -> None:
        for number in numbers:
            await service.send(a_message(f"{number:064x}", str(uuid.UUID(int=number))), deadline)

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(work())
            if number % 4 == 0:
                await asyncio.sleep(0)


def _waited(measured: list[tuple[list[float], float]]) -> list[Row]:
    """Return the rows of calls. The middle one of the seconds counts: in others, neighbours had the core."""
    (idle, idle_queued), (busy, queued) = measured
    calls = f"{len(busy):,} calls, {_CALLS_PER_SECOND}/s, in the middle one of the seconds"
    return [
        Row(
            what=f"call to wire beside {_BULK_PER_SECOND:,} pushes/s: p{part * 100:.0f}",
            value=_in_the_middle_second(busy, part),
            unit="ms",
            beside="alone",
            beside_value=_in_the_middle_second(idle, part),
            at_most=CALL_GOAL_MS if part > 0.5 else 0.0,
            remark=(
                f"from the caller's sendto; {calls}; in all {quantile(busy, part):.2f} ms, a core waited "
                f"for in {queued:.0%}; alone {quantile(idle, part):.2f} ms, {idle_queued:.0%}"
            ),
        )
        for part in (0.5, 0.99)
    ]


def _in_the_middle_second(waits: list[float], part: float) -> float:
    seconds = [waits[at : at + _CALLS_PER_SECOND] for at in range(0, len(waits), _CALLS_PER_SECOND)]
    return statistics.median(quantile(second, part) for second in seconds)

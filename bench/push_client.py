"""Pushes with one client and prints what it took, as JSON.

`python -m bench.push_client CLIENT IP PORT CA KEY COUNT IN_FLIGHT [sample]`. CLIENT is `ours`, `aioapns` or
`httpx`. With `sample` it prints in which library the time went, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import ssl
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from bench.process import Stopwatch, quantile
from wakerobin import log
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import Accepted, PushMessage, PushType
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret
from wakerobin.net.clock import SystemClock
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import ApnsOptions
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions, Surroundings
from wakerobin.push.jwt import TeamToken, read_signing_key
from wakerobin.testing.memory import MemoryStore

TOPIC, KEY_ID, TEAM_ID = "com.example.phone", "ABCDEFGH12", "TEAMTEAM12"
PAYLOAD = {"v": 1, "type": "expired", "id": "c3a4f9d2", "text": "y" * 120}

Push: TypeAlias = Callable[[str, str], Awaitable[bool]]
"""Pushes to a device token with an id; whether it was accepted."""


@dataclass(frozen=True, slots=True)
class Far:
    """Where the push service is, and the files to talk to it with."""

    ip: str
    port: int
    ca_file: str
    key_file: str

    @property
    def tls(self) -> ssl.SSLContext:
        """What verifies it."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.set_alpn_protocols(["h2"])
        return context


def a_message(token: str, id_: str, type_: PushType = PushType.EXPIRED) -> PushMessage:
    """Return a push of ordinary size."""
    target = PushTarget(
        registration_id=1,
        provider=Provider.APNS,
        purposes=frozenset(Purpose),
        token=Secret(token),
        reported_at=1,
        accepted_at=1,
    )
    is_call = type_ is PushType.CALL
    return PushMessage(
        type=type_,
        id=id_,
        target=target,
        app="softphone",
        title="" if is_call else "alice",
        text="" if is_call else "x" * 80,
        payload=PAYLOAD,
        expires_at=(int(time.time()) + 3600) * 1000,
        collapse_key="" if is_call else "life",
    )


@contextlib.asynccontextmanager
async def our_service(far: Far, pool: PoolOptions) -> AsyncIterator[ApnsService]:
    """Open our own client, as the server does."""
    options = ApnsOptions(
        key_file=far.key_file,
        key_id=KEY_ID,
        team_id=TEAM_ID,
        topic=TOPIC,
        url=f"https://{far.ip}:{far.port}",
        ca_file=far.ca_file,
    )
    clock = SystemClock(asyncio.get_running_loop())
    wheel = Wheel(asyncio.get_running_loop())
    token = TeamToken(read_signing_key(options, "apps.softphone.apns"), MemoryStore(), clock, wheel)
    around = Surroundings(clock, wheel, os.urandom)
    service = ApnsService(options, token, around, DestinationPolicy(), pool=pool)
    await service.warm()
    try:
        yield service
    finally:
        await service.close()


@contextlib.asynccontextmanager
async def ours(far: Far, in_flight: int) -> AsyncIterator[Push]:
    """`ApnsService` on `h2`, its pacing opened wide."""
    loop = asyncio.get_running_loop()
    async with our_service(far, PoolOptions(bulk_rate=1e9, bulk_in_flight=in_flight)) as service:

        async def push(token: str, id_: str) -> bool:
            outcome = await service.send(a_message(token, id_), loop.time() + 30)
            return isinstance(outcome, Accepted)

        yield push


@contextlib.asynccontextmanager
async def aioapns(far: Far, _in_flight: int) -> AsyncIterator[Push]:
    """The client that most Python servers push to Apple with."""
    library: Any = importlib.import_module("aioapns")
    protocol: Any = importlib.import_module("aioapns.connection").APNsProductionClientProtocol
    protocol.APNS_SERVER, protocol.APNS_PORT = far.ip, far.port
    key = Path(far.key_file).read_text()
    client = library.APNs(key=key, key_id=KEY_ID, team_id=TEAM_ID, topic=TOPIC, ssl_context=far.tls)

    async def push(token: str, id_: str) -> bool:
        aps = {"alert": {"title": "alice", "body": "x" * 80}, "thread-id": "life", "sound": "default"}
        request = library.NotificationRequest(
            device_token=token,
            message={"aps": aps, "wakerobin": PAYLOAD},
            notification_id=id_,
            time_to_live=3600,
            push_type=library.PushType.ALERT,
            collapse_key="life",
        )
        return bool((await client.send_notification(request)).is_successful)

    yield push


@contextlib.asynccontextmanager
async def httpx(far: Far, in_flight: int) -> AsyncIterator[Push]:
    """A general client that speaks HTTP/2."""
    library: Any = importlib.import_module("httpx")
    options = ApnsOptions(key_file=far.key_file, key_id=KEY_ID, team_id=TEAM_ID, topic=TOPIC)
    token_text = read_signing_key(options, "apps.softphone.apns").sign(int(time.time()))
    limits = library.Limits(max_connections=max(1, in_flight // 100))
    async with library.AsyncClient(http2=True, verify=far.tls, limits=limits, timeout=30) as client:

        async def push(token: str, id_: str) -> bool:
            aps = {"alert": {"title": "alice", "body": "x" * 80}, "thread-id": "life", "sound": "default"}
            answer = await client.post(
                f"https://{far.ip}:{far.port}/3/device/{token}",
                content=json.dumps({"aps": aps, "wakerobin": PAYLOAD}).encode(),
                headers={
                    "authorization": f"bearer {token_text}",
                    "apns-id": id_,
                    "apns-topic": TOPIC,
                    "apns-push-type": "alert",
                    "apns-priority": "10",
                    "apns-expiration": str(int(time.time()) + 3600),
                    "apns-collapse-id": "life",
                },
            )
            return bool(answer.status_code == 200)

        yield push


CLIENTS = {"ours": ours, "aioapns": aioapns, "httpx": httpx}


async def measure(push: Push, count: int, in_flight: int) -> dict[str, Any]:
    """Push so many, so many at once."""
    await push("0" * 64, str(uuid.UUID(int=0)))
    numbers = iter(range(1, count + 1))
    times: list[float] = []

    async def work() -> None:
        for number in numbers:
            began = time.perf_counter()
            with contextlib.suppress(Exception):  # what a client raises is a push that did not arrive
                if await push(f"{number:064x}", str(uuid.UUID(int=number))):
                    times.append((time.perf_counter() - began) * 1000)

    watch = Stopwatch()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return {
        "pushed": len(times),
        "cpu": watch.cpu,
        "wall": watch.wall,
        "p50": quantile(times or [0.0], 0.5),
        "p99": quantile(times or [0.0], 0.99),
    }


class Samples:
    """Looks every millisecond of CPU time which library is at work; whoever is called by `h2` is `h2`."""

    _LIBRARIES = ("h2", "hpack", "hyperframe")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Samples:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _look(self, _number: int, frame: FrameType | None) -> None:
        self.counts["all"] += 1
        while frame is not None:
            library = frame.f_globals.get("__name__", "").partition(".")[0]
            if library in self._LIBRARIES:
                self.counts["h2"] += 1
                return
            if library == "asyncio" and "ssl" in frame.f_code.co_filename:
                self.counts["tls"] += 1
                return
            if library == "wakerobin":
                self.counts["wakerobin"] += 1
                return
            frame = frame.f_back


async def _main(name: str, far: Far, count: int, in_flight: int, *, with_samples: bool) -> dict[str, Any]:
    async with CLIENTS[name](far, in_flight) as push:
        if not with_samples:
            return await measure(push, count, in_flight)
        with Samples() as samples:
            told = await measure(push, count, in_flight)
        return told | {"samples": dict(samples.counts)}


if __name__ == "__main__":
    log.configure("warning")
    _client, _ip, _port, _ca, _key, _count, _in_flight, *_rest = sys.argv[1:]
    _told = asyncio.run(
        _main(
            _client,
            Far(_ip, int(_port), _ca, _key),
            int(_count),
            int(_in_flight),
            with_samples=bool(_rest),
        )
    )
    print(json.dumps(_told), flush=True)
    os._exit(0)  # aioapns leaves tasks that wait for ever

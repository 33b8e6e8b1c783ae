"""What the tests of pushing share: a clock of the loop, messages, and services that push to a fake."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.pushes import Outcome, PushMessage, PushType
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.options import ApnsOptions
from wakerobin.ports.store import Store
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions, Resolve, Surroundings, system_resolve
from wakerobin.push.jwt import TeamToken, read_signing_key
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.pns import FakePns

TOKEN = "ab" * 32
UUID = "c3a4f9d2-5b6e-8a01-9c2d-3e4f5a6b7c8d"


class LoopClock:
    """Both clocks and the timers of the running loop."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_at(when, callback)


def target(token: str = TOKEN, **changes: object) -> PushTarget:
    values: dict[str, object] = {
        "id": 1,
        "registration_id": 1,
        "provider": Provider.APNS,
        "purposes": frozenset(Purpose),
        "token": Secret(token),
        "reported_at": 0,
        "accepted_at": 1,
    }
    return PushTarget(**(values | changes))  # type: ignore[arg-type]  # the tests change one field at a time


def message(type_: PushType = PushType.CALL, token: str = TOKEN, **changes: object) -> PushMessage:
    is_silent = type_ in (PushType.CALL, PushType.RENEW)
    values: dict[str, object] = {
        "type": type_,
        "id": UUID,
        "target": target(token),
        "app": "phone",
        "title": "" if is_silent else "alice",
        "text": "" if is_silent else "Tap here.",
        "payload": {"v": 1, "type": type_.value, "id": UUID},
        "expires_at": (int(time.time()) + 30) * 1000,
        "collapse_key": "" if type_ is PushType.CALL else "life",
    }
    return PushMessage(**(values | changes))  # type: ignore[arg-type]  # the tests change one field at a time


@contextlib.asynccontextmanager
async def service_for(
    pns: FakePns,
    *,
    store: Store | None = None,
    clock: Clock | None = None,
    timers: Timers | None = None,
    options: ApnsOptions | None = None,
    pool: PoolOptions | None = None,
    resolve: Resolve = system_resolve,
    policy: DestinationPolicy | None = None,
    second_url: str = "",
    warm: bool = True,
) -> AsyncIterator[ApnsService]:
    """Open a service that pushes to the fake, warm unless told otherwise, and close it at the end."""
    of_loop = LoopClock()
    clock, timers = clock or of_loop, timers or of_loop
    options = options or pns.options()
    pns.now = lambda: clock.now() / 1000
    token = TeamToken(read_signing_key(options, "apps.phone.apns"), store or MemoryStore(), clock, timers)
    service = ApnsService(
        options,
        token,
        Surroundings(clock, timers, os.urandom, resolve),
        policy or DestinationPolicy(),
        pool=pool,
        second_url=second_url,
    )
    try:
        if warm:
            await service.warm()
        yield service
    finally:
        await service.close()


def soon(seconds: float = 5.0) -> float:
    """Return a deadline, in seconds of the loop's clock."""
    return asyncio.get_running_loop().time() + seconds


async def send_all(service: ApnsService, messages: list[PushMessage], seconds: float = 10.0) -> list[Outcome]:
    """Send all at once and return the outcomes in order."""
    return list(await asyncio.gather(*(service.send(one, soon(seconds)) for one in messages)))


def unread_octets(pns: FakePns) -> int:
    """Count what has arrived at the push service's sockets and was not read by it yet."""
    found = 0
    for connection in pns.connections:
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4)
        found += int.from_bytes(answer, sys.byteorder)
    return found

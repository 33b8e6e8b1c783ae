"""Two runs of the server and one push service: what the second takes over from the first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.system.pushing import message, soon
from tests.system.served import options
from wakerobin.core.pushes import Accepted
from wakerobin.core.values import Provider
from wakerobin.ports.push import PushService
from wakerobin.server import Folders, Server
from wakerobin.testing.pns import FakePns

HOST = "127.81.0.41"


@contextlib.asynccontextmanager
async def run(pns: FakePns, folder: Path) -> AsyncIterator[PushService]:
    """Run the server and give its push service for iPhones."""
    ready = asyncio.Event()
    folders = Folders(folder / "data", folder / "config" / "vault.key")
    server = Server(options(pns, HOST), folders, on_ready=lambda _server: ready.set())
    running = asyncio.create_task(server.run())
    try:
        await asyncio.wait_for(ready.wait(), 20)
        assert server.rooms is not None
        service = server.rooms.pushing.of("phone", Provider.APNS)
        assert service is not None
        yield service
    finally:
        server.stop()
        await asyncio.wait_for(running, 15)


async def test_a_restart_shows_apple_the_token_of_the_run_before(tmp_path: Path) -> None:
    """A new one within 20 minutes would be answered with TooManyProviderTokenUpdates."""
    async with FakePns(tmp_path, host=HOST) as pns:
        for _ in range(2):
            async with run(pns, tmp_path) as service:
                assert isinstance(await service.send(message(), soon()), Accepted)
        first, second = pns.pushes
    assert first.connection != second.connection
    assert first.headers["authorization"] == second.headers["authorization"]

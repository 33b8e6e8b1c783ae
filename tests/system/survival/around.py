"""A PBX and a push service that outlive the servers which a test starts between them, in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.system.served import Api, World, options
from tests.system.survival.process import free_port
from wakerobin.ports.options import LifetimeOptions, SipOptions
from wakerobin.server import Folders, Server
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.pns import FakePns


@dataclasses.dataclass
class Surroundings:
    """The users of the PBX are anna and ben. All servers use one folder and one SIP port."""

    folder: Path
    pbx: FakePbx
    pns: FakePns
    port: int

    @contextlib.asynccontextmanager
    async def server(
        self, *, lifetime: LifetimeOptions | None = None, sip: dict[str, Any] | None = None, **changes: Any
    ) -> AsyncIterator[World]:
        """Run a server over what the one before has left."""
        place = f"{self.pns.host}:{self.port}"  # the same for each run: its Contact at the PBX names it
        spoken = SipOptions(listen=(f"udp:{place}", f"tcp:{place}"), **(sip or {}))
        configured = options(self.pns, self.pns.host, sip=spoken, **changes)
        app = dataclasses.replace(configured.apps["phone"], lifetime=lifetime or LifetimeOptions())
        configured = dataclasses.replace(configured, apps={"phone": app})
        ready = asyncio.Event()
        folders = Folders(self.folder / "data", self.key_file)
        server = Server(configured, folders, on_ready=lambda _server: ready.set())
        running = asyncio.create_task(server.run())
        is_ready = asyncio.create_task(ready.wait())
        await asyncio.wait({running, is_ready}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        is_ready.cancel()
        try:
            assert ready.is_set(), running
            assert server.api_address is not None
            yield World(server, self.pbx, self.pns, Api(*server.api_address))
        finally:
            server.stop()
            await asyncio.wait_for(running, 15)

    @property
    def key_file(self) -> Path:
        """Where the key of the vault lies."""
        return self.folder / "config" / "vault.key"


@contextlib.asynccontextmanager
async def surroundings(folder: Path, host: str) -> AsyncIterator[Surroundings]:
    """Start the PBX and the push service on `host`."""
    pbx = FakePbx({"anna": "anna-password", "ben": "ben-password"})
    (folder / "pns").mkdir()
    async with FakePns(folder / "pns", host=host) as pns:
        await pbx.start(host)
        try:
            yield Surroundings(folder, pbx, pns, free_port(host))
        finally:
            await pbx.stop()

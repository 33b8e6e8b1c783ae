"""The server under test: in this process, where its CPU time and its moments can be told apart."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bench.stock import Stock
from wakerobin.net.clock import SystemClock
from wakerobin.ports.options import Options, StoreOptions
from wakerobin.server import Folders, Server
from wakerobin.server.building import Rooms
from wakerobin.server.secret import SECRET, SECRET_OCTETS
from wakerobin.store import open_store


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one server, and its secret."""

    folders: Folders
    key: bytes

    @classmethod
    def new(cls, folder: Path) -> Place:
        """Return a place that nothing was kept in."""
        return cls(
            Folders(folder / "data", folder / "keys" / "vault.key"), secrets.token_bytes(SECRET_OCTETS)
        )

    async def keep(self, stock: Stock) -> list[int]:
        """Store accounts there before the server starts; the ids of their push registrations."""
        clock = SystemClock(asyncio.get_running_loop())
        store = open_store(StoreOptions(), self.folders.data, self.folders.key_file, clock)
        await store.transact(lambda tx: tx.kept.put(SECRET, self.key))
        ids = await stock.fill(store)
        await store.close()
        return ids


@contextlib.asynccontextmanager
async def serving(options: Options, place: Place) -> AsyncIterator[Rooms]:
    """Run the whole server in this process; its rooms while it does."""
    ready = asyncio.Event()
    server = Server(options, place.folders, on_ready=lambda _server: ready.set())
    running = asyncio.create_task(server.run())
    running.add_done_callback(lambda _task: ready.set())
    await ready.wait()
    if running.done():
        running.result()  # raises what kept it from starting
    assert server.rooms is not None
    try:
        yield server.rooms
    finally:
        server.stop()
        await running

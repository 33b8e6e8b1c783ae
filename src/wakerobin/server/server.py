"""One running server. It starts in this order: store, SIP, the calls of before, the loops, the API."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from wakerobin import log
from wakerobin.core.ids import Entropy
from wakerobin.net.clock import SystemClock
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import Options
from wakerobin.server.building import Ground, Rooms, build
from wakerobin.server.folders import Folders
from wakerobin.server.listening import Listening
from wakerobin.server.secret import server_secret
from wakerobin.server.token_keys import TokenKeyring
from wakerobin.server.web_context import web_context
from wakerobin.store import open_store
from wakerobin.web import make_admin, make_api

_log = log.get("server")

SWITCH_INTERVAL_S = 0.0005
"""The writer thread shares the interpreter with the calls: it has to give way often."""

GARBAGE = (3_000, 10, 100)
"""When cycles are looked for. Transactions live for seconds and in great number: by Python's own numbers a
tenth of the CPU time goes into looking through them again and again. Larger ones would stop calls longer."""


class Server:
    """Made from options; `run` serves until `stop` is called or it is cancelled."""

    def __init__(
        self,
        options: Options,
        folders: Folders,
        *,
        entropy: Entropy = os.urandom,
        on_ready: Callable[[Server], None] | None = None,
    ) -> None:
        self.options = options
        self.folders = folders
        self.rooms: Rooms | None = None
        """The services, while it runs."""
        self.api_address: tuple[str, int] | None = None
        """Where the API listens, None where it is off."""
        self.remarks: tuple[str, ...] = ()
        """What the store wants the operator to know."""
        self._entropy = entropy
        self._on_ready = on_ready
        self._is_ready = False
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End `run` in good order."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve. Raises ConfigurationError, before anything is served, for what a person has to mend."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.set_threshold(*GARBAGE)
        loop = asyncio.get_running_loop()
        clock = SystemClock(loop)
        store = open_store(self.options.store, self.folders.data, self.folders.key_file, clock)
        self.remarks = store.remarks
        try:
            key = await server_secret(store, self._entropy)
            timers = Wheel(loop)
            keyring = TokenKeyring(store, clock, timers, self._entropy)
            ground = Ground(
                options=self.options,
                store=store,
                clock=clock,
                timers=timers,
                entropy=self._entropy,
                key=key,
                keys=await keyring.open(key),
            )
            await self._serve(build(ground), keyring)
        finally:
            await store.close()

    async def _serve(self, rooms: Rooms, keyring: TokenKeyring) -> None:
        self.rooms = rooms
        context = web_context(rooms, lambda: self._is_ready)
        listening = Listening(self.options.http, self.folders.socket, make_api(context), make_admin(context))
        self.api_address = listening.address
        try:
            await rooms.endpoint.start(rooms.transactions)
            await rooms.switchboard.resume()
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(_watched(*one), name=one[0]) for one in _loops(rooms, keyring)]
                await rooms.fleet.is_loaded.wait()
                await rooms.pushing.warm()
                serving = [group.create_task(work) for work in listening.works()]
                await listening.wait_ready()
                self._ready()
                await self._stopping.wait()
                self._is_ready = False
                await listening.close()
                await asyncio.gather(*serving)
                for task in loops:
                    task.cancel()
        finally:
            self.rooms = None
            await rooms.pushing.close()
            await rooms.resolver.close()
            await rooms.endpoint.close()

    def _ready(self) -> None:
        gc.collect()
        gc.freeze()  # what was loaded stays: no collection has to walk through it again
        self._is_ready = True
        _log.info("ready", accounts=len(self.rooms.fleet) if self.rooms is not None else 0)
        if self._on_ready is not None:
            self._on_ready(self)


def _loops(rooms: Rooms, keyring: TokenKeyring) -> list[tuple[str, Coroutine[Any, Any, None]]]:
    return [
        ("courier", rooms.courier.run()),
        ("fleet", rooms.fleet.run()),
        ("handover", rooms.handover.run()),
        ("guests", rooms.guests.run()),
        ("messages", rooms.messages.run()),
        ("phones", rooms.phones.run()),
        ("relay", rooms.relay.run()),
        ("switchboard", rooms.switchboard.run()),
        ("ticker", rooms.ticker.run()),
        ("token keys", keyring.run()),
    ]


async def _watched(room: str, work: Coroutine[Any, Any, None]) -> None:
    """A room's loop ends only with the server: anything else is a bug that its supervisor must see."""
    try:
        await work
    except Exception as fault:
        _log.error("room_ended", room=room, reason=repr(fault), exc_info=True)
        raise

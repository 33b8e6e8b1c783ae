"""A connection to a PBX that has died without a word, over real sockets: noticed by its keep-alives."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

import pytest

from tests.system.fleet.world import SECOND, World, options, world
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.values import Flow, Transport
from wakerobin.net.endpoint import Endpoint
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.services.fleet import Fleet
from wakerobin.testing.pbx import FakePbx

US, CABLE = "127.51.1.1", "127.51.1.2"
PATIENCE = 5.0


class Cable:
    """Carries connections to the PBX, until it is cut in a way that neither end hears of."""

    def __init__(self, pbx: FakePbx) -> None:
        self.is_cut: list[bool] = []
        self.lost = asyncio.Event()
        """Set when something was swallowed."""
        self._pbx = pbx
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def accept(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        number = len(self.is_cut)
        self.is_cut.append(False)
        far_reader, far = await asyncio.open_connection(self._pbx.host, self._pbx.port)
        self._writers += [near, far]
        for reader, writer in ((near_reader, far), (far_reader, near)):
            task = asyncio.create_task(self._carry(number, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if self.is_cut[number]:
                    self.lost.set()
                else:
                    writer.write(data)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()


async def until(w: World, condition: Callable[[], object]) -> None:
    """Let sockets have their time; the clock of the server stands still."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.01)
            await w.clock.settle()


@pytest.fixture
async def pbx() -> FakePbx:
    return FakePbx({"alice": "pw-alice"})


async def test_a_cable_that_is_cut_unheard_of_costs_a_keep_alive_and_no_more(pbx: FakePbx) -> None:
    await pbx.start("127.51.1.3")
    cable = Cable(pbx)
    listening = await asyncio.start_server(cable.accept, CABLE, 0)
    port = listening.sockets[0].getsockname()[1]
    w = world()
    w.options = options(listen=(f"udp:{US}:0", f"tcp:{US}:0"))
    policy = DestinationPolicy(named=frozenset({CABLE}))
    endpoint = Endpoint(w.options.sip, policy, w.clock, w.clock)
    transactions = Transactions(endpoint, w.clock, w.clock, os.urandom, SipTimers())
    await endpoint.start(transactions)
    w.fleet = Fleet(
        *(w.store, w.clock, w.clock, transactions, endpoint, w.names, w.options, w.lives),
        *(os.urandom, os.urandom(32)),
    )
    heard: list[Flow] = []
    transactions.on_heard = heard.append
    transactions.on_flow_closed = lambda flow, _reason: w.fleet.flow_closed(flow)
    try:
        async with w.running():
            registration = await w.enrol(registrar=f"{CABLE}:{port}", transport=Transport.TCP)
            answer = w.fleet.try_credentials(registration.id)
            await until(w, answer.done)
            assert answer.result().verdict == "proven"
            await w.clock.settle()
            heard.clear()
            w.clock.advance(29 * SECOND)
            await until(w, lambda: heard)  # the PBX answers keep-alives: from here on it is held to them
            (before,) = pbx.contacts("alice")
            cable.is_cut[0] = True
            w.clock.advance(29 * SECOND)
            await asyncio.wait_for(cable.lost.wait(), PATIENCE)
            assert len(cable.is_cut) == 1, "nothing has been noticed yet"
            w.clock.advance(11 * SECOND)
            await until(w, lambda: len(cable.is_cut) == 2 and len(pbx.registrar.seen) >= 3)
            await until(w, lambda: pbx.contacts("alice") and pbx.contacts("alice")[0].flow != before.flow)
            (after,) = pbx.contacts("alice")
            assert after.uri == before.uri
    finally:
        await endpoint.close()
        cable.close()
        listening.close()
        await pbx.stop()

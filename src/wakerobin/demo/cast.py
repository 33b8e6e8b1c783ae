"""Who plays in the first scene: the real server, a PBX, a push service and a phone, on free ports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.ids import token
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.values import Secret, Transport
from wakerobin.demo.tap import OnMessage, TappedEndpoint, TappedReceiver
from wakerobin.net.clock import SystemClock
from wakerobin.net.endpoint import Endpoint
from wakerobin.net.wheel import Wheel
from wakerobin.ports.options import AppOptions, HttpOptions, Options, SipOptions
from wakerobin.server import Folders, Server
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.phone import FakePhone
from wakerobin.testing.pns import FakePns

HOST = "127.0.0.1"
USER = "alice"
DOMAIN = "pbx.test"
APP = "demo"


@dataclass(slots=True)
class Peer:
    """The sockets of a peer, tapped."""

    sockets: Endpoint
    endpoint: TappedEndpoint
    transactions: Transactions
    clock: SystemClock
    wheel: Wheel

    async def close(self) -> None:
        """Close its sockets."""
        await self.sockets.close()
        self.wheel.close()


@dataclass(slots=True)
class Cast:
    """Everybody, on stage."""

    server: Server
    pbx: FakePbx
    pns: FakePns
    phone: FakePhone
    phone_side: Peer
    password: Secret
    enrolment_key: Secret
    device_token: str

    @property
    def sip_of_server(self) -> tuple[str, int]:
        """Where phones reach the server: its TCP listener."""
        assert self.server.rooms is not None
        listeners = self.server.rooms.endpoint.listeners
        return next((one.address, one.port) for one in listeners if one.transport is Transport.TCP)

    def wake_phone(self) -> None:
        """Let the phone's app come up, not yet registered."""
        side = self.phone_side
        self.phone.attach(self.sip_of_server, side.transactions, side.endpoint, side.clock, side.wheel)


@asynccontextmanager
async def on_stage(folder: Path, pbx_told: OnMessage, phone_told: OnMessage) -> AsyncIterator[Cast]:
    """Start everybody in `folder`, and let everybody go at the end."""
    password, key = Secret(token(os.urandom, 12)), Secret(token(os.urandom))
    pbx = FakePbx({USER: password.reveal()}, domain=DOMAIN)
    pbx_side = await _peer(pbx_told, (Transport.UDP,))
    phone_side = await _peer(phone_told, (Transport.UDP, Transport.TCP))
    try:
        pbx.attach(pbx_side.transactions, pbx_side.endpoint, pbx_side.clock)
        pbx.host, pbx.port = HOST, pbx_side.sockets.listeners[0].port
        async with FakePns(folder, topic="com.example.demo") as pns:
            folders = Folders(folder / "data", folder / "keys" / "vault.key")
            async with _running(_options(pns, key), folders) as server:
                yield Cast(
                    server=server,
                    pbx=pbx,
                    pns=pns,
                    phone=FakePhone(f"sip:{USER}@{DOMAIN}", password.reveal(), transport=Transport.TCP),
                    phone_side=phone_side,
                    password=password,
                    enrolment_key=key,
                    device_token=os.urandom(32).hex(),
                )
    finally:
        await phone_side.close()
        await pbx_side.close()


def _options(pns: FakePns, key: Secret) -> Options:
    app = AppOptions(enrolment_key=key, registrars=(DOMAIN, HOST), apns=pns.options())
    return Options(
        sip=SipOptions(listen=(f"udp:{HOST}:0", f"tcp:{HOST}:0")),
        http=HttpOptions(listen=f"{HOST}:0"),
        apps={APP: app},
    )


async def _peer(told: OnMessage, transports: tuple[Transport, ...]) -> Peer:
    loop = asyncio.get_running_loop()
    clock, wheel = SystemClock(loop), Wheel(loop)
    options = SipOptions(listen=tuple(f"{transport}:{HOST}:0" for transport in transports))
    only_here = DestinationPolicy((), frozenset({HOST}))
    sockets = Endpoint(options, only_here, clock, wheel)
    endpoint = TappedEndpoint(sockets, told)
    transactions = Transactions(endpoint, wheel, clock, os.urandom, SipTimers())
    await sockets.start(TappedReceiver(transactions, told))
    return Peer(sockets, endpoint, transactions, clock, wheel)


@asynccontextmanager
async def _running(options: Options, folders: Folders) -> AsyncIterator[Server]:
    ready = asyncio.Event()
    server = Server(options, folders, on_ready=lambda _server: ready.set())
    running = asyncio.create_task(server.run())
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # raises what kept it from starting
        yield server
    finally:
        waiting.cancel()
        server.stop()
        await running

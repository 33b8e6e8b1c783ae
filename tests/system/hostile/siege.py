"""A whole server under attack, a PBX and a phone that it serves meanwhile, and who attacks it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import trustme

from tests.system.faults import faults
from tests.system.served import World, serving
from tests.system.survival.logs import logged
from wakerobin import metrics
from wakerobin.core.values import Duration, Transport
from wakerobin.ports.options import HttpOptions, LimitOptions, SipOptions
from wakerobin.testing.phone import FakePhone

HOST = "127.53.0.1"
PHONE = "127.53.0.5"
ATTACKER = "127.53.6.66"
NAME = "push.example.com"
T1 = Duration(20)
CALM_WITHIN = 10.0
GAUGES = ("sip_connections", "sip_handshakes", "calls_held")


class Socket(asyncio.DatagramProtocol):
    """A UDP socket that counts what comes back by status."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport
        self.answers: list[bytes] = []

    def datagram_received(self, data: bytes, _addr: tuple[str | Any, int]) -> None:
        self.answers.append(data)

    def statuses(self) -> set[int]:
        """The statuses that came back."""
        return {int(answer[8:11]) for answer in self.answers if answer.startswith(b"SIP/2.0 ")}


@dataclass
class Siege:
    """The server, a phone of anna's over TCP, and the addresses of the listeners by transport."""

    world: World
    phone: FakePhone
    authority: trustme.CA
    places: dict[str, tuple[str, int]]
    sockets: list[Socket] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    number: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def socket(self, source: str = ATTACKER) -> Socket:
        """Open a UDP socket towards the server."""
        loop = asyncio.get_running_loop()
        transport, one = await loop.create_datagram_endpoint(
            Socket, local_addr=(source, 0), remote_addr=self.places["udp"]
        )
        one.transport = transport
        self.sockets.append(one)
        return one

    async def connect(
        self, kind: str, source: str = ATTACKER
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection of a transport. Raises OSError where the server will not have it."""
        tls = None
        if kind in ("tls", "wss"):
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.authority.configure_trust(tls)
        reader, writer = await asyncio.open_connection(
            *self.places[kind], ssl=tls, server_hostname=NAME if tls else None, local_addr=(source, 0)
        )
        self.writers.append(writer)
        return reader, writer

    async def answers_a_call(self) -> None:
        """Let the PBX call anna: her phone takes it, and hangs up."""
        before = len(self.phone.calls)
        call = self.world.pbx.call("anna")
        theirs = await self.phone.wait_call(before + 1)
        theirs.answer()
        await call.wait(lambda c: c.final == 200)
        call.hang_up()
        await call.wait(lambda c: bool(c.replies))

    async def close(self) -> None:
        """Let the attackers go."""
        for one in self.sockets:
            one.transport.close()
        for writer in self.writers:
            writer.transport.abort()
            with contextlib.suppress(OSError, TimeoutError):
                await writer.wait_closed()


Attack: TypeAlias = Callable[[Siege], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def besieged(folder: Path, **limits: Any) -> AsyncIterator[Siege]:
    """Run a server on every transport, with anna's phone on it; afterwards it must be as before."""
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    sip = SipOptions(
        listen=tuple(f"{kind}:{HOST}:0" for kind in ("udp", "tcp", "tls", "ws", "wss")),
        tls_cert=str(cert),
        tls_key=str(key),
        t1=T1,
        wake_timeout=Duration(2000),
        ring_timeout=Duration(5000),
    )
    http = HttpOptions(listen=f"{HOST}:0", enrolments_per_hour=100_000)
    with logged() as log:
        async with serving(folder, HOST, sip=sip, http=http, limits=LimitOptions(**limits)) as world:
            assert world.server.rooms is not None
            listeners = world.server.rooms.endpoint.listeners
            places = {str(one.transport): (one.address, one.port) for one in listeners}
            enrolled = await world.api.enrol(world.fields())
            assert enrolled.status == 201, enrolled.text
            phone = FakePhone("sip:anna@pbx.test", "anna-password", transport=Transport.TCP)
            await phone.start(places["tcp"], PHONE)
            assert (await phone.register()).status == 200
            siege = Siege(world, phone, authority, places)
            before, faulty = gauges(world), faults()
            try:
                await siege.answers_a_call()
                yield siege
            finally:
                await siege.close()
            await siege.answers_a_call()
            await calm(world, before)
            assert faults() == faulty
            await phone.sleep()
        assert "Traceback" not in log.getvalue()
        assert '"exception"' not in log.getvalue()


async def repel(siege: Siege, attack: Attack, calls: int = 4) -> None:
    """Let an attack go on while calls of others come, and see that each is answered."""
    under_way = asyncio.create_task(attack(siege))
    try:
        for _ in range(calls):
            await siege.answers_a_call()
    finally:
        await under_way


def gauges(world: World) -> dict[str, float]:
    """What must come back to what it was. The gauge of transactions would count those of the PBX, too."""
    assert world.server.rooms is not None
    found = {"transactions": float(sum(world.server.rooms.transactions.alive))}
    for family in metrics.REGISTRY.collect():
        name = family.name.removeprefix("wakerobin_")
        if name in GAUGES:
            found[name] = sum(sample.value for sample in family.samples)
    return found


def count(name: str, **labels: str) -> float:
    """The value of a counter."""
    return metrics.REGISTRY.get_sample_value(f"wakerobin_{name}_total", labels) or 0.0


async def calm(world: World, before: dict[str, float]) -> None:
    """Wait until nothing of all that is left in memory."""
    never = asyncio.get_running_loop().create_future()
    for _ in range(int(CALM_WITHIN * 20)):
        now = gauges(world)
        if all(value <= before[name] for name, value in now.items()):
            return
        await asyncio.wait([never], timeout=0.05)
    raise AssertionError(f"{gauges(world)} was {before} before")


def request(
    method: str,
    uri: str,
    number: int,
    *more: str,
    kind: str = "UDP",
    to: str = "<sip:anna@pbx.test>",
    body: str = "",
) -> bytes:
    """A request of a stranger's."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{kind} {ATTACKER}:5060;branch=z9hG4bKsiege{number};rport",
        "Max-Forwards: 70",
        f"From: <sip:mallory@pbx.test>;tag=m{number}",
        f"To: {to}",
        f"Call-ID: siege-{number}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:mallory@{ATTACKER}:5060>",
        *more,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", body]).encode()

"""Thousands of messages that are nearly right, to every socket of a running server: it serves on as before.

The choice of messages is the same in each run, so that what fails here fails again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from tests.system.faults import faults
from tests.system.served import PATH, World, serving
from tests.system.survival.logs import logged
from tests.system.survival.mutants import bodies, mutants, sip_messages
from wakerobin import metrics
from wakerobin.core.values import Duration
from wakerobin.ports.options import HttpOptions, SipOptions
from wakerobin.testing.phone import FakePhone

HOST = "127.83.0.1"
DATAGRAMS, STREAMED, REQUESTS = 2000, 800, 800
"""How many of each kind."""
BATCH = 40
T1 = Duration(20)
GAUGES = ("sip_connections", "sip_transactions", "calls_held", "phone_flows", "pushes_waiting")
CALM_WITHIN = 30.0


class Stranger(asyncio.DatagramProtocol):
    """A UDP socket that hears whether the server still answers."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: tuple[str | Any, int]) -> None:
        if b"Call-ID: still-there" in data:
            self.answers.put_nowait(data)

    async def ask(self, question: bytes, place: tuple[str, int]) -> bytes:
        """Send an OPTIONS until it is answered."""
        while not self.answers.empty():
            self.answers.get_nowait()
        for _ in range(10):
            self.transport.sendto(question, place)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    return await self.answers.get()
        raise AssertionError("nobody answers an OPTIONS")


def options_to(user: str, us: tuple[str, int], them: tuple[str, int], number: int) -> bytes:
    return (
        f"OPTIONS sip:{user}@{us[0]}:{us[1]} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {them[0]}:{them[1]};branch=z9hG4bKstill{number};rport\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:pbx@pbx.test>;tag=1\r\nTo: <sip:anna@pbx.test>\r\n"
        f"Call-ID: still-there\r\nCSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def gauges() -> dict[str, float]:
    """The sums of the gauges that must come back to what they were."""
    found: dict[str, float] = {}
    for family in metrics.REGISTRY.collect():
        name = family.name.removeprefix("wakerobin_")
        if name in GAUGES:
            found[name] = sum(sample.value for sample in family.samples)
    return found


async def test_no_message_stops_the_server(tmp_path: Path) -> None:
    sip = SipOptions(
        listen=(f"udp:{HOST}:0", f"tcp:{HOST}:0"),
        t1=T1,
        wake_timeout=Duration(2000),
        ring_timeout=Duration(2000),
    )
    http = HttpOptions(listen=f"{HOST}:0", enrolments_per_hour=100_000)
    chance = random.Random(20_260_101)
    with logged() as log:
        async with serving(tmp_path, HOST, sip=sip, http=http) as world, a_stranger() as stranger:
            enrolled = await world.api.enrol(world.fields())
            assert enrolled.status == 201
            # Whoever has shown its password from an address is not locked out by what strangers send from it.
            phone = FakePhone("sip:anna@pbx.test", "anna-password")
            await phone.start(world.sip, HOST)
            assert (await phone.register()).status == 200
            assert (await phone.unregister()).status == 200
            await phone.sleep()
            before, faulty = gauges(), faults()
            (contact,) = world.pbx.contacts("anna")
            user = contact.uri.removeprefix("sip:").partition("@")[0]
            seeds = sip_messages(user, "pbx.test", world.sip, stranger.transport.get_extra_info("sockname"))
            await pour_datagrams(world, stranger, user, mutants(seeds, chance))
            await pour_streams(world, mutants(seeds, chance))
            await pour_requests(world, enrolled.json, chance)
            await calm(before)
            await serves_as_before(world, stranger, user, enrolled.json, phone)
            assert faults() == faulty
        assert "Traceback" not in log.getvalue()
        assert '"exception"' not in log.getvalue()


@contextlib.asynccontextmanager
async def a_stranger() -> AsyncIterator[Stranger]:
    loop = asyncio.get_running_loop()
    transport, stranger = await loop.create_datagram_endpoint(Stranger, local_addr=(HOST, 0))
    stranger.transport = transport
    try:
        yield stranger
    finally:
        transport.close()


async def pour_datagrams(world: World, stranger: Stranger, user: str, messages: Iterator[bytes]) -> None:
    """Send datagrams in batches; each batch is over when an OPTIONS behind it is answered."""
    them = stranger.transport.get_extra_info("sockname")
    for number in range(DATAGRAMS // BATCH):
        for message in itertools.islice(messages, BATCH):
            stranger.transport.sendto(message[:60_000], world.sip)
        answer = await stranger.ask(options_to(user, world.sip, them, number), world.sip)
        assert answer.startswith(b"SIP/2.0 ")


async def pour_streams(world: World, messages: Iterator[bytes]) -> None:
    """Send messages over connections, several a connection; the server may close any of them."""
    for _ in range(STREAMED // BATCH):
        reader, writer = await asyncio.open_connection(*tcp_of(world))
        with contextlib.suppress(ConnectionError):
            for message in itertools.islice(messages, BATCH):
                writer.write(message)
                await writer.drain()
            writer.write_eof()
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(0.5):
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def tcp_of(world: World) -> tuple[str, int]:
    assert world.server.rooms is not None
    listener = world.server.rooms.endpoint.listeners[1]
    return listener.address, listener.port


async def pour_requests(world: World, held: Any, chance: random.Random) -> None:
    """Send bodies to every route that takes one; what is refused is refused by a problem of the catalogue."""
    one = f"{PATH}/{held['id']}"
    routes: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", PATH, world.fields(), ""),
        (
            "POST",
            f"{one}/renew",
            {"cause": "opened", "capabilities": {"notifications": True}},
            held["secret"],
        ),
        ("PATCH", one, {"display_name": "Anna", "locale": "de", "lifetime_s": 3600}, held["secret"]),
        ("POST", f"{one}/receipts", {"receipts": [{"push_id": "x", "kind": "shown"}]}, held["secret"]),
        ("POST", f"{one}/calls/0000/decline", {"scope": "all", "reason": "busy"}, held["secret"]),
    ]
    for method, path, seed, secret in routes:
        given = secret or "enrolment-key-of-the-app"
        for body in itertools.islice(bodies([seed], chance), REQUESTS // len(routes)):
            answer = await world.api.send(method, path, body, given)
            assert answer.status < 500 or answer.status == 503, (method, path, body, answer)
            if answer.status >= 400:
                assert json.loads(answer.text)["type"].startswith("urn:wakerobin:problem:"), answer


async def calm(before: dict[str, float]) -> None:
    """Wait until nothing of all that is left in memory."""
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(CALM_WITHIN):
        while any(value > before[name] for name, value in gauges().items()):
            await asyncio.wait([never], timeout=0.1)


async def serves_as_before(world: World, stranger: Stranger, user: str, held: Any, phone: FakePhone) -> None:
    """The PBX's OPTIONS, a request of the API, and a call that wakes its phone."""
    them = stranger.transport.get_extra_info("sockname")
    answer = await stranger.ask(options_to(user, world.sip, them, 4711), world.sip)
    assert answer.startswith(b"SIP/2.0 200 ")
    read = await world.api.send("GET", f"{PATH}/{held['id']}", None, held["secret"])
    assert read.status == 200, read.text
    call = world.pbx.call("anna")
    await world.pns.wait_for(
        lambda p: p.type == "call" and p.payload["wakerobin"]["sip_call_id"] == call.call_id
    )
    assert (await phone.wake()).status == 200
    theirs = await phone.wait_call()
    theirs.answer()
    await call.wait(lambda c: c.final == 200)
    call.hang_up()
    await call.wait(lambda c: bool(c.replies))
    await phone.sleep()

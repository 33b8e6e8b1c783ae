"""Each message of RFC 4475 and RFC 5118 to a running server: what a stranger is told; it serves on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.faults import faults
from tests.system.served import World, serving
from tests.system.torture import RFC_4475, Case
from tests.system.torture_ipv6 import RFC_5118

HOST = "127.84.0.1"
CASES = RFC_4475 + RFC_5118
NAMES_4475 = [
    "wsinv",
    "intmeth",
    "esc01",
    "escnull",
    "esc02",
    "lwsdisp",
    "longreq",
    "dblreq",
    "semiuri",
    "transports",
    "mpart01",
    "unreason",
    "noreason",
    "badinv01",
    "clerr",
    "ncl",
    "scalar02",
    "scalarlg",
    "quotbal",
    "ltgtruri",
    "lwsruri",
    "lwsstart",
    "trws",
    "escruri",
    "baddate",
    "regbadct",
    "badaspec",
    "baddn",
    "badvers",
    "mismatch01",
    "mismatch02",
    "bigcode",
    "badbranch",
    "insuf",
    "unkscm",
    "novelsc",
    "unksm2",
    "bext01",
    "invut",
    "regaut01",
    "multi01",
    "mcl01",
    "bcast",
    "zeromf",
    "cparam01",
    "cparam02",
    "regescrt",
    "sdp01",
    "inv2543",
]
NAMES_5118 = [
    "ipv6-good",
    "ipv6-bad",
    "port-ambiguous",
    "port-unambiguous",
    "via-received-param-with-delim",
    "via-received-param-no-delim",
    "ipv6-in-sdp",
    "mult-ip-in-header",
    "mult-ip-in-sdp",
    "ipv4-mapped-ipv6",
    "ipv6-bug-abnf-3-colons",
]


class Caller(asyncio.DatagramProtocol):
    """A stranger's socket."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: tuple[str | Any, int]) -> None:
        self.heard.put_nowait(data)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path, HOST) as made:
        yield made


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(Caller, local_addr=(HOST, 0))
    made.transport = transport
    yield made
    transport.close()


def question(us: tuple[str, int], them: tuple[str, int], number: int) -> bytes:
    return (
        f"OPTIONS sip:{us[0]}:{us[1]} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {them[0]}:{them[1]};branch=z9hG4bKq{number};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:{us[0]}>\r\nCall-ID: question\r\n"
        f"CSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


async def told(world: World, caller: Caller, case: Case, number: int) -> list[int]:
    """Send a case and an OPTIONS behind it; what came back before the answer to that."""
    caller.transport.sendto(case.data, world.sip)
    caller.transport.sendto(
        question(world.sip, caller.transport.get_extra_info("sockname"), number), world.sip
    )
    statuses: list[int] = []
    async with asyncio.timeout(5.0):
        while True:
            answer = await caller.heard.get()
            status = int(answer.split(b" ", 2)[1])
            if b"Call-ID: question" in answer:
                assert status == 200
                return statuses
            statuses.append(status)


def test_none_is_left_out() -> None:
    assert [case.name for case in RFC_4475] == NAMES_4475
    assert [case.name for case in RFC_5118] == NAMES_5118


async def test_a_stranger_is_told_what_the_table_says(world: World, caller: Caller) -> None:
    before = faults()
    found = {}
    for number, case in enumerate(CASES, 1):
        found[case.id] = await told(world, caller, case, number)
    assert found == {case.id: [] if case.answer is None else [case.answer] for case in CASES}
    assert faults() == before


async def test_over_a_stream_each_is_told_the_same_or_the_connection_ends(world: World) -> None:
    assert world.server.rooms is not None
    listener = next(one for one in world.server.rooms.endpoint.listeners if one.transport == "tcp")
    before = faults()
    for case in CASES:
        reader, writer = await asyncio.open_connection(listener.address, listener.port, local_addr=(HOST, 0))
        writer.write(case.data)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5.0):
                answers = await reader.read()
        writer.close()
        statuses = {int(line.split()[1]) for line in answers.splitlines() if line.startswith(b"SIP/2.0 ")}
        assert case.answer is not None or not statuses, case.id
        assert case.answer is None or statuses <= {case.answer, 400, 403}, case.id
    assert faults() == before

"""Floods from one source and from many: calls of others are answered meanwhile, and nothing is left of it."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.system.hostile.siege import ATTACKER, Siege, besieged, count, repel, request

MANY = 3_000
BATCH = 50


async def pour(siege: Siege, datagrams: list[bytes], sources: int = 1) -> None:
    """Send datagrams, from so many addresses in turn, as fast as the loop goes round."""
    base = ATTACKER.rpartition(".")[0]
    sockets = [await siege.socket(f"{base}.{n + 10}") for n in range(sources)]
    for number, data in enumerate(datagrams):
        sockets[number % sources].transport.sendto(data)
        if number % BATCH == 0:
            await asyncio.sleep(0)


def registers(siege: Siege) -> list[bytes]:
    return [request("REGISTER", "sip:pbx.test", next(siege.number)) for _ in range(MANY)]


def invites(siege: Siege) -> list[bytes]:
    host, port = siege.places["udp"]
    return [
        request("INVITE", f"sip:{n}@{host}:{port}", next(siege.number), to=f"<sip:{n}@{host}>")
        for n in range(100, 100 + MANY)
    ]


async def test_registers_from_one_source(tmp_path: Path) -> None:
    async with besieged(tmp_path) as siege:
        shed = count("sip_shed", reason="source")
        flood = registers(siege)
        await repel(siege, lambda one: pour(one, flood))
        assert count("sip_shed", reason="source") > shed + MANY / 4
        assert siege.sockets[0].statuses() == {401}


async def test_registers_from_many_sources_leave_something_to_those_who_are_known(tmp_path: Path) -> None:
    async with besieged(tmp_path, strangers_rate=200.0, source_burst=50) as siege:
        shed = count("sip_shed", reason="strangers")
        flood = registers(siege)
        await repel(siege, lambda one: pour(one, flood, sources=100))
        assert count("sip_shed", reason="strangers") > shed
        # Whoever was at home here before comes in among a thousand strangers.
        await siege.phone.sleep()
        assert (await siege.phone.wake()).status == 200


async def test_invites_to_numbers_that_are_nobodys(tmp_path: Path) -> None:
    async with besieged(tmp_path) as siege:
        bans, flood = count("sip_bans", cause="requests"), invites(siege)
        await repel(siege, lambda one: pour(one, flood))
        assert siege.sockets[0].statuses() <= {100, 404}
        assert count("sip_bans", cause="requests") > bans
        siege.sockets[0].transport.sendto(request("OPTIONS", "sip:x@y", next(siege.number)))
        await siege.answers_a_call()
        assert not [one for one in siege.sockets[0].answers if b"OPTIONS" in one]


async def test_garbage(tmp_path: Path) -> None:
    async with besieged(tmp_path) as siege:
        chance = random.Random(5)
        flood = [chance.randbytes(chance.randint(5, 1200)) for _ in range(MANY)]
        banned = count("sip_shed", reason="banned")
        await repel(siege, lambda one: pour(one, flood))
        assert count("sip_shed", reason="banned") > banned + MANY / 2


async def test_forged_responses(tmp_path: Path) -> None:
    """To calls that are under way: nobody can guess their branches, and what he guesses is dropped."""
    async with besieged(tmp_path) as siege:
        host, port = siege.places["udp"]
        flood = [
            (
                f"SIP/2.0 {status} Forged\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{n:024x}\r\n"
                f"From: <sip:a@b>;tag=1\r\nTo: <sip:anna@pbx.test>;tag=2\r\nCall-ID: x{n}\r\n"
                "CSeq: 1 INVITE\r\n\r\n"
            ).encode()
            for n in range(MANY // 2)
            for status in (200, 603)
        ]
        strays = count("sip_strays", kind="response")
        await repel(siege, lambda one: pour(one, flood))
        assert count("sip_strays", kind="response") > strays
        assert siege.sockets[0].answers == []


@pytest.mark.parametrize("kind", ["tcp", "wss"])
async def test_connections_that_come_and_go(tmp_path: Path, kind: str) -> None:
    async def attack(siege: Siege) -> None:
        async def one() -> None:
            for _ in range(15):
                try:
                    _, writer = await siege.connect(kind)
                except OSError:
                    continue
                writer.write(b"GET / HTTP/1.1\r\n" if kind.startswith("w") else b"BYE")
                writer.close()

        await asyncio.gather(*(one() for _ in range(20)))

    async with besieged(tmp_path, source_burst=200) as siege:
        refused = count("sip_connections_refused", reason="source")
        await repel(siege, attack)
        assert count("sip_connections_refused", reason="source") > refused


async def test_a_flood_over_one_connection_is_read_slowly(tmp_path: Path) -> None:
    async def attack(siege: Siege) -> None:
        _, writer = await siege.connect("tcp")
        for number in range(MANY):
            writer.write(request("REGISTER", "sip:pbx.test", number, kind="TCP"))
            if number % BATCH == 0:
                await asyncio.sleep(0)

    async with besieged(tmp_path, source_burst=100) as siege:
        slowed, answered = count("sip_slowed"), count("phone_registers", status="401")
        await repel(siege, attack)
        assert count("sip_slowed") > slowed
        assert count("phone_registers", status="401") < answered + MANY / 2

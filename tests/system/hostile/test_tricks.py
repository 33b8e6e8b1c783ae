"""Single messages and connections that are meant to hurt: each is refused, and others' calls are answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from tests.system.hostile.siege import ATTACKER, Siege, Socket, besieged, count, repel, request
from wakerobin.core.sip import digest
from wakerobin.core.sip.message import Message, parse

WITHIN = 5.0


async def answer_on(siege: Siege, data: bytes) -> int:
    """Send a datagram; the status of the answer."""
    one = await siege.socket()
    one.transport.sendto(data)
    async with asyncio.timeout(WITHIN):
        while not one.answers:
            await asyncio.sleep(0)
    return int(one.answers[0][8:11])


async def test_a_forged_route_leads_nowhere_and_ends_no_call(tmp_path: Path) -> None:
    async with besieged(tmp_path) as siege:
        host, port = siege.places["udp"]
        call = siege.world.pbx.call("anna")
        theirs = await siege.phone.wait_call(2)
        theirs.answer()
        await call.wait(lambda c: c.final == 200)
        token = "1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        for method in ("BYE", "INVITE", "UPDATE", "REFER"):
            forged = request(
                method,
                "sip:anna@pbx.test",
                next(siege.number),
                f"Route: <sip:{token}@{host}:{port};lr>",
                to="<sip:anna@pbx.test>;tag=guessed",
            )
            assert await answer_on(siege, forged) == 481
        assert not theirs.is_over
        call.hang_up()
        await call.wait(lambda c: bool(c.replies))


async def test_header_bombs(tmp_path: Path) -> None:
    bombs = [
        (tuple(f"X-{n}: y" for n in range(5_000)), 513),
        (("X: " + "y" * 50_000,), 513),
        (tuple(f"Contact: <sip:{n}@x>" for n in range(150)), 400),
    ]
    async with besieged(tmp_path) as siege:
        for more, status in bombs:
            bomb = request("REGISTER", "sip:pbx.test", next(siege.number), *more)
            assert await answer_on(siege, bomb[:65_000]) == status
            await siege.answers_a_call()


async def test_via_and_route_bombs_over_a_connection(tmp_path: Path) -> None:
    """Thousands of list items fit into one line: they are cut once, not once for each look."""

    async def attack(siege: Siege) -> None:
        for line in (
            "Via: " + ",".join(["SIP/2.0/TCP a"] * 1_000),
            "Route: " + ",".join(["<sip:a;lr>"] * 1_000),
        ):
            for _ in range(20):
                reader, writer = await siege.connect("tcp")
                writer.write(request("REGISTER", "sip:pbx.test", next(siege.number), line, kind="TCP"))
                with contextlib.suppress(OSError):
                    await reader.read(100)

    async with besieged(tmp_path) as siege:
        await repel(siege, attack)


@pytest.mark.parametrize("kind", ["tls"])
async def test_a_body_that_is_announced_too_long_ends_the_connection(tmp_path: Path, kind: str) -> None:
    async with besieged(tmp_path) as siege:
        reader, writer = await siege.connect(kind)
        head = request("MESSAGE", "sip:anna@pbx.test", 1, kind=kind.upper())
        writer.write(head.replace(b"Content-Length: 0", b"Content-Length: 999999999"))
        async with asyncio.timeout(WITHIN):
            answer = await reader.read()
        assert answer.startswith(b"SIP/2.0 513 ")


@pytest.mark.parametrize("kind", ["tls", "ws"])
async def test_connections_that_bring_an_octet_at_a_time_end(tmp_path: Path, kind: str) -> None:
    async def attack(siege: Siege) -> None:
        async def dribble() -> None:
            hello = b"GET / HTTP/1.1\r\nHost: x\r\nX: " if kind.startswith("w") else b"REGISTER sip:"
            with contextlib.suppress(OSError):
                reader, writer = await siege.connect(kind)
                for octet in hello + b"x" * 10_000:
                    if reader.at_eof() or writer.is_closing():
                        return
                    writer.write(bytes([octet]))
                    await writer.drain()
                    await asyncio.wait([asyncio.ensure_future(reader.read(1))], timeout=0.02)

        await asyncio.gather(*(dribble() for _ in range(40)))

    limits = {"first_message_time": 800, "unproven_time": 900, "handshake_time": 500}
    async with besieged(tmp_path, **limits, unproven_per_source=20) as siege:
        refused = count("sip_connections_refused", reason="source-unproven")
        await repel(siege, attack)  # it ends as the connections do
        assert count("sip_connections_refused", reason="source-unproven") > refused


async def test_handshakes_that_never_end(tmp_path: Path) -> None:
    async def attack(siege: Siege) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                one = stack.enter_context(socket.socket())
                one.settimeout(0)
                one.bind((ATTACKER, 0))
                with contextlib.suppress(OSError):
                    await loop.sock_connect(one, siege.places["tls"])
                    await loop.sock_sendall(one, b"\x16\x03\x01")
            reader, writer = await siege.connect("tls", "127.53.6.67")
            writer.write(request("REGISTER", "sip:pbx.test", next(siege.number), kind="TLS"))
            async with asyncio.timeout(WITHIN):
                assert (await reader.readline()).startswith(b"SIP/2.0 401")

    async with besieged(tmp_path, handshakes=10) as siege:
        await repel(siege, attack)


@pytest.mark.parametrize("kind", ["tls"])
async def test_a_peer_that_asks_and_never_reads_is_cut_off(tmp_path: Path, kind: str) -> None:
    async def attack(siege: Siege) -> None:
        host, port = siege.places[kind]
        _, writer = await siege.connect(kind)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport reads
        line = f"X-Copied: {'y' * 10}"
        for number in range(40_000):
            if writer.transport.is_closing():
                return
            via = "\r\n".join([f"Via: SIP/2.0/TCP a{n};branch=z9hG4bK{n}{'v' * 200}" for n in range(20)])
            asked = request("OPTIONS", f"sip:{host}:{port}", number, via, line, kind=kind.upper())
            writer.write(asked)
            if writer.transport.get_write_buffer_size() > 1_000_000:
                with contextlib.suppress(OSError):
                    await writer.drain()
            if number % 20 == 0:
                await asyncio.sleep(0)
        raise AssertionError("it may go on for ever")

    limits = {"unread": 65_536, "source_rate": 1e6, "source_burst": 1_000_000, "strangers_rate": 1e6}
    async with besieged(tmp_path, **limits) as siege:
        await repel(siege, attack)


@pytest.mark.parametrize("kind", ["ws", "wss"])
async def test_junk_behind_a_good_beginning_of_a_websocket(tmp_path: Path, kind: str) -> None:
    hello = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: sip\r\n\r\n"
    )
    empty = b"\x01\x80\x00\x00\x00\x00" + b"\x00\x80\x00\x00\x00\x00" * 20_000
    pings = b"\x89\x84\x00\x00\x00\x00abcd" * 5_000
    huge = b"\x81\xff" + (2**62).to_bytes(8, "big") + b"\x00" * 4
    unmasked = b"\x81\x05hello"
    junk = bytes(range(256)) * 50

    async def attack(siege: Siege) -> None:
        for octets in (empty, pings, huge, unmasked, junk):
            for _ in range(5):
                with contextlib.suppress(OSError):
                    reader, writer = await siege.connect(kind)
                    writer.write(hello + octets)
                    await reader.read(10)

    # With the usual allowance such a connection would not even be seen to end for half a minute.
    async with besieged(tmp_path, source_rate=1e6, source_burst=1_000_000, strangers_rate=1e6) as siege:
        await repel(siege, attack)


async def test_a_phone_that_registers_for_ever_on_423_is_slowed_and_served_when_it_asks_for_enough(
    tmp_path: Path,
) -> None:
    """linphone-daemon repeats a REGISTER that got 423 at once, 45 times a second."""

    async def attack(siege: Siege) -> None:
        refused = count("phone_registers", status="423")
        loop = asyncio.get_running_loop()
        until = loop.time() + 2.0
        while loop.time() < until:
            assert (await siege.phone.register(expires=10)).status == 423
        got = count("phone_registers", status="423") - refused
        assert 20 <= got <= 10 + 2.0 * 20 + 5

    async with besieged(tmp_path, phone_rate=20.0, phone_burst=10) as siege:
        await attack(siege)
        assert (await siege.phone.register(expires=300)).status == 200


async def test_whoever_guesses_passwords_is_slowed_then_shut_out_and_a_phone_beside_it_is_served(
    tmp_path: Path,
) -> None:
    async with besieged(tmp_path) as siege:
        bans = count("sip_bans", cause="guessing")
        one = await siege.socket()
        statuses = []
        for number in range(0, 120, 2):
            one.transport.sendto(request("REGISTER", "sip:pbx.test", number))
            asked = await answer_to(one, number)
            if asked is None:
                break
            (challenge,) = digest.challenges(asked)
            guess = digest.answer(
                challenge,
                username="anna",
                ha1=digest.ha1(challenge.algorithm, "anna", challenge.realm, f"guess{number}"),
                method="REGISTER",
                uri="sip:pbx.test",
                nc=1,
                cnonce="x",
            )
            one.transport.sendto(request("REGISTER", "sip:pbx.test", number + 1, f"Authorization: {guess}"))
            told = await answer_to(one, number + 1)
            if told is not None:
                statuses.append(told.status)
        assert statuses[:4] == [403] * 4
        assert set(statuses[4:]) <= {403, 503}
        assert len(statuses) < 25
        assert count("sip_bans", cause="guessing") == bans + 1
        with contextlib.suppress(OSError):  # by another transport, too
            reader, _ = await siege.connect("tcp")
            async with asyncio.timeout(WITHIN):
                assert await reader.read() == b""
        # Who has never proved himself at that address is shut out with it; a phone elsewhere is not.
        assert (await siege.phone.register()).status == 200


async def answer_to(one: Socket, number: int) -> Message | None:
    """Wait a while for the answer to a request; others, which were put off, may come before it."""
    never = asyncio.get_running_loop().create_future()
    for _ in range(50):
        for data in one.answers:
            if f"z9hG4bKsiege{number};".encode() in data:
                return parse(data)
        await asyncio.wait([never], timeout=0.01)
    return None

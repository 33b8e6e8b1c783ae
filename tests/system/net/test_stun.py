"""Keep-alives over UDP: STUN Binding requests on the SIP port, and CRLF (RFC 5626 3.5)."""

from __future__ import annotations

import asyncio

import pytest

from tests.system.net.sockets import PEER, US, Peer, Server, Start, can_bind
from wakerobin.core.sip import stun

REQUEST = bytes.fromhex("000100002112a442") + b"twelve octet"


async def test_a_phone_learns_by_stun_where_it_is_seen_and_its_flow_lives(server: Server) -> None:
    with Peer() as phone:
        await phone.send(REQUEST, server.udp)
        assert await phone.receive() == stun.answer(REQUEST, phone.at)
        assert server.witness.kept_alive[0].remote == phone.at
        assert server.witness.messages == []


@pytest.mark.skipif(not can_bind("::1"), reason="this machine has no IPv6")
async def test_it_works_over_ipv6(start: Start) -> None:
    server = await start(listen=("udp:[::1]:0", f"udp:{US}:0"))
    with Peer("::1") as phone:
        await phone.send(REQUEST, server.udp)
        answer = await phone.receive()
        assert answer == stun.answer(REQUEST, phone.at)
        assert len(answer) == 20 + 4 + 20


async def test_indications_and_attributes_that_do_not_fit_are_taken_in_silence(server: Server) -> None:
    with Peer() as phone:
        await phone.send(bytes.fromhex("00110000") + REQUEST[4:], server.udp)
        await phone.send(bytes.fromhex("00010004") + REQUEST[4:] + bytes.fromhex("80220040"), server.udp)
        await phone.send(REQUEST, server.udp)
        assert await phone.receive() == stun.answer(REQUEST, phone.at)
        await server.witness.until_kept_alive(3)


async def test_two_crlf_are_answered_by_one_and_other_keep_alives_by_nothing(server: Server) -> None:
    with Peer(PEER) as phone:
        for octets in (b"\r\n", bytes(4), b"\r\n\r\n"):
            await phone.send(octets, server.udp)
        assert await phone.receive() == b"\r\n"
        await server.witness.until_kept_alive(3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await phone.receive()

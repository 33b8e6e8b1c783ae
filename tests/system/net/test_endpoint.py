"""The endpoint on real sockets: datagrams, addresses, listeners, and peers that misbehave."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from tests.system.net.sockets import (
    PEER,
    POLICY,
    US,
    Peer,
    Server,
    Start,
    can_bind,
    options,
)
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.sip.message import Message, parse, respond
from wakerobin.core.values import Flow, Transport
from wakerobin.net.endpoint import Endpoint, Listener
from wakerobin.ports.options import SipOptions
from wakerobin.testing.clock import ManualClock


async def test_a_datagram_comes_with_its_flow_and_its_via_completed(server: Server) -> None:
    with Peer() as peer:
        await peer.send(options(), server.udp)
        await server.witness.until(lambda: server.witness.messages)
        ((message, flow),) = server.witness.messages
        assert flow == Flow(Transport.UDP, server.udp, peer.at)
        assert message.get("Via") == (
            f"SIP/2.0/UDP {PEER}:5060;branch=z9hG4bK1;rport={peer.at[1]};received={PEER}"
        )
        assert server.endpoint.send(flow, b"back") is True
        assert await peer.receive() == b"back"


async def test_a_via_that_lies_about_its_source_is_corrected_and_a_true_one_left_as_it_came(
    server: Server,
) -> None:
    with Peer() as peer:
        for via in (
            "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1",
            f"SIP/2.0/UDP {PEER}:5060 ; branch=z9hG4bK2",
            f"SIP/2.0/UDP {PEER};branch=z9hG4bK3;received=198.51.100.9",
        ):
            await peer.send(options(via), server.udp)
        await server.witness.until(lambda: len(server.witness.messages) == 3)
    assert [message.get("Via") for message, _ in server.witness.messages] == [
        f"SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1;received={PEER}",
        f"SIP/2.0/UDP {PEER}:5060 ; branch=z9hG4bK2",
        f"SIP/2.0/UDP {PEER};branch=z9hG4bK3;received={PEER}",
    ]


async def test_keep_alives_are_no_messages(server: Server) -> None:
    with Peer() as peer:
        for data in (b"", b"\r\n\r\n", b"\r\n", b"\0\0\0\0"):
            await peer.send(data, server.udp)
        await server.witness.until(lambda: len(server.witness.kept_alive) == 4)
        assert set(server.witness.kept_alive) == {Flow(Transport.UDP, server.udp, peer.at)}
    assert server.witness.messages == []


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"SIP/2.0\r\n", b"SIP/3.0\r\n"), 505),
        ((b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), 400),
        ((b"Call-ID: c1@peer\r\n", b""), 400),
        ((b"Content-Length: 0", b"Content-Length: 900"), 400),
        ((b"sip:127.21.0.1", b"sip:" + b"a" * 3000), 414),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong_with_it(
    server: Server, change: tuple[bytes, bytes], status: int
) -> None:
    with Peer() as peer:
        await peer.send(options().replace(*change), server.udp)
        answer = parse(await peer.receive())
        assert answer.status == status
        assert answer.reason
        assert answer.to_tag
        assert answer.top_via.rport == peer.at[1]
        await peer.send(options(), server.udp)
        await server.witness.until(lambda: server.witness.messages)
    assert len(server.witness.messages) == 1


async def test_bad_acks_and_bad_responses_are_never_answered(server: Server) -> None:
    with Peer() as peer:
        await peer.send(options().replace(b"OPTIONS", b"ACK").replace(b"1 ACK", b"x ACK"), server.udp)
        await peer.send(b"SIP/2.0 999 Odd\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\n\r\n", server.udp)
        await peer.send(options().replace(b"From: ", b"From: <"), server.udp)
        # The first answer is the one to the third message.
        assert parse(await peer.receive()).cseq.method == "OPTIONS"


async def test_two_thousand_garbage_datagrams_do_not_keep_a_good_one_from_its_answer(server: Server) -> None:
    def serve(message: Message, flow: Flow) -> None:
        server.endpoint.send(flow, respond(message, 200).encode())

    server.witness.on_message = serve
    chance = random.Random(4475)
    good = options()
    with Peer() as vandal, Peer("127.21.0.3") as peer:
        for index in range(2_000):
            if index % 2:
                mutated = bytearray(good)
                for _ in range(chance.randint(1, 40)):
                    mutated[chance.randrange(len(mutated))] = chance.randrange(256)
                await vandal.send(bytes(mutated), server.udp)
            else:
                await vandal.send(chance.randbytes(chance.randint(5, 1200)), server.udp)
            if index % 50 == 0:
                await asyncio.sleep(0)  # the server shares this loop
        await peer.send(options("SIP/2.0/UDP 127.21.0.3;branch=z9hG4bKgood;rport"), server.udp)
        answer = parse(await peer.receive())
    assert (answer.status, answer.branch) == (200, "z9hG4bKgood")


async def test_a_receiver_that_raises_stops_nothing(server: Server) -> None:
    def fail(_message: Message, _flow: Flow) -> None:
        raise RuntimeError("as a bug does")

    server.witness.on_message = fail
    with Peer() as peer:
        await peer.send(options(), server.udp)
        await peer.send(options(), server.udp)
        await server.witness.until(lambda: len(server.witness.messages) == 2)


async def test_an_icmp_error_does_not_break_the_socket(server: Server) -> None:
    with Peer() as gone:
        at = gone.at
    flow = server.endpoint.flow_to(Transport.UDP, *at)
    for _ in range(3):
        assert server.endpoint.send(flow, b"into the void")
    with Peer() as peer:
        await peer.send(options(), server.udp)
        await server.witness.until(lambda: server.witness.messages)
    assert server.endpoint.is_open(flow)


async def test_a_datagram_that_the_network_refuses_is_told(server: Server) -> None:
    flow = server.endpoint.flow_to(Transport.UDP, PEER, 5060)
    assert server.endpoint.send(flow, b"x" * 70_000) is False
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed == [(flow, os.strerror(90))]


async def test_a_refused_destination_ends_in_words_and_nothing_is_sent(server: Server) -> None:
    with Peer("127.21.0.9") as stranger:
        flow = server.endpoint.flow_to(Transport.UDP, *stranger.at)
        assert server.witness.closed == []
        assert server.endpoint.send(flow, b"hello") is False
        assert not server.endpoint.is_open(flow)
        stream = server.endpoint.flow_to(Transport.TCP, *stranger.at)
        await server.witness.until(lambda: len(server.witness.closed) == 2)
        assert [one for one, _ in server.witness.closed] == [flow, stream]
        assert "loopback" in server.witness.closed[0][1]
        with pytest.raises(BlockingIOError):
            stranger.socket.recv(1)


async def test_our_address_is_the_listeners_own(server: Server) -> None:
    assert server.endpoint.local_address(Transport.UDP, PEER) == server.udp
    assert server.endpoint.local_address(Transport.TCP, PEER) == server.tcp


async def test_on_every_address_ours_is_that_of_the_route(start: Start) -> None:
    server = await start(listen=("udp:0.0.0.0:0", "tcp:0.0.0.0:0"))
    port = server.endpoint.listeners[0].port
    assert server.endpoint.local_address(Transport.UDP, PEER) == ("127.0.0.1", port)
    with Peer() as peer:
        await peer.send(options(), (US, port))
        await server.witness.until(lambda: server.witness.messages)
        assert server.witness.messages[0][1] == Flow(Transport.UDP, ("127.0.0.1", port), peer.at)
        assert server.endpoint.flow_to(Transport.UDP, *peer.at) == server.witness.messages[0][1]


async def test_the_settings_overrule_our_address_by_network_the_narrowest_first(start: Start) -> None:
    server = await start(towards={"127.0.0.0/8": "192.0.2.1", "127.21.0.0/16": "192.0.2.2"})
    assert server.endpoint.local_address(Transport.UDP, PEER)[0] == "192.0.2.2"
    assert server.endpoint.local_address(Transport.UDP, "127.5.0.1")[0] == "192.0.2.1"
    assert server.endpoint.local_address(Transport.UDP, "198.51.100.1")[0] == US


async def test_of_several_listeners_the_asked_for_or_the_routes_own_is_used(start: Start) -> None:
    server = await start(listen=(f"udp:{US}:0", "udp:127.0.0.1:0", f"udp:{PEER}:0"))
    with Peer("127.21.0.3") as peer:
        by_route = server.endpoint.flow_to(Transport.UDP, *peer.at)
        assert by_route.local[0] == "127.0.0.1"
        asked_for = server.endpoint.flow_to(Transport.UDP, *peer.at, PEER)
        assert asked_for.local == (PEER, server.endpoint.listeners[2].port)
        assert server.endpoint.send(asked_for, b"hello")
        data, source = peer.socket.recvfrom(100)
        assert (data, source) == (b"hello", asked_for.local)


@pytest.mark.skipif(not can_bind("::1"), reason="this machine has no IPv6")
async def test_ipv6_is_spoken_where_it_is_listened_to_and_only_there(start: Start) -> None:
    server = await start(listen=("udp:[::1]:0", "tcp:[::1]:0"))
    with Peer("::1") as peer:
        await peer.send(options("SIP/2.0/UDP [2001:db8::1];branch=z9hG4bK1;rport"), server.udp)
        await server.witness.until(lambda: server.witness.messages)
        message, flow = server.witness.messages[0]
        assert message.top_via.received == "::1"
        assert flow.remote == peer.at
        assert server.endpoint.flow_to(Transport.UDP, "[::1]", peer.at[1]) == flow
    refused = server.endpoint.flow_to(Transport.UDP, PEER, 5060)
    await server.witness.until(lambda: server.witness.closed)
    assert server.witness.closed == [(refused, f"there is no listener for udp to {PEER}")]


async def test_a_listener_that_cannot_be_bound_is_told_in_words(start: Start, server: Server) -> None:
    for transport, port in (("udp", server.udp[1]), ("tcp", server.tcp[1])):
        with pytest.raises(ConfigurationError, match=rf"sip\.listen.*{transport}:{US}:{port}.*in use"):
            await start(listen=(f"{transport}:{US}:{port}",))


@pytest.mark.parametrize(
    "text", ["", "udp", "udp:5060", "sctp:0.0.0.0:5061", "udp:0.0.0.0:65536", "udp:::1:5060", "udp:host:5060"]
)
def test_a_listener_that_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sip\.listen"):
        Listener.parse(text)


def test_listeners_are_read_and_written_alike() -> None:
    for text in ("udp:0.0.0.0:5060", "tcp:[::]:5060", "udp:[2001:db8::1]:5070"):
        assert str(Listener.parse(text)) == text


def test_a_network_of_our_addresses_that_is_none_is_refused_in_words() -> None:
    clock = ManualClock()
    with pytest.raises(ConfigurationError, match=r"sip\.towards"):
        Endpoint(SipOptions(towards={"lan": "192.0.2.1"}), POLICY, clock, clock)

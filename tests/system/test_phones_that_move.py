"""A phone changes its network in mid-call, on real sockets: the dialog finds it wherever it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.system.net.test_tls import Files
from tests.system.roaming import RoamingPhone
from tests.system.served import World, serving
from wakerobin.core.values import Transport
from wakerobin.ports.options import SipOptions
from wakerobin.testing.pbx_call import FakeCall
from wakerobin.testing.phone_call import PhoneCall

US = "127.56.0.1"
HOME, LTE = "127.56.0.10", "127.56.7.7"
UDP, TCP, TLS, WS, WSS = Transport
FOR_BROWSERS = (
    b"v=0\r\no=pbx 1 1 IN IP4 127.56.0.1\r\ns=-\r\nc=IN IP4 127.56.0.1\r\nt=0 0\r\n"
    b"a=fingerprint:sha-256 AA:BB\r\na=ice-ufrag:F7gI\r\nm=audio 40000 UDP/TLS/RTP/SAVPF 8\r\n"
)
"""An offer that a browser takes, and so does every other phone of ours."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Issue the server's certificate once."""
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def world(tmp_path: Path, files: Files) -> AsyncIterator[World]:
    """A server that speaks everything, with the account of anna."""
    cert, key = files.issue(US)
    listen = tuple(f"{transport}:{US}:0" for transport in Transport)
    sip = SipOptions(listen=listen, tls_cert=cert, tls_key=key)
    async with serving(tmp_path, US, sip=sip) as running:
        enrolled = await running.api.enrol(running.fields())
        assert enrolled.status == 201, enrolled.text
        yield running


@asynccontextmanager
async def a_phone(files: Files) -> AsyncIterator[RoamingPhone]:
    phone = RoamingPhone(
        "sip:anna@pbx.test", "anna-password", trusted=files.trust(), instance="urn:uuid:annas"
    )
    try:
        yield phone
    finally:
        await phone.close()


def place(world: World, transport: Transport) -> tuple[str, int]:
    """Where the server speaks this transport."""
    assert world.server.rooms is not None
    return next(
        (one.address, one.port) for one in world.server.rooms.endpoint.listeners if one.transport is transport
    )


async def register(world: World, phone: RoamingPhone, transport: Transport, host: str = HOME) -> None:
    """Let a phone come up on a network."""
    await phone.move(transport, place(world, transport), host)
    assert (await phone.register()).status == 200


async def talking(world: World, phone: RoamingPhone) -> tuple[FakeCall, PhoneCall]:
    """Let the PBX call, and the phone answer."""
    call = world.pbx.call("anna", body=FOR_BROWSERS)
    at_phone = await phone.wait_call()
    at_phone.answer()
    await at_phone.until(lambda one: one.is_acknowledged)
    await call.wait(lambda one: one.answer is not None)
    return call, at_phone


def has_replies(count: int, call: FakeCall) -> bool:
    """So many requests of the PBX have been answered."""
    return len(call.replies) >= count


def has_come(method: str, call: PhoneCall, count: int = 1) -> bool:
    """So many of these have come to the phone."""
    return sum(one.method == method for one in call.requests) >= count


async def the_dialog_works(call: FakeCall, at_phone: PhoneCall) -> None:
    """Let both sides send all that a call may bring, and hang up."""
    for number, method in enumerate(("INVITE", "UPDATE", "INFO"), 1):
        call.send(method)
        await call.wait(partial(has_replies, number))
        assert call.replies[-1].status == 200, method
        await at_phone.until(partial(has_come, method))
    await at_phone.until(partial(has_come, "ACK", count=2))  # of the call and of the re-INVITE
    at_phone.request("INFO")
    await call.wait(lambda one: any(request.method == "INFO" for request in one.requests))
    call.hang_up()
    await at_phone.until(lambda one: one.is_over)
    await call.wait(lambda one: one.replies[-1].message.cseq.method == "BYE")
    assert call.replies[-1].status == 200


@pytest.mark.parametrize(
    ("first", "then"),
    [(UDP, UDP), (UDP, TLS), (TLS, UDP), (TLS, TLS), (TCP, WSS), (WSS, WSS), (WSS, TCP), (WS, WS)],
)
async def test_a_phone_that_changes_its_network_in_mid_call_keeps_the_call(
    world: World, files: Files, first: Transport, then: Transport
) -> None:
    async with a_phone(files) as phone:
        await register(world, phone, first)
        call, at_phone = await talking(world, phone)
        await register(world, phone, then, LTE)
        await the_dialog_works(call, at_phone)


@pytest.mark.parametrize("transport", [UDP, TLS, WSS])
async def test_a_re_invite_of_the_gap_between_two_networks_waits_for_the_phone(
    world: World, files: Files, transport: Transport
) -> None:
    async with a_phone(files) as phone:
        await register(world, phone, transport)
        call, at_phone = await talking(world, phone)
        await phone.lose_network()
        call.send("INVITE")
        await settled(world, transport)
        assert not call.replies
        await register(world, phone, transport, LTE)
        await call.wait(lambda one: bool(one.replies))
        assert call.replies[0].status == 200
        await at_phone.until(partial(has_come, "ACK", count=2))


async def test_a_nat_that_gives_another_port_is_found_out_by_the_next_register(
    world: World, files: Files
) -> None:
    async with a_phone(files) as phone:
        await register(world, phone, UDP)
        call, at_phone = await talking(world, phone)
        contact = phone.contact
        await phone.move(UDP, place(world, UDP), HOME)  # another port of the same address
        held = f'<{contact}>;+sip.instance="<{phone.instance}>"'
        assert (await phone.register(contact=held)).status == 200, (
            "its own address it believes to be the same"
        )
        await the_dialog_works(call, at_phone)


@pytest.mark.parametrize("transport", [UDP, TLS, WSS])
async def test_a_phone_hangs_up_over_a_network_on_which_it_has_not_registered_yet(
    world: World, files: Files, transport: Transport
) -> None:
    async with a_phone(files) as phone:
        await register(world, phone, transport)
        call, at_phone = await talking(world, phone)
        await phone.move(transport, place(world, transport), LTE)
        at_phone.hang_up()
        await call.wait(lambda one: one.is_over)
        await at_phone.until(lambda one: any(r.status == 200 for r in one.responses))


@pytest.mark.parametrize("transport", [TLS, WSS])
async def test_a_call_that_ends_in_the_gap_is_over_when_the_phone_is_back(
    world: World, files: Files, transport: Transport
) -> None:
    async with a_phone(files) as phone:
        await register(world, phone, transport)
        call, at_phone = await talking(world, phone)
        await phone.lose_network()
        await settled(world, transport)
        call.hang_up()
        await call.wait(lambda one: bool(one.replies))
        assert call.replies[0].status == 480
        await register(world, phone, transport, LTE)
        await at_phone.until(lambda one: one.is_over)


async def settled(world: World, transport: Transport) -> None:
    """Wait until the server knows that a connection is gone; of UDP it cannot know."""
    assert world.server.rooms is not None
    phones, loop = world.server.rooms.phones, asyncio.get_running_loop()
    async with asyncio.timeout(5):
        while transport.is_reliable and phones.flows(1):
            turn = loop.create_future()
            loop.call_later(0.01, turn.set_result, None)
            await turn

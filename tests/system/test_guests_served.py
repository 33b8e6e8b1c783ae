"""A whole server over sockets, and a phone that never enrolled: woken by Apple's push service for its PBX."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.system.guests_world import capabilities
from tests.system.served import World, serving
from wakerobin.core.guests import Guest
from wakerobin.core.values import Transport
from wakerobin.ports.options import SipOptions
from wakerobin.testing.dns import FakeDns
from wakerobin.testing.phone import FakePhone

HOST = "127.58.1.1"
TOKEN, NOTICE = "a1" * 32, "b2" * 32


@contextlib.asynccontextmanager
async def sponsoring(folder: Path) -> AsyncIterator[World]:
    """Run a server that serves such phones of a PBX which is found by DNS."""
    dns = FakeDns()
    await dns.start(HOST)
    sip = SipOptions(listen=(f"udp:{HOST}:0", f"tcp:{HOST}:0"), dns=(dns.address,))
    try:
        async with serving(folder, HOST, sip=sip, app={"plain_8599": True}) as world:
            for service in ("_sip._udp", "_sip._tcp"):
                dns.zone[f"{service}.pbx.test"] = [f"SRV 0 0 {world.pbx.port} one.pbx.test."]
            dns.zone["one.pbx.test"] = [f"A {HOST}"]
            yield world
    finally:
        await dns.stop()


async def a_phone(world: World, transport: Transport) -> FakePhone:
    """Let anna's phone come up, with the push resource of the server's app."""
    apns = world.pns.options()
    phone = FakePhone("sip:anna@pbx.test", "anna-password", transport=transport, instance="urn:uuid:1")
    phone.contact_params = (
        f";pn-provider=apns;pn-param={apns.team_id}.{apns.topic}.voip&remote"
        f";pn-prid={TOKEN}:voip&{NOTICE}:remote"
    )
    phone.expires = 600
    assert world.server.rooms is not None
    listeners = world.server.rooms.endpoint.listeners
    port = next(one.port for one in listeners if one.transport is transport)
    await phone.start((HOST, port), HOST)
    return phone


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    never = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.wait([never], timeout=0.02)


def guests(world: World) -> list[Guest]:
    assert world.server.rooms is not None
    store = world.server.rooms.ground.store
    return store.read(lambda tx: tx.guests.of_aor("sip:anna@pbx.test"))


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_phone_that_never_enrolled_is_woken_for_a_call(tmp_path: Path, transport: Transport) -> None:
    async with sponsoring(tmp_path) as world:
        phone = await a_phone(world, transport)
        response = await phone.register()
        assert response.status == 200
        assert capabilities(response) == ['*;+sip.pns="apns"']
        assert [target.topic for target in guests(world)[0].targets] == [world.pns.options().topic] * 2
        await phone.sleep()
        call = world.pbx.call("anna")
        await until(lambda: any(push.token == TOKEN for push in world.pns.pushes))
        assert (await phone.wake()).status == 200
        (await phone.wait_call()).answer()
        await call.wait(lambda one: one.final == 200)
        call.hang_up()
        await until(lambda: phone.calls[0].is_over)
        assert [push.push_type for push in world.pns.pushes if push.token == TOKEN] == ["voip"]
        await phone.sleep()


async def test_a_token_that_apple_does_not_know_any_more_is_forgotten(tmp_path: Path) -> None:
    async with sponsoring(tmp_path) as world:
        phone = await a_phone(world, Transport.TCP)
        assert (await phone.register()).status == 200
        await phone.sleep()
        world.pns.forget(TOKEN, at=4_000_000_000_000)
        call = world.pbx.call("anna")
        await call.wait(lambda one: one.final == 480)
        await until(lambda: [one.token.reveal() for one in guests(world)[0].targets] == [NOTICE])

"""Calls between a real PBX and phones behind a bad network: set up, ended, and nothing is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest

from tests.interop.networks.outdoors import FAR, NEAR, Outdoors, door, listeners, nothing_is_left
from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Lab
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.scene import USERS, Scene
from tests.interop.peers.wakerobin import Wakerobin
from tests.interop.peers.wire import final_statuses
from tests.system.roaming import RoamingPhone
from wakerobin.core.values import Transport
from wakerobin.testing.phone_call import PhoneCall

T1_S = 0.06
TIMERS_S = 64 * T1_S + 5.0
"""What the longest timers take after the last message, timers I and K (5 s) included."""

RAIN = {"loss": 5, "delay": 20}
STORM = {"loss": 10, "delay": 30, "jitter": 20, "duplicate": 10, "reorder": 10}
HURRICANE = {"loss": 20, "delay": 40, "jitter": 10}


async def a_scene(lab: Lab) -> tuple[Scene, ssl.SSLContext]:
    """A PBX, and a server that reaches it here and phones out there; and whom phones trust."""
    pbx = await lab.start(Kamailio(*lab.place(), USERS))
    pns = await lab.start(PushEnd(lab.folder("pns"), lab.place()[0]))
    ip, port = lab.place()
    files = lab.certificate(NEAR)
    sip = {
        "listen": listeners(ip, port),
        "tls_cert": str(files.chain),
        "tls_key": str(files.key),
        "t1": f"{round(1000 * T1_S)}ms",
    }
    server = await lab.start(Wakerobin(ip, port, pns.options(), ["pbx.test", pbx.ip], sip=sip))
    scene = Scene(lab, pbx, pns, server)
    await scene.enrol()
    return scene, ssl.create_default_context(cafile=str(files.authority))


class Far:
    """A phone of alice in the far network that rings and takes every call."""

    def __init__(self, outdoors: Outdoors, scene: Scene, trusted: ssl.SSLContext) -> None:
        self.phone = RoamingPhone(
            "sip:alice@pbx.test", USERS["alice"], trusted=trusted, instance="urn:uuid:a"
        )
        self.phone.on_call = _take
        self._outdoors, self._scene = outdoors, scene

    async def register(self, transport: Transport, host: str = FAR) -> None:
        """Connect and register, however long that takes out there."""
        with self._outdoors.far():
            await self.phone.move(transport, door(self._scene.server, transport), host)
        assert (await self.phone.register(within=20)).status == 200

    async def talks(self, count: int, within: float = 20) -> list[PhoneCall]:
        """Wait until so many calls are up, or have been."""
        await self.phone.wait_call(count, within)
        for call in self.phone.calls[:count]:
            await call.until(lambda one: one.is_acknowledged or one.is_over, within)
        return self.phone.calls[:count]

    async def all_over(self, within: float = 20) -> None:
        """Wait until no call is up any more."""
        for call in self.phone.calls:
            await call.until(lambda one: one.is_over, within)


@contextlib.asynccontextmanager
async def far_phone(
    outdoors: Outdoors, scene: Scene, trusted: ssl.SSLContext, transport: Transport
) -> AsyncIterator[Far]:
    far = Far(outdoors, scene, trusted)
    try:
        await far.register(transport)
        yield far
    finally:
        await far.phone.close()


def _take(call: PhoneCall) -> None:
    call.ring()
    call.answer()


async def dialled(far: Far, within: float = 20) -> int:
    """Let the phone call somebody at the PBX, and hang up; return what its BYE got."""
    call = far.phone.dial("sip:bob@pbx.test")
    await call.until(lambda one: one.status == 200, within)
    call.hang_up()
    await call.until(lambda one: one.responses[-1].cseq.method == "BYE", within)
    return call.responses[-1].status


@pytest.mark.parametrize(
    ("weather", "transport", "may_fail"),
    [(RAIN, Transport.TLS, 0), (STORM, Transport.UDP, 0), (HURRICANE, Transport.UDP, 2)],
    ids=["rain-tls", "storm-udp", "hurricane-udp"],
)
async def test_calls_are_set_up_and_ended_and_nothing_is_left(
    outdoors: Outdoors, lab: Lab, weather: dict[str, float], transport: Transport, may_fail: int
) -> None:
    scene, trusted = await a_scene(lab)
    await scene.desk_phone("uas_answer", user="bob")
    outdoors.weather(**weather)
    async with far_phone(outdoors, scene, trusted, transport) as far:
        caller = await scene.calls("uac_answer", count=10, concurrent=10, delay_ms=300)
        # Where its ACK was lost, its BYE may be the first that the PBX hears of it again.
        assert await dialled(far) == 200 or may_fail
        result = await caller.finished()
        assert result.successful + result.failed == 10, result
        assert result.failed <= may_fail, result
        if not may_fail:
            await far.all_over()
        await nothing_is_left(scene.server, TIMERS_S + 5)


async def test_a_partition_in_mid_call_delays_its_end_and_no_more(outdoors: Outdoors, lab: Lab) -> None:
    scene, trusted = await a_scene(lab)
    async with far_phone(outdoors, scene, trusted, Transport.UDP) as far:
        caller = await scene.calls("uac_answer", count=5, delay_ms=1500)
        await far.talks(5)
        outdoors.weather(cut=1)
        await caller.wait_message("BYE", sent=True, count=5)
        asyncio.get_running_loop().call_later(1.0, lambda: outdoors.weather(cut=0))
        await caller.succeeded()
        await far.all_over()
        await nothing_is_left(scene.server, TIMERS_S + 5)


async def test_a_phone_that_is_gone_for_good_keeps_nothing_alive_and_learns_it_when_it_is_back(
    outdoors: Outdoors, lab: Lab
) -> None:
    scene, trusted = await a_scene(lab)
    async with far_phone(outdoors, scene, trusted, Transport.UDP) as far:
        caller = await scene.calls("uac_answer", count=5, delay_ms=1000)
        await far.talks(5)
        outdoors.weather(cut=1)
        await caller.wait_message("SIP/2.0 480", count=5, within=TIMERS_S)
        await nothing_is_left(scene.server, TIMERS_S + 5)
        outdoors.weather(cut=0)
        assert not any(call.is_over for call in far.phone.calls)
        await far.register(Transport.UDP)
        await far.all_over()


async def test_a_nat_that_forgets_a_phone_in_mid_call_costs_it_a_register(
    outdoors: Outdoors, lab: Lab
) -> None:
    outdoors.weather(nat=1)
    scene, trusted = await a_scene(lab)
    async with far_phone(outdoors, scene, trusted, Transport.UDP) as far:
        caller = await scene.calls("uac_answer", delay_ms=500, reinvite=True)
        [call] = await far.talks(1)
        outdoors.rebind()
        await caller.wait_message("INVITE", sent=True, count=2)  # into the void
        assert (await far.phone.register()).status == 200
        await caller.succeeded()
        await call.until(lambda one: one.is_over)
        assert [one.method for one in call.requests if one.method == "INVITE"] == ["INVITE"]


async def test_a_connection_outlives_a_partition_and_a_phone_that_gave_it_up_another(
    outdoors: Outdoors, lab: Lab
) -> None:
    scene, trusted = await a_scene(lab)
    async with far_phone(outdoors, scene, trusted, Transport.TLS) as far:
        caller = await scene.calls("uac_answer", delay_ms=1000)
        await far.talks(1)
        outdoors.weather(cut=1)
        await caller.wait_message("BYE", sent=True)
        outdoors.weather(cut=0)
        await caller.succeeded()
        # This time the phone does not wait: the old connection is dead, and nobody was told.
        caller = await scene.calls("uac_answer", delay_ms=1000)
        await far.talks(2)
        outdoors.weather(cut=1)
        await caller.wait_message("BYE", sent=True)
        await far.phone.lose_network()
        outdoors.weather(cut=0)
        await far.register(Transport.TLS)
        result = await caller.finished()
        assert final_statuses(result.messages, "BYE")[0] in (
            200,
            480,
        )  # who is first: its RST or its REGISTER
        await far.all_over()


async def test_a_real_phone_is_called_through_a_storm(outdoors: Outdoors, lab: Lab) -> None:
    scene, _ = await a_scene(lab)
    outdoors.weather(**STORM)
    host, port = door(scene.server, Transport.UDP)
    account = PhoneAccount("alice", USERS["alice"], f"{host}:{port}", answers=True)
    phone = lab.keep(Baresip(FAR, lab.network.port("127.0.0.1", 4), [account]))
    with outdoors.far():
        await phone.wake()
    await phone.wait_registered(within=20)
    caller = await scene.calls("uac_answer", count=3, concurrent=1, delay_ms=300)
    await caller.succeeded()
    await phone.wait_idle(within=20)

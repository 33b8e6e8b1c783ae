"""Two Kamailios that are one PBX by DNS: found by SRV, left when they fail, verified by the domain's name."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Certificate, Lab
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.scene import USERS, Scene
from tests.interop.peers.wakerobin import Installation, Wakerobin
from wakerobin.testing.dns import FakeDns


@dataclass(frozen=True, slots=True)
class Town:
    """A server, its PBX in two places, and the name server that tells where they are."""

    scene: Scene
    second: Kamailio
    dns: FakeDns

    async def enrol(self, user: str = "alice", **fields: Any) -> Installation:
        """Enrol without a word of where the PBX is."""
        return await self.scene.server.enrol(user, f"pw-{user}", "", wait_s=8, **fields)

    async def holders(self, user: str = "alice") -> list[int]:
        """How many contacts of a user each place holds."""
        return [len(await pbx.contacts(user)) for pbx in (self.scene.pbx, self.second)]


@contextlib.asynccontextmanager
async def a_town(lab: Lab, certificates: Sequence[Certificate | None] = (None, None)) -> AsyncIterator[Town]:
    one, two = (Kamailio(*lab.place(), USERS, certificate=certificate) for certificate in certificates)
    await lab.start(one)
    await lab.start(two)
    ip, _ = lab.place()
    pns, dns = PushEnd(lab.folder("pns"), ip), FakeDns()
    await lab.start(pns)
    await dns.start(ip)
    try:
        sip: dict[str, object] = {"dns": [dns.address], "t1": "50ms"}
        if certificates[0] is not None:
            sip["tls_ca_file"] = str(certificates[0].authority)
        registrars = ["pbx.test", one.ip, two.ip]
        server = await lab.start(Wakerobin(*lab.place(), pns.options(), registrars, sip=sip))
        dns.zone = {
            "_sip._udp.pbx.test": [
                f"SRV 10 0 {one.port} one.pbx.test.",
                f"SRV 20 0 {two.port} two.pbx.test.",
            ],
            "one.pbx.test": [f"A {one.ip}"],
            "two.pbx.test": [f"A {two.ip}"],
        }
        yield Town(Scene(lab, one, pns, server), two, dns)
    finally:
        await dns.stop()


async def test_a_phone_is_woken_by_the_place_that_took_over(lab: Lab) -> None:
    async with a_town(lab) as town:
        await town.scene.pbx.fail("alice", "503:3600")
        alice = await town.enrol()
        assert await town.holders() == [0, 1]
        phone = town.scene.sleeping_phone(answers=True)
        moved = Scene(lab, town.second, town.scene.pns, town.scene.server)
        caller = await moved.calls("uac_answer", delay_ms=100)
        await town.scene.pns.wait_push(alice.call_token)
        await phone.wake()
        await caller.succeeded()
        state, _ = await moved.outcome(alice)
        assert state == "answered"


async def test_a_place_that_was_killed_is_left_at_once_for_the_other(lab: Lab) -> None:
    async with a_town(lab) as town:
        await town.enrol()
        assert await town.holders() == [1, 0]
        await town.scene.pbx.kill()
        await town.enrol("bob")
        assert len(await town.second.contacts("bob")) == 1


async def test_a_place_that_hangs_is_left_when_the_timer_fires(lab: Lab) -> None:
    async with a_town(lab) as town:
        town.scene.pbx.freeze()
        try:
            await town.enrol()
        finally:
            town.scene.pbx.thaw()
        assert len(await town.second.contacts("alice")) == 1


async def test_over_tls_the_certificate_must_have_the_domain_and_not_the_host(lab: Lab) -> None:
    certificates = lab.certificate("one.pbx.test"), lab.certificate("pbx.test")
    async with a_town(lab, certificates) as town:
        wrong, right = town.scene.pbx, town.second
        town.dns.zone |= {
            "pbx.test": ['NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.pbx.test.'],
            "_sips._tcp.pbx.test": [
                f"SRV 10 0 {wrong.port + 1} one.pbx.test.",
                f"SRV 20 0 {right.port + 1} two.pbx.test.",
            ],
        }
        await town.enrol()
        [ours] = await right.contacts("alice")
        assert ours.uri.endswith(";transport=tls")
        assert await wrong.registers_seen("alice") == 0

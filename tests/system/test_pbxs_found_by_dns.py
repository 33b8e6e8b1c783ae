"""A whole server that finds its PBXs by a real name server, over sockets: RFC 3263 from end to end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.served import CALL_TOKEN, World, serving
from wakerobin.core.values import Duration
from wakerobin.ports.options import SipOptions
from wakerobin.testing.dns import FakeDns
from wakerobin.testing.pbx import FakePbx

HOST = "127.51.1.1"
QUICK = Duration(30)
"""T1 in milliseconds: timer F fires after 1.9 s."""

USERS = {"anna": "anna-password", "ben": "ben-password"}


@dataclass(slots=True)
class Town:
    """A server, two hosts of its PBX, and the name server that tells where they are."""

    world: World
    first: FakePbx
    second: FakePbx
    dns: FakeDns

    def publish(self, service: str = "_sip._udp", *, priorities: tuple[int, int] = (10, 20)) -> None:
        """Say in DNS that the PBX is at these two hosts."""
        self.dns.zone |= {
            f"{service}.pbx.test": [
                f"SRV {priorities[0]} 0 {self.first.port} one.pbx.test.",
                f"SRV {priorities[1]} 0 {self.second.port} two.pbx.test.",
            ],
            "one.pbx.test": [f"A {HOST}"],
            "two.pbx.test": [f"A {HOST}"],
        }

    async def enrol(self, user: str = "anna", wait: int = 8, **changes: object) -> str:
        """Enrol without naming a registrar; return the state of the binding."""
        fields = self.world.fields(user, f"{user}-password", registrar="", **changes)
        answer = await self.world.api.enrol(fields, wait)
        assert answer.status == 201, answer.text
        return str(answer.json["binding"]["state"])


@contextlib.asynccontextmanager
async def town(folder: Path, host: str = HOST) -> AsyncIterator[Town]:
    dns, second = FakeDns(), FakePbx(USERS)
    await dns.start(host)
    await second.start(host)
    place = f"[{host}]" if ":" in host else host
    sip = SipOptions(listen=(f"udp:{place}:0", f"tcp:{place}:0"), dns=(dns.address,), t1=QUICK)
    try:
        async with serving(folder, host, sip=sip) as world:
            yield Town(world, world.pbx, second, dns)
    finally:
        await second.stop()
        await dns.stop()


def holders(town: Town, user: str = "anna") -> list[int]:
    """Which host holds how many contacts of a user."""
    return [len(pbx.contacts(user)) for pbx in (town.first, town.second)]


async def test_an_enrolment_that_names_no_registrar_goes_where_dns_says(tmp_path: Path) -> None:
    async with town(tmp_path) as t:
        t.publish()
        assert await t.enrol() == "registered"
        assert holders(t) == [1, 0]
        names = {name for name, _ in t.dns.asked}
        assert {"pbx.test", "_sip._udp.pbx.test", "_sips._tcp.pbx.test", "one.pbx.test"} <= names


async def test_naptr_chooses_the_transport(tmp_path: Path) -> None:
    async with town(tmp_path) as t:
        t.publish("_sip._tcp")
        t.publish("_sip._udp")
        t.dns.zone["pbx.test"] = [
            'NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.pbx.test.',
            'NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.pbx.test.',
        ]
        assert await t.enrol() == "registered"
        assert t.first.contacts("anna")[0].uri.endswith(";transport=tcp")
        assert await t.enrol("ben", transport="udp", installation_id="B" * 22) == "registered"
        assert t.first.contacts("ben")[0].uri.endswith(";transport=udp")


async def test_503_moves_an_account_and_its_calls_to_the_other_host(tmp_path: Path) -> None:
    async with town(tmp_path) as t:
        t.publish()
        t.first.rules.answers["anna"] = (503, ())
        assert await t.enrol() == "registered"
        assert holders(t) == [0, 1]
        call = t.second.call("anna")
        await t.world.pns.wait_for(lambda push: push.token == CALL_TOKEN)
        call.cancel()


@pytest.mark.parametrize("service", ["_sip._udp", "_sip._tcp"])
async def test_a_host_that_is_not_there_is_left_for_the_other(tmp_path: Path, service: str) -> None:
    """Over UDP it is ICMP that tells, over TCP the refused connection: both at once."""
    async with town(tmp_path) as t:
        t.publish(service)
        await t.first.stop()
        begun = asyncio.get_running_loop().time()
        assert await t.enrol() == "registered"
        assert asyncio.get_running_loop().time() - begun < 1.5, "sooner than timer F"
        assert len(t.second.contacts("anna")) == 1


async def test_a_silent_host_is_left_after_timer_f_and_not_asked_first_by_the_next(tmp_path: Path) -> None:
    async with town(tmp_path) as t:
        t.publish()
        t.first.rules.is_silent = True
        assert await t.enrol() == "registered"
        asked = len(t.first.registrar.seen)
        assert asked == 1
        assert await t.enrol("ben", installation_id="B" * 22) == "registered"
        assert len(t.first.registrar.seen) == asked
        assert (holders(t), holders(t, "ben")) == ([0, 1], [0, 1])


async def test_answers_too_long_for_a_datagram_come_by_tcp(tmp_path: Path) -> None:
    async with town(tmp_path) as t:
        t.publish()
        t.dns.truncates = True
        assert await t.enrol() == "registered"
        assert t.dns.asked_by_tcp > 0


async def test_a_domain_that_leads_nowhere_is_said_so_and_tried_again(tmp_path: Path) -> None:
    async with town(tmp_path) as t:
        assert await t.enrol(wait=1) == "unreachable"
        answer = await t.world.api.enrol(t.world.fields(registrar=""), 4)
        assert answer.json["binding"]["reason"].endswith(
            "The name of the PBX does not resolve to an address."
        )


async def test_an_enrolment_may_name_what_dns_says_of_its_domain_and_nothing_else(tmp_path: Path) -> None:
    async with town(tmp_path) as t:
        t.publish()
        named = {"registrar": f"two.pbx.test:{t.second.port}"}
        answer = await t.world.api.enrol(t.world.fields(**named))
        assert (answer.status, answer.json["binding"]["state"]) == (201, "registered")
        assert holders(t) == [0, 1]
        for registrar in (f"two.pbx.test:{t.first.port}", "three.pbx.test", f"[::1]:{t.second.port}"):
            answer = await t.world.api.enrol(t.world.fields("ben", registrar=registrar))
            assert answer.problem == "registrar-not-allowed", registrar


async def test_dns_leads_to_no_address_that_the_operator_has_not_allowed(tmp_path: Path) -> None:
    async with town(tmp_path) as t:
        t.dns.zone = {
            "_sip._udp.pbx.test": ["SRV 0 0 5060 inside.pbx.test."],
            "inside.pbx.test": ["A 169.254.169.254", "A 10.0.0.1"],
        }
        assert await t.enrol(wait=2) == "unreachable"

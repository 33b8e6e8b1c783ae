"""Names to places, through the system's own resolver and a source that fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wakerobin import metrics
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.sip.targets import Destination, Kind, Question, Record, Srv, Target, ordered
from wakerobin.net.resolver import Resolver, source_of
from wakerobin.net.resolver.files import Hosts
from wakerobin.net.resolver.memory import Found, Memory
from wakerobin.net.resolver.name_servers import NameServers
from wakerobin.net.resolver.sources import System
from wakerobin.testing.clock import ManualClock

ADDRESS = Question(Kind.ADDRESS, "pbx.test")


class Zone:
    """A source that a test writes; `delay` is waited for before each answer."""

    def __init__(self, records: dict[Question, tuple[Record, ...]], ttl_s: float = 60.0) -> None:
        self.records = records
        self.ttl_s = ttl_s
        self.is_out = False
        self.delay: Callable[[], asyncio.Future[None] | None] = lambda: None
        self.asked: list[Question] = []

    async def answer(self, question: Question) -> Found | None:
        self.asked.append(question)
        delay = self.delay()
        if delay is not None:
            await delay
        return None if self.is_out else Found(self.records.get(question, ()), self.ttl_s)


async def places(resolver: Resolver, destination: Destination) -> list[str]:
    return [str(target) for target in ordered(await resolver.locate(destination), b"", resolver.is_failing)]


async def test_address_literals_need_no_resolver() -> None:
    zone = Zone({})
    resolver = Resolver(ManualClock(), zone)
    assert await places(resolver, Destination("192.0.2.1")) == ["udp:192.0.2.1:5060"]
    assert await places(resolver, Destination("[2001:db8::1]", 5070, "tcp")) == ["tcp:[2001:db8::1]:5070"]
    assert zone.asked == []


async def test_this_machine_has_a_name_and_nonsense_has_no_address() -> None:
    resolver = Resolver(ManualClock())
    assert "udp:127.0.0.1:5060" in await places(resolver, Destination("localhost"))
    for nonsense in ("", "no.such.name.invalid", "a" * 300, "x\0y", "ü" * 70, "a..b", ".", "_sip._udp"):
        assert await places(resolver, Destination(nonsense, 5060)) == []
    await resolver.close()


async def test_a_name_is_asked_for_once_by_all_who_want_it_and_again_when_its_time_is_over() -> None:
    clock = ManualClock()
    zone = Zone({ADDRESS: ("192.0.2.1", "192.0.2.2")})
    resolver = Resolver(clock, zone)
    wanted = ["udp:192.0.2.1:5080", "udp:192.0.2.2:5080"]
    answers = await asyncio.gather(*(places(resolver, Destination("PBX.test.", 5080)) for _ in range(50)))
    assert answers == [wanted] * 50
    assert zone.asked == [ADDRESS]
    clock.advance(59_000)
    assert await places(resolver, Destination("pbx.test", 5080)) == wanted
    assert zone.asked == [ADDRESS]
    clock.advance(2_000)
    zone.records = {ADDRESS: ("192.0.2.3",)}
    assert await places(resolver, Destination("pbx.test", 5080)) == ["udp:192.0.2.3:5080"]
    assert zone.asked == [ADDRESS] * 2


@pytest.mark.parametrize(
    ("ttl_s", "records", "kept_s"),
    [(0.0, ("192.0.2.1",), 5), (1e9, ("192.0.2.1",), 3_600), (0.0, (), 5), (1e9, (), 300)],
)
async def test_what_a_zone_says_of_time_is_believed_within_bounds(
    ttl_s: float, records: tuple[str, ...], kept_s: int
) -> None:
    clock = ManualClock()
    memory = Memory(Zone({ADDRESS: records}, ttl_s), clock)
    assert await memory.learn([ADDRESS], 1.0) == [records]
    clock.advance(kept_s * 1000 - 100)
    assert memory.fresh(ADDRESS) == records
    clock.advance(200)
    assert memory.fresh(ADDRESS) is None


async def test_while_dns_is_out_the_last_answer_serves_for_a_day() -> None:
    clock = ManualClock()
    service = Question(Kind.SRV, "_sip._udp.pbx.test")
    host = Question(Kind.ADDRESS, "a.pbx.test")
    zone = Zone({service: (Srv(0, 0, 5070, "a.pbx.test"),), host: ("192.0.2.1",)})
    resolver = Resolver(clock, zone)
    wanted = ["udp:192.0.2.1:5070"]
    assert await places(resolver, Destination("pbx.test")) == wanted
    zone.is_out = True
    for _ in range(23):
        clock.advance(3_600_000)
        assert await places(resolver, Destination("pbx.test")) == wanted
    clock.advance(2 * 3_600_000)
    assert await places(resolver, Destination("pbx.test")) == []
    zone.is_out = False
    clock.advance(11_000)
    assert await places(resolver, Destination("pbx.test")) == wanted


async def test_that_there_is_nothing_is_an_answer_and_ends_what_was_there() -> None:
    clock = ManualClock()
    zone = Zone({ADDRESS: ("192.0.2.1",)}, 30.0)
    resolver = Resolver(clock, zone)
    assert await places(resolver, Destination("pbx.test", 5060)) == ["udp:192.0.2.1:5060"]
    zone.records = {}
    clock.advance(31_000)
    assert await places(resolver, Destination("pbx.test", 5060)) == []


async def test_who_waits_for_a_slow_answer_loses_patience_and_the_answer_is_kept_for_the_next() -> None:
    clock = ManualClock()
    zone = Zone({ADDRESS: ("192.0.2.1",)})
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    zone.delay = lambda: gate
    memory = Memory(zone, clock)
    assert await memory.learn([ADDRESS], 0.01) == [()]
    gate.set_result(None)
    assert await memory.learn([ADDRESS], 5.0) == [("192.0.2.1",)]
    assert zone.asked == [ADDRESS]


async def test_an_old_answer_is_waited_for_no_longer_than_a_second() -> None:
    clock = ManualClock()
    zone = Zone({ADDRESS: ("192.0.2.1",)})
    memory = Memory(zone, clock)
    await memory.learn([ADDRESS], 1.0)
    clock.advance(61_000)
    silent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    zone.delay = lambda: silent
    async with asyncio.timeout(3):
        assert await memory.learn([ADDRESS], 60.0) == [("192.0.2.1",)]
    await memory.close()


@pytest.mark.parametrize(
    ("listen", "destination", "expected"),
    [
        (("udp:0.0.0.0:5060", "tcp:[::]:5060"), Destination("pbx.test"), ["udp:192.0.2.1:5060"]),
        (("udp:[::]:5060",), Destination("pbx.test"), ["udp:[2001:db8::1]:5060"]),
        (
            ("udp:[::]:5060", "udp:192.0.2.9:5060"),
            Destination("pbx.test"),
            ["udp:[2001:db8::1]:5060", "udp:192.0.2.1:5060"],
        ),
        (("udp:0.0.0.0:5060",), Destination("2001:db8::7"), ["udp:[2001:db8::7]:5060"]),
        (
            ("tcp:0.0.0.0:5060",),
            Destination("pbx.test", None, "tcp"),
            ["tcp:[2001:db8::1]:5060", "tcp:192.0.2.1:5060"],
        ),
    ],
)
async def test_over_udp_only_that_is_tried_which_can_be_sent_to(
    listen: tuple[str, ...], destination: Destination, expected: list[str]
) -> None:
    zone = Zone({ADDRESS: ("2001:db8::1", "192.0.2.1")})
    assert await places(Resolver(ManualClock(), zone, listen), destination) == expected


async def test_a_flood_of_names_fills_no_memory() -> None:
    memory = Memory(Zone({}), ManualClock())
    for number in range(6_000):
        await memory.learn([Question(Kind.ADDRESS, f"n{number}.test")], 1.0)
    fresh = [n for n in range(6_000) if memory.fresh(Question(Kind.ADDRESS, f"n{n}.test")) is not None]
    assert fresh == list(range(6_000 - 4_096, 6_000))


def test_the_hosts_file_is_read_with_all_its_oddities_and_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    hosts = Hosts(str(file))
    assert hosts.addresses("pbx") == ()
    file.write_text(
        "127.0.0.1 localhost\n192.0.2.1\tPBX.lan pbx # the PBX\n2001:db8::1 pbx\n# 192.0.2.9 pbx\n"
        "not-an-address pbx\n192.0.2.5\n\n   192.0.2.6   spaced   \n"
    )
    assert hosts.addresses("pbx.LAN.") == ("192.0.2.1",)
    assert hosts.addresses("pbx") == ("192.0.2.1", "2001:db8::1")
    assert hosts.addresses("spaced") == ("192.0.2.6",)
    file.write_text("192.0.2.2 pbx\n")
    assert hosts.addresses("pbx") == ("192.0.2.2",)
    file.unlink()
    assert hosts.addresses("pbx") == ()


async def test_addresses_are_asked_of_the_system_which_knows_names_that_no_dns_has() -> None:
    def lookup(host: str, port: int, kind: socket.SocketKind) -> list[tuple[Any, ...]]:
        if host == "gone.test":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, kind, 0, "", (address, 0)) for address in ("192.0.2.1", "192.0.2.1", "::1")]

    system = System(NameServers(["127.0.0.1:9"]), lookup)
    assert await system.answer(Question(Kind.ADDRESS, "pbx.local")) == Found(("192.0.2.1", "::1"), 30.0)
    assert await system.answer(Question(Kind.ADDRESS, "gone.test")) is None


async def test_without_a_name_server_there_is_no_answer(tmp_path: Path) -> None:
    for content in (None, "", "nameserver nonsense\n", "search pbx.test\n"):
        file = tmp_path / f"resolv-{content!r}.conf".replace("/", "")
        if content is not None:
            file.write_text(content)
        assert await NameServers(resolv_conf=str(file)).answer(Question(Kind.SRV, "pbx.test")) is None


@pytest.mark.parametrize("text", ["ns.example", "192.0.2.53:0", "192.0.2.53:x", "[2001:db8::1", "", ":53"])
def test_a_name_server_that_is_none_is_said_so(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name server"):
        source_of([text])


@pytest.mark.parametrize("text", ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353"])
def test_a_name_server_is_written_with_or_without_its_port(text: str) -> None:
    source_of([text])


def count(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"wakerobin_{name}", labels) or 0.0


async def test_questions_and_failures_are_counted() -> None:
    before = {one: count("dns_questions_total", answer=one) for one in ("found", "nothing", "unanswered")}
    failed = count("sip_targets_failed_total")
    zone = Zone({ADDRESS: ("192.0.2.1",)})
    resolver = Resolver(ManualClock(), zone)
    await places(resolver, Destination("pbx.test", 5060))
    await places(resolver, Destination("nowhere.test", 5060))
    zone.is_out = True
    await places(resolver, Destination("elsewhere.test", 5060))
    resolver.failed(Target("udp", "192.0.2.1", 5060, "pbx.test"))
    assert {one: count("dns_questions_total", answer=one) - before[one] for one in before} == {
        "found": 1,
        "nothing": 1,
        "unanswered": 1,
    }
    assert count("sip_targets_failed_total") == failed + 1

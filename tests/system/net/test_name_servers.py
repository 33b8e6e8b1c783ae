"""Questions to a real name server over loopback, and all that can go wrong on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wakerobin.core.sip.targets import Destination, Kind, Naptr, Question, Srv, ordered
from wakerobin.net.resolver import Resolver, source_of
from wakerobin.net.resolver.files import Hosts
from wakerobin.net.resolver.memory import Found
from wakerobin.net.resolver.name_servers import NameServers
from wakerobin.net.resolver.sources import Configured, System
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.dns import FakeDns

HOST = "127.51.0.1"
ZONE = {
    "pbx.test": [
        'NAPTR 20 10 "s" "SIP+D2U" "" _sip._udp.pbx.test.',
        'NAPTR 10 10 "S" "SIP+D2T" "" _sip._tcp.pbx.test.',
        "A 192.0.2.9",
    ],
    "_sip._udp.pbx.test": ["SRV 0 0 5060 a.pbx.test."],
    "_sip._tcp.pbx.test": ["SRV 20 5 5071 B.PBX.Test.", "SRV 10 7 5070 a.pbx.test."],
    "_sips._tcp.pbx.test": ["SRV 0 0 0 ."],
    "a.pbx.test": ["A 192.0.2.1", "AAAA 2001:db8::1"],
    "b.pbx.test": ["CNAME c.pbx.test."],
    "c.pbx.test": ["A 192.0.2.3"],
}


@contextlib.asynccontextmanager
async def name_server(host: str = HOST) -> AsyncIterator[FakeDns]:
    server = FakeDns(ZONE)
    await server.start(host)
    try:
        yield server
    finally:
        await server.stop()


async def asked(server: FakeDns, kind: Kind, name: str, try_s: float = 1.0) -> Found | None:
    found = await NameServers([server.address], try_s=try_s).answer(Question(kind, name))
    # A server turns records about as it likes.
    return found and Found(tuple(sorted(found.records, key=str)), found.ttl_s)


async def test_records_of_every_kind_are_read() -> None:
    async with name_server() as server:
        assert await asked(server, Kind.NAPTR, "pbx.test") == Found(
            (
                Naptr(10, 10, "S", "SIP+D2T", "_sip._tcp.pbx.test"),
                Naptr(20, 10, "s", "SIP+D2U", "_sip._udp.pbx.test"),
            ),
            60.0,
        )
        assert await asked(server, Kind.SRV, "_sip._tcp.pbx.test") == Found(
            (Srv(10, 7, 5070, "a.pbx.test"), Srv(20, 5, 5071, "b.pbx.test")), 60.0
        )
        assert await asked(server, Kind.SRV, "_sips._tcp.pbx.test") == Found((Srv(0, 0, 0, ""),), 60.0)
        assert await asked(server, Kind.ADDRESS, "a.pbx.test") == Found(("192.0.2.1", "2001:db8::1"), 60.0)
        assert await asked(server, Kind.ADDRESS, "b.pbx.test") == Found(("192.0.2.3",), 60.0)


async def test_that_there_is_nothing_is_an_answer_with_a_time_of_its_own() -> None:
    async with name_server() as server:
        assert await asked(server, Kind.SRV, "_sip._udp.nowhere.test") == Found((), 5.0)
        assert await asked(server, Kind.SRV, "a.pbx.test") == Found((), 5.0)
        assert await asked(server, Kind.ADDRESS, "nowhere.test") == Found((), 5.0)


async def test_what_does_not_fit_into_a_datagram_is_fetched_by_tcp() -> None:
    async with name_server() as server:
        server.truncates = True
        found = await asked(server, Kind.SRV, "_sip._udp.pbx.test")
        assert found == Found((Srv(0, 0, 5060, "a.pbx.test"),), 60.0)
        assert server.asked_by_tcp == 1


async def test_a_server_that_fails_gives_no_answer() -> None:
    async with name_server() as server:
        server.is_failing = True
        async with asyncio.timeout(7):
            assert await asked(server, Kind.SRV, "_sip._udp.pbx.test") is None


async def test_a_server_that_is_not_there_gives_no_answer() -> None:
    async with name_server() as server:
        await server.stop()
        async with asyncio.timeout(7):
            assert await asked(server, Kind.ADDRESS, "a.pbx.test", 0.05) is None


async def test_where_one_server_is_silent_the_next_is_asked() -> None:
    async with name_server() as silent, name_server("127.51.0.2") as server:
        silent.is_silent = True
        servers = NameServers([silent.address, server.address], try_s=0.1)
        async with asyncio.timeout(4):
            found = await servers.answer(Question(Kind.ADDRESS, "c.pbx.test"))
        assert found == Found(("192.0.2.3",), 60.0)
        assert silent.asked == []


async def test_a_silent_server_costs_no_more_than_five_seconds() -> None:
    async with name_server() as server:
        server.is_silent = True
        resolver = Resolver(ManualClock(), source_of([server.address]))
        async with asyncio.timeout(6):
            assert await resolver.locate(Destination("pbx.test")) == ()
        await resolver.close()


@pytest.mark.parametrize(
    "name", ["a..b", "a" * 64 + ".test", "x" * 300, "ü.test", "a b.test", "\\.test", '"']
)
async def test_names_that_are_none_have_no_records(name: str) -> None:
    async with name_server() as server:
        server.zone = {}
        for kind in Kind:
            found = await asked(server, kind, name)
            assert found is None or found.records == ()


@settings(max_examples=12, deadline=None)
@given(st.binary(max_size=80))
def test_what_is_no_answer_is_none(babble: bytes) -> None:
    async def ask() -> None:
        async with name_server() as server:
            server.babbles = babble or b"x"
            servers = NameServers([server.address], try_s=0.02)
            assert await servers.answer(Question(Kind.SRV, "_sip._udp.pbx.test")) is None

    asyncio.run(ask())


async def test_a_domain_leads_to_its_pbxs_by_naptr_srv_and_addresses() -> None:
    async with name_server() as server:
        resolver = Resolver(ManualClock(), source_of([server.address]))
        found = [str(target) for target in ordered(await resolver.locate(Destination("pbx.test")))]
        assert sorted(found[:2]) == ["tcp:192.0.2.1:5070", "tcp:[2001:db8::1]:5070"]
        assert found[2:] == ["tcp:192.0.2.3:5071"]
        many = len(server.asked)
        await resolver.locate(Destination("pbx.test"))
        assert len(server.asked) == many, "the second time everything is known"


async def test_the_hosts_file_comes_before_the_name_servers_of_the_settings(tmp_path: Path) -> None:
    async with name_server() as server:
        file = tmp_path / "hosts"
        file.write_text("192.0.2.77 a.pbx.test\n")
        hosts = Hosts(str(file))
        system = System(NameServers([server.address]), hosts=hosts)
        source = Configured(NameServers([server.address]), hosts)
        for one in (source, system):
            assert await one.answer(Question(Kind.SRV, "_sips._tcp.a.pbx.test")) == Found((), 30.0)
            assert await one.answer(Question(Kind.NAPTR, "a.pbx.test")) == Found((), 30.0)
        assert await source.answer(Question(Kind.ADDRESS, "a.pbx.test")) == Found(("192.0.2.77",), 30.0)
        assert server.asked == []
        assert await source.answer(Question(Kind.ADDRESS, "c.pbx.test")) == Found(("192.0.2.3",), 60.0)


async def test_the_system_s_file_of_name_servers_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = str(tmp_path / "resolv.conf")
    servers = NameServers(resolv_conf=file, try_s=0.05)
    question = Question(Kind.SRV, "_sip._udp.pbx.test")
    assert await servers.answer(question) is None
    Path(file).write_text("search pbx.test\nnameserver 127.51.0.9\n")
    begun = asyncio.get_running_loop().time()
    assert await servers.answer(question) is None
    # Nobody listens there: that the file was read is seen by the time that this takes.
    assert asyncio.get_running_loop().time() - begun > 0.1


@pytest.mark.parametrize("trouble", ["silence", "servfail", "gone"])
async def test_while_dns_is_out_the_last_answer_serves_and_nobody_waits_long(trouble: str) -> None:
    async with name_server() as server:
        clock = ManualClock()
        resolver = Resolver(clock, source_of([server.address]))
        wanted = await resolver.locate(Destination("pbx.test"))
        assert len(ordered(wanted)) == 3
        clock.advance(2 * 3_600_000)
        server.is_silent, server.is_failing = trouble == "silence", trouble == "servfail"
        if trouble == "gone":
            await server.stop()
        async with asyncio.timeout(4):
            assert await resolver.locate(Destination("pbx.test")) == wanted
        server.is_silent = server.is_failing = False
        await resolver.close()

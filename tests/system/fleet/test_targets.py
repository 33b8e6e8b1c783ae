"""Several hosts of one PBX: which an account goes to, what it does when that fails, and when it returns."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.system.fleet.test_ways import flow_from
from tests.system.fleet.world import MINUTE, SECOND, World, entropy, world
from wakerobin.core.sip.targets import Naptr, Record, Srv
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.values import Transport
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.services.fleet import TrialVerdict
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.wire import WireEndpoint

SECOND_PBX = "10.0.0.10"
FIRST_AND_SECOND: dict[str, Sequence[Record]] = {
    "_sip._udp.pbx.test": [Srv(10, 0, 5060, "one.pbx.test"), Srv(20, 0, 5060, "two.pbx.test")],
    "one.pbx.test": ["10.0.0.9"],
    "two.pbx.test": [SECOND_PBX],
}


def another_pbx(w: World, address: str = SECOND_PBX) -> tuple[FakePbx, WireEndpoint]:
    """Put a second host of the PBX on the wire. It knows the same users and shares no contacts."""
    users = {user: f"pw-{user}" for user in w.pbx.registrar.users}
    pbx, there = FakePbx(users, entropy=entropy(address)), w.wire.endpoint(address, 5060)
    transactions = Transactions(there, w.clock, w.clock, entropy(f"{address} too"), SipTimers())
    pbx.attach(transactions, there, w.clock)
    there.receiver = transactions
    return pbx, there


def statuses(pbx: FakePbx) -> list[int]:
    return [seen.status for seen in pbx.registrar.seen]


async def test_the_host_of_the_first_priority_is_asked_and_no_other() -> None:
    w = world()
    w.names.zone = dict(FIRST_AND_SECOND)
    second, _ = another_pbx(w)
    async with w.running():
        account = await w.prove()
        assert (statuses(w.pbx), statuses(second)) == ([401, 200], [])
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.flow.remote == ("10.0.0.9", 5060)


async def test_a_host_that_says_503_hands_over_to_the_next_in_the_same_cycle() -> None:
    w = world()
    w.names.zone = dict(FIRST_AND_SECOND)
    second, _ = another_pbx(w)
    w.pbx.rules.answers["alice"] = (503, (("Retry-After", "3600"),))
    async with w.running():
        begun = w.clock.monotonic()
        account = await w.prove()
        assert w.clock.monotonic() - begun < 2
        assert (statuses(w.pbx), statuses(second)) == ([503], [401, 200])
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.flow.remote == (SECOND_PBX, 5060)


async def test_a_503_after_the_password_hands_over_too() -> None:
    w = world()
    w.names.zone = dict(FIRST_AND_SECOND)
    second, _ = another_pbx(w)
    w.pbx.rules.answers_later["alice"] = (503, ())
    async with w.running():
        await w.prove()
        assert (statuses(w.pbx), statuses(second)) == ([401, 503], [401, 200])


async def test_a_silent_host_hands_over_when_timer_f_fires() -> None:
    w = world()
    w.names.zone = dict(FIRST_AND_SECOND)
    second, _ = another_pbx(w)
    w.there.is_down = True
    async with w.running():
        begun = w.clock.monotonic()
        await w.prove()
        assert 32 <= w.clock.monotonic() - begun < 34
        assert statuses(second) == [401, 200]


async def test_a_refused_connection_hands_over_at_once() -> None:
    w = world()
    w.names.zone = {
        **FIRST_AND_SECOND,
        "pbx.test": [Naptr(1, 1, "s", "SIP+D2T", "_sip._tcp.pbx.test")],
        "_sip._tcp.pbx.test": FIRST_AND_SECOND["_sip._udp.pbx.test"],
    }
    second, _ = another_pbx(w)
    w.there.is_down = True
    async with w.running():
        begun = w.clock.monotonic()
        account = await w.prove()
        assert w.clock.monotonic() - begun < 2
        assert statuses(second) == [401, 200]
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.flow.transport is Transport.TCP
        assert second.contacts("alice")[0].uri.endswith(";transport=tcp")


async def test_where_every_host_says_503_the_first_answer_counts() -> None:
    w = world()
    w.names.zone = dict(FIRST_AND_SECOND)
    second, there = another_pbx(w)
    w.pbx.rules.answers["alice"] = (503, (("Retry-After", "300"),))
    there.is_down = True
    async with w.running():
        registration = await w.enrol()
        result = await w.tried(registration)
        assert (result.verdict, result.code) == (TrialVerdict.UNREACHABLE, "registrar-busy")
        assert 300 <= result.retry_after_s <= 330
        assert statuses(second) == []


async def test_a_wrong_password_is_wrong_at_every_host_and_is_tried_at_one() -> None:
    w = world()
    w.names.zone = dict(FIRST_AND_SECOND)
    second, _ = another_pbx(w)
    async with w.running():
        registration = await w.enrol(password="wrong")
        assert (await w.tried(registration)).verdict is TrialVerdict.REFUSED
        assert statuses(second) == []


async def test_what_one_account_found_out_holds_for_all_and_ends_with_one_try() -> None:
    users = ["alice", "bob", "carol"]
    w = world(*users, unproven_rate=100.0)
    w.names.zone = dict(FIRST_AND_SECOND)
    second, _ = another_pbx(w)
    async with w.running():
        for user in users:
            await w.prove(user)
        assert statuses(second) == []
        w.there.is_down = True
        ids = [w.account(user).id for user in users]
        w.fleet.refresh_now(ids[0])
        await w.run_for(33 * SECOND)
        assert len(second.contacts("alice")) == 1
        # The others do not wait for timer F.
        w.fleet.refresh_now(ids[1])
        await w.run_for(2 * SECOND)
        assert len(second.contacts("bob")) == 1
        # After the hold-down one account tries the first host, and only that one waits for it.
        await w.run_for(31 * SECOND)
        for account_id in ids[1:]:
            w.fleet.refresh_now(account_id)
        second.registrar.seen.clear()
        await w.run_for(2 * SECOND)
        assert [seen.user for seen in second.registrar.seen if seen.status == 200] == ["carol"]
        await w.run_for(32 * SECOND)
        assert [seen.user for seen in second.registrar.seen if seen.status == 200] == ["carol", "bob"]


async def test_an_account_returns_to_its_host_when_that_serves_again() -> None:
    w = world()
    w.names.zone = dict(FIRST_AND_SECOND)
    second, _ = another_pbx(w)
    w.pbx.rules.answers["alice"] = (503, ())
    async with w.running():
        account = await w.prove()
        assert len(second.contacts("alice")) == 1
        w.pbx.rules.answers.clear()
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.contacts() == [], "the hold-down is not over"
        await w.run_for(10 * MINUTE)
        assert len(w.contacts()) == 1
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.flow.remote == ("10.0.0.9", 5060)


async def test_hosts_share_accounts_by_their_weights_and_each_account_keeps_its_own() -> None:
    users = [f"user{number}" for number in range(60)]
    w = world(*users, unproven_rate=1000.0)
    w.names.zone = {
        **FIRST_AND_SECOND,
        "_sip._udp.pbx.test": [Srv(10, 30, 5060, "one.pbx.test"), Srv(10, 10, 5060, "two.pbx.test")],
    }
    second, _ = another_pbx(w)
    async with w.running():
        for user in users:
            await w.prove(user)
        at = Counter("two" if second.contacts(user) else "one" for user in users)
        assert 6 <= at["two"] <= 26, at
        await w.run_for(20 * MINUTE)
        assert all(bool(second.contacts(user)) != bool(w.contacts(user)) for user in users), "none wandered"


async def test_the_outbound_proxy_is_found_by_services_and_the_registrar_may_still_ring() -> None:
    w = world(call_sources_policy="strict")
    w.names.zone = {
        "_sip._tcp.proxy.test": [Srv(0, 0, 5060, "edge.proxy.test")],
        "edge.proxy.test": ["10.0.0.9"],
        "_sip._udp.pbx.test": [Srv(0, 0, 5070, "core.pbx.test")],
        "core.pbx.test": ["203.0.113.7"],
        "registrar.test": ["203.0.113.8"],
    }
    async with w.running():
        account = await w.prove(outbound_proxy="sip:proxy.test;transport=tcp")
        await w.run_for(SECOND)
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert (upstream.flow.transport, upstream.flow.remote) == (Transport.TCP, ("10.0.0.9", 5060))
        assert upstream.proxy_uri == "<sip:proxy.test;transport=tcp;lr>"
        assert w.fleet.is_known(account, flow_from("10.0.0.9"))
        assert w.fleet.is_known(account, flow_from("203.0.113.7"))
        assert not w.fleet.is_known(account, flow_from("203.0.113.8"))
        named = replace(account, registrar="registrar.test:5060")
        w.fleet.is_known(named, flow_from("203.0.113.8"))
        await w.run_for(SECOND)
        assert w.fleet.is_known(named, flow_from("203.0.113.8"))
        assert not w.fleet.is_known(named, flow_from("203.0.113.7"))


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_transport_that_the_enrolment_names_is_not_looked_for(transport: Transport) -> None:
    w = world()
    w.names.zone = {
        "pbx.test": [Naptr(1, 1, "s", "SIPS+D2T", "_sips._tcp.pbx.test"), "10.0.0.9"],
        "_sips._tcp.pbx.test": [Srv(0, 0, 5061, "pbx.test")],
    }
    async with w.running():
        account = await w.prove(transport=transport)
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert (upstream.flow.transport, upstream.flow.remote[1]) == (transport, 5060)


async def test_bindings_over_connections_that_dns_chose_are_made_again_after_a_restart() -> None:
    w = world()
    w.names.zone = {
        "_sip._tcp.pbx.test": [Srv(0, 0, 5060, "one.pbx.test")],
        "one.pbx.test": ["10.0.0.9"],
    }
    async with w.running():
        await w.prove()
        await w.run_for(2 * MINUTE)
    w.us.cut_all()
    w.pbx.restart()
    w.restart()
    async with w.running():
        await w.run_for(10 * SECOND)
        assert len(w.contacts()) == 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["serves", "503", "silent"]), min_size=1, max_size=4))
def test_an_account_is_bound_at_the_first_host_in_order_that_serves(moods: list[str]) -> None:
    async def run() -> None:
        w = world()
        w.pbx.rules.is_silent = True  # none of the hosts below
        addresses = [f"10.0.1.{number}" for number in range(len(moods))]
        w.names.zone = {
            "_sip._udp.pbx.test": [
                Srv(number, 0, 5060, f"h{number}.pbx.test") for number in range(len(moods))
            ],
            **{f"h{number}.pbx.test": [address] for number, address in enumerate(addresses)},
        }
        hosts = [another_pbx(w, address)[0] for address in addresses]
        for mood, host in zip(moods, hosts, strict=True):
            host.rules.is_silent = mood == "silent"
            if mood == "503":
                host.rules.answers["alice"] = (503, ())
        first = moods.index("serves") if "serves" in moods else len(moods)
        async with w.running():
            result = await w.tried(await w.enrol(), within=5 * MINUTE)
            is_bound = [bool(host.contacts("alice")) for host in hosts]
            assert is_bound == [number == first for number in range(len(hosts))]
            assert (result.verdict is TrialVerdict.PROVEN) is (first < len(hosts))
            for number, host in enumerate(hosts):
                assert bool(host.registrar.seen) is (number <= first), "all before it were asked, none after"

    asyncio.run(run())

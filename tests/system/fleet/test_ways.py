"""The way to the PBX, our own address on it, and who may ring."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.system.fleet.world import HOUR, MINUTE, SECOND, US, World, options, world
from wakerobin import log
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.values import Flow, Transport
from wakerobin.testing.wire import WireEndpoint

NAT = ("192.0.2.77", 61_000)


def behind_nat(w: World) -> WireEndpoint:
    """Let the PBX see us at another address."""
    w.us = w.wire.endpoint(*US, seen_as=NAT)
    w.build()
    return w.us


def flow_from(address: str) -> Flow:
    return Flow(Transport.UDP, US, (address, 5060))


async def test_upstream_is_the_path_of_the_binding() -> None:
    w = world()
    w.pbx.rules.service_route = "<sip:edge.pbx.test;lr>"
    async with w.running():
        account = await w.prove()
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.flow == Flow(Transport.UDP, US, ("10.0.0.9", 5060))
        assert upstream.our_address == US
        assert upstream.contact_uri == w.contacts()[0]
        assert upstream.service_route == ("<sip:edge.pbx.test;lr>",)
        assert (upstream.proxy_uri, upstream.domain) == ("", "pbx.test")


async def test_there_is_no_way_for_an_account_that_is_not_bound() -> None:
    w = world()
    async with w.running():
        await w.enrol(password="wrong")
        await w.run_for(SECOND)
        assert w.fleet.upstream(w.account().id) is None
        assert w.fleet.upstream(4711) is None


async def test_upstream_is_known_right_after_a_restart() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
    w.restart()
    async with w.running():
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.flow.remote == ("10.0.0.9", 5060)


async def test_an_outbound_proxy_gets_everything_with_a_route() -> None:
    w = world()
    w.names.zone = {"proxy.test": ["10.0.0.9"]}
    async with w.running():
        account = await w.prove(outbound_proxy="sip:proxy.test")
        register = next(data for _, data in w.wire.messages if data.startswith(b"REGISTER"))
        assert register.startswith(b"REGISTER sip:pbx.test SIP/2.0\r\n")
        assert b"\r\nRoute: <sip:proxy.test;lr>\r\n" in register
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.proxy_uri == "<sip:proxy.test;lr>"


async def test_a_registrar_that_is_named_is_asked_in_place_of_the_domain() -> None:
    w = world()
    w.names.zone = {"registrar.test": ["10.0.0.9"]}
    async with w.running():
        await w.prove(registrar="registrar.test:5060")
        assert set(w.names.asked) == {"registrar.test"}


async def test_our_register_names_no_outbound_support_and_asks_for_path() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        register = next(data for _, data in w.wire.messages if data.startswith(b"REGISTER"))
        assert b"\r\nSupported: path\r\n" in register
        assert b"reg-id" not in register
        assert f'+sip.instance="<{account.instance}>"'.encode() in register
        assert b"\r\nFrom: <sip:alice@pbx.test>;tag=" in register
        assert b"\r\nTo: <sip:alice@pbx.test>\r\n" in register


async def test_behind_a_nat_the_binding_is_made_again_with_the_address_that_the_pbx_sees() -> None:
    w = world()
    behind_nat(w)
    async with w.running():
        account = await w.prove()
        await w.run_for(SECOND)
        seen = f"sip:{account.contact_user}@192.0.2.77:61000;transport=udp"
        assert w.contacts() == [seen]
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert (upstream.our_address, upstream.contact_uri) == (NAT, seen)
        w.forget_seen()
        await w.run_for(3 * HOUR)
        assert w.contacts() == [seen]
        assert set(w.statuses()) == {200}


async def test_a_nat_that_moved_us_is_followed_without_a_second_contact() -> None:
    w = world()
    us = behind_nat(w)
    w.pbx.rules.most_contacts = 1
    async with w.running():
        account = await w.prove()
        await w.run_for(SECOND)
        us.seen_as = ("192.0.2.88", 62_000)
        w.wire.place(us)
        w.forget_seen()
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.contacts() == [f"sip:{account.contact_user}@192.0.2.88:62000;transport=udp"]
        assert set(w.statuses()) == {200}


async def test_the_seen_address_is_remembered_over_a_restart() -> None:
    w = world()
    behind_nat(w)
    async with w.running():
        account = await w.prove()
        await w.run_for(2 * MINUTE)
    w.restart()
    w.forget_seen()
    async with w.running():
        w.fleet.refresh_now(account.id)
        await w.run_for(SECOND)
        assert w.contacts() == [f"sip:{account.contact_user}@192.0.2.77:61000;transport=udp"]
        assert w.statuses() == [401, 200]


async def test_what_the_operator_says_of_our_address_is_not_overruled() -> None:
    w = world(towards={"10.0.0.0/8": "10.0.0.1"})
    behind_nat(w)
    async with w.running():
        account = await w.prove()
        await w.run_for(SECOND)
        assert w.contacts() == [f"sip:{account.contact_user}@10.0.0.1:5060;transport=udp"]


async def test_a_nat_that_changes_its_port_all_the_time_is_not_followed_for_ever() -> None:
    w = world()
    us = behind_nat(w)
    async with w.running():
        account = await w.prove()
        w.forget_seen()
        for number in range(30):
            us.seen_as = ("192.0.2.77", 50_000 + number)
            w.wire.place(us)
            w.fleet.refresh_now(account.id)
            await w.run_for(MINUTE)
        assert len(w.pbx.registrar.seen) < 60


def pings(w: World) -> int:
    return sum(data == b"\r\n\r\n" for _, data in w.wire.messages)


async def test_connections_to_the_pbx_are_kept_alive() -> None:
    w = world()
    async with w.running():
        await w.prove(transport=Transport.TCP)
        await w.run_for(5 * MINUTE)
        assert 10 <= pings(w) <= 12


async def test_the_way_through_a_nat_is_kept_open() -> None:
    w = world()
    behind_nat(w)
    async with w.running():
        await w.prove()
        await w.run_for(5 * MINUTE)
        assert 10 <= pings(w) <= 12


async def test_a_pbx_that_sees_us_as_we_are_is_sent_nothing_but_sip() -> None:
    w = world()
    async with w.running():
        await w.prove()
        await w.run_for(5 * MINUTE)
        assert pings(w) == 0


async def test_a_connection_that_ended_is_kept_alive_no_more() -> None:
    w = world()
    async with w.running():
        await w.prove(transport=Transport.TCP)
        w.there.is_down = True
        w.there.cut_all()
        w.wire.messages.clear()
        await w.run_for(5 * MINUTE)
        assert pings(w) == 0


async def test_call_sources_that_are_no_networks_are_said_to_be_none() -> None:
    with pytest.raises(ConfigurationError, match=r"sip\.call_sources.*elsewhere"):
        world(call_sources=("elsewhere",))


async def test_contacts_left_from_an_address_that_we_had_before_are_removed() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
    w.us.is_down = True
    w.us = w.wire.endpoint("10.0.0.2", 5060)
    w.restart()
    async with w.running():
        w.fleet.refresh_now(account.id)
        await w.run_for(2 * SECOND)
        assert w.contacts() == [f"sip:{account.contact_user}@10.0.0.2:5060;transport=udp"]


async def test_calls_from_the_pbx_may_ring() -> None:
    w = world(call_sources=("10.1.0.0/16",), call_sources_policy="strict")
    w.names.zone["pbx.test"] = ["10.0.0.9", "10.0.0.10"]
    async with w.running():
        account = await w.prove()
        assert w.fleet.is_from_pbx(account, flow_from("10.0.0.9"))
        assert w.fleet.is_from_pbx(account, flow_from("10.0.0.10"))
        assert w.fleet.is_from_pbx(account, flow_from("10.1.2.3"))
        assert not w.fleet.is_from_pbx(account, flow_from("198.51.100.1"))


async def test_hosts_of_a_service_route_may_ring_too() -> None:
    w = world(call_sources_policy="strict")
    w.names.zone["edge.test"] = ["203.0.113.5"]
    w.pbx.rules.service_route = "<sip:edge.test;lr>"
    async with w.running():
        account = await w.prove()
        await w.run_for(SECOND)
        assert w.fleet.is_from_pbx(account, flow_from("203.0.113.5"))


async def test_by_default_calls_from_elsewhere_are_accepted_and_shown_once() -> None:
    w = world()
    shown = io.StringIO()
    log.configure("warning", "json", shown)
    try:
        async with w.running():
            account = await w.prove()
            assert w.fleet.is_from_pbx(account, flow_from("198.51.100.1"))
            assert w.fleet.is_from_pbx(account, flow_from("198.51.100.1"))
    finally:
        log.configure("info")
    assert shown.getvalue().count("198.51.100.1") == 1


async def test_another_users_pbx_may_not_ring_this_account() -> None:
    w = world(call_sources_policy="strict")
    w.names.zone["other.test"] = ["203.0.113.9"]
    async with w.running():
        account = await w.prove()
        other = replace(account, id=99, aor="sip:alice@other.test")
        assert not w.fleet.is_from_pbx(account, flow_from("203.0.113.9"))
        w.fleet.is_from_pbx(other, flow_from("203.0.113.9"))
        await w.run_for(SECOND)
        assert w.fleet.is_from_pbx(other, flow_from("203.0.113.9"))


def named(w: World) -> World:
    """Let the PBX of this world have the AOR's user in our Contact."""
    w.options = options(contact_user={"*.test": "aor", "10.0.0.0/8": "random"})
    w.build()
    return w


async def test_a_pbx_that_insists_on_it_gets_the_users_own_name_in_our_contact() -> None:
    w = named(world())
    async with w.running():
        account = await w.prove()
        assert w.contacts() == ["sip:alice@10.0.0.1:5060;transport=udp"]
        upstream = w.fleet.upstream(account.id)
        assert upstream is not None
        assert upstream.contact_uri == w.contacts()[0]
        await w.run_for(2 * HOUR)
        assert len(w.contacts()) == 1
        await w.end(1)
        await w.run_for(MINUTE)
        assert w.contacts() == []


async def test_a_desk_phone_of_that_name_is_not_taken_for_ours_and_not_removed() -> None:
    w = named(world())
    desk = "sip:alice@10.0.0.7:5060"
    async with w.running():
        w.pbx.registrar.add_desk_phone("alice", desk, flow_from("10.0.0.7"), expires=40_000)
        account = await w.prove()
        left = w.fleet.status(account.id).expires_at - w.clock.now()
        assert left <= 600 * SECOND, "not the expiry of the desk phone"
        await w.run_for(3 * HOUR)
        assert len(w.contacts()) == 2
        await w.end(1)
        await w.run_for(MINUTE)
        assert w.contacts() == [desk]


async def test_a_pbx_that_is_told_another_name_of_us_loses_the_one_of_before() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        assert w.contacts()[0].startswith(f"sip:{account.contact_user}@")
    w.options = options(contact_user={"pbx.test": "aor"})
    w.restart()
    async with w.running():
        w.fleet.refresh_now(account.id)
        await w.run_for(2 * SECOND)
        assert w.contacts() == ["sip:alice@10.0.0.1:5060;transport=udp"]


@pytest.mark.parametrize(
    ("pattern", "fields"),
    [
        ("pbx.test", {}),
        ("registrar.test", {"registrar": "registrar.test:5060"}),
        ("proxy.test", {"outbound_proxy": "sip:proxy.test"}),
    ],
)
async def test_a_pbx_is_named_by_its_domain_its_registrar_or_its_proxy(
    pattern: str, fields: dict[str, str]
) -> None:
    w = world()
    w.options = options(contact_user={pattern: "aor"})
    w.build()
    w.names.zone = {"registrar.test": ["10.0.0.9"], "proxy.test": ["10.0.0.9"], "pbx.test": ["10.0.0.9"]}
    async with w.running():
        await w.prove(**fields)
        assert w.contacts() == ["sip:alice@10.0.0.1:5060;transport=udp"]


async def test_another_word_for_our_contact_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match=r"sip\.contact_user: 'number'"):
        world(contact_user={"pbx.test": "number"})


async def test_calls_from_elsewhere_are_shown_to_the_operator_with_what_to_write() -> None:
    w = world()
    async with w.running():
        account = await w.prove()
        for source in ("198.51.100.1", "198.51.100.2", "198.51.100.1"):
            w.fleet.is_from_pbx(account, flow_from(source))
        await w.run_for(SECOND)
        (alarm,) = w.store.read(lambda tx: tx.alarms.all())
        assert alarm.name == "call-source:pbx.test"
        assert 'call_sources = ["198.51.100.1", "198.51.100.2"]' in alarm.words
        assert "accepted for now" in alarm.words
        assert account.contact_user not in alarm.words
    w.options = options(call_sources=("198.51.100.0/24",), call_sources_policy="strict")
    w.restart()
    async with w.running():
        assert w.fleet.is_from_pbx(account, flow_from("198.51.100.1"))
        assert w.store.read(lambda tx: tx.alarms.all()) == []
        assert not w.fleet.is_from_pbx(account, flow_from("203.0.113.1"))
        await w.run_for(SECOND)
        (alarm,) = w.store.read(lambda tx: tx.alarms.all())
        assert "are refused" in alarm.words

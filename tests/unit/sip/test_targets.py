"""Where requests go, by RFC 3263 and RFC 2782."""

from __future__ import annotations

import ipaddress
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sip.zone import ALL, Zone, looked_up, places
from wakerobin.core.sip.targets import (
    Candidate,
    Destination,
    Kind,
    Naptr,
    Question,
    Record,
    Srv,
    Target,
    ordered,
)

# RFC 3263, 4.1 and 4.2: the records of its example, with the addresses that its prose leaves out.
EXAMPLE: Zone = {
    "example.com": [
        Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com"),
        Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
        "192.0.2.9",
    ],
    "_sip._tcp.example.com": [
        Srv(0, 1, 5060, "server1.example.com"),
        Srv(0, 2, 5060, "server2.example.com"),
    ],
    "_sip._udp.example.com": [Srv(0, 1, 5070, "server1.example.com")],
    "_sips._tcp.example.com": [Srv(0, 1, 5061, "server1.example.com")],
    "server1.example.com": ["192.0.2.1"],
    "server2.example.com": ["192.0.2.2", "2001:db8::2"],
}
NO_NAPTR: Zone = {**EXAMPLE, "example.com": ["192.0.2.9"]}
NO_SRV: Zone = {"example.com": ["192.0.2.9", "2001:db8::9"]}
HOST = "example.com"
TCP_AND_UDP = ("udp", "tcp")

SERVER_1_TLS = ["tls:192.0.2.1:5061"]
SERVERS_TCP = {"tcp:192.0.2.1:5060", "tcp:192.0.2.2:5060", "tcp:[2001:db8::2]:5060"}
SERVER_1_UDP = ["udp:192.0.2.1:5070"]


@pytest.mark.parametrize(
    ("rule", "zone", "destination", "usable", "expected"),
    [
        # 4.1: which transport
        ("4.1 transport given", EXAMPLE, Destination(HOST, 5080, "tcp"), ALL, ["tcp:192.0.2.9:5080"]),
        ("4.1 numeric, sip: UDP", {}, Destination("192.0.2.7"), ALL, ["udp:192.0.2.7:5060"]),
        ("4.1 numeric, sips: TLS", {}, Destination("192.0.2.7", None, "", True), ALL, ["tls:192.0.2.7:5061"]),
        ("4.1 port, sip: UDP", EXAMPLE, Destination(HOST, 5080), ALL, ["udp:192.0.2.9:5080"]),
        ("4.1 port, sips", EXAMPLE, Destination(HOST, 5080, "", True), ALL, ["tls:192.0.2.9:5080"]),
        ("4.1 NAPTR, the example's client", EXAMPLE, Destination(HOST), TCP_AND_UDP, SERVERS_TCP),
        ("4.1 NAPTR, a client with TLS", EXAMPLE, Destination(HOST), ALL, SERVER_1_TLS),
        ("4.1 NAPTR, only UDP", EXAMPLE, Destination(HOST), ("udp",), SERVER_1_UDP),
        ("4.1 sips wants SIPS", EXAMPLE, Destination(HOST, None, "", True), ALL, SERVER_1_TLS),
        ("4.1 sips, no TLS here", EXAMPLE, Destination(HOST, None, "", True), TCP_AND_UDP, []),
        ("4.1 no NAPTR: SRV", NO_NAPTR, Destination(HOST), ALL, SERVER_1_UDP),
        ("4.1 no NAPTR, no UDP", NO_NAPTR, Destination(HOST), ("tcp", "tls"), SERVERS_TCP),
        ("4.1 no SRV: UDP", NO_SRV, Destination(HOST), ALL, ["udp:192.0.2.9:5060", "udp:[2001:db8::9]:5060"]),
        (
            "4.1 no SRV, sips: TLS",
            NO_SRV,
            Destination(HOST, None, "", True),
            ALL,
            ["tls:192.0.2.9:5061", "tls:[2001:db8::9]:5061"],
        ),
        # 4.2: which address and port
        ("4.2 numeric with port", {}, Destination("192.0.2.7", 5090), ALL, ["udp:192.0.2.7:5090"]),
        ("4.2 IPv6 in brackets", {}, Destination("[2001:DB8::7]"), ALL, ["udp:[2001:db8::7]:5060"]),
        ("4.2 transport, no port: its SRV", EXAMPLE, Destination(HOST, None, "udp"), ALL, SERVER_1_UDP),
        ("4.2 transport, no port: its SRV", EXAMPLE, Destination(HOST, None, "tcp"), ALL, SERVERS_TCP),
        ("4.2 transport=tls: _sips._tcp", EXAMPLE, Destination(HOST, None, "tls"), ALL, SERVER_1_TLS),
        (
            "4.2 transport, no SRV",
            NO_SRV,
            Destination(HOST, None, "tcp"),
            ALL,
            ["tcp:192.0.2.9:5060", "tcp:[2001:db8::9]:5060"],
        ),
        ("4.2 no such name", {}, Destination(HOST), ALL, []),
        # RFC 7118, 8
        (
            "a NAPTR for WebSocket",
            {
                HOST: [Naptr(1, 1, "s", "SIPS+D2W", "_sips._ws.example.com")],
                "_sips._ws.example.com": [Srv(0, 0, 443, HOST)],
            },
            Destination(HOST),
            ALL,
            [],
        ),
        (
            "WebSocket where it is spoken",
            {
                HOST: [Naptr(1, 1, "s", "SIPS+D2W", "_sips._ws.example.com"), "192.0.2.9"],
                "_sips._ws.example.com": [Srv(0, 0, 443, HOST)],
            },
            Destination(HOST),
            ("wss",),
            ["wss:192.0.2.9:443"],
        ),
    ],
)
def test_the_rules_of_rfc_3263(
    rule: str, zone: Zone, destination: Destination, usable: tuple[str, ...], expected: list[str] | set[str]
) -> None:
    found = places(zone, destination, usable)
    assert (set(found) if isinstance(expected, set) else found) == expected, rule


def test_the_certificate_has_to_have_the_name_that_was_asked_for() -> None:
    for destination in (Destination("Example.COM."), Destination(HOST, None, "tls"), Destination(HOST, 5061)):
        found, _ = looked_up(EXAMPLE, destination)
        assert {target.name for target in ordered(found)} == {HOST}


def test_with_a_port_or_an_address_no_services_are_asked_for() -> None:
    assert looked_up(EXAMPLE, Destination(HOST, 5080))[1] == [Question(Kind.ADDRESS, HOST)]
    assert looked_up(EXAMPLE, Destination("192.0.2.1"))[1] == []


def test_an_explicit_transport_asks_for_its_own_service_alone() -> None:
    _, asked = looked_up(NO_SRV, Destination(HOST, None, "tls"))
    assert asked == [Question(Kind.ADDRESS, HOST), Question(Kind.SRV, "_sips._tcp.example.com")]


@pytest.mark.parametrize("host", ["pbx", "pbx.local", "localhost", "me.localhost"])
def test_names_that_are_not_in_dns_are_not_asked_for_services_there(host: str) -> None:
    found, asked = looked_up({host: ["192.0.2.1"]}, Destination(host))
    assert asked == [Question(Kind.ADDRESS, host)]
    assert [str(target) for target in ordered(found)] == ["udp:192.0.2.1:5060"]


@pytest.mark.parametrize("host", ["", "[]", "."])
def test_no_name_leads_nowhere(host: str) -> None:
    assert looked_up(EXAMPLE, Destination(host)) == ((), [])


def test_a_transport_that_we_do_not_speak_leads_nowhere() -> None:
    assert looked_up(EXAMPLE, Destination(HOST, None, "sctp")) == ((), [])
    assert looked_up(EXAMPLE, Destination(HOST, None, "udp", is_secure=True)) == ((), [])
    assert looked_up(EXAMPLE, Destination(HOST), ()) == ((), [])


def test_a_target_of_the_root_says_that_there_is_no_such_service() -> None:
    refusing: Zone = {HOST: ["192.0.2.9"], "_sip._udp.example.com": [Srv(0, 0, 0, "")]}
    assert places(refusing, Destination(HOST, None, "udp")) == []
    assert places(refusing, Destination(HOST)) == []
    with_tcp: Zone = {**refusing, "_sip._tcp.example.com": [Srv(0, 0, 5060, HOST)]}
    assert places(with_tcp, Destination(HOST)) == ["tcp:192.0.2.9:5060"]


def test_priorities_come_before_weights_and_weights_before_nothing() -> None:
    zone: Zone = {
        HOST: ["192.0.2.9"],
        "_sip._udp.example.com": [
            Srv(20, 1000, 5060, "backup.example.com"),
            Srv(10, 1, 5060, "a.example.com"),
            Srv(10, 65_535, 5060, "b.example.com"),
            Srv(15, 0, 5060, "nowhere.example.com"),
        ],
        "a.example.com": ["192.0.2.1"],
        "b.example.com": ["192.0.2.2"],
        "backup.example.com": ["192.0.2.3"],
    }
    for account in range(50):
        found = places(zone, Destination(HOST), seed=b"%d" % account)
        assert set(found[:2]) == {"udp:192.0.2.1:5060", "udp:192.0.2.2:5060"}
        assert found[2:] == ["udp:192.0.2.3:5060"]


def test_within_one_order_of_naptr_the_preference_decides_and_the_rest_follows() -> None:
    zone: Zone = {
        HOST: [
            Naptr(10, 20, "s", "SIP+D2U", "_sip._udp.example.com"),
            Naptr(10, 10, "S", "sip+d2t", "_sip._tcp.elsewhere.test"),
            Naptr(5, 1, "s", "SIPS+D2T", "_sips._tcp.nowhere.test"),
            Naptr(20, 1, "s", "SIPS+D2T", "_sips._tcp.example.com"),
            Naptr(1, 1, "u", "E2U+sip", "", "!^.*$!sip:info@example.com!"),
            Naptr(1, 1, "s", "SIP+D2U", "_sip._udp.example.com", "!.*!x!"),
            Naptr(1, 1, "", "SIP+D2U", "again.example.com"),
        ],
        "_sip._udp.example.com": [Srv(0, 0, 5060, HOST), Srv(0, 0, 5062, "host.elsewhere.test")],
        "_sip._tcp.elsewhere.test": [Srv(0, 0, 5064, "host.elsewhere.test")],
        "_sips._tcp.example.com": [Srv(0, 0, 5061, "host.elsewhere.test")],
        "host.elsewhere.test": ["192.0.2.5"],
    }
    # Order 5 leads nowhere, so 10 is the first that matches; 20 is beyond it (RFC 3403, 4.1).
    assert places(zone, Destination(HOST)) == ["tcp:192.0.2.5:5064", "udp:192.0.2.5:5062"]


def test_a_naptr_may_lead_to_a_host() -> None:
    zone: Zone = {
        HOST: [Naptr(1, 1, "a", "SIP+D2T", "host.example.com")],
        "host.example.com": ["192.0.2.5", "2001:db8::5"],
    }
    assert places(zone, Destination(HOST)) == ["tcp:192.0.2.5:5060", "tcp:[2001:db8::5]:5060"]


def test_a_naptr_that_leads_nowhere_is_as_none() -> None:
    zone: Zone = {
        HOST: [Naptr(1, 1, "s", "SIP+D2T", "_sip._tcp.gone.test"), "192.0.2.9"],
        "_sip._udp.example.com": [Srv(0, 0, 5070, HOST)],
    }
    assert places(zone, Destination(HOST)) == ["udp:192.0.2.9:5070"]


def test_services_whose_hosts_have_no_address_lead_nowhere_and_not_to_the_web_server() -> None:
    zone: Zone = {HOST: ["192.0.2.9"], "_sip._udp.example.com": [Srv(0, 0, 5060, "gone.example.com")]}
    assert places(zone, Destination(HOST)) == []


def test_a_zone_that_never_ends_is_read_to_a_bound() -> None:
    hosts = [f"h{number}.example.com" for number in range(300)]
    zone: dict[str, list[Record]] = {host: [f"192.0.2.{n}" for n in range(200)] for host in hosts}
    zone["_sip._udp.example.com"] = [Srv(0, 0, 5060, host) for host in hosts]
    zone[HOST] = [Naptr(1, n, "s", "SIP+D2U", f"_sip._udp.h{n}.example.com") for n in range(300)]
    found, asked = looked_up(zone, Destination(HOST))
    assert len(ordered(found)) <= 128
    assert len(asked) <= 40


def test_a_target_that_is_failing_comes_last_and_keeps_its_place_among_its_like() -> None:
    found, _ = looked_up(EXAMPLE, Destination(HOST, None, "tcp"))
    first, *rest = ordered(found, b"x")
    assert ordered(found, b"x", lambda one: one == first) == [*rest, first]
    assert ordered(found, b"x", lambda _one: True) == [first, *rest]


def sharing(*weights: int) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(0, weight, f"h{number}", (Target("udp", f"192.0.2.{number}", 5060, HOST),))
        for number, weight in enumerate(weights)
    )


def by_rfc_2782(weights: list[int], dice: random.Random) -> list[int]:
    """The algorithm of RFC 2782 to the letter: the numbers of the records as they are drawn."""
    unordered = sorted(range(len(weights)), key=lambda number: weights[number] != 0)
    drawn: list[int] = []
    while unordered:
        chosen = dice.randint(0, sum(weights[number] for number in unordered))
        running = 0
        for number in unordered:
            running += weights[number]
            if running >= chosen:
                drawn.append(number)
                unordered.remove(number)
                break
    return drawn


def test_accounts_share_hosts_as_the_algorithm_of_rfc_2782_does() -> None:
    weights, many = [100, 300, 600], 6_000
    dice = random.Random(2782)
    theirs = Counter(tuple(by_rfc_2782(weights, dice)) for _ in range(many))
    ours = Counter(
        tuple(
            int(target.address.rpartition(".")[2]) for target in ordered(sharing(*weights), b"%d" % account)
        )
        for account in range(many)
    )
    assert sum(ours.values()) == many
    for order in theirs | ours:
        # Five standard deviations of the difference of two draws: never by chance, always for a wrong rule.
        allowed = 5 * (theirs[order] + ours[order]) ** 0.5
        assert abs(theirs[order] - ours[order]) <= allowed, order


def test_a_host_of_weight_0_is_rarely_first_and_hosts_of_weight_0_share() -> None:
    first = Counter(ordered(sharing(0, 10), b"%d" % n)[0].address for n in range(3_000))
    assert 0 < first["192.0.2.0"] < 30
    first = Counter(ordered(sharing(0, 0), b"%d" % n)[0].address for n in range(3_000))
    assert 1_300 < first["192.0.2.0"] < 1_700


@given(st.lists(st.integers(0, 65_535), min_size=2, max_size=8), st.binary(max_size=80), st.data())
def test_an_account_whose_host_stays_stays_with_it(
    weights: list[int], seed: bytes, data: st.DataObject
) -> None:
    candidates = sharing(*weights)
    order = ordered(candidates, seed)
    assert ordered(candidates, seed) == order
    gone = data.draw(st.sampled_from(candidates))
    left = tuple(one for one in candidates if one is not gone)
    assert ordered(left, seed) == [target for target in order if target not in gone.targets]


_LABELS = st.sampled_from(["a", "b", "_sip._udp", "_sip._tcp", "_sips._tcp", "example"])
_NAMES = st.lists(_LABELS, max_size=3).map(lambda labels: ".".join([*labels, "com"]) if labels else "")
_SMALL = st.integers(0, 3)
_RECORDS = st.one_of(
    st.sampled_from(["192.0.2.1", "2001:db8::1"]),
    st.builds(Srv, _SMALL, _SMALL, st.integers(0, 2), _NAMES),
    st.builds(
        Naptr,
        _SMALL,
        _SMALL,
        st.sampled_from("sSaAu"),
        st.sampled_from(["SIP+D2U", "SIP+D2T", "SIPS+D2T", "SIP+D2W", "E2U+sip"]),
        _NAMES,
    ),
)
_ZONES = st.dictionaries(_NAMES, st.lists(_RECORDS, max_size=4), max_size=8)
_DESTINATIONS = st.builds(
    Destination,
    st.one_of(_NAMES, st.just("192.0.2.3")),
    st.one_of(st.none(), st.integers(1, 65_535)),
    st.sampled_from(["", "udp", "tcp", "tls", "ws"]),
    st.booleans(),
)


@given(_ZONES, _DESTINATIONS)
def test_whatever_a_zone_says_the_answer_is_places_that_may_be_used(
    zone: dict[str, list[Record]], destination: Destination
) -> None:
    found, _ = looked_up(zone, destination)
    targets = ordered(found, b"seed")
    assert [one.rank for one in found] == sorted(one.rank for one in found)
    assert len(set(targets)) == len(targets)
    for target in targets:
        ipaddress.ip_address(target.address)
        assert 0 < target.port < 65_536
        assert target.transport in ALL
        assert destination.transport in ("", target.transport) or destination.is_secure
        assert target.transport == "tls" or not destination.is_secure
        assert destination.port in (None, target.port)

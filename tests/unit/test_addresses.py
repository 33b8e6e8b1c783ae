"""The destination policy and the host patterns: what is let through, and every known way around."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.addresses import (
    DestinationPolicy,
    Reach,
    is_host_pattern,
    matches_host,
    networks_in,
    parse_address,
    reach,
)

NOTHING_LISTED = DestinationPolicy()
HOME = DestinationPolicy(allow_private=(ipaddress.ip_network("192.168.1.0/24"),))


@pytest.mark.parametrize("address", ["8.8.8.8", "17.188.143.34", "2a00:1450:4001::8a", "1.1.1.1"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert NOTHING_LISTED.refusal(address, 5060) is None


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.5", "100.64.0.1", "fd12:3456::1"],
)
def test_a_private_address_is_refused_where_it_is_not_listed(address: str) -> None:
    assert NOTHING_LISTED.refusal(address, 5060) == (
        f"{address} is a private address that allow_private does not list"
    )


def test_a_private_address_is_allowed_where_its_network_is_listed_and_only_there() -> None:
    assert HOME.refusal("192.168.1.5", 5060) is None
    assert HOME.refusal("192.168.2.5", 5060) is not None
    ula = DestinationPolicy(allow_private=(ipaddress.ip_network("fd12::/16"),))
    assert ula.refusal("fd12:3456::1", 5060) is None
    assert ula.refusal("fd13::1", 5060) is not None


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", Reach.LOOPBACK),
        ("127.8.7.6", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("169.254.10.10", Reach.LINK_LOCAL),
        ("fe80::1", Reach.LINK_LOCAL),
        ("fe80::1%eth0", Reach.LINK_LOCAL),
        ("169.254.169.254", Reach.METADATA),
        ("fd00:ec2::254", Reach.METADATA),
        ("fd00:ec2::254%eth0", Reach.METADATA),
        ("100.100.100.200", Reach.METADATA),
        ("168.63.129.16", Reach.METADATA),
        ("0.0.0.0", Reach.UNSPECIFIED),
        ("0.1.2.3", Reach.UNSPECIFIED),
        ("::", Reach.UNSPECIFIED),
        ("224.0.1.75", Reach.MULTICAST),
        ("239.255.255.250", Reach.MULTICAST),
        ("255.255.255.255", Reach.MULTICAST),
        ("ff02::1", Reach.MULTICAST),
        ("240.0.0.1", Reach.RESERVED),
        ("::7f00:1", Reach.RESERVED),
        ("100::1", Reach.RESERVED),
    ],
)
def test_a_special_address_is_refused_by_its_kind_and_allowed_when_named(address: str, kind: Reach) -> None:
    everything = tuple(ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::/0"))
    listed = DestinationPolicy(allow_private=everything)
    refusal = listed.refusal(address, 5060)
    assert refusal is not None
    assert kind.value in refusal
    assert DestinationPolicy(named=frozenset({address})).refusal(address, 5060) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:192.168.1.5", "192.168.1.5"),
        ("::ffff:a9fe:a9fe", "169.254.169.254"),
        ("64:ff9b::7f00:1", "127.0.0.1"),
        ("2002:7f00:1::", "127.0.0.1"),
        ("2002:c0a8:105::1", "192.168.1.5"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
    ],
)
def test_an_address_in_another_dress_is_judged_as_what_it_is(written: str, meant: str) -> None:
    assert str(parse_address(written)) == meant
    for policy in (NOTHING_LISTED, HOME, DestinationPolicy(named=frozenset({"127.0.0.1"}))):
        allowed = policy.refusal(written, 5060) is None
        assert allowed is (policy.refusal(meant, 5060) is None)


def test_a_mapped_public_address_stays_public() -> None:
    assert NOTHING_LISTED.refusal("::ffff:8.8.8.8", 443) is None


def test_the_last_address_of_a_range_and_the_first_behind_it_are_told_apart() -> None:
    edges = [("172.15.255.255", "172.16.0.0"), ("172.32.0.0", "172.31.255.255")]
    edges += [("100.63.255.255", "100.64.0.0"), ("100.128.0.0", "100.127.255.255")]
    edges += [("126.255.255.255", "127.0.0.0"), ("128.0.0.1", "127.255.255.255")]
    for public, special in edges:
        assert reach(ipaddress.ip_address(public)) is Reach.PUBLIC
        assert reach(ipaddress.ip_address(special)) is not Reach.PUBLIC


def test_a_named_address_with_a_port_opens_that_port_only() -> None:
    policy = DestinationPolicy(named=frozenset({"127.0.0.1:5080", "[::1]:5080"}))
    assert policy.refusal("127.0.0.1", 5080) is None
    assert policy.refusal("::1", 5080) is None
    assert policy.refusal("127.0.0.1", 5081) is not None
    assert policy.refusal("::1", 5081) is not None


def test_a_named_host_is_allowed_by_the_name_that_was_asked_for() -> None:
    policy = DestinationPolicy(named=frozenset({"PBX.lan.", "push.lan:8443"}))
    assert policy.refusal("127.0.0.1", 5060, "pbx.LAN") is None
    assert policy.refusal("127.0.0.1", 5060, "other.lan") is not None
    assert policy.refusal("127.0.0.1", 5060) is not None
    assert policy.refusal("10.0.0.9", 8443, "push.lan") is None
    assert policy.refusal("10.0.0.9", 443, "push.lan") is not None


def test_our_own_listener_is_refused_even_where_its_address_is_named() -> None:
    policy = DestinationPolicy(
        allow_private=(ipaddress.ip_network("192.168.1.0/24"),),
        named=frozenset({"127.0.0.1"}),
        own_listeners=frozenset({("127.0.0.1", 8088), ("192.168.1.2", 5060), ("0:0::1", 8088)}),
    )
    assert policy.refusal("127.0.0.1", 5060) is None
    assert policy.refusal("127.0.0.1", 8088) == "127.0.0.1 port 8088 is this server itself"
    assert policy.refusal("192.168.1.2", 5060) == "192.168.1.2 port 5060 is this server itself"
    assert policy.refusal("192.168.1.2", 5061) is None
    assert policy.refusal("::1", 8088) == "::1 port 8088 is this server itself"
    assert policy.refusal("::ffff:127.0.0.1", 8088) is not None


def test_our_own_public_listener_is_refused_unless_named_with_its_port() -> None:
    own = frozenset({("198.51.100.7", 5060)})
    assert DestinationPolicy(own_listeners=own).refusal("198.51.100.7", 5060) is not None
    named = DestinationPolicy(named=frozenset({"198.51.100.7:5060"}), own_listeners=own)
    assert named.refusal("198.51.100.7", 5060) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pbx.example",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "0127.0.0.1",
        "1.2.3.4 ",
        "[1.2.3.4]",
        "[::1",
        "::1]",
    ],
)
def test_what_is_not_a_resolved_address_is_refused(text: str) -> None:
    assert NOTHING_LISTED.refusal(text, 5060) == f"{text!r} is not an IP address"


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_what_is_not_a_port_is_refused(port: int) -> None:
    assert NOTHING_LISTED.refusal("8.8.8.8", port) == f"{port} is not a port"


DOCUMENTATION = networks_in(["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"])


@given(address=st.ip_addresses())
def test_with_nothing_listed_only_globally_routed_addresses_pass(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if NOTHING_LISTED.refusal(str(address), 5060) is None:
        ends_at = parse_address(str(address))
        assert ends_at is not None
        assert not ends_at.is_multicast
        assert ends_at.is_global or any(ends_at in network for network in DOCUMENTATION)


@given(text=st.text(max_size=80), port=st.integers(-10, 70000), host=st.text(max_size=300))
def test_no_text_whatever_crashes_the_policy(text: str, port: int, host: str) -> None:
    policy = DestinationPolicy(named=frozenset({text, host}), own_listeners=frozenset({(text, 1)}))
    answer = policy.refusal(text, port, host)
    assert answer is None or answer


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("pbx.example", "pbx.example"),
        ("pbx.example", "PBX.Example."),
        ("PBX.example.", "pbx.example"),
        ("*.pbx.example", "a.pbx.example"),
        ("*.pbx.example", "a.b.pbx.example"),
        ("sip-*.example", "sip-7.example"),
        ("sip*.example", "sip.example"),
        ("a.*.example", "a.b.example"),
        ("192.168.1.0/24", "192.168.1.77"),
        ("192.168.1.9/24", "192.168.1.77"),
        ("192.168.1.5", "192.168.1.5"),
        ("192.168.1.0/24", "[::ffff:192.168.1.5]"),
        ("fd12::/16", "[fd12::1]"),
        ("[fd12::1]", "fd12:0::1"),
        ("*", "anything.example"),
        ("*", "192.168.1.5"),
        ("localhost", "localhost"),
    ],
)
def test_a_host_that_the_pattern_lists_matches(pattern: str, host: str) -> None:
    assert matches_host(pattern, host)


@pytest.mark.parametrize(
    ("pattern", "host"),
    [
        ("*.pbx.example", "pbx.example"),
        ("*.pbx.example", "evilpbx.example"),
        ("*.pbx.example", "a.pbx.example.evil.test"),
        ("*.google.com", "evil.example/a.google.com"),
        ("*.google.com", "evil.example@a.google.com"),
        ("*.google.com", "evil.example:a.google.com"),
        ("*.google.com", "evil example.google.com"),
        ("*.google.com", "evil.example\n.google.com"),
        ("*.google.com", ".google.com"),
        ("*.google.com", "a..google.com"),
        ("*.google.com", "-a.google.com"),
        ("sip-*.example", "sip-a.b.example"),
        ("a.*.example", "a.b.c.example"),
        ("pbx.example", "pbxxexample"),
        ("pbx.example", ""),
        ("", "pbx.example"),
        ("", ""),
        ("", "192.168.1.5"),
        ("*", ""),
        ("*", "evil/x"),
        ("*", "a" * 64 + ".example"),
        ("*", ".".join(["abcdefg"] * 40)),
        ("*.1", "127.1"),
        ("*", "127.1"),
        ("*", "0x7f.0x1"),
        ("*.168.1.5", "192.168.1.5"),
        ("192.168.*.5", "192.168.1.5"),
        ("192.168.1.0/24", "192.168.2.1"),
        ("192.168.1.0/24", "pbx.example"),
        ("192.168.1.0/99", "192.168.1.1"),
        ("0.0.0.0/0", "fd12::1"),
        ("a/*.example", "a/b.example"),
        ("(*.example", "(a.example"),
    ],
)
def test_a_host_that_the_pattern_does_not_list_does_not_match(pattern: str, host: str) -> None:
    assert not matches_host(pattern, host)


@given(pattern=st.text(max_size=40), host=st.text(max_size=300))
def test_no_pattern_and_no_host_crash_the_comparison(pattern: str, host: str) -> None:
    assert matches_host(pattern, host) in (True, False)


@given(host=st.from_regex(r"[a-z0-9./@:\\ -]{1,40}", fullmatch=True))
def test_a_wildcard_never_lets_a_host_through_that_does_not_end_in_its_domain(host: str) -> None:
    if matches_host("*.pbx.example", host):
        assert host.removesuffix(".").endswith(".pbx.example")
        assert not set(host) & set("/@:\\ ")


def test_registrars_listed_by_address_are_networks_that_may_be_sent_to() -> None:
    found = networks_in(["*.pbx.example", "192.168.1.0/24", "10.1.1.1", "[fd12::1]", "x/24"])
    assert [str(network) for network in found] == ["192.168.1.0/24", "10.1.1.1/32", "fd12::1/128"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("*", True),
        ("*.pbx.example", True),
        ("sip-*.example", True),
        ("pbx", True),
        ("pbx.example.", True),
        ("10.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("192.168.1.0/24", True),
        ("", False),
        ("pbx..example", False),
        ("sip:pbx", False),
        ("pbx:5060", False),
        ("https://pbx", False),
        ("a b", False),
        ("127.1", False),
        ("10.0.0.0/99", False),
    ],
)
def test_a_pattern_that_matches_nothing_is_none(text: str, is_one: bool) -> None:
    assert is_host_pattern(text) is is_one

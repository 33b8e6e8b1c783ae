"""Strangers take little, whoever proved himself takes his own, and nobody can have another shut out."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core import gate
from wakerobin.core.gate import Allowances, Gate, Shed, source_of
from wakerobin.core.values import Flow, Transport

US = ("198.51.100.1", 5060)
STRANGER = ("203.0.113.66", 40_000)
PHONE = ("203.0.113.5", 5060)
PBX = ("192.0.2.9", 5060)
SMALL = Allowances(
    source_rate=10,
    source_burst=100,
    strangers_rate=50,
    strangers_burst=500,
    phone_rate=5,
    phone_burst=20,
    pbx_rate=1000,
    pbx_burst=2000,
    ban_s=300,
)


def udp(remote: tuple[str, int]) -> Flow:
    return Flow(Transport.UDP, US, remote)


def tcp(remote: tuple[str, int], number: int = 1) -> Flow:
    return Flow(Transport.TCP, US, remote, number)


def taken(one: Gate, remote: tuple[str, int], count: int, now: float = 0.0, cost: float = 1.0) -> int:
    return sum(one.datagram(remote, cost, now) is None for _ in range(count))


def test_a_stranger_gets_its_burst_and_then_its_rate() -> None:
    one = Gate(SMALL)
    assert taken(one, STRANGER, 1_000) == 100
    assert one.datagram(STRANGER, 1.0, 0.0) is Shed.SOURCE
    assert taken(one, STRANGER, 1_000, now=2.0) == 20


def test_all_ports_of_a_source_are_one_and_so_is_an_ipv6_subscriber() -> None:
    one = Gate(SMALL)
    assert sum(taken(one, (STRANGER[0], port), 1) for port in range(1_000, 2_000)) == 100
    assert sum(taken(one, (f"2001:db8:1:2::{n:x}", 5060), 1) for n in range(1_000)) == 100
    assert source_of("2001:db8:1:2:3:4:5:6") == source_of("2001:db8:1:2::1") != source_of("2001:db8:1:3::1")
    assert source_of("::ffff:192.0.2.1") == source_of("192.0.2.1") == "192.0.2.1"


def test_all_strangers_together_get_their_share_and_a_source_that_was_proven_is_none_of_them() -> None:
    one = Gate(SMALL)
    one.proven(tcp((PHONE[0], 50_000)), 0.0)
    assert sum(taken(one, (f"198.18.{n >> 8}.{n & 255}", 5060), 1) for n in range(2_000)) == 500
    assert one.datagram(("198.18.9.9", 5060), 1.0, 0.0) is Shed.STRANGERS
    # A phone that comes back to where it was, by another flow.
    assert taken(one, PHONE, 1_000) == 100


def test_what_strangers_use_up_over_udp_is_not_what_connections_use() -> None:
    one = Gate(SMALL)
    taken(one, STRANGER, 1_000)
    for n in range(2_000):
        one.datagram((f"198.18.{n >> 8}.{n & 255}", 5060), 1.0, 0.0)
    assert one.connection(STRANGER[0], gate.CONNECTION, 0.0) is None


def test_while_more_comes_than_is_read_strangers_get_a_tenth_and_others_what_they_had() -> None:
    one = Gate(SMALL)
    one.pbx(PBX[0], 0.0)
    one.proven(tcp((PHONE[0], 50_000)), 0.0)
    one.pressed(0.0)
    assert sum(taken(one, (f"198.18.{n >> 8}.{n & 255}", 5060), 1) for n in range(2_000)) == 50
    assert taken(one, PHONE, 1_000) == 100
    assert taken(one, PBX, 5_000) == 2_000
    assert sum(taken(one, (f"198.19.0.{n}", 5060), 1, now=1.0) for n in range(200)) == 50
    assert one.connection("198.18.9.9", gate.CONNECTION, 0.1) is None


def test_a_flow_that_has_proved_itself_has_its_own_allowance_whatever_its_neighbours_do() -> None:
    one = Gate(SMALL)
    one.proven(udp(PHONE), 0.0)
    assert taken(one, (PHONE[0], 9), 1_000) == 100
    assert taken(one, PHONE, 1_000) == 20
    assert one.datagram(PHONE, 1.0, 0.0) is Shed.PHONE
    assert taken(one, PHONE, 1_000, now=2.0) == 10


def test_a_pbx_has_a_large_allowance_and_its_responses_cost_next_to_nothing() -> None:
    one = Gate(SMALL)
    one.pbx(PBX[0], 0.0)
    assert taken(one, PBX, 5_000) == 2_000
    assert one.datagram(PBX, 1.0, 0.0) is Shed.PBX
    assert taken(one, PBX, 30_000, now=1.0, cost=gate.RESPONSE) == pytest.approx(20_000, abs=1)


def test_what_the_operator_trusts_is_treated_like_a_pbx() -> None:
    one = Gate(SMALL, [ipaddress.ip_network("192.0.2.0/24")])
    assert taken(one, PBX, 1_500) == 1_500
    assert one.is_pbx("192.0.2.77", 0.0)
    assert not one.is_pbx(STRANGER[0], 0.0)


def test_garbage_shuts_a_stranger_out_over_udp_for_half_a_minute() -> None:
    one = Gate(SMALL)
    began = [one.blame(udp(STRANGER), gate.FAULT, 0.0) for _ in range(101)]
    assert began == [False] * 100 + [True]
    assert one.datagram(STRANGER, 1.0, 29.0) is Shed.BANNED
    assert one.datagram(STRANGER, 1.0, 31.0) is None


def test_garbage_over_a_connection_shuts_its_source_out_for_as_long_as_is_set_and_udp_is_another_matter() -> (
    None
):
    one = Gate(SMALL)
    assert any(one.blame(tcp(STRANGER), gate.FAULT, 0.0) for _ in range(200))
    assert one.connection(STRANGER[0], gate.CONNECTION, 299.0) is Shed.BANNED
    assert one.datagram(STRANGER, 1.0, 1.0) is None
    assert one.connection(STRANGER[0], gate.CONNECTION, 301.0) is None


def test_one_that_guesses_and_was_seen_to_be_there_is_shut_out_everywhere() -> None:
    one = Gate(SMALL)
    guesses = [one.blame(udp(STRANGER), gate.GUESS, 0.0, is_seen=True) for _ in range(21)]
    assert guesses == [False] * 20 + [True]
    assert one.datagram(STRANGER, 1.0, 299.0) is Shed.BANNED
    assert one.connection(STRANGER[0], gate.CONNECTION, 299.0) is Shed.BANNED


def test_a_source_at_which_a_phone_proved_itself_is_never_shut_out_and_no_longer_if_it_was() -> None:
    one = Gate(SMALL)
    while not one.blame(udp(STRANGER), gate.FAULT, 0.0):
        pass
    one.proven(tcp(STRANGER), 1.0)
    assert one.datagram((STRANGER[0], 1), 1.0, 1.0) is None
    assert not any(one.blame(udp((STRANGER[0], 1)), gate.GUESS, 2.0, is_seen=True) for _ in range(1_000))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["datagram", "blame", "guess", "connection", "read"]),
            st.sampled_from([PBX, PHONE, STRANGER, (PHONE[0], 1), (PBX[0], 9)]),
            st.integers(1, 200),
            st.floats(0.0, 5.0),
        ),
        max_size=60,
    )
)
def test_nothing_that_can_be_forged_shuts_out_a_pbx_or_a_phone_that_proved_itself(
    acts: list[tuple[str, tuple[str, int], int, float]],
) -> None:
    one, now = Gate(SMALL), 0.0
    one.pbx(PBX[0], now)
    one.proven(udp(PHONE), now)
    for act, remote, times, later in acts:
        now += later
        for _ in range(times):
            match act:
                case "datagram":
                    one.datagram(remote, 1.0, now)
                case "blame":
                    one.blame(udp(remote), gate.FAULT, now)
                case "guess":
                    one.blame(udp(remote), gate.GUESS, now)
                case "connection":
                    one.connection(remote[0], gate.HANDSHAKE, now)
                case _:
                    one.read(tcp(remote), 1.0, now)
    # However long it went on: a second of quiet, and each is heard again.
    assert one.datagram(PBX, 1.0, now + 1.0) is None
    assert one.datagram(PHONE, 1.0, now + 1.0) is None
    assert one.datagram((PHONE[0], 77), 1.0, now + 1.0) is not Shed.BANNED


def test_a_stream_that_overspends_is_read_later_and_never_much_later() -> None:
    one = Gate(SMALL)
    assert one.read(tcp(STRANGER), 100, 0.0) == 0.0
    assert one.read(tcp(STRANGER), 30, 0.0) == pytest.approx(3.0)
    assert one.read(tcp(STRANGER), 1e9, 0.0) == gate.LONGEST_WAIT_S
    assert one.read(tcp(STRANGER), 0, gate.LONGEST_WAIT_S) == 0.0


def test_a_proven_connection_is_slowed_by_what_it_does_itself_and_forgotten_when_it_ends() -> None:
    one = Gate(SMALL)
    flow = tcp(PHONE, 7)
    one.read(tcp(PHONE, 8), 1e9, 0.0)  # a neighbour behind the same NAT
    one.proven(flow, 0.0)
    assert one.read(flow, 20, 0.0) == 0.0
    assert one.read(flow, 45, 0.0) == pytest.approx(9.0)
    one.closed(flow)
    assert one.read(flow, 1, 0.0) > 9.0


def test_the_tables_are_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_SOURCES", "MOST_KNOWN", "MOST_PHONES", "MOST_PBXS"):
        monkeypatch.setattr(gate, name, 10)
    one = Gate(Allowances())
    for n in range(50):
        address = f"198.18.0.{n}"
        one.datagram((address, 1), 1.0, 0.0)
        one.connection(address, 1.0, 0.0)
    for n in range(50):
        one.proven(udp((f"198.18.1.{n}", 1)), 0.0)
        one.pbx(f"198.18.2.{n}", 0.0)
    assert one.sizes() == (10, 10, 10, 10, 10)
    assert one.is_pbx("198.18.2.49", 0.0)
    assert not one.is_pbx("198.18.2.0", 0.0)


def test_without_limits_nothing_is_shed_and_nobody_shut_out() -> None:
    one = Gate(gate.UNLIMITED)
    assert taken(one, STRANGER, 10_000) == 10_000
    assert not any(one.blame(udp(STRANGER), gate.GUESS, 0.0, is_seen=True) for _ in range(1_000))
    assert one.read(tcp(STRANGER), 1e6, 0.0) == 0.0

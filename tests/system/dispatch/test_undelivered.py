"""A REGISTER that ICMP says did not arrive fails at once; nothing else does, and nobody can make it."""

from __future__ import annotations

import pytest

from tests.system.dispatch.memory_network import Network, Side, ask, request
from wakerobin.testing.clock import ManualClock

REASON = "connection refused"


def on_wire(network: Network, method: str) -> bytes:
    return network.sent(method)[-1].encode()


@pytest.mark.parametrize("method", ["REGISTER", "OPTIONS"])
def test_what_pbxs_are_asked_fails_at_once_and_once(
    network: Network, alice: Side, clock: ManualClock, method: str
) -> None:
    asked, _ = ask(alice, request(method))
    quoted = on_wire(network, method)[:200]
    alice.transactions.undelivered(quoted, REASON)
    alice.transactions.undelivered(quoted, REASON)
    assert asked.failures == [], "never from within"
    clock.advance(1)
    assert asked.failures == [f"transport: {REASON}"]
    alice.transactions.undelivered(quoted, REASON)
    clock.advance(60_000)
    assert len(asked.failures) == 1
    assert alice.transactions.alive == (0, 0)


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "BYE"])
def test_nothing_else_fails_by_icmp(network: Network, alice: Side, clock: ManualClock, method: str) -> None:
    asked, _ = ask(alice, request(method))
    alice.transactions.undelivered(on_wire(network, method), REASON)
    clock.advance(1_000)
    assert asked.failures == []


def test_what_is_not_ours_to_the_letter_fails_nothing(
    network: Network, alice: Side, clock: ManualClock
) -> None:
    asked, handle = ask(alice, request("REGISTER"))
    whole = on_wire(network, "REGISTER")
    for quoted in (
        b"",
        b"\x00" * 100,
        whole[: whole.index(b"branch=")],
        whole.replace(handle.branch.encode(), b"z9hG4bKguessed"),
        whole.replace(b"REGISTER sip", b"REGISTE sip"),
        b"SIP/2.0 200 OK\r\n" + whole.partition(b"\r\n")[2],
        b"REGISTER " + b"x" * 70_000,
    ):
        alice.transactions.undelivered(quoted, REASON)
    clock.advance(1_000)
    assert asked.failures == []

"""Requests and their answers through two transaction layers, also where the network loses them."""

from __future__ import annotations

import random

import pytest

from tests.system.dispatch.memory_network import (
    BOB,
    Asked,
    MemoryEndpoint,
    Network,
    Side,
    ask,
    request,
    sample,
)
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.timers import Timers
from wakerobin.core.values import Transport
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.services.dispatch import transactions as layer
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.testing.clock import ManualClock


def test_a_request_leaves_with_our_via_on_top_and_the_callers_message_is_untouched(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    message = request("OPTIONS")
    message.prepend("Via", "SIP/2.0/TCP 198.51.100.7;branch=z9hG4bKbelow")
    before = message.encode()
    _, handle = ask(alice, message, branch="z9hG4bKchosen")
    assert message.encode() == before
    assert handle.branch == "z9hG4bKchosen"
    (sent,) = network.sent("OPTIONS")
    assert sent.all("Via") == [
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKchosen;rport",
        "SIP/2.0/TCP 198.51.100.7;branch=z9hG4bKbelow",
    ]
    clock.advance(20)
    assert bob.requests[0].request.top_via.received == "192.0.2.1"
    assert bob.requests[0].request.top_via.rport == 5060


def test_branches_are_new_for_each_request_and_one_in_use_is_refused(alice: Side) -> None:
    _, first = ask(alice, request("OPTIONS"))
    _, second = ask(alice, request("OPTIONS"))
    assert first.branch != second.branch
    assert first.branch.startswith("z9hG4bK")
    with pytest.raises(ValueError, match="branch"):
        ask(alice, request("OPTIONS"), branch=first.branch)


def test_an_answered_request_costs_one_datagram_each_way_and_leaves_nothing(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    bob.transactions.on_request = lambda it: it.respond(respond(it.request, 200, to_tag="b1"))
    asked, _ = ask(alice, request("OPTIONS"))
    clock.advance(100)
    assert asked == Asked([200])
    assert len(network.carried) == 2
    assert alice.transactions.alive == (1, 0)  # timer K
    assert bob.transactions.alive == (0, 1)  # timer J
    clock.advance(40_000)
    assert alice.transactions.alive == bob.transactions.alive == (0, 0)
    assert clock.next_timer() is None


def test_a_lost_request_is_repeated_at_the_times_of_timer_e(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    bob.transactions.on_request = lambda it: it.respond(respond(it.request, 200, to_tag="b1"))
    losses = iter([True, True, True, False])
    network.is_lost = lambda _data: next(losses, False)
    begin = clock.monotonic()
    asked, _ = ask(alice, request("OPTIONS"))
    clock.advance(10_000)
    assert asked == Asked([200])
    assert [round(at - begin, 3) for at, _, sent in network.carried if sent.is_request] == [0, 0.5, 1.5, 3.5]


def test_a_request_that_nobody_answers_fails_once_after_64_times_t1(
    network: Network, alice: Side, clock: ManualClock
) -> None:
    before = sample("sip_unanswered_total", reason="timeout")
    asked, _ = ask(alice, request("OPTIONS"))
    clock.advance(31_900)
    assert asked == Asked()
    clock.advance(200)
    assert asked == Asked([], ["timeout"])
    assert alice.transactions.alive == (0, 0)
    assert sample("sip_unanswered_total", reason="timeout") == before + 1


def test_a_repeated_invite_is_absorbed_and_answered_with_the_last_response(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    network.is_lost = lambda data: data.startswith(b"SIP/2.0 1")
    asked, _ = ask(alice, request("INVITE"))
    clock.advance(300)
    (invite,) = bob.requests
    invite.respond(respond(invite.request, 100))
    invite.respond(respond(invite.request, 180, to_tag="b1"))
    clock.advance(4_000)
    assert len(network.sent("INVITE")) == 4
    assert bob.requests == [invite]
    assert asked == Asked()
    assert len(network.sent("180")) == 1 + 3
    network.is_lost = lambda _data: False
    clock.advance(4_000)
    assert asked == Asked([180])


def test_a_phone_may_ring_for_minutes(network: Network, alice: Side, bob: Side, clock: ManualClock) -> None:
    asked, _ = ask(alice, request("INVITE"))
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 180, to_tag="b1"))
    clock.advance(179_000)
    bob.requests[0].respond(respond(bob.requests[0].request, 200, to_tag="b1"))
    clock.advance(100)
    assert asked == Asked([180, 200])


def test_a_refused_invite_is_acknowledged_here_and_the_ack_is_absorbed_there(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    losses = iter([True])
    network.is_lost = lambda data: data.startswith(b"ACK") and next(losses, False)
    asked, handle = ask(alice, request("INVITE"))
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 486, to_tag="b1"))
    clock.advance(1_000)
    assert asked == Asked([486])
    first, second = network.sent("ACK")
    assert first.branch == second.branch == handle.branch
    assert first.to_tag == "b1"
    assert len(network.sent("486")) == 2
    assert bob.acks == []
    clock.advance(64_000)
    assert alice.transactions.alive == bob.transactions.alive == (0, 0)
    assert len(network.sent("486")) == 2


def test_the_ack_of_a_2xx_goes_to_the_transaction_user(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    asked, _ = ask(alice, request("INVITE"))
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 200, to_tag="b1"))
    clock.advance(100)
    assert asked == Asked([200])
    alice.transactions.send_ack(request("ACK"), alice.endpoint.flow_to(Transport.UDP, *BOB))
    clock.advance(100)
    (ack,) = bob.acks
    assert ack.branch != bob.requests[0].request.branch
    clock.advance(64_000)
    assert alice.transactions.alive == bob.transactions.alive == (0, 0)


def test_each_further_2xx_of_a_forked_invite_is_passed_up(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    asked, _ = ask(alice, request("INVITE"))
    clock.advance(100)
    for tag in ("b1", "b2", "b1"):
        bob.requests[0].respond(respond(bob.requests[0].request, 200, to_tag=tag))
    clock.advance(100)
    assert asked == Asked([200, 200, 200])


def test_a_transaction_user_that_raises_is_answered_for_and_the_next_request_is_served(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    def fail(_transaction: ServerTransactionHandle) -> None:
        raise RuntimeError("as a bug does")

    before = sample("faults_total", room="dispatch")
    served = bob.transactions.on_request
    bob.transactions.on_request = fail
    asked, _ = ask(alice, request("OPTIONS"))
    clock.advance(100)
    assert asked == Asked([500])
    assert sample("faults_total", room="dispatch") == before + 1
    bob.transactions.on_request = served
    ask(alice, request("OPTIONS"))
    clock.advance(100)
    assert len(bob.requests) == 1


def test_a_callback_that_raises_does_not_keep_its_transaction_alive(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    def fail(_response: Message) -> None:
        raise RuntimeError("as a bug does")

    flow = alice.endpoint.flow_to(Transport.UDP, *BOB)
    alice.transactions.request(request("OPTIONS"), flow, fail, lambda _reason: None)
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 200, to_tag="b1"))
    clock.advance(40_000)
    assert alice.transactions.alive == bob.transactions.alive == (0, 0)


def test_before_there_is_a_transaction_user_requests_are_told_to_come_again(
    network: Network, alice: Side, clock: ManualClock
) -> None:
    endpoint = MemoryEndpoint(network, BOB)
    endpoint.user = Transactions(endpoint, clock, clock, random.Random(3).randbytes, Timers())
    network.endpoints[BOB] = endpoint
    asked, _ = ask(alice, request("OPTIONS"))
    clock.advance(100)
    assert asked == Asked([503])
    assert network.sent("503")[0].get("Retry-After") == "5"


def test_too_many_requests_are_refused_without_a_transaction(
    network: Network, alice: Side, bob: Side, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "_MOST_INCOMING", 2)
    asked = [ask(alice, request("OPTIONS"))[0] for _ in range(3)]
    clock.advance(100)
    assert asked == [Asked(), Asked(), Asked([503])]
    assert bob.transactions.alive == (0, 2)


@pytest.mark.parametrize("seed", range(5))
def test_over_a_network_that_loses_a_third_every_request_ends_once_and_nothing_is_left(
    network: Network, alice: Side, bob: Side, clock: ManualClock, seed: int
) -> None:
    chance = random.Random(seed)
    network.is_lost = lambda _data: chance.random() < 0.33
    gauges = [sample("sip_transactions", side=one) for one in ("client", "server")]

    def answer(transaction: ServerTransactionHandle) -> None:
        if transaction.request.method == "INVITE":
            transaction.respond(respond(transaction.request, 100))
            final = respond(transaction.request, 486, to_tag="b1")
            clock.call_at(clock.monotonic() + chance.uniform(0.0, 60.0), lambda: transaction.respond(final))
        else:
            transaction.respond(respond(transaction.request, 200, to_tag="b1"))

    bob.transactions.on_request = answer
    asked = [ask(alice, request(method))[0] for method in ("INVITE", "OPTIONS") for _ in range(100)]
    clock.advance(200_000)
    for one in asked:
        finals = [status for status in one.statuses if status >= 200]
        assert len(finals) + len(one.failures) <= 1
        # An INVITE whose every final response is lost rings on: to end that is the user's timer C.
        assert finals or one.failures or one.statuses == [100]
    assert sum(any(status >= 200 for status in one.statuses) for one in asked) >= 190
    assert bob.transactions.alive == (0, 0)
    assert [sample("sip_transactions", side=one) for one in ("client", "server")] == [
        gauges[0] + alice.transactions.alive[0],
        gauges[1],
    ]

"""Which way requests and responses take, and what happens when a flow ends."""

from __future__ import annotations

import pytest

from tests.system.dispatch.memory_network import (
    ALICE,
    BOB,
    Asked,
    Network,
    Side,
    ask,
    request,
    side,
)
from wakerobin.core.sip.message import respond
from wakerobin.core.values import Flow, Transport
from wakerobin.testing.clock import ManualClock


def test_a_closed_connection_fails_what_was_sent_over_it_in_words(
    network: Network, alice: Side, clock: ManualClock
) -> None:
    flow = alice.endpoint.flow_to(Transport.TCP, *BOB)
    side(network, BOB, 2)
    asked, _ = ask(alice, request("OPTIONS"), flow)
    other, _ = ask(alice, request("OPTIONS"), alice.endpoint.flow_to(Transport.TCP, *BOB))
    network.break_connection(flow)
    assert asked == Asked([], ["transport: the peer closed it"])
    assert other == Asked()
    assert alice.closed == ["the peer closed it"]


def test_a_dead_flow_is_told_later_and_never_from_within_the_request(
    network: Network, alice: Side, clock: ManualClock
) -> None:
    flow = alice.endpoint.flow_to(Transport.TCP, *BOB)
    alice.endpoint.close_flow(flow)
    asked, _ = ask(alice, request("INVITE"), flow)
    assert asked == Asked()
    clock.advance(20)
    assert asked == Asked([], ["transport: the flow is closed"])
    assert alice.transactions.alive == (0, 0)


def test_a_ringing_phone_may_lose_its_connection_and_answer_by_another(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    flow = alice.endpoint.flow_to(Transport.TCP, *BOB)
    asked, _ = ask(alice, request("INVITE"), flow)
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 180, to_tag="b1"))
    clock.advance(100)
    network.break_connection(flow)
    clock.advance(5_000)
    bob.requests[0].respond(respond(bob.requests[0].request, 200, to_tag="b1"))
    clock.advance(100)
    assert asked == Asked([180, 200])
    _, remote, _ = network.carried[-1]
    assert remote == ALICE


def test_nothing_is_repeated_over_a_reliable_transport(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    asked, _ = ask(alice, request("INVITE"), alice.endpoint.flow_to(Transport.TCP, *BOB))
    clock.advance(31_000)
    assert len(network.sent("INVITE")) == 1
    bob.requests[0].respond(respond(bob.requests[0].request, 404, to_tag="b1"))
    clock.advance(100)
    assert asked == Asked([404])
    assert alice.transactions.alive == bob.transactions.alive == (0, 0)


@pytest.mark.parametrize(
    ("via", "goes_to"),
    [
        ("SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bKx;rport", ("203.0.113.5", 40_000)),
        ("SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bKx", ("203.0.113.5", 5080)),
        ("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx", ("203.0.113.5", 5060)),
        ("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx;received=198.51.100.1;rport=9", ("203.0.113.5", 40_000)),
        ("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx;maddr=239.1.1.1", ("203.0.113.5", 5060)),
    ],
)
def test_a_response_goes_where_the_request_came_from(
    network: Network, bob: Side, via: str, goes_to: tuple[str, int]
) -> None:
    source = ("203.0.113.5", 40_000)
    message = request("OPTIONS")
    message.prepend("Via", via)
    network.deliver(message.encode(), Flow(Transport.UDP, ALICE, BOB), source)
    bob.requests[0].respond(respond(bob.requests[0].request, 200, to_tag="b1"))
    assert [remote for _, remote, _ in network.carried] == [goes_to]


def test_a_response_of_before_a_restart_goes_by_its_via_or_by_a_new_connection(
    network: Network, alice: Side, bob: Side
) -> None:
    response = respond(request("INVITE"), 480, to_tag="b1")
    response.prepend("Via", "SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bKx;received=192.0.2.1;rport=5060")
    bob.transactions.respond_stateless(response, Flow(Transport.UDP, BOB, ("192.0.2.77", 1)))
    stream = bob.endpoint.flow_to(Transport.TCP, "192.0.2.1", 40_000)
    bob.transactions.respond_stateless(response, stream)
    bob.endpoint.close_flow(stream)
    bob.transactions.respond_stateless(response, stream)
    assert [remote for _, remote, _ in network.carried] == [
        ("192.0.2.1", 5060),
        ("192.0.2.1", 40_000),
        ("192.0.2.1", 5080),
    ]


def test_every_message_and_keep_alive_proves_its_flow(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    ask(alice, request("OPTIONS"))
    clock.advance(100)
    flow = Flow(Transport.UDP, BOB, ALICE)
    assert bob.heard == [flow]
    bob.transactions.heard(flow)
    assert bob.heard == [flow, flow]

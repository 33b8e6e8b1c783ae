"""Requests that are cancelled, abandoned or answered too late."""

from __future__ import annotations

import pytest

from tests.system.dispatch.memory_network import (
    BOB,
    Asked,
    Network,
    Side,
    ask,
    request,
)
from wakerobin.core.sip.message import respond
from wakerobin.core.values import Transport
from wakerobin.ports.sip import ClientTransactionHandle
from wakerobin.testing.clock import ManualClock


def test_a_cancel_waits_for_a_provisional_response_and_is_the_invites_twin(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    asked, handle = ask(alice, request("INVITE", 7))
    handle.cancel((("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),))
    clock.advance(100)
    assert network.sent("CANCEL") == []
    bob.requests[0].respond(respond(bob.requests[0].request, 180, to_tag="b1"))
    clock.advance(100)
    (cancel,) = network.sent("CANCEL")
    (invite, *_) = network.sent("INVITE")
    assert cancel.uri == invite.uri
    assert cancel.all("Via") == invite.all("Via")
    assert (cancel.cseq.number, cancel.cseq.method) == (7, "CANCEL")
    for name in ("Route", "From", "To", "Call-ID"):
        assert cancel.all(name) == invite.all(name)
    assert cancel.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'

    ((cancel_transaction, invite_transaction),) = bob.cancels
    assert invite_transaction is bob.requests[0]
    cancel_transaction.respond(respond(cancel_transaction.request, 200, to_tag="b1"))
    invite_transaction.respond(respond(invite_transaction.request, 487, to_tag="b1"))
    clock.advance(100)
    assert asked == Asked([180, 487])
    clock.advance(70_000)
    assert asked == Asked([180, 487])
    assert alice.transactions.alive == bob.transactions.alive == (0, 0)
    assert clock.next_timer() is None


def test_a_cancel_is_sent_at_once_and_only_once_where_it_rings_already(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    _, handle = ask(alice, request("INVITE"))
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 180, to_tag="b1"))
    clock.advance(100)
    handle.cancel()
    handle.cancel()
    assert len(network.sent("CANCEL")) == 1
    clock.advance(100)
    bob.cancels[0][0].respond(respond(bob.cancels[0][0].request, 200, to_tag="b1"))
    bob.requests[0].respond(respond(bob.requests[0].request, 183, to_tag="b1"))
    clock.advance(10_000)
    assert len(network.sent("CANCEL")) == 1


def test_a_callback_may_cancel_at_the_first_provisional_response(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    handles: list[ClientTransactionHandle] = []
    flow = alice.endpoint.flow_to(Transport.UDP, *BOB)
    handles.append(
        alice.transactions.request(
            request("INVITE"), flow, lambda _response: handles[0].cancel(), lambda _reason: None
        )
    )
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 180, to_tag="b1"))
    clock.advance(100)
    assert len(network.sent("CANCEL")) == 1
    assert len(bob.cancels) == 1


def test_a_cancelled_invite_without_an_end_is_given_up_after_64_times_t1(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    asked, handle = ask(alice, request("INVITE"))
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 180, to_tag="b1"))
    clock.advance(50_000)
    handle.cancel()
    clock.advance(31_900)
    assert asked == Asked([180])
    clock.advance(200)
    assert asked == Asked([180], ["timeout"])
    assert alice.transactions.alive == (0, 0)


def test_a_cancel_for_a_peer_that_says_nothing_ends_with_timer_b(
    network: Network, alice: Side, clock: ManualClock
) -> None:
    asked, handle = ask(alice, request("INVITE"))
    handle.cancel()
    clock.advance(33_000)
    assert asked == Asked([], ["timeout"])
    assert network.sent("CANCEL") == []
    assert alice.transactions.alive == (0, 0)
    assert clock.next_timer() is None


def test_a_final_response_leaves_nothing_to_cancel_and_other_methods_cannot_be(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    asked, handle = ask(alice, request("INVITE"))
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 200, to_tag="b1"))
    clock.advance(100)
    handle.cancel()
    clock.advance(100)
    assert asked == Asked([200])
    assert network.sent("CANCEL") == []
    _, other = ask(alice, request("OPTIONS"))
    with pytest.raises(ValueError, match="INVITE"):
        other.cancel()


def test_a_cancel_that_matches_nothing_is_answered_481(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    asked, _ = ask(alice, request("CANCEL"))
    clock.advance(100)
    assert asked == Asked([481])
    assert bob.cancels == []
    assert bob.requests == []


def test_a_stray_response_goes_to_the_transaction_user(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    _, handle = ask(alice, request("INVITE"))
    clock.advance(100)
    handle.abandon()
    assert alice.transactions.alive == (0, 0)
    bob.requests[0].respond(respond(bob.requests[0].request, 200, to_tag="b1"))
    clock.advance(100)
    assert [stray.status for stray in alice.strays] == [200]
    assert alice.strays[0].branch == handle.branch


def test_an_abandoned_request_is_never_repeated_and_says_nothing(
    network: Network, alice: Side, clock: ManualClock
) -> None:
    asked, handle = ask(alice, request("INVITE"))
    handle.abandon()
    handle.abandon()
    clock.advance(60_000)
    assert len(network.sent("INVITE")) == 1
    assert asked == Asked()
    assert clock.next_timer() is None


def test_an_abandoned_invite_that_was_refused_still_acknowledges_repetitions(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    network.is_lost = lambda data: data.startswith(b"ACK")
    _, handle = ask(alice, request("INVITE"))
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 486, to_tag="b1"))
    clock.advance(100)
    handle.abandon()
    clock.advance(2_000)
    assert len(network.sent("ACK")) == len(network.sent("486")) == 3
    assert alice.strays == []


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_an_abandoning_callback_is_the_last_word(
    network: Network, alice: Side, bob: Side, clock: ManualClock, method: str
) -> None:
    handles: list[ClientTransactionHandle] = []
    flow = alice.endpoint.flow_to(Transport.UDP, *BOB)
    handles.append(
        alice.transactions.request(
            request(method), flow, lambda _response: handles[0].abandon(), lambda _reason: None
        )
    )
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 180, to_tag="b1"))
    clock.advance(100)
    assert alice.transactions.alive == (0, 0)
    assert clock.next_timer() is None
    clock.advance(40_000)
    assert len(network.sent(method)) == 1


def test_a_cancelled_call_that_ended_leaves_no_timer(
    network: Network, alice: Side, bob: Side, clock: ManualClock
) -> None:
    asked, handle = ask(alice, request("INVITE"), alice.endpoint.flow_to(Transport.TCP, *BOB))
    clock.advance(100)
    bob.requests[0].respond(respond(bob.requests[0].request, 180, to_tag="b1"))
    clock.advance(100)
    handle.cancel()
    clock.advance(100)
    bob.cancels[0][0].respond(respond(bob.cancels[0][0].request, 200, to_tag="b1"))
    bob.requests[0].respond(respond(bob.requests[0].request, 487, to_tag="b1"))
    clock.advance(100)
    assert asked == Asked([180, 487])
    assert alice.transactions.alive == bob.transactions.alive == (0, 0)
    assert clock.next_timer() is None

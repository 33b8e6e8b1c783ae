"""The INVITE client transaction, row by row: RFC 3261 figure 5 and RFC 6026 figure 8."""

from __future__ import annotations

import pytest

from tests.unit.sip.transaction_bench import TIMERS, answer, make_request, run_until_idle, state_of
from wakerobin.core.sip.message import Message, parse
from wakerobin.core.sip.timers import Timers
from wakerobin.core.sip.transaction import (
    InviteClientTransaction,
    PassUp,
    Terminated,
    TimedOut,
    TransactionState,
    Transmit,
    TransportFailed,
)
from wakerobin.core.sip.transaction.client_invite import acknowledgement

INVITE = make_request("INVITE")
SENT = Transmit(INVITE.encode())


def make_transaction(
    state: TransactionState = TransactionState.CALLING, *, reliable: bool = False
) -> InviteClientTransaction:
    """A transaction that came into this state at the time 0."""
    transaction = InviteClientTransaction(INVITE, reliable=reliable, timers=TIMERS)
    transaction.start(0.0)
    status = {
        TransactionState.PROCEEDING: 180,
        TransactionState.ACCEPTED: 200,
        TransactionState.COMPLETED: 486,
    }.get(state)
    if status is not None:
        transaction.receive_response(answer(INVITE, status), 0.0)
    assert state_of(transaction) is state
    return transaction


def ack_to(response: Message) -> Transmit:
    return Transmit(acknowledgement(INVITE, response).encode())


@pytest.mark.parametrize("reliable", [False, True])
def test_the_invite_is_sent_at_once(reliable: bool) -> None:
    transaction = InviteClientTransaction(INVITE, reliable=reliable, timers=TIMERS)
    assert transaction.deadline is None
    assert transaction.start(0.0) == [SENT]
    assert state_of(transaction) is TransactionState.CALLING


def test_an_unanswered_invite_is_retransmitted_at_doubling_intervals_until_timer_b() -> None:
    *resent, timed_out, terminated = run_until_idle(make_transaction())
    assert resent == [(at, SENT) for at in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)]
    assert (timed_out, terminated) == ((32.0, TimedOut()), (32.0, Terminated()))


def test_timer_a_is_not_capped_by_t2() -> None:
    timers = Timers(t1=1.0, t2=1.0)
    transaction = InviteClientTransaction(INVITE, reliable=False, timers=timers)
    transaction.start(100.0)
    *resent, _, last = run_until_idle(transaction)
    assert [at - 100.0 for at, _ in resent] == [1.0, 3.0, 7.0, 15.0, 31.0, 63.0]
    assert last == (164.0, Terminated())


def test_over_a_reliable_transport_an_unanswered_invite_is_sent_once_and_times_out() -> None:
    transaction = make_transaction(reliable=True)
    assert run_until_idle(transaction) == [(32.0, TimedOut()), (32.0, Terminated())]
    assert state_of(transaction) is TransactionState.TERMINATED


@pytest.mark.parametrize("reliable", [False, True])
@pytest.mark.parametrize("status", [100, 180, 183, 199])
def test_a_provisional_response_ends_the_retransmissions_and_timer_b(reliable: bool, status: int) -> None:
    transaction = make_transaction(reliable=reliable)
    response = answer(INVITE, status)
    assert transaction.receive_response(response, 0.2) == [PassUp(response)]
    assert state_of(transaction) is TransactionState.PROCEEDING
    assert transaction.deadline is None  # it may ring for as long as the user of it lets it
    assert transaction.on_timer(3600.0) == []


def test_every_further_provisional_response_is_passed_up() -> None:
    transaction = make_transaction(TransactionState.PROCEEDING)
    for status in (180, 183, 180):
        response = answer(INVITE, status)
        assert transaction.receive_response(response, 60.0) == [PassUp(response)]
    assert state_of(transaction) is TransactionState.PROCEEDING
    assert transaction.deadline is None


@pytest.mark.parametrize("reliable", [False, True])
@pytest.mark.parametrize("state", [TransactionState.CALLING, TransactionState.PROCEEDING])
@pytest.mark.parametrize("status", [200, 202, 299])
def test_a_2xx_is_passed_up_and_timer_m_runs(state: TransactionState, reliable: bool, status: int) -> None:
    transaction = make_transaction(state, reliable=reliable)
    response = answer(INVITE, status)
    assert transaction.receive_response(response, 10.0) == [PassUp(response)]
    assert state_of(transaction) is TransactionState.ACCEPTED
    assert run_until_idle(transaction) == [(42.0, Terminated())]
    assert state_of(transaction) is TransactionState.TERMINATED


def test_in_accepted_each_further_2xx_is_passed_up_and_none_prolongs_timer_m() -> None:
    transaction = make_transaction(TransactionState.ACCEPTED)
    for tag in ("a6c85cf", "a6c85cf", "another-branch"):
        response = answer(INVITE, 200, tag)
        assert transaction.receive_response(response, 20.0) == [PassUp(response)]
    assert run_until_idle(transaction) == [(32.0, Terminated())]


@pytest.mark.parametrize("status", [180, 300, 487, 603])
def test_in_accepted_everything_but_a_2xx_is_absorbed(status: int) -> None:
    transaction = make_transaction(TransactionState.ACCEPTED)
    assert transaction.receive_response(answer(INVITE, status), 1.0) == []
    assert state_of(transaction) is TransactionState.ACCEPTED


@pytest.mark.parametrize("state", [TransactionState.CALLING, TransactionState.PROCEEDING])
@pytest.mark.parametrize("status", [300, 302, 401, 486, 503, 699])
def test_a_300_to_699_is_acknowledged_and_passed_up_and_timer_d_runs(
    state: TransactionState, status: int
) -> None:
    transaction = make_transaction(state)
    response = answer(INVITE, status)
    effects = transaction.receive_response(response, 10.0)
    assert effects == [ack_to(response), PassUp(response)]
    assert state_of(transaction) is TransactionState.COMPLETED
    assert run_until_idle(transaction) == [(42.0, Terminated())]
    assert state_of(transaction) is TransactionState.TERMINATED


@pytest.mark.parametrize("state", [TransactionState.CALLING, TransactionState.PROCEEDING])
def test_over_a_reliable_transport_a_300_to_699_is_acknowledged_and_ends_it_at_once(
    state: TransactionState,
) -> None:
    transaction = make_transaction(state, reliable=True)
    response = answer(INVITE, 404)
    effects = transaction.receive_response(response, 10.0)
    assert effects == [ack_to(response), PassUp(response), Terminated()]
    assert transaction.deadline is None


def test_a_repeated_300_to_699_is_acknowledged_again_and_not_passed_up_again() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    for now in (0.5, 1.5, 31.9):
        repeated = answer(INVITE, 486)
        assert transaction.receive_response(repeated, now) == [ack_to(repeated)]
    assert run_until_idle(transaction) == [(32.0, Terminated())]


def test_a_repeated_300_is_acknowledged_again() -> None:
    transaction = make_transaction()
    choices = answer(INVITE, 300)
    transaction.receive_response(choices, 0.1)
    assert transaction.receive_response(choices, 0.6) == [ack_to(choices)]


@pytest.mark.parametrize("status", [100, 180, 200, 299])
def test_in_completed_what_is_not_a_300_to_699_is_absorbed(status: int) -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.receive_response(answer(INVITE, status), 1.0) == []
    assert state_of(transaction) is TransactionState.COMPLETED


@pytest.mark.parametrize("state", [TransactionState.CALLING, TransactionState.COMPLETED])
def test_when_the_invite_or_the_ack_cannot_be_sent_the_user_is_told_and_it_is_over(
    state: TransactionState,
) -> None:
    transaction = make_transaction(state)
    assert transaction.transport_failed(1.0) == [TransportFailed(), Terminated()]
    assert state_of(transaction) is TransactionState.TERMINATED
    assert transaction.deadline is None


@pytest.mark.parametrize("state", [TransactionState.PROCEEDING, TransactionState.ACCEPTED])
def test_a_lost_connection_changes_nothing_while_only_responses_are_awaited(
    state: TransactionState,
) -> None:
    transaction = make_transaction(state)
    assert transaction.transport_failed(1.0) == []
    late = answer(INVITE, 200)
    assert transaction.receive_response(late, 2.0) == [PassUp(late)]


def test_once_terminated_nothing_comes_out_any_more() -> None:
    transaction = make_transaction()
    transaction.transport_failed(0.1)
    for status in (180, 200, 486):
        assert transaction.receive_response(answer(INVITE, status), 0.2) == []
    assert transaction.transport_failed(0.3) == []
    assert transaction.on_timer(1e9) == []


def test_a_timer_that_is_asked_early_does_nothing() -> None:
    transaction = make_transaction()
    assert transaction.on_timer(0.49) == []
    assert transaction.deadline == 0.5


def test_a_timer_that_is_asked_late_sends_one_retransmission_and_not_all_that_were_missed() -> None:
    transaction = make_transaction()
    assert transaction.on_timer(20.0) == [SENT]
    assert transaction.deadline == 21.0
    assert transaction.on_timer(40.0) == [TimedOut(), Terminated()]


def routed_invite() -> Message:
    wire = (
        "INVITE sip:bob@192.0.2.4;transport=tcp SIP/2.0\r\n"
        "v: SIP/2.0/UDP first.example;branch=z9hG4bK.1;rport, SIP/2.0/UDP second.example;branch=z9hG4bK.2\r\n"
        "Via: SIP/2.0/UDP third.example;branch=z9hG4bK.3\r\n"
        "Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\n"
        "Max-Forwards: 17\r\n"
        "Route: <sip:p3.example;lr>\r\n"
        "f: Jörg <sip:joerg@example.com>;tag=88sja8x\r\n"
        "t: Bob <sip:bob@example.com>\r\n"
        "i: 987asjd97y7atg\r\n"
        "CSeq: 00986759 INVITE\r\n"
        "Contact: <sip:joerg@first.example>\r\n"
        'Proxy-Authorization: Digest username="joerg", realm="r", nonce="n", uri="u", response="x"\r\n'
        "Require: replaces\r\n"
        "Content-Type: application/sdp\r\n"
        "Content-Length: 3\r\n"
        "\r\nv=0"
    )
    return parse(wire.encode())


def test_the_ack_is_built_as_17_1_1_3_says() -> None:
    invite = routed_invite()
    transaction = InviteClientTransaction(invite, reliable=False, timers=TIMERS)
    transaction.start(0.0)
    response = answer(invite, 486, "to-tag")
    sent = transaction.receive_response(response, 0.1)[0]
    assert isinstance(sent, Transmit)
    assert sent.data.decode().split("\r\n") == [
        "ACK sip:bob@192.0.2.4;transport=tcp SIP/2.0",
        "Via: SIP/2.0/UDP first.example;branch=z9hG4bK.1;rport",
        "Max-Forwards: 70",
        "Route: <sip:p1.example;lr>, <sip:p2.example;lr>",
        "Route: <sip:p3.example;lr>",
        "From: Jörg <sip:joerg@example.com>;tag=88sja8x",
        "To: Bob <sip:bob@example.com>;tag=to-tag",
        "Call-ID: 987asjd97y7atg",
        "CSeq: 986759 ACK",
        "Content-Length: 0",
        "",
        "",
    ]


def test_the_ack_goes_to_the_request_uri_of_the_invite_whatever_contact_the_response_names() -> None:
    response = answer(INVITE, 302)
    response.add("Contact", "<sip:elsewhere@203.0.113.9>")
    assert acknowledgement(INVITE, response).uri == INVITE.uri


def test_the_invite_that_is_retransmitted_is_the_one_that_was_sent() -> None:
    invite = routed_invite()
    wire = invite.encode()
    transaction = InviteClientTransaction(invite, reliable=False, timers=TIMERS)
    assert transaction.start(0.0) == [Transmit(wire)]
    assert transaction.on_timer(0.5) == [Transmit(wire)]

"""The INVITE server transaction, row by row: RFC 3261 figure 7 and RFC 6026 figure 7."""

from __future__ import annotations

import pytest

from tests.unit.sip.transaction_bench import TIMERS, ack_for, answer, make_request, run_until_idle, state_of
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.timers import Timers
from wakerobin.core.sip.transaction import (
    InviteServerTransaction,
    PassUp,
    Terminated,
    TimedOut,
    TransactionState,
    Transmit,
    TransportFailed,
)

INVITE = make_request("INVITE")
ACK = ack_for(INVITE)
BUSY = answer(INVITE, 486)
OK = answer(INVITE, 200)


def sent(response: Message) -> Transmit:
    return Transmit(response.encode())


def make_transaction(
    state: TransactionState = TransactionState.PROCEEDING, *, reliable: bool = False
) -> InviteServerTransaction:
    """A transaction that came into this state at the time 0."""
    transaction = InviteServerTransaction(INVITE, reliable=reliable, timers=TIMERS)
    if state in (TransactionState.COMPLETED, TransactionState.CONFIRMED):
        transaction.respond(BUSY, 0.0)
    if state is TransactionState.CONFIRMED:
        transaction.receive_request(ACK, 0.0)
    if state is TransactionState.ACCEPTED:
        transaction.respond(OK, 0.0)
    assert state_of(transaction) is state
    return transaction


def test_it_begins_in_proceeding_and_waits_for_its_user() -> None:
    transaction = make_transaction()
    assert transaction.deadline is None
    assert transaction.receive_request(INVITE, 0.5) == []  # nothing was said that could be repeated


def test_provisional_responses_are_sent_and_the_last_one_is_repeated_for_a_repeated_invite() -> None:
    transaction = make_transaction()
    for status in (100, 180, 183):
        response = answer(INVITE, status)
        assert transaction.respond(response, 0.0) == [sent(response)]
        assert transaction.receive_request(INVITE, 0.5) == [sent(response)]
    assert state_of(transaction) is TransactionState.PROCEEDING
    assert transaction.deadline is None


@pytest.mark.parametrize("reliable", [False, True])
@pytest.mark.parametrize("status", [200, 202])
def test_a_2xx_is_sent_once_and_timer_l_runs(reliable: bool, status: int) -> None:
    transaction = make_transaction(reliable=reliable)
    response = answer(INVITE, status)
    assert transaction.respond(response, 10.0) == [sent(response)]
    assert state_of(transaction) is TransactionState.ACCEPTED
    assert run_until_idle(transaction) == [(42.0, Terminated())]
    assert state_of(transaction) is TransactionState.TERMINATED


def test_in_accepted_a_repeated_invite_is_absorbed() -> None:
    transaction = make_transaction(TransactionState.ACCEPTED)
    assert transaction.receive_request(INVITE, 0.5) == []
    assert state_of(transaction) is TransactionState.ACCEPTED


def test_in_accepted_each_further_2xx_is_sent_and_none_prolongs_timer_l() -> None:
    transaction = make_transaction(TransactionState.ACCEPTED)
    for tag in ("a6c85cf", "another-branch"):
        response = answer(INVITE, 200, tag)
        assert transaction.respond(response, 20.0) == [sent(response)]
    assert run_until_idle(transaction) == [(32.0, Terminated())]


@pytest.mark.parametrize("status", [180, 302, 487])
def test_in_accepted_a_response_that_is_not_a_2xx_is_discarded(status: int) -> None:
    transaction = make_transaction(TransactionState.ACCEPTED)
    assert transaction.respond(answer(INVITE, status), 1.0) == []
    assert state_of(transaction) is TransactionState.ACCEPTED


def test_in_accepted_an_ack_is_passed_up() -> None:
    transaction = make_transaction(TransactionState.ACCEPTED)
    assert transaction.receive_request(ACK, 0.3) == [PassUp(ACK)]
    assert state_of(transaction) is TransactionState.ACCEPTED


@pytest.mark.parametrize("status", [300, 302, 404, 487, 503, 603])
def test_a_300_to_699_is_retransmitted_at_intervals_capped_by_t2_until_timer_h(status: int) -> None:
    transaction = make_transaction()
    response = answer(INVITE, status)
    assert transaction.respond(response, 0.0) == [sent(response)]
    assert state_of(transaction) is TransactionState.COMPLETED
    *resent, timed_out, terminated = run_until_idle(transaction)
    times = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
    assert resent == [(at, sent(response)) for at in times]
    assert (timed_out, terminated) == ((32.0, TimedOut()), (32.0, Terminated()))
    assert state_of(transaction) is TransactionState.TERMINATED


def test_over_a_reliable_transport_a_300_to_699_is_sent_once_and_still_wants_its_ack() -> None:
    transaction = make_transaction(TransactionState.COMPLETED, reliable=True)
    assert run_until_idle(transaction) == [(32.0, TimedOut()), (32.0, Terminated())]


def test_the_timers_follow_from_t1_and_t2() -> None:
    timers = Timers(t1=0.1, t2=0.2, t4=0.3)
    transaction = InviteServerTransaction(INVITE, reliable=False, timers=timers)
    transaction.respond(BUSY, 7.0)
    times = [at for at, _ in run_until_idle(transaction, until=8.0)]
    assert times[:4] == pytest.approx([7.1, 7.3, 7.5, 7.7])
    transaction.receive_request(ACK, 8.0)
    assert run_until_idle(transaction) == [(8.0 + timers.t4, Terminated())]


def test_in_completed_a_repeated_invite_gets_the_final_response_again() -> None:
    transaction = make_transaction()
    transaction.respond(answer(INVITE, 180), 0.0)
    transaction.respond(BUSY, 1.0)
    assert transaction.receive_request(INVITE, 1.2) == [sent(BUSY)]
    assert transaction.deadline == 1.5  # and the retransmissions keep their own time


@pytest.mark.parametrize("status", [180, 200, 486])
def test_in_completed_every_further_response_of_the_user_is_discarded(status: int) -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.respond(answer(INVITE, status), 1.0) == []
    assert transaction.receive_request(INVITE, 1.2) == [sent(BUSY)]


def test_the_ack_ends_the_retransmissions_and_timer_i_runs() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.receive_request(ACK, 10.0) == []
    assert state_of(transaction) is TransactionState.CONFIRMED
    assert run_until_idle(transaction) == [(15.0, Terminated())]
    assert state_of(transaction) is TransactionState.TERMINATED


def test_over_a_reliable_transport_the_ack_ends_it_at_once() -> None:
    transaction = make_transaction(TransactionState.COMPLETED, reliable=True)
    assert transaction.receive_request(ACK, 10.0) == [Terminated()]
    assert transaction.deadline is None


def test_in_confirmed_repeated_acks_and_invites_are_absorbed() -> None:
    transaction = make_transaction(TransactionState.CONFIRMED)
    assert transaction.receive_request(ACK, 1.0) == []
    assert transaction.receive_request(INVITE, 1.0) == []
    assert transaction.respond(OK, 1.0) == []
    assert run_until_idle(transaction) == [(5.0, Terminated())]


def test_an_ack_before_any_final_response_is_absorbed() -> None:
    transaction = make_transaction()
    transaction.respond(answer(INVITE, 180), 0.0)
    assert transaction.receive_request(ACK, 0.1) == []
    assert state_of(transaction) is TransactionState.PROCEEDING


@pytest.mark.parametrize(
    "state",
    [TransactionState.PROCEEDING, TransactionState.ACCEPTED, TransactionState.COMPLETED],
)
def test_when_a_response_cannot_be_sent_the_user_is_told_and_the_transaction_stays(
    state: TransactionState,
) -> None:
    transaction = make_transaction(state)
    pending = transaction.deadline
    assert transaction.transport_failed(0.1) == [TransportFailed()]
    assert state_of(transaction) is state
    assert transaction.deadline == pending


def test_in_confirmed_a_lost_connection_does_not_matter() -> None:
    transaction = make_transaction(TransactionState.CONFIRMED)
    assert transaction.transport_failed(0.1) == []


def test_once_terminated_nothing_comes_out_any_more() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    run_until_idle(transaction)
    assert transaction.receive_request(INVITE, 40.0) == []
    assert transaction.receive_request(ACK, 40.0) == []
    assert transaction.respond(OK, 40.0) == []
    assert transaction.transport_failed(40.0) == []
    assert transaction.on_timer(1e9) == []


def test_a_timer_that_is_asked_early_does_nothing() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.on_timer(0.49) == []
    assert transaction.deadline == 0.5


def test_a_timer_that_is_asked_late_sends_one_retransmission_and_not_all_that_were_missed() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.on_timer(20.0) == [sent(BUSY)]
    assert transaction.deadline == 21.0
    assert transaction.on_timer(40.0) == [TimedOut(), Terminated()]


def test_an_ack_of_an_rfc_2543_caller_counts_only_with_the_tag_of_our_response() -> None:
    invite = make_request("INVITE", branch="1")
    transaction = InviteServerTransaction(invite, reliable=False, timers=TIMERS)
    transaction.respond(answer(invite, 486, "ours"), 0.0)
    assert transaction.receive_request(ack_for(invite, "another"), 0.1) == []
    assert state_of(transaction) is TransactionState.COMPLETED
    assert transaction.receive_request(ack_for(invite, "ours"), 0.2) == []
    assert state_of(transaction) is TransactionState.CONFIRMED


def test_an_ack_in_the_branch_of_the_invite_counts_whatever_its_tag() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    transaction.receive_request(ack_for(INVITE, "another"), 0.1)
    assert state_of(transaction) is TransactionState.CONFIRMED

"""The non-INVITE client transaction, row by row: RFC 3261 figure 6."""

from __future__ import annotations

import pytest

from tests.unit.sip.transaction_bench import TIMERS, answer, make_request, run_until_idle, state_of
from wakerobin.core.sip.timers import Timers
from wakerobin.core.sip.transaction import (
    ClientTransaction,
    PassUp,
    Terminated,
    TimedOut,
    TransactionState,
    Transmit,
    TransportFailed,
)

REGISTER = make_request("REGISTER")
SENT = Transmit(REGISTER.encode())


def make_transaction(
    state: TransactionState = TransactionState.TRYING, *, reliable: bool = False
) -> ClientTransaction:
    """A transaction that came into this state at the time 0."""
    transaction = ClientTransaction(REGISTER, reliable=reliable, timers=TIMERS)
    transaction.start(0.0)
    status = {TransactionState.PROCEEDING: 100, TransactionState.COMPLETED: 200}.get(state)
    if status is not None:
        transaction.receive_response(answer(REGISTER, status), 0.0)
    assert state_of(transaction) is state
    return transaction


@pytest.mark.parametrize("reliable", [False, True])
def test_the_request_is_sent_at_once(reliable: bool) -> None:
    transaction = ClientTransaction(REGISTER, reliable=reliable, timers=TIMERS)
    assert transaction.deadline is None
    assert transaction.start(0.0) == [SENT]
    assert state_of(transaction) is TransactionState.TRYING


def test_an_unanswered_request_is_retransmitted_at_intervals_capped_by_t2_until_timer_f() -> None:
    *resent, timed_out, terminated = run_until_idle(make_transaction())
    times = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
    assert resent == [(at, SENT) for at in times]
    assert (timed_out, terminated) == ((32.0, TimedOut()), (32.0, Terminated()))


def test_over_a_reliable_transport_an_unanswered_request_is_sent_once_and_times_out() -> None:
    transaction = make_transaction(reliable=True)
    assert run_until_idle(transaction) == [(32.0, TimedOut()), (32.0, Terminated())]
    assert state_of(transaction) is TransactionState.TERMINATED


def test_the_timers_follow_from_t1_and_t2() -> None:
    transaction = ClientTransaction(REGISTER, reliable=False, timers=Timers(t1=0.1, t2=0.2))
    transaction.start(7.0)
    times = [at for at, _ in run_until_idle(transaction)]
    assert times[:4] == pytest.approx([7.1, 7.3, 7.5, 7.7])
    assert times[-1] == pytest.approx(13.4)


def test_a_provisional_response_is_passed_up_and_from_then_on_timer_e_is_t2() -> None:
    transaction = make_transaction()
    response = answer(REGISTER, 100)
    assert transaction.receive_response(response, 0.2) == [PassUp(response)]
    assert state_of(transaction) is TransactionState.PROCEEDING
    *resent, _, terminated = run_until_idle(transaction)
    assert resent == [(at, SENT) for at in (0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5)]
    assert terminated == (32.0, Terminated())


def test_timer_f_also_fires_in_proceeding() -> None:
    transaction = make_transaction(TransactionState.PROCEEDING, reliable=True)
    assert run_until_idle(transaction) == [(32.0, TimedOut()), (32.0, Terminated())]


def test_every_further_provisional_response_is_passed_up() -> None:
    transaction = make_transaction(TransactionState.PROCEEDING)
    for status in (100, 183):
        response = answer(REGISTER, status)
        assert transaction.receive_response(response, 1.0) == [PassUp(response)]
    assert state_of(transaction) is TransactionState.PROCEEDING


@pytest.mark.parametrize("state", [TransactionState.TRYING, TransactionState.PROCEEDING])
@pytest.mark.parametrize("status", [200, 301, 401, 500, 699])
def test_a_final_response_is_passed_up_and_timer_k_runs(state: TransactionState, status: int) -> None:
    transaction = make_transaction(state)
    response = answer(REGISTER, status)
    assert transaction.receive_response(response, 10.0) == [PassUp(response)]
    assert state_of(transaction) is TransactionState.COMPLETED
    assert run_until_idle(transaction) == [(15.0, Terminated())]
    assert state_of(transaction) is TransactionState.TERMINATED


@pytest.mark.parametrize("state", [TransactionState.TRYING, TransactionState.PROCEEDING])
def test_over_a_reliable_transport_a_final_response_ends_it_at_once(
    state: TransactionState,
) -> None:
    transaction = make_transaction(state, reliable=True)
    response = answer(REGISTER, 401)
    assert transaction.receive_response(response, 10.0) == [PassUp(response), Terminated()]
    assert transaction.deadline is None


@pytest.mark.parametrize("status", [100, 200, 401])
def test_in_completed_every_response_is_absorbed(status: int) -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.receive_response(answer(REGISTER, status), 4.0) == []
    assert run_until_idle(transaction) == [(5.0, Terminated())]


@pytest.mark.parametrize("state", [TransactionState.TRYING, TransactionState.PROCEEDING])
def test_when_the_request_cannot_be_sent_the_user_is_told_and_it_is_over(
    state: TransactionState,
) -> None:
    transaction = make_transaction(state)
    assert transaction.transport_failed(1.0) == [TransportFailed(), Terminated()]
    assert state_of(transaction) is TransactionState.TERMINATED
    assert transaction.deadline is None


def test_a_lost_connection_does_not_matter_after_the_final_response() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.transport_failed(1.0) == []
    assert state_of(transaction) is TransactionState.COMPLETED


def test_once_terminated_nothing_comes_out_any_more() -> None:
    transaction = make_transaction()
    transaction.transport_failed(0.1)
    assert transaction.receive_response(answer(REGISTER, 200), 0.2) == []
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

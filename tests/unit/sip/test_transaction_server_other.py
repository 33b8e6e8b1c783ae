"""The non-INVITE server transaction, row by row: RFC 3261 figure 8."""

from __future__ import annotations

import pytest

from tests.unit.sip.transaction_bench import TIMERS, answer, make_request, run_until_idle, state_of
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.transaction import (
    ServerTransaction,
    Terminated,
    TransactionState,
    Transmit,
    TransportFailed,
)

OPTIONS = make_request("OPTIONS")
TRYING = answer(OPTIONS, 100)
OK = answer(OPTIONS, 200)


def sent(response: Message) -> Transmit:
    return Transmit(response.encode())


def make_transaction(
    state: TransactionState = TransactionState.TRYING, *, reliable: bool = False
) -> ServerTransaction:
    """A transaction that came into this state at the time 0."""
    transaction = ServerTransaction(OPTIONS, reliable=reliable, timers=TIMERS)
    if state is TransactionState.PROCEEDING:
        transaction.respond(TRYING, 0.0)
    if state is TransactionState.COMPLETED:
        transaction.respond(OK, 0.0)
    assert state_of(transaction) is state
    return transaction


def test_in_trying_a_retransmission_is_dropped() -> None:
    transaction = make_transaction()
    assert transaction.deadline is None
    assert transaction.receive_request(OPTIONS, 0.5) == []
    assert state_of(transaction) is TransactionState.TRYING


def test_a_provisional_response_is_sent_and_repeated_for_a_retransmission() -> None:
    transaction = make_transaction()
    assert transaction.respond(TRYING, 0.1) == [sent(TRYING)]
    assert state_of(transaction) is TransactionState.PROCEEDING
    assert transaction.receive_request(OPTIONS, 0.5) == [sent(TRYING)]
    progress = answer(OPTIONS, 183)
    assert transaction.respond(progress, 1.0) == [sent(progress)]
    assert transaction.receive_request(OPTIONS, 1.5) == [sent(progress)]
    assert transaction.deadline is None


@pytest.mark.parametrize("state", [TransactionState.TRYING, TransactionState.PROCEEDING])
@pytest.mark.parametrize("status", [200, 302, 404, 503, 603])
def test_a_final_response_is_sent_and_timer_j_runs(state: TransactionState, status: int) -> None:
    transaction = make_transaction(state)
    response = answer(OPTIONS, status)
    assert transaction.respond(response, 10.0) == [sent(response)]
    assert state_of(transaction) is TransactionState.COMPLETED
    assert run_until_idle(transaction) == [(42.0, Terminated())]
    assert state_of(transaction) is TransactionState.TERMINATED


@pytest.mark.parametrize("state", [TransactionState.TRYING, TransactionState.PROCEEDING])
def test_over_a_reliable_transport_a_final_response_ends_it_at_once(
    state: TransactionState,
) -> None:
    transaction = make_transaction(state, reliable=True)
    assert transaction.respond(OK, 10.0) == [sent(OK), Terminated()]
    assert transaction.deadline is None


def test_in_completed_each_retransmission_gets_the_final_response_and_timer_j_is_not_prolonged() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    for now in (0.5, 1.5, 31.5):
        assert transaction.receive_request(OPTIONS, now) == [sent(OK)]
    assert run_until_idle(transaction) == [(32.0, Terminated())]


@pytest.mark.parametrize("status", [100, 200, 500])
def test_in_completed_every_further_response_of_the_user_is_discarded(status: int) -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.respond(answer(OPTIONS, status), 1.0) == []
    assert transaction.receive_request(OPTIONS, 1.5) == [sent(OK)]


@pytest.mark.parametrize("state", [TransactionState.PROCEEDING, TransactionState.COMPLETED])
def test_when_a_response_cannot_be_sent_the_user_is_told_and_it_is_over(
    state: TransactionState,
) -> None:
    transaction = make_transaction(state)
    assert transaction.transport_failed(0.1) == [TransportFailed(), Terminated()]
    assert state_of(transaction) is TransactionState.TERMINATED
    assert transaction.deadline is None


def test_before_anything_was_sent_a_lost_connection_does_not_matter() -> None:
    transaction = make_transaction()
    assert transaction.transport_failed(0.1) == []
    assert transaction.respond(OK, 1.0) == [sent(OK)]


def test_once_terminated_nothing_comes_out_any_more() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    run_until_idle(transaction)
    assert transaction.receive_request(OPTIONS, 40.0) == []
    assert transaction.respond(OK, 40.0) == []
    assert transaction.transport_failed(40.0) == []
    assert transaction.on_timer(1e9) == []


def test_a_timer_that_is_asked_early_does_nothing() -> None:
    transaction = make_transaction(TransactionState.COMPLETED)
    assert transaction.on_timer(31.9) == []
    assert transaction.deadline == 32.0

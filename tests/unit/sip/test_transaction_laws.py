"""What holds for all four machines, whatever comes in, in whatever order, at whatever time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sip.transaction_bench import (
    TIMERS,
    Machine,
    ack_for,
    answer,
    make_request,
    passed_up,
    run_until_idle,
    state_of,
)
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.transaction import (
    ClientTransaction,
    Effect,
    InviteClientTransaction,
    InviteServerTransaction,
    ServerTransaction,
    Terminated,
    TransactionState,
)

Input: TypeAlias = Callable[[float], list[Effect]]

STATUSES = (100, 180, 200, 299, 302, 486, 603)
INVITE = make_request("INVITE")
ACK = ack_for(INVITE)
OPTIONS = make_request("OPTIONS")

WAITING: dict[type, set[TransactionState]] = {
    # The states in which a machine waits for its user or its peer without a bound of its own.
    InviteClientTransaction: {TransactionState.PROCEEDING},
    ClientTransaction: set(),
    InviteServerTransaction: {TransactionState.PROCEEDING},
    ServerTransaction: {TransactionState.TRYING, TransactionState.PROCEEDING},
}


def client_inputs(machine: InviteClientTransaction | ClientTransaction) -> list[Input]:
    """All that can happen to a client transaction."""

    def responding(status: int) -> Input:
        response = answer(machine.request, status)
        return lambda now: machine.receive_response(response, now)

    return [*map(responding, STATUSES), machine.on_timer, machine.transport_failed]


def server_inputs(machine: InviteServerTransaction | ServerTransaction, *requests: Message) -> list[Input]:
    """All that can happen to a server transaction."""

    def responding(status: int) -> Input:
        response = answer(machine.request, status)
        return lambda now: machine.respond(response, now)

    def receiving(request: Message) -> Input:
        return lambda now: machine.receive_request(request, now)

    inputs = [*map(responding, STATUSES), *map(receiving, requests)]
    return [*inputs, machine.on_timer, machine.transport_failed]


@st.composite
def machines(draw: st.DrawFn) -> tuple[Machine, list[Input]]:
    """A machine that has just begun, and all that can happen to it."""
    reliable = draw(st.booleans())
    kind = draw(st.sampled_from(list(WAITING)))
    if kind in (InviteClientTransaction, ClientTransaction):
        client: InviteClientTransaction | ClientTransaction = (
            InviteClientTransaction(INVITE, reliable=reliable, timers=TIMERS)
            if kind is InviteClientTransaction
            else ClientTransaction(OPTIONS, reliable=reliable, timers=TIMERS)
        )
        client.start(0.0)
        return client, client_inputs(client)
    if kind is InviteServerTransaction:
        server = InviteServerTransaction(INVITE, reliable=reliable, timers=TIMERS)
        return server, server_inputs(server, INVITE, ACK)
    other = ServerTransaction(OPTIONS, reliable=reliable, timers=TIMERS)
    return other, server_inputs(other, OPTIONS)


@given(made=machines(), steps=st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(0, 10))))
def test_it_ends_at_most_once_and_last_and_always_within_its_bound(
    made: tuple[Machine, list[Input]], steps: list[tuple[float, int]]
) -> None:
    machine, inputs = made
    now = 0.0
    history: list[Effect] = []
    for wait, which in steps:
        now += wait
        happened = inputs[which % len(inputs)](now)
        assert Terminated() not in history or happened == []
        history += happened
        ended = state_of(machine) is TransactionState.TERMINATED
        assert ended is (Terminated() in history)
        assert machine.deadline is None or not ended
    last = run_until_idle(machine)
    history += [effect for _, effect in last]
    assert all(at <= now + TIMERS.timer_b for at, _ in last)
    if state_of(machine) not in WAITING[type(machine)]:
        assert state_of(machine) is TransactionState.TERMINATED
        assert history.count(Terminated()) == 1
        assert history[-1] == Terminated()
    assert machine.deadline is None


@given(made=machines(), steps=st.lists(st.tuples(st.floats(0.0, 10.0), st.integers(0, 10))))
def test_a_client_passes_up_one_final_response_and_only_a_2xx_to_an_invite_repeatedly(
    made: tuple[Machine, list[Input]], steps: list[tuple[float, int]]
) -> None:
    machine, inputs = made
    now = 0.0
    finals: list[int] = []
    for wait, which in steps:
        now += wait
        messages = passed_up(inputs[which % len(inputs)](now))
        finals += [message.status for message in messages if message.status >= 200]
    refusals = [status for status in finals if status >= 300]
    assert len(finals) <= 1 or (isinstance(machine, InviteClientTransaction) and not refusals)

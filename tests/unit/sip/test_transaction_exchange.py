"""Client and server transactions against each other, over links of every quality."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.unit.sip.lossy_link import TIMERS, Answers, Client, Fate, Link, Server, run_exchange
from tests.unit.sip.transaction_bench import make_request, state_of
from wakerobin.core.sip.transaction import TransactionState

LOST: Fate = ()


def fates_up_to(longest_s: float) -> st.SearchStrategy[list[Fate]]:
    """Fates with losses, doubles and, by their different delays, changes of order."""
    copies = st.lists(st.floats(0.001, longest_s), max_size=3).map(tuple)
    return st.lists(copies, max_size=80)


# Below the shortest retransmission interval no copy outlives the transaction that it belongs to.
ORDINARY = fates_up_to(0.45)
# Here copies arrive long after; RFC 3261 does not promise that they are recognised.
STRAGGLING = fates_up_to(20.0)

FINALS = st.sampled_from([200, 202, 302, 404, 486, 487, 603])


@st.composite
def invite_answers(draw: st.DrawFn) -> Answers:
    """100 at once, as this server does; ringing, and an answer within three minutes."""
    rings = draw(st.lists(st.floats(0.0, 10.0), max_size=3).map(sorted))
    final_at = draw(st.floats(rings[-1] if rings else 0.0, 180.0))
    return [(0.0, 100), *((at, 180) for at in rings), (final_at, draw(FINALS))]


@st.composite
def other_answers(draw: st.DrawFn, latest: float = 4.0) -> Answers:
    """Sometimes 100, and an answer before long."""
    trying = draw(st.lists(st.floats(0.0, latest), max_size=1))
    return [*((at, 100) for at in trying), (draw(st.floats(max(trying, default=0.0), latest)), 200)]


def assert_at_rest(link: Link, client: Client, server: Server) -> None:
    assert state_of(client.machine) is TransactionState.TERMINATED
    assert client.machine.deadline is None
    assert client.terminations == 1
    assert server.machines == {}
    assert server.terminations == server.requests


@settings(deadline=None)
@given(fates=ORDINARY, answers=invite_answers())
def test_an_invite_over_a_fair_link_is_received_once_and_answered_once(
    fates: list[Fate], answers: Answers
) -> None:
    link = Link(fates)
    client, server = run_exchange(link, make_request("INVITE"), answers)
    final_at, status = answers[-1]
    assert server.requests == 1
    assert (client.timeouts, server.timeouts) == (0, 0)
    if status < 300:
        assert set(client.finals) == {status}  # each repetition goes up, RFC 6026
        assert server.is_acknowledged
    else:
        assert client.finals == [status]
    assert_at_rest(link, client, server)
    # Timers M, D, L, H run 64 * T1 from a final response that took a few tries at most.
    assert link.now <= final_at + 2 * 64 * TIMERS.t1
    event(f"{status // 100}xx, {len(client.heard)} heard")


@settings(deadline=None)
@given(fates=ORDINARY, answers=other_answers())
def test_another_request_over_a_fair_link_is_received_once_and_answered_once(
    fates: list[Fate], answers: Answers
) -> None:
    link = Link(fates)
    client, server = run_exchange(link, make_request("REGISTER"), answers)
    assert server.requests == 1
    assert client.finals == [200]
    assert (client.timeouts, server.timeouts) == (0, 0)
    assert_at_rest(link, client, server)
    assert link.now <= 2 * 64 * TIMERS.t1 + TIMERS.t4


@settings(deadline=None)
@given(fates=ORDINARY, answers=invite_answers(), is_cut=st.booleans())
def test_an_invite_over_any_link_has_one_outcome_or_rings_on_without_a_timer(
    fates: list[Fate],
    answers: Answers,
    is_cut: bool,  # after these fates nothing arrives any more
) -> None:
    rest = itertools.repeat(LOST) if is_cut else ()
    link = Link(itertools.chain(fates, rest), is_fair=False)
    client, server = run_exchange(link, make_request("INVITE"), answers)
    assert server.requests <= 1
    if state_of(client.machine) is TransactionState.PROCEEDING:
        # Timer C, which is the proxy's, ends a call whose final response never comes.
        assert client.machine.deadline is None
        assert (client.finals, client.timeouts, client.terminations) == ([], 0, 0)
    else:
        assert len(set(client.finals)) + client.timeouts == 1
        assert client.terminations == 1
        assert client.machine.deadline is None
    assert server.machines == {}
    assert server.terminations == server.requests
    event("cut" if is_cut else "recovers")
    event(f"client timed out {client.timeouts}, server {server.timeouts}")


@settings(deadline=None)
@given(fates=ORDINARY, answers=other_answers(latest=60.0), is_cut=st.booleans())
def test_another_request_over_any_link_has_exactly_one_outcome_in_time(
    fates: list[Fate], answers: Answers, is_cut: bool
) -> None:
    rest = itertools.repeat(LOST) if is_cut else ()
    link = Link(itertools.chain(fates, rest), is_fair=False)
    client, server = run_exchange(link, make_request("REGISTER"), answers)
    assert len(client.finals) + client.timeouts == 1
    assert server.requests <= 1
    assert_at_rest(link, client, server)


@settings(deadline=None)
@given(fates=STRAGGLING, method=st.sampled_from(["INVITE", "REGISTER"]), data=st.data())
def test_stragglers_of_any_age_never_bring_a_second_outcome_or_leave_a_timer(
    fates: list[Fate], method: str, data: st.DataObject
) -> None:
    answers = data.draw(invite_answers() if method == "INVITE" else other_answers())
    link = Link(fates, is_fair=False)
    client, server = run_exchange(link, make_request(method), answers)
    assert len(set(client.finals)) + client.timeouts <= 1
    assert client.terminations <= 1
    assert client.machine.deadline is None
    assert server.machines == {}
    assert server.terminations == server.requests


@pytest.mark.parametrize(
    ("method", "answers", "packets"),
    [
        ("INVITE", [(0.0, 100), (1.0, 180), (60.0, 486)], 5),
        ("INVITE", [(0.0, 100), (60.0, 200)], 4),
        ("REGISTER", [(0.0, 401)], 2),
        ("REGISTER", [(0.5, 100), (20.0, 200)], 3),
    ],
)
def test_over_a_reliable_link_nothing_is_sent_twice(method: str, answers: Answers, packets: int) -> None:
    link = Link((), is_reliable=True)
    client, server = run_exchange(link, make_request(method), answers)
    assert client.finals == [answers[-1][1]]
    assert link.sent == packets
    assert_at_rest(link, client, server)


def test_a_call_that_rings_for_three_minutes_is_still_answered() -> None:
    link = Link(())
    answers = [(0.0, 100), (1.0, 180), (179.0, 200)]
    client, _ = run_exchange(link, make_request("INVITE"), answers)
    assert client.heard == [100, 180, 200]
    assert client.timeouts == 0

"""The breaker before a push service."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from wakerobin.core.pacing import Backoff, Breaker, BreakerPolicy

POLICY = BreakerPolicy(failures=3, backoff=Backoff(1.0, 4.0), refused=Backoff(60.0, 100.0))


def opened(at: float = 10.0) -> Breaker:
    breaker = Breaker(POLICY)
    assert [breaker.failed(at, 1.0) for _ in range(3)] == [False, False, True]
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(POLICY)
    assert not breaker.failed(10.0, 1.0)
    assert not breaker.failed(10.0, 1.0)
    breaker.succeeded(10.0)
    assert not breaker.failed(10.0, 1.0)
    assert not breaker.failed(10.0, 1.0)
    assert breaker.admit(10.0)
    assert breaker.failed(10.0, 1.0)
    assert not breaker.admit(10.0)


def test_open_it_lets_one_request_find_out_with_growing_pauses() -> None:
    breaker, now, pauses = opened(), 10.0, []
    for _ in range(4):
        assert not breaker.failed(now, 1.0), "what was under way when it opened is no news"
        pauses.append(breaker.wait(now))
        now += pauses[-1]
        assert breaker.wait(now) == 0.0
        assert breaker.admit(now)
        assert not breaker.admit(now), "one probe at a time"
        assert breaker.wait(now) > 0.0
        assert not breaker.failed(now, 1.0)
    assert pauses == [1.0, 2.0, 4.0, 4.0]
    assert breaker.opened_at == 10.0


def test_a_service_that_serves_again_closes_it() -> None:
    breaker = opened()
    assert breaker.admit(11.0)
    assert breaker.succeeded(11.0)
    assert not breaker.is_open
    assert breaker.admit(11.0)
    assert breaker.admit(11.0)
    assert not breaker.succeeded(11.0)


def test_a_call_that_gets_through_closes_it_before_its_time() -> None:
    breaker = opened()
    assert breaker.succeeded(10.1)
    assert breaker.admit(10.1)


def test_a_probe_that_did_not_leave_makes_room_for_another() -> None:
    breaker = opened()
    assert breaker.admit(11.0)
    breaker.gave_up()
    assert breaker.admit(11.0)


@pytest.mark.parametrize(
    ("requests", "opens"), [("sf" * 10, True), ("ss" + "sf" * 9, False), ("sf" * 9, False)]
)
def test_it_opens_where_half_of_the_requests_of_ten_seconds_fail(requests: str, opens: bool) -> None:
    breaker = Breaker(POLICY)
    for number, request in enumerate(requests):
        now = number * 9.0 / len(requests)
        if request == "s":
            breaker.succeeded(now)
        else:
            breaker.failed(now, 1.0)
    assert breaker.is_open is opens


def test_failures_of_long_ago_do_not_open_it() -> None:
    breaker = Breaker(POLICY)
    for second in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 30.0, 31.0):
        breaker.succeeded(second)
        breaker.failed(second, 1.0)
    assert not breaker.is_open


def test_opened_by_a_share_it_is_not_closed_by_what_still_succeeds_beside() -> None:
    breaker = Breaker(POLICY)
    for _ in range(10):
        breaker.succeeded(1.0)
        breaker.failed(1.0, 1.0)
    assert breaker.is_open
    assert not breaker.succeeded(1.5)
    assert breaker.is_open
    assert breaker.succeeded(2.1)
    assert not breaker.failed(2.1, 1.0), "it begins to count anew"


def test_a_refused_credential_opens_it_at_once_and_for_long() -> None:
    breaker = Breaker(POLICY)
    assert breaker.failed(10.0, 1.0, is_refusal=True)
    assert breaker.wait(10.0) == 60.0
    assert breaker.admit(70.0)
    breaker.failed(70.0, 1.0, is_refusal=True)
    assert breaker.wait(70.0) == 100.0
    assert breaker.succeeded(71.0), "whoever is served has a credential that is accepted"


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: one probe at a time, and never shut for good."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(POLICY)
        self.now = 0.0
        self.probes = 0

    @rule(seconds=st.sampled_from((0.0, 0.5, 3.0, 200.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        if self.breaker.admit(self.now) and self.breaker.is_open:
            self.probes += 1

    @rule(is_refusal=st.booleans())
    def fail(self, is_refusal: bool) -> None:
        self.breaker.failed(self.now, 0.5, is_refusal=is_refusal)
        self.probes = 0

    @rule()
    def succeed(self) -> None:
        self.breaker.succeeded(self.now)
        self.probes = 0

    @precondition(lambda self: self.probes)
    @rule()
    def give_up(self) -> None:
        self.breaker.gave_up()
        self.probes = 0

    @invariant()
    def at_most_one_probe_is_out(self) -> None:
        assert self.probes <= 1

    @invariant()
    def it_opens_again_within_its_longest_pause(self) -> None:
        assert self.breaker.wait(self.now) <= 100.0
        assert self.breaker.wait(self.now + 100.0) <= 1.0


TestAnyOrder = AnyOrder.TestCase

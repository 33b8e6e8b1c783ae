"""Who comes back first when many bindings are lost together, and how fast."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.binding import RecoveryPace, recovery_order

LATELY = 1_000


@given(st.lists(st.integers(0, 2_000), max_size=60), st.randoms(use_true_random=False))
def test_who_was_called_lately_comes_back_before_all_others_and_nobody_is_left_out(
    called: list[int], random: Random
) -> None:
    rows = list(range(len(called)))
    random.shuffle(rows)
    order = recovery_order(rows, called, LATELY)
    assert sorted(order) == sorted(rows)
    for earlier, later in itertools.pairwise(order):
        was_called = called[later] >= LATELY
        assert not was_called or called[earlier] >= called[later]
    others = [row for row in order if called[row] < LATELY]
    assert others == [row for row in rows if called[row] < LATELY], "the others keep their order"


def turns(pace: RecoveryPace, seconds: float, since: float = 0.0) -> int:
    """Return how many turns are given in a time, each asked for as soon as it may be had."""
    now, count = since, 0
    while now < since + seconds:
        wait = pace.take(now)
        count += not wait
        now += max(wait, 1e-6)
    return count


def test_it_begins_at_the_rate_that_it_is_given() -> None:
    pace = RecoveryPace(first=200.0, least=50.0, at=0.0)
    assert turns(pace, 2.0) == pytest.approx(420, abs=3)
    assert not pace.is_learnt


def test_a_pbx_that_keeps_up_is_asked_a_quarter_more_each_second() -> None:
    pace = RecoveryPace(first=200.0, least=50.0, at=0.0)
    for second in range(5):
        for _ in range(turns(pace, 1.0, second)):
            pace.answered(second + 1.0, after_s=0.02)
    assert 500 < pace.rate < 700
    for _ in range(100_000):
        pace.answered(6.0, after_s=0.02)
    assert pace.rate == 2_000.0


def test_one_bad_second_halves_it_once_and_bad_times_bring_it_to_the_calm_rate() -> None:
    pace = RecoveryPace(first=200.0, least=50.0, at=0.0)
    for _ in range(500):
        pace.overloaded(3.0)
    assert pace.rate == 100.0
    for second in range(4, 20):
        pace.overloaded(float(second))
    assert pace.rate == 50.0


def test_answers_that_come_late_slow_it_down_and_those_in_between_change_nothing() -> None:
    pace = RecoveryPace(first=200.0, least=50.0, at=0.0)
    pace.answered(1.0, after_s=1.0)
    assert pace.rate == 200.0
    pace.answered(2.0, after_s=5.0)
    assert pace.rate == 100.0


def test_what_an_earlier_run_found_out_is_taken_up_within_what_is_allowed() -> None:
    pace = RecoveryPace(first=200.0, least=50.0, at=0.0)
    pace.remember(731.0)
    assert (pace.rate, pace.is_learnt) == (731.0, True)
    pace.remember(1e9)
    assert pace.rate == 2_000.0
    pace.remember(1.0)
    assert pace.rate == 50.0


@given(
    st.floats(0.5, 500.0),
    st.floats(0.5, 500.0),
    st.lists(st.tuples(st.floats(0.0, 5.0), st.sampled_from("tsao"), st.floats(0.0, 9.0)), max_size=60),
)
def test_whatever_is_answered_no_second_sees_more_than_the_most_and_everybody_gets_a_turn(
    first: float, least: float, history: list[tuple[float, str, float]]
) -> None:
    pace = RecoveryPace(first, least, at=0.0)
    most = max(first, least) * 10
    now, given = 0.0, []
    for step, what, after in history:
        now += step
        if what == "t" and not pace.take(now):
            given.append(now)
        elif what == "s":
            pace.spend(now)
        elif what == "a":
            pace.answered(now, after)
        else:
            pace.overloaded(now)
        assert least <= pace.rate <= most
    for at in given:
        assert sum(at <= other < at + 1.0 for other in given) <= most * 1.1 + 1
    waited = 0
    while wait := pace.take(now):
        now += wait + 1e-9
        waited += 1
        assert waited < 100

"""The token bucket, the back-off and the breaker, by their laws."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.pacing import Backoff, Pace, TokenBucket, TokenBuckets, Turns


def test_a_full_bucket_lets_a_burst_go_at_once_and_then_asks_to_wait() -> None:
    bucket = TokenBucket(rate=2.0, burst=3.0)
    assert [bucket.take(10.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_a_refused_take_costs_nothing() -> None:
    bucket = TokenBucket(rate=1.0, burst=1.0)
    assert bucket.take(0.0) == 0.0
    assert [bucket.take(0.25) for _ in range(5)] == [0.75] * 5
    assert bucket.take(1.0) == 0.0


def test_reservations_line_up_one_after_the_other() -> None:
    bucket = TokenBucket(rate=4.0, burst=1.0)
    assert [bucket.reserve(0.0) for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]
    assert bucket.level(0.0) == -3.0
    assert bucket.reserve(1.0) == 0.0  # the four turns are over: 1 s earned four tokens


def test_a_take_behind_reservations_waits_for_them() -> None:
    bucket = TokenBucket(rate=1.0, burst=1.0)
    bucket.reserve(0.0)
    bucket.reserve(0.0)
    assert bucket.take(0.0) == 2.0


def test_an_idle_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=100.0, burst=2.0, tokens=50.0, at=0.0)
    assert bucket.level(0.0) == 2.0
    assert bucket.level(1e9) == 2.0


def test_a_bucket_may_start_empty() -> None:
    assert TokenBucket(rate=2.0, burst=10.0, tokens=0.0, at=5.0).take(5.0) == 0.5


def test_a_clock_that_steps_back_neither_adds_nor_takes_tokens() -> None:
    bucket = TokenBucket(rate=1.0, burst=5.0, tokens=1.0, at=100.0)
    assert bucket.level(90.0) == 1.0
    assert bucket.take(90.0) == 0.0
    assert bucket.level(100.0) == 0.0  # the ten seconds are not earned a second time


def test_what_one_key_takes_is_not_missing_to_another() -> None:
    buckets: TokenBuckets[str] = TokenBuckets(rate=1.0, burst=2.0)
    assert [buckets.take("anna", 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert buckets.take("bert", 0.0) == 0.0


def test_the_key_that_was_quiet_for_the_longest_time_is_forgotten_first() -> None:
    buckets: TokenBuckets[str] = TokenBuckets(rate=1.0, burst=1.0, most=2)
    assert [buckets.take(key, 0.0) for key in ("busy", "quiet")] == [0.0, 0.0]
    assert buckets.take("busy", 0.5) == 0.5
    assert buckets.take("new", 0.5) == 0.0
    assert buckets.take("busy", 0.5) == 0.5
    assert buckets.take("quiet", 0.5) == 0.0  # forgotten, so its bucket is full again


def test_a_key_that_is_forgotten_on_purpose_has_a_full_bucket_again() -> None:
    buckets: TokenBuckets[str] = TokenBuckets(rate=1.0, burst=1.0)
    assert [buckets.take("anna", 0.0) for _ in range(2)] == [0.0, 1.0]
    buckets.forget("anna")
    buckets.forget("nobody")
    assert buckets.take("anna", 0.0) == 0.0


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.5)])
def test_a_bucket_that_could_never_serve_is_a_bug(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="token bucket"):
        TokenBucket(rate, burst)


@given(
    rate=st.floats(0.5, 1000.0),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=100),
)
def test_no_window_ever_lets_more_than_burst_plus_rate_times_its_length_pass(
    rate: float, burst: int, steps: list[float]
) -> None:
    bucket = TokenBucket(rate, float(burst))
    now = 0.0
    passed: list[float] = []
    for step in steps:
        now += step
        wait = bucket.take(now)
        assert wait >= 0.0
        if wait == 0.0:
            passed.append(now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            length = passed[last] - start
            assert last - first + 1 <= burst + rate * length + 1e-6


@given(rate=st.floats(0.5, 1000.0), steps=st.lists(st.floats(0.0, 3.0), max_size=60))
def test_reserved_turns_come_in_order_and_no_closer_than_the_rate(rate: float, steps: list[float]) -> None:
    bucket = TokenBucket(rate, 1.0)
    now = 0.0
    turns: list[float] = []
    for step in steps:
        now += step
        turns.append(now + bucket.reserve(now))
    for earlier, later in itertools.pairwise(turns):
        assert later - earlier >= 1.0 / rate - 1e-6


def test_the_wait_doubles_with_each_failure_until_it_is_capped() -> None:
    backoff = Backoff(first_s=30.0, most_s=1800.0)
    # RFC 5626 4.5: after three failures the upper bound is 30 * 2**3 = 240 s.
    assert [backoff.upper_bound(n) for n in range(1, 9)] == [
        60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0, 1800.0,
    ]  # fmt: skip


def test_the_wait_lies_between_half_and_all_of_the_upper_bound() -> None:
    backoff = Backoff(first_s=30.0, most_s=1800.0)
    assert [backoff.delay(1, jitter) for jitter in (0.0, 0.5, 1.0)] == [30.0, 45.0, 60.0]
    assert backoff.delay(99, 0.0) == 900.0


@given(attempt=st.integers(-5, 10**9), jitter=st.floats(0.0, 1.0))
def test_every_wait_is_positive_and_within_the_bounds(attempt: int, jitter: float) -> None:
    backoff = Backoff(first_s=2.0, most_s=600.0)
    upper = backoff.upper_bound(attempt)
    assert 2.0 <= upper <= 600.0
    assert upper / 2 <= backoff.delay(attempt, jitter) <= upper


def test_a_back_off_may_have_one_length_only() -> None:
    assert [Backoff(5.0, 5.0).delay(attempt, 1.0) for attempt in (1, 2, 9)] == [5.0, 5.0, 5.0]


def test_the_default_is_the_one_of_rfc_5626() -> None:
    assert Backoff() == Backoff(30.0, 1800.0)


@pytest.mark.parametrize(("first", "most"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_a_back_off_without_a_sound_range_is_a_bug(first: float, most: float) -> None:
    with pytest.raises(ValueError, match="back-off"):
        Backoff(first, most)


def test_a_pace_begins_at_a_tenth_and_is_whole_after_its_ramp() -> None:
    pace = Pace(rate=100.0, ramp_s=60.0, burst=10.0, at=0.0)
    sent, per_second = 0, []
    for step in range(1, 90 * 20 + 1):
        now = step / 20
        room = pace.level(now)
        pace.take(room)
        sent += room
        if step % 20 == 0:
            per_second.append(sent)
            sent = 0
    assert per_second[0] <= 10 + 11
    assert 50 <= per_second[29] <= 60
    assert per_second[70] in (99, 100, 101)
    assert sum(per_second[:60]) == pytest.approx(10 + 100 * 60 * 0.55, abs=60)


def test_a_pace_that_restarts_ramps_anew_with_little_in_hand() -> None:
    pace = Pace(rate=100.0, ramp_s=10.0, burst=50.0, at=0.0)
    assert pace.level(100.0) == 50
    pace.restart(100.0)
    assert pace.level(100.0) == 5
    pace.take(5)
    assert pace.level(101.0) == pytest.approx(100 * (0.1 + 0.145), abs=11)


def test_a_pace_says_how_long_to_wait_and_then_it_has_enough() -> None:
    pace = Pace(rate=10.0, ramp_s=0.0, burst=4.0, at=0.0)
    assert pace.wait(0.0, 4) == 0.0
    pace.take(6)  # more than there was is paid back
    wait = pace.wait(0.0, 3)
    assert pace.level(wait - 0.05) < 3
    assert pace.level(wait) == 3


@pytest.mark.parametrize(("rate", "ramp", "burst"), [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, 0.5)])
def test_a_pace_that_could_never_serve_is_a_bug(rate: float, ramp: float, burst: float) -> None:
    with pytest.raises(ValueError, match="pace"):
        Pace(rate, ramp, burst, 0.0)


wants = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 50), min_size=1)


@given(st.integers(0, 100), wants)
def test_what_is_shared_goes_to_those_who_want_it(total: int, wanted: dict[str, int]) -> None:
    shares = Turns[str](lambda key: ord(key) - 96).shares(total, wanted)
    assert all(0 <= shares[key] <= want for key, want in wanted.items())
    assert sum(shares.values()) == min(total, sum(wanted.values()))


@given(st.lists(st.integers(1, 30), min_size=60, max_size=60))
def test_over_time_each_gets_by_its_weight_however_little_there_is_at_once(totals: list[int]) -> None:
    weights = {"a": 8, "b": 4, "c": 1}
    turns = Turns[str](lambda key: weights[key])
    had = dict.fromkeys(weights, 0)
    for total in totals:
        shares = turns.shares(total, dict.fromkeys(weights, 1000))
        turns.took(shares, weights)
        for key, share in shares.items():
            had[key] += share
    everything = sum(totals)
    for key, weight in weights.items():
        assert abs(had[key] - everything * weight / 13) <= 4


def test_who_wanted_nothing_for_long_does_not_get_it_all_afterwards() -> None:
    turns = Turns[str](lambda _key: 1)
    for _ in range(1000):
        turns.took(turns.shares(10, {"a": 10, "b": 0}), ["a", "b"])
    assert turns.shares(20, {"a": 20, "b": 20}) == {"a": 8, "b": 12}


def test_a_newcomer_begins_where_the_others_are() -> None:
    turns = Turns[str](lambda _key: 1)
    turns.took({"a": 500}, ["a"])
    assert turns.shares(10, {"a": 10, "b": 10}) == {"a": 5, "b": 5}

"""When bindings are refreshed, looked at and tried again."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.binding import (
    ComeLater,
    Losses,
    Outcome,
    RealmUnknown,
    Refusal,
    Refused,
    Trouble,
    Unreachable,
    Unusable,
    found,
    look_in_s,
    lost,
    next_cseq,
    refresh_in_s,
    resumed_in_s,
    resumed_wait_s,
    troubled,
)
from wakerobin.core.values import BindingState

DAY = 86_400.0

grants = st.integers(10, 86_400)
ids = st.integers(1, 2**40)
walls = st.floats(1.7e9, 1.9e9)
jitters = st.floats(0, 1)


@given(grants, ids, walls, jitters)
def test_a_refresh_falls_between_50_and_90_percent(
    granted: int, account: int, wall: float, jitter: float
) -> None:
    wait = refresh_in_s(granted, account, wall, jitter)
    assert 0.5 * granted <= wait <= 0.9 * granted


def test_refreshes_are_jittered_around_their_place() -> None:
    early, late = (refresh_in_s(600, 7, 1.7e9, jitter) for jitter in (0.0, 1.0))
    assert late - early == pytest.approx(12)


@given(grants, ids, walls, jitters)
def test_a_restart_finds_the_refresh_where_it_was_planned(
    granted: int, account: int, wall: float, jitter: float
) -> None:
    planned = refresh_in_s(granted, account, wall, 0.5)
    # The server is cut 0 to 100 % of the way there and is back at once.
    cut = wall + planned * jitter * 0.9
    resumed = resumed_in_s(granted, account, cut, cut - 0.01)
    assert cut + resumed <= wall + granted


@given(grants, ids, walls, st.floats(0, 2))
def test_a_refresh_missed_in_a_downtime_is_made_up_for_at_once(
    granted: int, account: int, wall: float, part: float
) -> None:
    planned = wall + refresh_in_s(granted, account, wall, 0.5)
    down_since, back = planned - 1, planned + 1 + part * granted
    assert resumed_in_s(granted, account, back, down_since) == 0


@given(ids, walls)
def test_without_any_memory_everybody_is_due(account: int, wall: float) -> None:
    assert resumed_in_s(600, account, wall, float("-inf")) == 0


def test_refreshes_of_many_accounts_are_spread_evenly() -> None:
    waits = [refresh_in_s(600, account, 1.7e9, 0.5) for account in range(1, 1001)]
    for low in range(300, 540, 24):
        assert 80 <= sum(1 for wait in waits if low <= wait < low + 24) <= 120


@given(ids, walls)
def test_a_look_comes_once_an_hour(account: int, wall: float) -> None:
    looks = _looks(account, wall, 6 * 3600.0)
    assert len(looks) in (5, 6)
    assert all(3500 < later - earlier < 3700 for earlier, later in itertools.pairwise(looks))


def _looks(account: int, wall: float, until: float) -> list[float]:
    at = 0.0
    looks: list[float] = []
    while True:
        wait = look_in_s(until - at, account, wall + at, is_wary=False)
        if wait is None:
            return looks
        at += wait
        looks.append(at)


def test_who_is_wary_looks_more_often() -> None:
    assert look_in_s(480, 1, 1.7e9, is_wary=True) == 240
    assert look_in_s(DAY, 1, 1.7e9, is_wary=True) == 900


@given(st.floats(0, 4e9), st.integers(0, 2**31 - 10))
def test_cseq_numbers_rise_whatever_the_clock_does(wall: float, last: int) -> None:
    assert next_cseq(wall, last) > last


def waits(outcome: Outcome, count: int, jitter: float = 0.0) -> tuple[list[float], Trouble]:
    """Return the waits after so many times the same outcome, each met when its time has come."""
    trouble, now, found_waits = None, 0.0, []
    for _ in range(count):
        trouble, wait = troubled(trouble, outcome, now, jitter)
        found_waits.append(wait)
        now += wait
    assert trouble is not None
    return found_waits, trouble


@pytest.mark.parametrize("why", sorted(set(Refusal) - {Refusal.UNKNOWN}, key=str))
def test_refused_accounts_ask_after_ten_minutes_an_hour_and_then_every_six(why: Refusal) -> None:
    found_waits, trouble = waits(Refused(why, 403), 5)
    assert found_waits == [600, 3600, 21_600, 21_600, 21_600]
    assert trouble.state is BindingState.REFUSED


@pytest.mark.parametrize("outcome", [Unreachable("no answer"), Unusable("nonsense"), ComeLater(500, None)])
def test_other_trouble_backs_off_to_half_an_hour(outcome: Outcome) -> None:
    found_waits, trouble = waits(outcome, 8, jitter=1.0)
    assert found_waits == [30, 60, 120, 240, 480, 960, 1800, 1800]
    assert trouble.state is BindingState.UNREACHABLE


@pytest.mark.parametrize(("asked", "waited"), [(0, 1), (17, 17), (99_999, 3600)])
def test_retry_after_is_kept_to_within_reason(asked: int, waited: float) -> None:
    assert waits(ComeLater(503, asked), 1)[0] == [waited]
    assert waits(ComeLater(503, asked), 1, jitter=1.0)[0] == [pytest.approx(waited * 1.1)]


def test_credentials_are_needed_after_three_strange_realms_in_ten_minutes() -> None:
    for count, state in ((1, BindingState.UNREACHABLE), (2, BindingState.UNREACHABLE)):
        assert waits(RealmUnknown(("x",)), count)[1].state is state
    found_waits, trouble = waits(RealmUnknown(("x",)), 3)
    assert trouble.state is BindingState.CREDENTIALS_NEEDED
    assert sum(found_waits[:2]) >= 600
    assert found_waits[2] == 21_600


def test_two_strange_realms_prove_nothing_however_far_apart() -> None:
    trouble, _ = troubled(None, RealmUnknown(("x",)), 0.0, 0.5)
    trouble, _ = troubled(trouble, RealmUnknown(("x",)), 5000.0, 0.5)
    assert trouble.state is BindingState.UNREACHABLE


def test_trouble_of_another_kind_begins_anew() -> None:
    trouble, _ = troubled(None, Unreachable("x"), 0.0, 0.5)
    trouble, _ = troubled(trouble, Unusable("y"), 60.0, 0.5)
    assert (trouble.failures, trouble.since_s) == (2, 0.0)
    trouble, wait = troubled(trouble, Refused(Refusal.WRONG, 401), 120.0, 0.0)
    assert (trouble.failures, trouble.since_s, wait) == (1, 120.0, 600.0)


def test_what_is_worth_telling() -> None:
    first, _ = troubled(None, Unreachable("x"), 0.0, 0.5)
    second, _ = troubled(first, Unreachable("x"), 30.0, 0.5)
    refused, _ = troubled(None, Refused(Refusal.WRONG, 401), 0.0, 0.5)
    strange, _ = troubled(None, RealmUnknown(("x",)), 0.0, 0.5)
    assert not first.is_worth_telling(10.0, 300.0, 30.0)
    assert first.is_worth_telling(300.0, 300.0, 30.0)
    assert second.is_worth_telling(30.0, 300.0, 30.0)
    assert refused.is_worth_telling(0.0, 300.0, 600.0)
    assert not strange.is_worth_telling(0.0, 300.0, 300.0)


def test_what_may_be_over_in_a_moment_is_not_told_even_if_the_binding_is_lost() -> None:
    restarted, wait = troubled(None, Unreachable("x", is_refused=True), 0.0, 0.5)
    assert not restarted.is_worth_telling(0.0, 0.0, wait)
    again, wait = troubled(restarted, Unreachable("x", is_refused=True), 2.0, 0.5)
    assert again.is_worth_telling(2.0, 0.0, wait)
    busy = replace(restarted, failures=4)
    assert busy.is_worth_telling(20.0, 0.0, 5.0), "a PBX that is busy again and again is news"


def test_an_account_that_its_pbx_does_not_know_is_asked_about_once_more_when_it_has_read_its_users() -> None:
    trouble, waits = None, []
    for _ in range(5):
        trouble, wait = troubled(trouble, Refused(Refusal.UNKNOWN, 404), 0.0, 0.0)
        waits.append(wait)
    assert waits == [60.0, 600.0, 3_600.0, 21_600.0, 21_600.0]


def test_a_pbx_that_refuses_connections_is_tried_once_after_two_seconds_and_then_seldom() -> None:
    trouble, waits = None, []
    for _ in range(9):
        trouble, wait = troubled(trouble, Unreachable("x", is_refused=True), 0.0, 1.0)
        waits.append(wait)
    assert waits == pytest.approx([2.2, 30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0])


def test_after_a_restart_refused_accounts_wait_and_others_do_not() -> None:
    assert resumed_wait_s(BindingState.REGISTERED, 0.5) == 0
    assert resumed_wait_s(BindingState.REFUSED, 0.0) >= 600
    assert 15 <= resumed_wait_s(BindingState.UNREACHABLE, 0.5) <= 30


def test_the_first_loss_in_a_day_is_made_good_at_once_and_no_other() -> None:
    losses, at_once = lost(Losses(), 0, 1000.0)
    assert at_once
    losses, at_once = lost(losses, 0, 1000.0 + DAY - 1)
    assert not at_once
    losses, at_once = lost(losses, 0, 1000.0 + 3 * DAY)
    assert at_once
    assert not losses.is_one_contact


def test_two_losses_to_another_contact_are_a_pbx_with_one() -> None:
    losses, _ = lost(Losses(), 1, 0.0)
    assert losses.is_wary(10.0)
    assert not losses.is_one_contact
    losses, _ = lost(losses, 1, 600.0)
    assert losses.is_one_contact
    assert not losses.is_wary(610.0)


def test_two_losses_on_different_days_prove_nothing() -> None:
    losses, _ = lost(Losses(), 1, 0.0)
    losses, _ = lost(losses, 1, 2 * DAY)
    assert not losses.is_one_contact


def test_being_there_beside_another_contact_clears_the_suspicion() -> None:
    losses, _ = lost(Losses(), 1, 0.0)
    losses, _ = lost(losses, 1, 600.0)
    assert found(losses, 0).is_one_contact
    assert not found(losses, 1).is_one_contact

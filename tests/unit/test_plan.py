from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.lifetime import LifetimePolicy, PlanEntry, PlanKind, ladder, plan
from wakerobin.core.values import Duration

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
END = 1_735_689_600_000


def policy(
    lifetime: int = 7 * DAY,
    *,
    renewal_from: int = DAY,
    every: int = HOUR,
    warnings: tuple[int, ...] = (12 * HOUR, HOUR),
    grace: int = 48 * HOUR,
) -> LifetimePolicy:
    return LifetimePolicy(
        lifetime=Duration(lifetime),
        renewal_from=Duration(renewal_from),
        renewal_every=Duration(every),
        warnings=tuple(Duration(lead) for lead in warnings),
        grace_limit=Duration(grace),
    )


def leads(entries: tuple[PlanEntry, ...], kind: PlanKind) -> list[int]:
    return [entry.lead for entry in entries if entry.kind is kind]


def test_a_week_is_renewed_hourly_in_its_last_day_and_warned_twice() -> None:
    entries = plan(LifetimePolicy(), END)
    assert leads(entries, PlanKind.RENEW) == [hours * HOUR for hours in range(24, 0, -1)]
    assert leads(entries, PlanKind.WARNING) == [12 * HOUR, HOUR]
    assert entries[0] == PlanEntry(PlanKind.RENEW, END - DAY, DAY)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


def test_at_one_moment_the_silent_push_comes_before_the_warning() -> None:
    entries = plan(LifetimePolicy(), END)
    kinds = [entry.kind for entry in entries if entry.lead == 12 * HOUR]
    assert kinds == [PlanKind.RENEW, PlanKind.WARNING]


def test_a_lead_above_half_of_the_life_is_dropped() -> None:
    entries = plan(LifetimePolicy(), END, Duration(20 * HOUR))
    assert leads(entries, PlanKind.WARNING) == [HOUR]


def test_a_life_too_short_for_every_lead_is_warned_at_a_quarter() -> None:
    entries = plan(LifetimePolicy(), END, Duration(60_000))
    assert leads(entries, PlanKind.WARNING) == [15_000]


def test_renewals_begin_early_enough_to_be_tried_before_the_first_warning() -> None:
    entries = plan(policy(renewal_from=2 * HOUR), END)
    assert leads(entries, PlanKind.RENEW)[0] == 13 * HOUR


def test_renewals_begin_at_half_of_the_life_at_the_earliest() -> None:
    entries = plan(policy(renewal_from=6 * DAY), END)
    assert leads(entries, PlanKind.RENEW)[0] == 7 * DAY // 2


def test_a_policy_without_warnings_still_warns_once() -> None:
    assert leads(plan(policy(warnings=()), END), PlanKind.WARNING) == [7 * DAY // 4]


@given(
    lifetime=st.integers(1000, 400 * DAY),
    renewal_from=st.integers(1, 30 * DAY),
    every=st.integers(10 * MINUTE, 3 * DAY),
    warnings=st.lists(st.integers(1, 999), max_size=4),
    end=st.integers(0, 2**45),
)
def test_every_plan_keeps_the_rules(
    lifetime: int, renewal_from: int, every: int, warnings: list[int], end: int
) -> None:
    shares = tuple(max(1, lifetime * share // 1000) for share in warnings)
    try:
        rules = policy(lifetime, renewal_from=renewal_from, every=every, warnings=shares)
    except ConfigurationError:
        return
    entries = plan(rules, end)
    assert list(entries) == sorted(entries, key=lambda e: (e.at, e.kind is PlanKind.WARNING))
    assert all(entry.at == end - entry.lead and 0 < entry.lead <= lifetime // 2 for entry in entries)
    assert entries[0].kind is PlanKind.RENEW, "silence is tried first"
    planned = leads(entries, PlanKind.WARNING)
    kept = sorted({share for share in shares if share <= lifetime // 2}, reverse=True)
    assert planned == (kept or [lifetime // 4])
    renewals = leads(entries, PlanKind.RENEW)
    assert all(a - b == every for a, b in itertools.pairwise(renewals))
    assert renewals[-1] <= every


@given(left=st.integers(-DAY, 8 * DAY))
def test_the_rungs_reached_are_those_whose_moment_has_come(left: int) -> None:
    rungs = ladder(LifetimePolicy(), Duration(7 * DAY))
    assert rungs.reached(left) == sum(entry.at <= END - left for entry in plan(LifetimePolicy(), END))


@pytest.mark.parametrize(
    ("asked", "granted"),
    [(1, HOUR), (HOUR, HOUR), (2 * DAY, 2 * DAY), (400 * DAY, 400 * DAY), (2**50, 400 * DAY)],
)
def test_an_enrolment_gets_the_lifetime_it_asks_for_within_bounds(asked: int, granted: int) -> None:
    assert LifetimePolicy().clamped(asked) == granted


def test_the_apps_own_lifetime_is_always_within_bounds() -> None:
    assert policy(60_000, warnings=()).clamped(60_000) == 60_000
    assert policy(500 * DAY).clamped(2**50) == 500 * DAY


def test_bounds_and_times_that_make_no_sense_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="lifetime_min"):
        LifetimePolicy(lifetime_min=Duration(2 * DAY), lifetime_max=Duration(DAY))
    with pytest.raises(ConfigurationError, match="dormant_for"):
        LifetimePolicy(dormant_for=Duration(-1))
    with pytest.raises(ConfigurationError, match="unregistered_limit"):
        LifetimePolicy(unregistered_limit=Duration(0))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"warnings": (7 * DAY,)}, "warnings"),
        ({"warnings": (0,)}, "warnings"),
        ({"every": 0}, "renewal_every"),
        ({"renewal_from": -1}, "renewal_from"),
        ({"lifetime": 0}, "lifetime.lifetime"),
        ({"grace": 31 * DAY}, "grace_limit"),
        ({"grace": 0}, "grace_limit"),
        ({"every": 1000}, "renewal_every"),
    ],
)
def test_numbers_that_make_no_life_are_refused_by_name(wrong: dict[str, int], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        policy(**wrong)  # type: ignore[arg-type]  # each case changes another field

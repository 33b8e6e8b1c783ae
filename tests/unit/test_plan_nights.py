"""Warnings and the user's night: they come earlier, never later; where that is impossible the end waits."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.course import DAY, HOUR, MINUTE, PHONE, Course
from wakerobin.core.lifetime import (
    LAST_RESORT,
    REWARN,
    Fire,
    LifetimePolicy,
    PlanEntry,
    PlanKind,
    QuietHours,
    Reason,
    Renewal,
    RenewalSent,
    TargetsLeft,
    WarningSettled,
    earliest_lead,
    leaves_from,
    plan,
)
from wakerobin.core.pushes import LANES, OUTLIVES_USE, Lane, PushType
from wakerobin.core.values import Duration, Ended

NIGHT = QuietHours(22 * 60, 7 * 60)
QUIET = LifetimePolicy(quiet_hours=NIGHT)
VIENNA = "Europe/Vienna"
IN_VIENNA = replace(PHONE, zone=VIENNA)
WARNING = PushType.EXPIRY_WARNING


def at(text: str, zone: str = VIENNA) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def clock(moment: int, zone: str = VIENNA) -> str:
    return datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).strftime("%d %H:%M")


def warnings(entries: tuple[PlanEntry, ...], zone: str = VIENNA) -> list[str]:
    return [clock(entry.at, zone) for entry in entries if entry.kind is PlanKind.WARNING]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("2025-01-17T20:00", ["17 08:00", "17 19:00"]),
        ("2025-01-17T18:00", ["16 22:00", "17 17:00"]),
        ("2025-01-17T07:30", ["16 19:30", "16 22:00"]),
        ("2025-01-17T08:00", ["16 20:00", "17 07:00"]),
        # Within an hour of each other: one, the last.
        ("2025-01-18T06:00", ["17 18:00", "17 22:00"]),
        ("2025-01-18T07:45", ["17 19:45", "17 22:00"]),
    ],
)
def test_a_warning_of_the_night_comes_at_its_beginning(ends: str, expected: list[str]) -> None:
    assert warnings(plan(QUIET, at(ends), zone=VIENNA)) == expected


def test_two_warnings_that_the_night_brings_together_are_one_the_last() -> None:
    policy = LifetimePolicy(
        quiet_hours=NIGHT, warnings=(Duration(9 * HOUR), Duration(8 * HOUR + 30 * MINUTE), Duration(HOUR))
    )
    entries = plan(policy, at("2025-01-18T06:40"), zone=VIENNA)
    assert warnings(entries) == ["17 22:00"]
    [only] = [entry for entry in entries if entry.kind is PlanKind.WARNING]
    assert only.reason is Reason.BEFORE_NIGHT


def test_warnings_that_are_configured_close_together_stay_two_by_day() -> None:
    policy = LifetimePolicy(quiet_hours=NIGHT, warnings=(Duration(HOUR), Duration(30 * MINUTE)))
    assert warnings(plan(policy, at("2025-01-17T20:00"), zone=VIENNA)) == ["17 19:00", "17 19:30"]


@pytest.mark.parametrize("zone", ["", "Nowhere/Land"])
def test_without_a_known_zone_there_is_no_night(zone: str) -> None:
    ends = at("2025-01-17T07:30")
    leads = [entry.lead for entry in plan(QUIET, ends, zone=zone) if entry.kind is PlanKind.WARNING]
    assert leads == [12 * HOUR, HOUR]


@pytest.mark.parametrize(
    ("zone", "ends", "expected"),
    [
        # The night of the changed clock: 1 h before the end is 03:30 summer time, 02:30 by the old one.
        (VIENNA, "2025-03-30T04:30", ["29 15:30", "29 22:00"]),
        (VIENNA, "2025-10-26T05:00", ["25 18:00", "25 22:00"]),
        ("Asia/Kathmandu", "2025-06-01T06:15", ["31 18:15", "31 22:00"]),
        ("America/St_Johns", "2025-07-01T05:00", ["30 17:00", "30 22:00"]),
        # No 30th of December: the night before the 31st began on the 29th.
        ("Pacific/Apia", "2011-12-31T04:00", ["29 16:00", "29 22:00"]),
        ("Pacific/Apia", "2011-12-31T18:00", ["29 22:00", "31 17:00"]),
    ],
)
def test_nights_of_changed_clocks_and_skipped_days_are_avoided_too(
    zone: str, ends: str, expected: list[str]
) -> None:
    assert warnings(plan(QUIET, at(ends, zone), zone=zone), zone) == expected


def test_renewals_begin_early_enough_for_the_earliest_night() -> None:
    wide = LifetimePolicy(quiet_hours=NIGHT, renewal_from=Duration(2 * HOUR))
    leads = [entry.lead for entry in plan(wide, at("2025-01-17T20:00"), zone=VIENNA)]
    assert leads[0] == 12 * HOUR + 9 * HOUR + HOUR


def test_the_longest_night_of_the_year_has_its_renewal_before_it_too() -> None:
    """10 hours long, an hour more than by the clock."""
    policy = LifetimePolicy(quiet_hours=NIGHT, renewal_from=Duration(2 * HOUR))
    ends = at("2025-10-26T18:59")
    entries = plan(policy, ends, zone=VIENNA)
    assert warnings(entries)[0] == "25 22:00"
    assert entries[0].kind is PlanKind.RENEW
    assert clock(entries[0].at) == "25 21:00"


@given(
    zone=st.sampled_from([VIENNA, "Pacific/Apia", "Asia/Kolkata", "Australia/Lord_Howe", "America/New_York"]),
    end=st.integers(1_000_000_000_000, 2_000_000_000_000),
    lifetime=st.sampled_from([HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 400 * DAY]),
    shares=st.lists(st.integers(1, 900), min_size=1, max_size=4),
    renewal=st.sampled_from(list(Renewal)),
    night=st.builds(QuietHours, st.integers(0, 1439), st.just(0)).map(
        lambda one: QuietHours(one.start, (one.start + 9 * 60) % 1440)
    ),
)
@example(
    zone="Pacific/Apia",
    end=1_325_289_600_000,
    lifetime=7 * DAY,
    shares=[72, 6],
    renewal=Renewal.LADDER,
    night=NIGHT,
)
@settings(max_examples=400, deadline=None)
def test_every_plan_with_nights_keeps_the_rules(
    zone: str, end: int, lifetime: int, shares: list[int], renewal: Renewal, night: QuietHours
) -> None:
    policy = LifetimePolicy(
        lifetime=Duration(lifetime),
        warnings=tuple(Duration(min(30 * DAY, lifetime * share // 1000)) for share in shares),
        quiet_hours=night,
        renewal=renewal,
    )
    entries = plan(policy, end, zone=zone)
    configured = policy.leads(lifetime)
    warned = [entry for entry in entries if entry.kind is PlanKind.WARNING]
    renewed = [entry for entry in entries if entry.kind is PlanKind.RENEW]
    assert list(entries) == sorted(entries, key=lambda e: (e.at, e.kind is PlanKind.WARNING))
    assert all(entry.at == end - entry.lead for entry in entries)
    assert all(0 < entry.lead <= max(1, lifetime // 2) for entry in entries)
    assert entries[0].lead <= earliest_lead(policy, Duration(lifetime)), "`next_at` is a lower bound"
    assert warned, "never none"
    assert warned[-1].lead >= configured[-1], "earlier, never later"
    assert len(warned) <= len(configured)
    for entry in warned:
        covered = night.night(zone, entry.at)
        if entry.reason is Reason.BEFORE_NIGHT:
            assert covered is not None
            assert covered[0] == entry.at, "at the beginning of the night"
            assert renewed[0].lead >= entry.lead + policy.renewal_every, "silence has its chance before it"
        else:
            assert entry.lead in configured
            # One that is planned for the night is the last, and could not come earlier.
            if covered is not None and covered[0] != entry.at:
                assert entry is warned[-1]
                assert end - covered[0] + policy.renewal_every > lifetime // 2
    for one, after in itertools.pairwise(warned):
        if Reason.BEFORE_NIGHT in (one.reason, after.reason):
            assert after.at - one.at > HOUR


def vienna(ends: str, policy: LifetimePolicy = QUIET) -> Course:
    """A life that ends at this time of the clock in Vienna."""
    return Course(policy, policy.lifetime, start=at(ends) - policy.lifetime, context=IN_VIENNA)


def shown(course: Course) -> list[str]:
    return [clock(sent_at) for sent_at, send in course.sent if send.kind in (WARNING, PushType.EXPIRED)]


def test_nobody_is_woken_by_a_warning() -> None:
    course = vienna("2025-01-17T06:00")
    course.run_until(at("2025-01-17T05:59"), warnings_accepted=True)
    assert shown(course) == ["16 18:00", "16 22:00"]


def test_the_notice_of_the_end_waits_for_the_morning() -> None:
    course = vienna("2025-01-17T06:00")
    course.run_until(at("2025-01-17T06:00"), warnings_accepted=True)
    assert course.life.ended is Ended.EXPIRED
    assert clock(course.of(PushType.EXPIRED).not_before) == "17 07:00"


def test_an_overdue_warning_waits_for_the_morning_and_the_life_waits_with_it() -> None:
    """The push service took nothing since before the night, and the end would come in it."""
    course = vienna("2025-01-17T02:00")
    course.run_until(at("2025-01-16T21:30"), renewals_accepted=False)
    course.run_until(at("2025-01-17T06:59"), renewals_accepted=False)
    assert WARNING not in course.kinds(), "law 2: silence had no chance, and at night nothing is shown"
    assert course.life.ended is None
    assert course.life.next_at == at("2025-01-17T07:00")
    course.run_until(at("2025-01-17T07:00"))
    send = course.of(WARNING)
    assert send.step == LAST_RESORT
    assert clock(send.payload["announced_at"]) == "17 08:00"
    course.event(WarningSettled(1, send.step, accepted=True))
    course.run_until(at("2025-01-17T07:59"))
    assert course.life.ended is None
    course.run_until(at("2025-01-17T08:00"))
    assert course.life.ended is Ended.EXPIRED


def test_a_warning_that_an_outage_of_ours_held_up_into_the_night_is_not_sent_in_it() -> None:
    course = vienna("2025-01-17T09:00")
    course.run_until(at("2025-01-16T20:00"))
    course.now = at("2025-01-17T03:00")
    course.event(Fire())
    assert shown(course) == [], "the one of 21:00 would come at 03:00"
    course.run_until(at("2025-01-17T07:59"))
    assert shown(course) == ["17 07:00"]
    course.run_until(at("2025-01-17T08:59"))
    assert shown(course) == ["17 07:00", "17 08:00"]


def test_a_timer_that_is_a_little_late_still_warns_at_the_beginning_of_the_night() -> None:
    course = vienna("2025-01-17T06:00")
    course.run_until(at("2025-01-16T21:00"), warnings_accepted=True)
    course.now = at("2025-01-16T22:00") + 30_000
    course.event(Fire())
    assert shown(course) == ["16 18:00", "16 22:00"]


def test_a_life_of_an_hour_in_the_night_lives_until_its_user_can_be_warned() -> None:
    policy = LifetimePolicy(lifetime=Duration(HOUR), warnings=(Duration(15 * MINUTE),), quiet_hours=NIGHT)
    course = vienna("2025-01-17T03:00", policy)
    course.run_until(at("2025-01-17T06:59"))
    assert course.life.ended is None
    course.run_until(at("2025-01-17T07:00"), warnings_accepted=True)
    assert shown(course) == ["17 07:00"]
    course.run_until(at("2025-01-17T07:15"))
    assert course.life.ended is Ended.EXPIRED


def test_a_use_during_the_waiting_still_wins() -> None:
    course = vienna("2025-01-17T02:00")
    course.run_until(at("2025-01-17T05:00"), renewals_accepted=False)
    before = course.life
    course.event(RenewalSent(1))
    assert course.life.ended is None
    assert course.life.expires_at == before.expires_at


@pytest.mark.parametrize("kind", list(PushType))
def test_at_night_only_what_cannot_wait_leaves(kind: PushType) -> None:
    now, morning = at("2025-01-17T03:00"), at("2025-01-17T07:00")
    is_urgent = LANES[kind] is Lane.CALLS or kind is PushType.RENEW or kind in OUTLIVES_USE
    assert leaves_from(kind, 0, now, QUIET, VIENNA) == (now if is_urgent else morning)
    assert leaves_from(kind, REWARN, now, QUIET, VIENNA) == now, "the operator wants it said now"
    assert leaves_from(kind, 0, morning, QUIET, VIENNA) == morning


def test_being_asked_for_targets_waits_for_the_morning_too() -> None:
    course = vienna("2025-01-17T20:00")
    course.now = at("2025-01-15T03:00")
    course.context = replace(IN_VIENNA, has_call_target=False)
    course.event(TargetsLeft(call=0, notice=1))
    needed = course.of(PushType.TARGETS_NEEDED)
    assert clock(needed.not_before) == "15 07:00"
    assert clock(needed.payload["announced_at"]) == "16 03:00"

"""Nights as they really were: over changed clocks, in half-hour zones, and where a day was skipped."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.lifetime import LifetimePolicy, QuietHours
from wakerobin.core.lifetime.quiet import LATE, local_hour, local_hours

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NIGHT = QuietHours(22 * 60, 7 * 60)

ZONES = [
    "Europe/Vienna",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Asia/Tokyo",
    "UTC",
]


def moment(zone: str, text: str, fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("22:00-07:00", QuietHours(22 * 60, 7 * 60)),
        (" 23:30 - 06:15 ", QuietHours(23 * 60 + 30, 6 * 60 + 15)),
        ("00:00-06:00", QuietHours(0, 6 * 60)),
        ("13:00-15:00", QuietHours(13 * 60, 15 * 60)),
        ("", None),
        ("  ", None),
    ],
)
def test_quiet_hours_are_read_from_text(text: str, expected: QuietHours | None) -> None:
    assert QuietHours.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "22-07",
        "24:00-07:00",
        "22:60-07:00",
        "22:00",
        "22:00-22:00",
        "07:00-06:00",
        "22:00–07:00",
        "night",
        "٢٢:00-07:00",
    ],
)
def test_what_is_no_night_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"lifetime\.quiet_hours"):
        QuietHours.parse(text)


@pytest.mark.parametrize(
    ("zone", "at", "began", "ends"),
    [
        ("Europe/Vienna", "2025-01-10T23:00", "2025-01-10T22:00", "2025-01-11T07:00"),
        ("Europe/Vienna", "2025-01-10T22:00", "2025-01-10T22:00", "2025-01-11T07:00"),
        ("Europe/Vienna", "2025-01-11T06:59:59.999", "2025-01-10T22:00", "2025-01-11T07:00"),
        # An hour less of sleep, and an hour more.
        ("Europe/Vienna", "2025-03-30T01:30", "2025-03-29T22:00", "2025-03-30T07:00"),
        ("Europe/Vienna", "2025-03-30T05:00", "2025-03-29T22:00", "2025-03-30T07:00"),
        ("Europe/Vienna", "2025-10-26T05:00", "2025-10-25T22:00", "2025-10-26T07:00"),
        ("Asia/Kathmandu", "2025-06-01T02:00", "2025-05-31T22:00", "2025-06-01T07:00"),
        ("Australia/Lord_Howe", "2025-10-05T05:00", "2025-10-04T22:00", "2025-10-05T07:00"),
        ("America/St_Johns", "2006-10-29T03:00", "2006-10-28T22:00", "2006-10-29T07:00"),
        # There was no 30th of December.
        ("Pacific/Apia", "2011-12-29T23:00", "2011-12-29T22:00", "2011-12-31T07:00"),
        ("Pacific/Apia", "2011-12-31T03:00", "2011-12-29T22:00", "2011-12-31T07:00"),
        ("Pacific/Apia", "2011-12-31T22:30", "2011-12-31T22:00", "2012-01-01T07:00"),
    ],
)
def test_a_night_is_found_from_any_moment_in_it(zone: str, at: str, began: str, ends: str) -> None:
    assert NIGHT.night(zone, moment(zone, at)) == (moment(zone, began), moment(zone, ends))


def test_the_skipped_day_has_no_night_of_its_own() -> None:
    began, ends = NIGHT.night("Pacific/Apia", moment("Pacific/Apia", "2011-12-31T03:00")) or (0, 0)
    assert ends - began == 9 * HOUR


def test_nights_are_as_long_as_they_really_were() -> None:
    lengths = []
    for day in ("2025-03-30", "2025-10-26", "2025-07-01"):
        began, ends = NIGHT.night("Europe/Vienna", moment("Europe/Vienna", f"{day}T04:00")) or (0, 0)
        lengths.append((ends - began) // HOUR)
    assert lengths == [8, 10, 9]


def test_a_night_that_begins_in_the_hour_that_was_skipped_begins_after_it() -> None:
    early = QuietHours(2 * 60 + 30, 7 * 60)
    night = early.night("Europe/Vienna", moment("Europe/Vienna", "2025-03-30T04:00"))
    assert night == (
        moment("Europe/Vienna", "2025-03-30T03:00"),
        moment("Europe/Vienna", "2025-03-30T07:00"),
    )


def test_a_night_that_ends_in_the_hour_that_was_skipped_ends_there() -> None:
    short = QuietHours(22 * 60, 2 * 60 + 30)
    night = short.night("Europe/Vienna", moment("Europe/Vienna", "2025-03-30T01:00"))
    assert night is not None
    assert night[1] == moment("Europe/Vienna", "2025-03-30T03:00")


@pytest.mark.parametrize("at", ["07:00", "12:00", "21:59:59.999"])
def test_by_day_there_is_no_night(at: str) -> None:
    assert NIGHT.night("Asia/Kolkata", moment("Asia/Kolkata", f"2025-05-05T{at}")) is None


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Nowhere/Land",
        "../../etc/passwd",
        "/etc/passwd",
        "America",
        "Europe/Vienna\0",
        "x" * 9999,
        "\udc80",
    ],
)
def test_in_a_zone_that_is_none_there_are_no_quiet_hours(zone: str) -> None:
    assert all(NIGHT.night(zone, hour * HOUR) is None for hour in range(24))
    assert local_hour(zone, 5 * HOUR) == 5


@settings(max_examples=300, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    at=st.integers(0, 2_200_000_000_000),
    start=st.integers(0, 24 * 60 - 1),
    length=st.integers(1, 16 * 60),
)
@example("Pacific/Apia", 1_325_289_600_000, 22 * 60, 9 * 60)
@example("Africa/Casablanca", 1_741_000_000_000, 60, 120)
def test_a_night_is_quiet_throughout_and_ends_on_both_sides(
    zone: str, at: int, start: int, length: int
) -> None:
    hours = QuietHours(start, (start + length) % (24 * 60))
    found = ZoneInfo(zone)

    def is_quiet(moment: int) -> bool:
        local = datetime.fromtimestamp(moment / 1000, found)
        return (local.hour * 60 + local.minute - start) % (24 * 60) < length

    night = hours.night(zone, at)
    assert (night is not None) is is_quiet(at)
    if night is None:
        return
    began, ends = night
    assert began <= at < ends
    assert not is_quiet(began - 1)
    assert not is_quiet(ends)
    step = max(1, (ends - began) // 50)
    assert all(is_quiet(moment) for moment in range(began, ends, step))


@given(zone=st.sampled_from([*ZONES, ""]), at=st.integers(0, 2_200_000_000_000), count=st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_hours_of_the_day_are_those_on_the_phones_clock(zone: str, at: int, count: int) -> None:
    found = ZoneInfo(zone or "UTC")
    moments = [at + n * HOUR for n in range(count)]
    expected = [datetime.fromtimestamp(moment // 1000, found).hour for moment in moments]
    assert local_hours(zone, at, count, HOUR) == expected


def test_what_is_ready_at_night_is_shown_in_the_morning_but_a_timer_may_be_a_little_late() -> None:
    policy = LifetimePolicy(quiet_hours=NIGHT)
    began, ends = moment("Europe/Vienna", "2025-01-10T22:00"), moment("Europe/Vienna", "2025-01-11T07:00")
    assert policy.shown_from("Europe/Vienna", began - 1) == began - 1
    assert policy.shown_from("Europe/Vienna", began + LATE - 1) == began + LATE - 1
    assert policy.shown_from("Europe/Vienna", began + LATE) == ends
    assert policy.shown_from("Europe/Vienna", ends) == ends
    assert policy.shown_from("", began + HOUR) == began + HOUR

"""What a use shows: whether it saved the life and how, whether a person was there, and the monthly note."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.course import DAY, HOUR, PHONE, START, Course
from wakerobin.core.lifetime import (
    Cease,
    Context,
    LifetimePolicy,
    QuietHours,
    Rescue,
    Use,
    is_personal,
    rescue,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended

END = START + 7 * DAY
NOTED = LifetimePolicy(monthly_note=True)
ANDROID = replace(PHONE, is_android=True)
NOTE = PushType.STILL_REACHABLE


@pytest.mark.parametrize(
    ("before_end", "cause", "expected"),
    [
        (2 * DAY, "renewal-push", None),
        (2 * DAY, "opened", None),
        (20 * HOUR, "renewal-push", Rescue.SILENT),
        (20 * HOUR, "opened", None),
        (6 * HOUR, "renewal-push", Rescue.SILENT),
        (6 * HOUR, "opened", Rescue.WARNED),
        (6 * HOUR, "tapped-warning", Rescue.WARNED),
        (6 * HOUR, "register", Rescue.WARNED),
        (6 * HOUR, "service-worker", Rescue.WARNED),
        (6 * HOUR, "warning-extension", Rescue.WARNED),
        (6 * HOUR, "patched", None),
    ],
)
def test_a_use_saves_a_life_silently_or_by_a_warning_or_there_was_no_danger(
    before_end: int, cause: str, expected: Rescue | None
) -> None:
    course = Course()
    course.run_until(END - before_end, warnings_accepted=True)
    assert rescue(course.life, cause) is expected


def test_what_has_ended_is_saved_by_nothing() -> None:
    course = Course()
    course.run_until(END - HOUR, warnings_accepted=True)
    course.event(Cease(Ended.DELETED))
    assert rescue(course.life, "opened") is None


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("opened", True),
        ("foreground", True),
        ("tapped-warning", True),
        ("tapped-notice", True),
        ("call", True),
        ("register", True),
        ("renewal-push", False),
        ("warning-extension", False),
        ("service-worker", False),
        ("receipt", False),
        ("patched", False),
    ],
)
def test_some_uses_show_that_a_person_was_there(cause: str, expected: bool) -> None:
    assert is_personal(cause) is expected
    course = Course()
    course.now += DAY
    course.event(Use(cause))
    assert course.life.opened_at == (course.now if expected else START)


def used_silently(course: Course, days: int, step: int = 5) -> list[int]:
    """Let silent renewals keep it for so long; return on which days the note was sent."""
    for _ in range(0, days, step):
        course.now += step * DAY
        course.event(Use("renewal-push"))
    return [(at - START) // DAY for at, send in course.sent if send.kind is NOTE]


def test_an_android_phone_that_nobody_opens_gets_a_note_after_60_days_and_then_monthly() -> None:
    course = Course(NOTED, context=ANDROID)
    assert used_silently(course, 200) == [60, 90, 120, 150, 180]


def test_the_note_belongs_to_the_new_generation() -> None:
    course = Course(NOTED, context=ANDROID)
    course.now += 60 * DAY
    course.event(Use("renewal-push"))
    assert course.of(NOTE).generation == course.life.generation == 2
    assert not course.is_superseded(course.of(NOTE))
    course.event(Use("opened"))
    assert course.is_superseded(course.of(NOTE)), "who opens the app needs no note"


def test_opening_the_app_begins_the_60_days_anew() -> None:
    course = Course(NOTED, context=ANDROID)
    used_silently(course, 55)
    course.now += DAY
    course.event(Use("opened"))
    assert used_silently(course, 55) == []
    assert len(used_silently(course, 10)) == 1


@pytest.mark.parametrize(
    ("policy", "context"),
    [
        (LifetimePolicy(), ANDROID),
        (NOTED, PHONE),
        (NOTED, replace(ANDROID, warnable=False)),
    ],
)
def test_nobody_else_gets_one(policy: LifetimePolicy, context: Context) -> None:
    course = Course(policy, context=context)
    assert used_silently(course, 200) == []


def test_the_note_is_not_shown_at_night() -> None:
    policy = LifetimePolicy(monthly_note=True, quiet_hours=QuietHours(22 * 60, 7 * 60))
    course = Course(policy, context=replace(ANDROID, zone="UTC"))
    course.now += 60 * DAY + 2 * HOUR
    course.event(Use("renewal-push"))
    assert course.of(NOTE).not_before == START + 60 * DAY + 7 * HOUR

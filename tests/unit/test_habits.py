"""What a life remembers of how its phone answers, and which renewals it chooses by it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.course import DAY, HOUR, MINUTE, PHONE, START, Course
from wakerobin.core.lifetime import (
    Answering,
    Habits,
    LifetimePolicy,
    PlanEntry,
    PlanKind,
    Reason,
    Renewal,
    Use,
    earliest_lead,
    plan,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration

ADAPTIVE = LifetimePolicy(renewal=Renewal.ADAPTIVE)
END = START + 7 * DAY
VIENNA = "Europe/Vienna"

ANSWERS = st.lists(
    st.one_of(st.none(), st.tuples(st.integers(0, 23), st.integers(1, 40), st.integers(0, 30 * DAY))),
    max_size=60,
)


def learned(answers: list[tuple[int, int, int] | None]) -> Habits:
    habits = Habits()
    for answer in answers:
        habits = habits.not_answered() if answer is None else habits.answered_at(*answer)
    return habits


def renewals(habits: Habits, policy: LifetimePolicy = ADAPTIVE, zone: str = "") -> list[PlanEntry]:
    entries = plan(policy, END, zone=zone, habits=habits.encode())
    return [entry for entry in entries if entry.kind is PlanKind.RENEW]


SOON = learned([(9, 1, MINUTE)] * 4)
SELDOM = learned([(3, 20, MINUTE), None, (3, 25, MINUTE), None])
SLOW = learned([(7, 8, 9 * HOUR)] * 4)
SILENT = learned([(9, 1, MINUTE), None, None])


@given(ANSWERS)
def test_what_was_learned_comes_back_from_its_text(answers: list[tuple[int, int, int] | None]) -> None:
    habits = learned(answers)
    text = habits.encode()
    assert Habits.decode(text) == habits
    assert len(text) <= 45
    assert (text == "") is (not answers)
    assert habits.answered <= habits.asked <= 12
    assert len(habits.good_hours) <= 4


@pytest.mark.parametrize(
    "text", ["", "1:", "2:1/1/0/1/1/", "1:1/1/0/1/1/abc", "1:a/1/0/1/1/", "1:1/1/0/1/1/" + "A" * 24, "\0"]
)
def test_text_that_nobody_wrote_is_no_habits(text: str) -> None:
    assert Habits.decode(text) == Habits()


@pytest.mark.parametrize(
    ("habits", "expected"),
    [
        (Habits(), Answering.UNKNOWN),
        (SOON, Answering.RELIABLE),
        (SELDOM, Answering.SELDOM),
        (SLOW, Answering.SELDOM),
        (SILENT, Answering.SILENT),
        (learned([None]), Answering.SELDOM),
        (learned([None, None, (9, 1, MINUTE)]), Answering.SELDOM),
    ],
)
def test_a_phone_is_known_by_its_answers(habits: Habits, expected: Answering) -> None:
    assert habits.answering is expected


def test_a_phone_that_changed_is_known_anew_after_a_few_lives() -> None:
    once_good = learned([(9, 1, MINUTE)] * 12 + [None] * 2)
    assert once_good.answering is Answering.SILENT
    again = once_good
    for _ in range(8):
        again = again.answered_at(20, 1, MINUTE)
    assert again.answering is Answering.RELIABLE
    assert 20 in again.good_hours


def test_good_hours_are_those_at_which_it_answered_most() -> None:
    assert learned([(9, 1, 0), (9, 1, 0), (21, 1, 0), (21, 1, 0), (3, 1, 0)]).good_hours == {9, 21, 3}
    assert Habits().good_hours == frozenset()
    at_midnight = learned([(0, 1, 0)])
    assert [hour for hour in range(24) if at_midnight.hours[hour]] == [0, 1, 23], "and the hours beside it"


def test_an_unknown_phone_is_asked_on_three_days_and_hourly_on_the_last() -> None:
    found = renewals(Habits())
    assert [entry.lead // HOUR for entry in found] == [*range(72, 24, -6), *range(24, 0, -1)]
    assert [entry.reason for entry in found] == [Reason.EARLY] * 8 + [Reason.CONFIGURED] * 24


def test_the_less_a_phone_answers_the_earlier_it_is_asked() -> None:
    first = {kind: renewals(kind)[0].lead for kind in (SOON, Habits(), SELDOM)}
    assert ADAPTIVE.renewal_from < first[SOON] <= first[Habits()] < first[SELDOM]


def test_a_phone_that_answers_seldom_is_asked_at_the_hours_at_which_it_answered() -> None:
    found = renewals(SELDOM, zone=VIENNA)
    good = [entry for entry in found if entry.reason is Reason.GOOD_HOUR]
    hours = [datetime.fromtimestamp(entry.at / 1000, ZoneInfo(VIENNA)).hour for entry in good]
    assert set(hours) <= set(SELDOM.good_hours)
    assert hours.count(3) >= 2, "at 3 in the morning, each day"


def test_a_phone_that_answers_after_hours_is_not_asked_again_before() -> None:
    soon = [entry.at for entry in renewals(learned([None])) if entry.reason is Reason.EARLY]
    slow = [entry.at for entry in renewals(SLOW) if entry.reason is Reason.EARLY]
    assert min(b - a for a, b in itertools.pairwise(slow)) > min(b - a for a, b in itertools.pairwise(soon))


def test_a_phone_that_never_answers_is_asked_seldom_but_not_never() -> None:
    found = renewals(SILENT)
    assert {entry.reason for entry in found} == {Reason.FEW}
    assert 4 <= len(found) <= 8
    assert len(found) < len(renewals(Habits())) / 3


def test_the_ladder_of_all_phones_alike_remains_for_who_wants_it() -> None:
    for habits in (Habits(), SOON, SELDOM, SILENT):
        leads = [entry.lead // HOUR for entry in renewals(habits, LifetimePolicy(renewal=Renewal.LADDER))]
        assert leads == list(range(24, 0, -1))


def test_the_single_push_of_others_is_one() -> None:
    assert [entry.lead for entry in renewals(SELDOM, LifetimePolicy(renewal=Renewal.SINGLE))] == [DAY]


@settings(max_examples=300, deadline=None)
@given(
    answers=ANSWERS,
    lifetime=st.sampled_from([60_000, HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY, 400 * DAY]),
    every=st.sampled_from([4_000, 20 * MINUTE, HOUR, 5 * HOUR]),
    zone=st.sampled_from(["", VIENNA, "Pacific/Apia", "Asia/Kathmandu"]),
    end=st.integers(1_000_000_000_000, 2_000_000_000_000),
)
def test_every_adaptive_plan_keeps_the_rules(
    answers: list[tuple[int, int, int] | None], lifetime: int, every: int, zone: str, end: int
) -> None:
    leads = (Duration(lifetime // 14), Duration(max(1, lifetime // 168)))
    renewal_from = Duration(max(lifetime // 7, 1))
    if renewal_from > 1000 * every or lifetime // 14 + every > 1000 * every:
        return
    policy = LifetimePolicy(
        lifetime=Duration(lifetime),
        renewal_from=renewal_from,
        renewal_every=Duration(every),
        warnings=leads,
        renewal=Renewal.ADAPTIVE,
    )
    entries = plan(policy, end, zone=zone, habits=learned(answers).encode())
    warned = [entry for entry in entries if entry.kind is PlanKind.WARNING]
    found = [entry for entry in entries if entry.kind is PlanKind.RENEW]
    assert [entry.lead for entry in warned] == list(policy.leads(lifetime)), "habits move no warning"
    assert found, "people allow again what they forbade"
    assert found[0].at <= warned[0].at, "law 2: silence is tried first"
    if lifetime // 2 >= warned[0].lead + every:
        assert found[0].at + every <= warned[0].at
    assert found[0].lead <= max(1, lifetime // 2)
    assert found[0].lead <= earliest_lead(policy, Duration(lifetime))
    apart = min((b.at - a.at for a, b in itertools.pairwise(found)), default=DAY)
    assert apart >= every
    if lifetime >= DAY:
        assert apart >= 30 * MINUTE, "Apple allows two an hour"
    assert len(found) <= 1200


def closed(cause: str, after: int, *, context_zone: str = "", policy: LifetimePolicy = ADAPTIVE) -> Habits:
    """Return what was learned from a generation that this use closed, so long before its end."""
    course = Course(policy, context=replace(PHONE, zone=context_zone))
    course.run_until(END - after)
    course.event(Use(cause))
    return Habits.decode(course.life.habits)


def test_an_answered_push_teaches_when_and_after_how_many() -> None:
    habits = closed("renewal-push", 60 * HOUR - 20 * MINUTE)
    assert (habits.asked, habits.answered, habits.unanswered) == (1, 1, 0)
    assert habits.tries == 3, "72, 66 and 60 hours before the end"
    assert habits.delay == 20
    assert habits.good_hours == {12}, "UTC where no zone is known: the end is at midnight"
    assert closed("renewal-push", 60 * HOUR, context_zone=VIENNA).good_hours == {13}


def test_a_life_that_its_user_saved_after_many_pushes_was_not_answered() -> None:
    for cause in ("opened", "tapped-warning", "register"):
        habits = closed(cause, HOUR)
        assert (habits.asked, habits.answered, habits.unanswered) == (1, 0, 1)


def test_a_use_soon_after_the_first_push_says_nothing_of_the_phone() -> None:
    assert closed("opened", 71 * HOUR) == Habits()


def test_a_phone_in_daily_use_has_no_habits() -> None:
    course = Course(ADAPTIVE)
    for _ in range(50):
        course.now += DAY
        course.event(Use("opened"))
        course.run_until(course.now)
    assert course.life.habits == ""
    assert not course.sent


def test_what_was_learned_survives_uses_and_shapes_the_next_lives() -> None:
    course = Course(ADAPTIVE)
    for _ in range(2):
        course.run_until(course.life.expires_at - HOUR)
        course.event(Use("opened"))
    assert Habits.decode(course.life.habits).answering is Answering.SILENT
    course.now += DAY
    course.event(Use("opened"))
    course.sent.clear()
    course.run_until(course.life.expires_at - 1)
    assert course.left(PushType.RENEW) == [72.0, 60.0, 48.0, 36.0, 24.0, 18.0, 12.0, 6.0]
    assert course.left(PushType.EXPIRY_WARNING) == [12.0, 1.0], "law 2 holds with few pushes too"


def test_the_ladder_learns_as_well_so_that_it_is_known_when_somebody_switches() -> None:
    habits = closed("renewal-push", 20 * HOUR, policy=LifetimePolicy())
    assert (habits.answered, habits.tries) == (1, 5)

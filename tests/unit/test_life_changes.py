"""Another policy in the middle of a life (law 9), and what the operator can do to one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.course import DAY, HOUR, MINUTE, PHONE, START, Course
from wakerobin.core.lifetime import (
    REWARN,
    Cease,
    Extend,
    Fire,
    LifetimePolicy,
    PolicyChanged,
    QuietHours,
    Renewal,
    Rewarn,
    TargetsLeft,
    Tell,
    Use,
    Void,
    WarningSettled,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended

END = START + 7 * DAY
WARNING = PushType.EXPIRY_WARNING
SHORTER = LifetimePolicy(lifetime=Duration(3 * DAY))


def changed(course: Course, policy: LifetimePolicy, jitter: float = 0.0) -> Course:
    course.policy = policy
    course.event(PolicyChanged(jitter))
    return course


def after(days: float) -> Course:
    course = Course()
    course.run_until(START + round(days * DAY), warnings_accepted=True)
    return course


def test_a_shorter_lifetime_counts_from_the_last_use() -> None:
    course = changed(after(1), SHORTER)
    assert course.life.expires_at == START + 3 * DAY
    assert course.life.lifetime == 3 * DAY
    assert course.life.generation == 1
    assert course.last == (Tell("policy-changed", {"expires_at": START + 3 * DAY}),)
    course.run_until(START + 3 * DAY, warnings_accepted=True)
    assert course.left(WARNING) == [12.0, 1.0]
    assert course.end() is Ended.EXPIRED


def test_a_life_that_would_be_over_already_has_time_for_its_renewals() -> None:
    course = changed(after(5), SHORTER)
    assert course.life.expires_at == START + 5 * DAY + DAY


@pytest.mark.parametrize(("jitter", "days"), [(-1.0, 1.90), (0.0, 2.0), (1.0, 2.10), (7.0, 2.10)])
def test_new_ends_are_spread_by_a_twentieth(jitter: float, days: float) -> None:
    course = changed(after(1), SHORTER, jitter)
    assert course.life.expires_at == START + DAY + round(days * DAY)


def test_a_longer_lifetime_changes_nothing_before_the_next_use() -> None:
    course = changed(after(1), LifetimePolicy(lifetime=Duration(30 * DAY)))
    assert course.life.expires_at == END
    assert course.last == ()


def test_a_registrations_own_lifetime_may_stay() -> None:
    course = after(1)
    course.policy = SHORTER
    assert course.event(PolicyChanged(0.0, lifetime=Duration(7 * DAY))) == ()
    assert course.life.expires_at == END
    course.event(PolicyChanged(0.0, lifetime=Duration(2 * DAY)))
    assert course.life.expires_at == START + 2 * DAY


def test_rungs_that_come_earlier_now_are_not_missed() -> None:
    course = changed(after(1), LifetimePolicy(renewal_from=Duration(3 * DAY)))
    course.run_until(END - 3 * DAY)
    assert course.left(PushType.RENEW) == [72.0]


def test_a_life_that_has_begun_to_climb_looks_at_its_new_rungs_at_once() -> None:
    every = LifetimePolicy(renewal_every=Duration(20 * MINUTE))
    course = changed(after(6.2), every)
    course.run_until(course.now + 40 * MINUTE)
    assert len([at for at, _ in course.sent if at > START + round(6.2 * DAY)]) >= 2


def test_a_warning_that_was_sent_is_not_sent_again_under_a_shorter_policy() -> None:
    """Warned twelve hours before the end; the new rules end it three hours from now."""
    course = after(6.6)
    assert course.left(WARNING) == [12.0]
    short = LifetimePolicy(
        lifetime=Duration(6 * HOUR),
        renewal_from=Duration(3 * HOUR),
        warnings=(Duration(2 * HOUR), Duration(HOUR)),
    )
    before = course.now
    changed(course, short)
    assert course.life.expires_at == before + 3 * HOUR
    assert Void(2) in course.last
    course.run_until(course.life.expires_at, warnings_accepted=True)
    assert course.left(WARNING)[1:] == [1.0], "the first was sent; the last is owed"
    assert course.end() is Ended.EXPIRED


def test_a_life_that_ends_anyway_ends_as_it_was_told() -> None:
    course = Course()
    course.event(TargetsLeft(call=0, notice=1))
    before = course.life
    changed(course, LifetimePolicy(lifetime=Duration(12 * HOUR), warnings=(Duration(HOUR),)))
    assert course.life == before


@given(
    days=st.floats(0, 6.99),
    jitter=st.floats(-1, 1),
    lifetime=st.sampled_from([HOUR, 12 * HOUR, 2 * DAY, 6 * DAY, 8 * DAY]),
    night=st.booleans(),
    renewal=st.sampled_from(list(Renewal)),
    accepted=st.booleans(),
)
def test_whenever_it_changes_no_life_grows_ends_early_or_stands_still(
    days: float, jitter: float, lifetime: int, night: bool, renewal: Renewal, accepted: bool
) -> None:
    policy = LifetimePolicy(
        lifetime=Duration(lifetime),
        warnings=(Duration(lifetime // 5), Duration(lifetime // 20)),
        quiet_hours=QuietHours(22 * 60, 7 * 60) if night else None,
        renewal=renewal,
    )
    course = Course(context=replace(PHONE, zone="Europe/Vienna"))
    course.run_until(START + round(days * DAY), warnings_accepted=accepted)
    before, now = course.life, course.now
    changed(course, policy, jitter)
    life = course.life
    assert life.expires_at <= before.expires_at
    first = policy.first_renewal(lifetime, policy.leads(lifetime))
    assert life.expires_at >= min(before.expires_at, now + round(0.95 * first) - 1)
    assert life.next_at is not None
    assert life.next_at <= life.expires_at
    course.run_until(before.expires_at + 4 * DAY, warnings_accepted=accepted)
    assert course.end() is Ended.EXPIRED
    assert course.life.ended_at >= life.expires_at
    moments = [at for at, send in course.sent if send.kind is WARNING]
    assert len(moments) == len(set(moments)), "not two at once"


def test_the_operator_moves_an_end_and_its_warnings_with_it() -> None:
    course = after(6.8)
    assert course.left(WARNING) == [12.0]
    effects = course.event(Extend(END + 20 * DAY))
    assert course.life.expires_at == END + 20 * DAY
    assert course.life.renewed_at == START, "it is nobody's use"
    assert (course.life.generation, course.life.step, course.life.warned_at) == (2, 0, 0)
    assert effects == (Void(2), Tell("extended", {"expires_at": END + 20 * DAY}))
    course.sent.clear()
    course.run_until(END + 20 * DAY, warnings_accepted=True)
    assert course.left(WARNING) == [12.0, 1.0]


@pytest.mark.parametrize("until", [END, END - DAY, 0])
def test_the_operator_never_makes_a_life_shorter(until: int) -> None:
    course = Course()
    before = course.life
    assert course.event(Extend(until)) == ()
    assert course.life == before


def test_what_has_ended_is_not_extended_or_warned() -> None:
    course = Course()
    course.event(Cease(Ended.DELETED))
    assert course.event(Extend(END + DAY)) == ()
    assert course.event(Rewarn()) == ()


def test_the_operator_brings_the_first_warning_forward() -> None:
    course = after(3)
    effects = course.event(Rewarn())
    send = course.of(WARNING)
    assert (send.step, send.not_before, send.deadline_at) == (REWARN, course.now, END)
    assert Tell("rewarned") in effects
    assert not course.is_superseded(send)
    course.event(WarningSettled(1, REWARN, accepted=True))
    course.run_until(END - 1, warnings_accepted=True)
    assert course.left(WARNING) == [96.0, 1.0], "the one of 12 h was brought forward, the last stays"
    course.run_until(END)
    assert course.end() is Ended.EXPIRED


def test_a_repeated_warning_replaces_none_that_is_still_to_come() -> None:
    course = after(6.8)
    course.event(Rewarn())
    course.event(WarningSettled(1, REWARN, accepted=True))
    assert not course.life.warning_settled
    course.run_until(END - 1, warnings_accepted=True)
    assert course.left(WARNING)[-1] == 1.0


def test_a_repeated_warning_settles_an_overdue_life_that_waits_for_one() -> None:
    course = Course()
    course.run_until(END + HOUR)
    assert course.life.ended is None
    course.event(Rewarn())
    course.event(WarningSettled(1, REWARN, accepted=True))
    course.run_until(END + 2 * HOUR)
    assert course.end() is Ended.EXPIRED


def test_a_refused_repeated_warning_settles_nothing() -> None:
    course = Course()
    course.run_until(END + HOUR)
    course.event(Rewarn())
    course.event(WarningSettled(1, REWARN, accepted=False))
    assert not course.life.warning_settled


def test_after_all_was_sent_the_operator_can_still_warn_and_a_use_makes_it_void() -> None:
    course = Course()
    course.run_until(END - MINUTE, warnings_accepted=True)
    assert course.life.warning_settled
    course.event(Rewarn())
    send = course.of(WARNING)
    assert not course.is_superseded(send)
    course.event(Use("opened"))
    assert course.is_superseded(send)


def test_there_is_no_use_in_a_warning_whose_time_is_over() -> None:
    course = Course()
    course.run_until(END - HOUR)
    course.now = END + 3 * DAY
    assert course.event(Rewarn()) == ()


def test_who_can_be_shown_nothing_is_not_warned_by_the_operator_either() -> None:
    course = Course(context=replace(PHONE, warnable=False))
    assert course.event(Rewarn()) == ()


def test_firing_twice_after_a_change_sends_nothing_twice() -> None:
    course = changed(after(6.6), LifetimePolicy(renewal_every=Duration(30 * MINUTE)))
    course.event(Fire())
    before = len(course.sent)
    course.event(Fire())
    assert len(course.sent) == before

"""What the end leaves where the policy keeps credentials: one use resumes, and after a time it is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.course import DAY, HOUR, MINUTE, PHONE, START, Course
from wakerobin.core.lifetime import (
    Cease,
    End,
    Extend,
    Fire,
    LifetimePolicy,
    PolicyChanged,
    Proven,
    Recovered,
    Release,
    RenewalSent,
    Resume,
    Rewarn,
    Stage,
    TargetsLeft,
    TargetsRestored,
    Tell,
    Trouble,
    TroubleEnd,
    Use,
    Void,
    WarningSettled,
    stage,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended

END = START + 7 * DAY
DORMANT = LifetimePolicy(dormant_for=Duration(90 * DAY))


def dormant(policy: LifetimePolicy = DORMANT) -> Course:
    course = Course(policy)
    course.run_until(END, warnings_accepted=True)
    return course


def test_the_end_keeps_the_credentials_drops_the_binding_and_is_told() -> None:
    course = dormant()
    assert course.end() is Ended.DORMANT
    assert course.life.next_at == END + 90 * DAY
    assert course.kinds()[-1] is PushType.EXPIRED
    assert End(Ended.DORMANT, with_targets=False, keeps_credentials=True) in course.last
    assert Release(keeps_credentials=True) in course.last
    assert stage(course.life, DORMANT) is Stage.DORMANT
    assert not course.is_superseded(course.of(PushType.EXPIRED))


@pytest.mark.parametrize("cause", ["opened", "register", "tapped-notice"])
def test_one_use_resumes_it(cause: str) -> None:
    course = dormant()
    notice = course.of(PushType.EXPIRED)
    course.now = END + 89 * DAY
    effects = course.event(Use(cause))
    life = course.life
    assert (life.ended, life.ended_at, life.generation, life.step) == (None, 0, 2, 0)
    assert life.expires_at == course.now + 7 * DAY
    assert life.next_at == life.expires_at - DAY
    assert effects[:2] == (Void(2), Resume())
    assert [effect.event for effect in effects if isinstance(effect, Tell)] == ["revived"]
    assert course.is_superseded(notice), "calls arrive again"
    course.run_until(life.expires_at, warnings_accepted=True)
    assert course.end() is Ended.DORMANT, "and it can expire again"


def test_nobody_resumed_it_in_time() -> None:
    course = dormant()
    course.sent.clear()
    course.run_until(END + 90 * DAY - 1)
    assert course.end() is Ended.DORMANT
    course.run_until(END + 90 * DAY)
    assert course.end() is Ended.EXPIRED
    assert (course.life.ended_at, course.life.next_at) == (END + 90 * DAY, None)
    assert course.last == (Void(2), End(Ended.EXPIRED, with_targets=True), Release(), Tell("forgotten"))
    assert not course.sent, "its user was told long ago"
    assert course.event(Use("opened")) == (), "now it is too late"


def test_deleting_a_dormant_one_erases_what_was_kept() -> None:
    course = dormant()
    course.event(Cease(Ended.DELETED))
    assert course.end() is Ended.DELETED
    assert course.life.next_at is None
    assert End(Ended.DELETED, with_targets=True) in course.last
    assert Release() in course.last


def test_a_dormant_one_whose_app_is_gone_is_over() -> None:
    course = dormant()
    course.event(TargetsLeft(call=1, notice=0))
    assert course.end() is Ended.DORMANT
    course.event(TargetsLeft(call=0, notice=0, release_at=END + 5 * MINUTE))
    assert course.end() is Ended.TARGETS_GONE
    assert course.life.next_at == END + 5 * MINUTE


def test_the_guard_brings_it_back_dormant() -> None:
    course = dormant()
    course.event(TargetsLeft(call=0, notice=0, release_at=END + 5 * MINUTE))
    course.now += MINUTE
    course.event(TargetsRestored())
    assert course.end() is Ended.DORMANT
    assert course.life.next_at == END + 90 * DAY
    course.event(Use("opened"))
    assert course.end() is None


def test_other_events_do_not_wake_it() -> None:
    course = dormant()
    asleep = course.life
    for event in (
        Fire(),
        Proven(),
        RenewalSent(1),
        WarningSettled(1, 30, accepted=True),
        Trouble("refused", ""),
        TroubleEnd(""),
        Recovered(),
        PolicyChanged(0.0),
        Extend(END + 99 * DAY),
        Rewarn(),
    ):
        assert course.event(event) == ()
        assert course.life == asleep


def test_who_has_nothing_left_to_ring_is_not_kept() -> None:
    course = Course(DORMANT, context=replace(PHONE, has_call_target=False))
    course.run_until(END, warnings_accepted=True)
    assert course.end() is Ended.TARGETS_GONE


def test_a_refused_account_is_not_kept() -> None:
    course = Course(DORMANT)
    course.event(Trouble("refused", "403"))
    course.trouble_is_settled()
    course.now += 6 * HOUR
    course.event(TroubleEnd("403"))
    assert course.end() is Ended.REFUSED


def test_without_the_setting_the_end_forgets() -> None:
    assert dormant(LifetimePolicy()).life.ended is Ended.EXPIRED

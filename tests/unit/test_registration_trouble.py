"""Law 7 in one life: the user hears the truth once, and before an end by refusal; so of its recovery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.course import DAY, HOUR, MINUTE, PHONE, START, Course
from wakerobin.core.lifetime import (
    LAST_RESORT,
    NOTICE_TIME,
    TROUBLE_NOTICE,
    TROUBLE_TEXT,
    Cease,
    End,
    LifetimePolicy,
    QuietHours,
    Recovered,
    Release,
    Stage,
    Tell,
    Trouble,
    TroubleEnd,
    Use,
    Void,
    WarningSettled,
    stage,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended

END = START + 7 * DAY
TEXT, OVER = PushType.REGISTRATION_TROUBLE, PushType.REGISTRATION_TROUBLE_OVER
WARNING = PushType.EXPIRY_WARNING
REFUSED = Trouble("refused", "403 Forbidden")


def troubled(*, settled: bool = True, at: int = START + DAY) -> Course:
    """A life whose user was told two days after its use that the PBX refuses the account."""
    course = Course()
    course.now = at
    course.context = replace(PHONE, is_registered=False)
    course.event(REFUSED)
    if settled:
        course.trouble_is_settled()
    return course


def test_the_user_hears_once_however_often_it_is_said() -> None:
    course = troubled()
    for _ in range(5):
        course.now += HOUR
        assert course.event(REFUSED) == ()
        assert course.event(Trouble("unreachable", "timeout")) == ()
    assert course.kinds() == [TEXT]
    assert course.of(TEXT).step == TROUBLE_TEXT
    assert course.of(TEXT).payload == {"cause": "refused", "reason": "403 Forbidden"}


def test_who_was_told_that_the_pbx_is_out_of_reach_hears_that_it_refuses() -> None:
    course = Course()
    course.event(Trouble("unreachable", "timeout"))
    course.trouble_is_settled()
    course.now += 6 * HOUR
    course.event(REFUSED)
    assert [send.payload["cause"] for _, send in course.sent] == ["unreachable", "refused"]
    assert course.event(REFUSED) == ()
    course.event(TroubleEnd("403"))
    assert course.life.ended is None, "that text is not settled"
    course.trouble_is_settled()
    course.now += 6 * HOUR
    course.event(TroubleEnd("403"))
    assert course.end() is Ended.REFUSED


def test_nobody_ends_by_refusal_who_only_heard_that_the_pbx_is_out_of_reach() -> None:
    course = Course()
    course.event(Trouble("unreachable", "timeout"))
    course.trouble_is_settled()
    course.now += DAY
    course.event(TroubleEnd("403"))
    assert course.life.ended is None
    assert course.of(TEXT).payload["cause"] == "refused"


def test_who_can_be_shown_nothing_is_told_nothing() -> None:
    course = Course(context=replace(PHONE, warnable=False))
    assert course.event(REFUSED) == ()
    assert course.event(Recovered()) == ()


def test_the_end_by_refusal_has_its_own_notice() -> None:
    course = troubled()
    course.now += 6 * HOUR
    effects = course.event(TroubleEnd("403 Forbidden"))
    assert course.life.ended is Ended.REFUSED
    assert course.kinds() == [TEXT, TEXT]
    notice = course.of(TEXT)
    assert (notice.step, notice.deadline_at) == (TROUBLE_NOTICE, course.now + NOTICE_TIME)
    assert notice.payload == {"cause": "refused", "reason": "403 Forbidden", "ended": True}
    assert Void(2) in effects
    assert End(Ended.REFUSED, with_targets=False) in effects
    assert Release() in effects
    assert Tell("ended", {"reason": "refused"}) in effects
    assert not course.is_superseded(notice), "the notice of the end leaves after it"
    assert course.is_superseded(course.sent[0][1]), "the text from before it does not"
    assert stage(course.life, course.policy) is Stage.ENDED


def test_nobody_ends_by_refusal_who_was_not_told_first() -> None:
    course = Course()
    course.event(TroubleEnd("403 Forbidden"))
    assert course.life.ended is None
    assert course.kinds() == [TEXT]
    course.trouble_is_settled()
    course.now += HOUR - 1
    course.event(TroubleEnd("403 Forbidden"))
    assert course.life.ended is None, "the smallest lead lies between a text and the end"
    course.now += 1
    course.event(TroubleEnd("403 Forbidden"))
    assert course.life.ended is Ended.REFUSED


def test_a_text_that_no_push_service_takes_holds_the_end_up_for_the_grace_and_no_longer() -> None:
    course = troubled(settled=False)
    told_at = course.now
    course.context = replace(course.context, downtime=((told_at + HOUR, told_at + 3 * HOUR),))
    course.now = told_at + 50 * HOUR - 1
    course.event(TroubleEnd("403"))
    assert course.life.ended is None
    course.now += 1
    course.event(TroubleEnd("403"))
    assert course.life.ended is Ended.REFUSED


def test_a_text_that_was_refused_for_good_holds_nothing_up() -> None:
    course = troubled(settled=False)
    course.event(WarningSettled(1, TROUBLE_TEXT, accepted=False))
    course.now += 2 * HOUR
    course.event(TroubleEnd("403"))
    assert course.life.ended is Ended.REFUSED


def test_who_can_be_shown_nothing_ends_silently() -> None:
    course = Course(context=replace(PHONE, warnable=False))
    course.event(TroubleEnd("403"))
    assert course.life.ended is Ended.REFUSED
    assert not course.sent
    assert End(Ended.REFUSED, with_targets=True) in course.last


def test_a_held_call_is_not_cut_by_it() -> None:
    course = troubled()
    course.now += DAY
    course.context = replace(course.context, held_call=True)
    course.event(TroubleEnd("403"))
    assert course.life.ended is None


def test_recovery_is_said_once_to_who_was_told() -> None:
    course = troubled()
    text = course.of(TEXT)
    course.now += HOUR
    assert not course.is_superseded(text)
    course.event(Recovered())
    assert course.kinds() == [TEXT, OVER]
    assert course.is_superseded(text), "it is not true any more"
    assert course.event(Recovered()) == ()


def test_recovery_before_the_text_could_leave_makes_both_needless() -> None:
    course = troubled(settled=False)
    text = course.of(TEXT)
    course.event(Recovered())
    assert course.kinds() == [TEXT]
    assert course.is_superseded(text)


def test_trouble_that_comes_back_is_told_again_and_what_was_over_is_not_said() -> None:
    course = troubled()
    course.event(Recovered())
    over = course.of(OVER)
    course.now += HOUR
    course.event(REFUSED)
    assert course.kinds() == [TEXT, OVER, TEXT]
    assert course.is_superseded(over)


def test_recovery_takes_the_early_end_back() -> None:
    course = troubled()
    course.event(Recovered())
    course.context = PHONE
    course.run_until(END - 1, warnings_accepted=True)
    assert course.life.ended is None
    assert course.life.expires_at == END


def test_a_generation_that_was_told_of_trouble_gets_no_ordinary_warning_but_the_last() -> None:
    course = troubled(at=END - 20 * HOUR)
    course.run_until(END - 1, warnings_accepted=True)
    assert course.left(WARNING) == [1.0]
    assert course.of(WARNING).payload["registered"] is False
    course.run_until(END)
    assert course.life.ended is Ended.EXPIRED


def test_the_next_generation_is_warned_as_usual_but_never_says_that_calls_arrive() -> None:
    course = troubled()
    course.event(Use("opened"))
    course.sent.clear()
    course.run_until(course.life.expires_at, warnings_accepted=True)
    warned = [send for _, send in course.sent if send.kind is WARNING]
    assert course.left(WARNING) == [12.0, 1.0]
    assert all(send.payload["registered"] is False for send in warned)


@pytest.mark.parametrize("is_registered", [True, False])
def test_a_warning_of_last_resort_says_whether_calls_arrive(is_registered: bool) -> None:
    course = Course(context=replace(PHONE, is_registered=is_registered))
    course.run_until(END, renewals_accepted=False)
    assert course.of(WARNING).step == LAST_RESORT
    assert course.of(WARNING).payload.get("registered", True) is is_registered


def test_a_use_does_not_make_the_user_hear_it_twice() -> None:
    course = troubled()
    course.event(Use("opened"))
    assert course.event(REFUSED) == ()
    course.event(Recovered())
    assert course.kinds() == [TEXT, OVER]


def test_a_text_that_a_use_voided_is_said_anew() -> None:
    course = troubled(settled=False)
    course.event(Use("renewal-push"))
    course.event(REFUSED)
    assert course.kinds() == [TEXT, TEXT]


def test_the_text_waits_for_the_morning_and_so_does_the_end() -> None:
    course = Course(LifetimePolicy(quiet_hours=QuietHours(22 * 60, 7 * 60)))
    course.context = replace(PHONE, zone="UTC")
    course.now = START + 2 * HOUR
    course.event(REFUSED)
    assert course.of(TEXT).not_before == START + 7 * HOUR
    course.now = START + 5 * HOUR
    course.event(TroubleEnd("403"))
    assert course.life.ended is None, "it has not been shown yet"
    course.trouble_is_settled()
    course.now = START + 8 * HOUR + MINUTE
    course.event(TroubleEnd("403"))
    assert course.life.ended is Ended.REFUSED


def test_after_the_end_trouble_is_nobodys() -> None:
    course = Course()
    course.event(Cease(Ended.DELETED))
    for event in (REFUSED, TroubleEnd("403"), Recovered()):
        assert course.event(event) == ()


def test_settlements_of_trouble_texts_do_not_settle_the_last_warning() -> None:
    course = troubled()
    assert not course.life.warning_settled
    assert course.life.warned_at == 0

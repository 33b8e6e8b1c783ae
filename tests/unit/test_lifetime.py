"""A life, step by step: what each moment decides. The laws over random histories are in `laws/`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.course import DAY, HOUR, MINUTE, PHONE, START, Course
from wakerobin.core.lifetime import (
    HELD_CALL_WAIT,
    LAST_RESORT,
    NOTICE_TIME,
    TARGETS_NEEDED_TIME,
    Cease,
    Context,
    End,
    Fire,
    LifetimePolicy,
    Proven,
    Release,
    Renewal,
    RenewalSent,
    Send,
    Stage,
    TargetsLeft,
    TargetsRestored,
    Tell,
    Use,
    Void,
    WarningSettled,
    grace_end,
    is_superseded,
    stage,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Life

END = START + 7 * DAY
POLICY = LifetimePolicy()

RENEWALS, RENEW, WARNING = 24, PushType.RENEW, PushType.EXPIRY_WARNING
COUNT = RENEWALS + 2


def test_a_new_life_waits_for_its_first_renewal() -> None:
    life = Course().life
    assert (life.expires_at, life.next_at, life.generation, life.step) == (END, END - DAY, 1, 0)


def test_use_renews_and_voids_what_was_planned() -> None:
    course = Course()
    course.run_until(END - 6 * HOUR, warnings_accepted=True)
    effects = course.event(Use("opened"))
    assert course.life.expires_at == course.now + 7 * DAY
    assert (course.life.generation, course.life.step, course.life.warned_at) == (2, 0, 0)
    assert not course.life.renewal_sent_at
    assert Void(2) in effects
    assert [e.details["cause"] for e in effects if isinstance(e, Tell)] == ["opened"]


def test_a_use_leaves_the_timer_where_it_is_and_the_firing_looks_again() -> None:
    course = Course()
    course.now = START + 3 * DAY
    armed = course.life.next_at
    course.event(Use("opened"))
    assert course.life.next_at == armed
    course.run_until(END - DAY)
    assert not course.sent
    assert course.life.next_at == START + 3 * DAY + 7 * DAY - DAY


def test_routine_uses_of_the_same_hour_are_told_once() -> None:
    course = Course()
    course.now += 59 * MINUTE
    assert not [e for e in course.event(Use("register")) if isinstance(e, Tell)]
    course.now += 61 * MINUTE
    assert [e for e in course.event(Use("register")) if isinstance(e, Tell)]


def test_a_phone_in_a_drawer_gets_silence_first_then_two_warnings_then_the_end() -> None:
    course = Course()
    course.run_until(END - 1, warnings_accepted=True)
    assert course.left(RENEW) == [float(hours) for hours in range(24, 0, -1)]
    assert course.left(WARNING) == [12.0, 1.0]
    course.run_until(END)
    assert course.life.ended is Ended.EXPIRED
    assert course.life.next_at is None
    assert course.of(PushType.EXPIRED).deadline_at == END + NOTICE_TIME
    kinds = [type(effect) for effect in course.last]
    assert kinds == [Void, Send, End, Release, Tell], "void first, so that the notice stays"


@pytest.mark.parametrize("lifetime", [MINUTE, HOUR, DAY, 30 * DAY, 400 * DAY])
@pytest.mark.parametrize("renewal", list(Renewal))
def test_a_life_of_any_length_is_renewed_silently_warned_and_ended(lifetime: int, renewal: Renewal) -> None:
    course = Course(LifetimePolicy(renewal=renewal), lifetime)
    end = START + lifetime
    course.run_until(end - 1, warnings_accepted=True)
    assert course.kinds()[0] is RENEW
    course.run_until(end + lifetime, warnings_accepted=True)
    assert course.life.ended is Ended.EXPIRED
    assert WARNING in course.kinds()
    assert course.life.ended_at <= end + lifetime // 4


def test_renewals_are_stored_on_the_way_until_the_first_warning_and_never_after_it() -> None:
    course = Course()
    course.run_until(END - 1, warnings_accepted=True)
    renewals = {send.step: send.deadline_at for _, send in course.sent if send.kind is RENEW}
    assert set(list(renewals.values())[:12]) == {END}
    assert set(list(renewals.values())[12:]) == {0}, "the one beside the warning would replace it"


def test_no_warning_while_no_renewal_could_be_handed_over() -> None:
    course = Course()
    course.run_until(END - 1, renewals_accepted=False)
    assert course.left(WARNING) == []
    assert len(course.left(RENEW)) == 24, "silence is tried all the while"
    course.run_until(END)
    assert course.left(WARNING) == [0.0], "overdue"
    assert course.life.ended is None


def test_a_warning_waits_an_hour_for_the_renewal_that_came_late() -> None:
    course = Course()
    course.run_until(END - 11 * HOUR - 30 * MINUTE, renewals_accepted=False)
    course.event(RenewalSent(1))
    course.run_until(END - 1, renewals_accepted=False)
    assert course.left(WARNING) == [10.5, 1.0]


def test_where_silence_is_not_possible_warnings_go_without_it() -> None:
    course = Course()
    course.context = replace(PHONE, renewable=False)
    course.run_until(END - 1)
    assert course.left(RENEW) == []
    assert course.left(WARNING) == [12.0, 1.0]


def test_after_an_outage_only_the_last_of_each_is_sent() -> None:
    course = Course()
    course.run_until(END - 20 * HOUR)
    course.now = END - 30 * MINUTE
    course.event(Fire())
    assert course.left(WARNING) == [0.5]
    assert course.left(RENEW)[-1] == 0.5
    assert course.of(WARNING).step == COUNT - 1, "the one-hour warning"


@pytest.mark.parametrize(("late", "warned"), [(9 * HOUR, [3.0, 1.0]), (10 * HOUR + 1, [1.0])])
def test_a_warning_that_an_outage_made_late_gives_way_to_the_next_within_an_hour(
    late: int, warned: list[float]
) -> None:
    course = Course()
    course.run_until(END - 13 * HOUR)
    course.now = END - 12 * HOUR + late
    course.event(Fire())
    course.run_until(END - 1, warnings_accepted=True)
    assert course.left(WARNING) == warned


def test_a_warning_that_a_push_service_held_up_does_not_leave_right_before_the_next() -> None:
    course = Course()
    course.run_until(END - 12 * HOUR)
    held_up = course.of(WARNING).step
    assert not _superseded(course.life, WARNING, held_up, END - 2 * HOUR)
    assert _superseded(course.life, WARNING, held_up, END - 2 * HOUR + 1)


def test_a_life_that_came_due_while_the_server_was_down_is_warned_first() -> None:
    course = Course()
    course.now = END + 3 * DAY
    course.context = replace(PHONE, downtime=((START + HOUR, course.now),))
    course.event(Fire())
    assert course.life.ended is None
    assert [send.kind for _, send in course.sent] == [WARNING]
    assert course.of(WARNING).payload == {"announced_at": course.now + HOUR, "lead": HOUR}
    course.now += 5 * MINUTE
    course.event(WarningSettled(1, course.of(WARNING).step, accepted=True))
    accepted_at = course.now
    course.run_until(accepted_at + HOUR - 1)
    assert course.life.ended is None
    course.run_until(accepted_at + HOUR)
    assert course.life.ended is Ended.EXPIRED


def test_a_warning_that_was_accepted_late_moves_the_end_by_the_smallest_lead() -> None:
    course = Course()
    course.run_until(END - 10 * MINUTE)
    assert course.left(WARNING) == [12.0, 1.0]
    course.event(WarningSettled(1, COUNT - 2, accepted=True))
    course.event(WarningSettled(1, COUNT - 1, accepted=True))
    course.run_until(END + 49 * MINUTE)
    assert course.life.ended is None
    course.run_until(END + 50 * MINUTE)
    assert course.life.ended is Ended.EXPIRED


def test_a_warning_finally_refused_is_settled_and_the_end_comes_in_time() -> None:
    course = Course()
    course.run_until(END - 10 * MINUTE)
    course.event(WarningSettled(1, COUNT - 1, accepted=False))
    course.run_until(END)
    assert course.life.ended is Ended.EXPIRED


def test_a_warning_that_lapsed_unsent_is_decided_anew_at_the_end_and_grace_begins() -> None:
    course = Course()
    course.run_until(END)
    last = course.of(WARNING)
    assert course.life.ended is None
    assert (last.step, last.deadline_at) == (LAST_RESORT, END + 48 * HOUR)
    assert last.not_before == END + MINUTE, "what is in flight may still be accepted"
    course.run_until(END + 48 * HOUR - 1)
    assert course.life.ended is None
    course.run_until(END + 48 * HOUR)
    assert course.life.ended is Ended.EXPIRED
    assert Tell("grace-over") in course.last


def test_time_in_which_the_server_did_not_run_is_nobodys_grace() -> None:
    life = Course().life
    tried = replace(life, warning_tried_at=END - HOUR)
    assert grace_end(tried, POLICY, ()) == END + 48 * HOUR
    before_and_after = ((START, START + HOUR), (END - HOUR, END + 2 * HOUR), (END + 9 * DAY, END + 10 * DAY))
    assert grace_end(tried, POLICY, before_and_after) == END + 50 * HOUR


def test_a_phone_that_shows_nothing_is_not_waited_for() -> None:
    course = Course()
    course.context = replace(PHONE, warnable=False)
    course.run_until(END)
    assert course.life.ended is Ended.EXPIRED
    assert course.left(WARNING) == []
    assert [send.kind for _, send in course.sent if send.kind is not RENEW] == [], "nor told"


def test_losing_the_notice_target_while_overdue_ends_the_waiting() -> None:
    course = Course()
    course.run_until(END + HOUR)
    assert course.life.ended is None
    course.context = replace(PHONE, warnable=False, renewable=False)
    course.event(TargetsLeft(call=1, notice=0))
    course.run_until(END + HOUR)
    assert course.life.ended is Ended.EXPIRED


def test_an_end_that_meets_a_held_call_waits_for_it_once() -> None:
    course = Course()
    course.context = replace(PHONE, held_call=True)
    course.run_until(END, warnings_accepted=True)
    assert course.life.ended is None
    assert course.event(Fire()) == (), "asked again early, it still waits"
    course.run_until(END + HELD_CALL_WAIT - 1)
    assert course.life.ended is None
    course.run_until(END + HELD_CALL_WAIT)
    assert course.life.ended is Ended.EXPIRED


def test_a_use_before_the_end_is_decided_wins_even_after_its_moment() -> None:
    course = Course()
    course.run_until(END - 1, warnings_accepted=True)
    course.now = END + DAY
    course.event(Use("opened"))
    assert course.life.ended is None
    assert course.life.expires_at == course.now + 7 * DAY


def test_after_the_end_nothing_changes_any_more() -> None:
    course = Course()
    course.run_until(END, warnings_accepted=True)
    ended = course.life
    for event in (
        Use("opened"),
        Fire(),
        Proven(),
        Cease(Ended.DELETED),
        RenewalSent(1),
        WarningSettled(1, COUNT, accepted=True),
        TargetsLeft(0, 0),
        TargetsRestored(),
    ):
        assert course.event(event) == ()
        assert course.life == ended


def test_deleting_ends_at_once_with_no_push() -> None:
    course = Course()
    course.event(Cease(Ended.DELETED))
    assert course.life.ended is Ended.DELETED
    assert (course.sent, course.life.next_at) == ([], None)
    assert End(Ended.DELETED, with_targets=True) in course.last
    assert Release() in course.last


def test_the_last_gone_target_ends_the_life_silently() -> None:
    course = Course()
    course.event(TargetsLeft(call=0, notice=0))
    assert course.life.ended is Ended.TARGETS_GONE
    assert not course.sent
    assert Release() in course.last


def test_where_many_may_be_gone_the_binding_waits_for_the_guard() -> None:
    course = Course()
    course.event(TargetsLeft(call=0, notice=0, release_at=START + 5 * MINUTE))
    assert course.life.ended is Ended.TARGETS_GONE
    assert Release() not in course.last
    course.run_until(START + 5 * MINUTE)
    assert course.last == (Release(),)
    assert course.life.next_at is None


def test_the_guard_brings_a_life_back_as_it_was_in_a_new_generation() -> None:
    course = Course()
    course.now = START + DAY
    course.event(TargetsLeft(call=0, notice=0, release_at=START + DAY + 5 * MINUTE))
    course.event(TargetsRestored())
    assert (course.life.ended, course.life.generation) == (None, 2)
    assert (course.life.expires_at, course.life.next_at) == (END, END - DAY)


def test_nothing_left_to_ring_is_said_and_ends_the_life_after_a_day() -> None:
    course = Course()
    course.context = replace(PHONE, has_call_target=False)
    course.event(TargetsLeft(call=0, notice=1))
    needed = course.of(PushType.TARGETS_NEEDED)
    assert needed.payload["announced_at"] == START + TARGETS_NEEDED_TIME
    course.event(WarningSettled(1, needed.step, accepted=True))
    course.run_until(START + TARGETS_NEEDED_TIME - 1)
    assert course.life.ended is None
    course.run_until(START + TARGETS_NEEDED_TIME)
    assert course.life.ended is Ended.TARGETS_GONE
    assert [send.kind for _, send in course.sent] == [PushType.TARGETS_NEEDED, PushType.EXPIRED]


def test_after_the_user_was_asked_for_targets_no_text_says_that_calls_still_arrive() -> None:
    course = Course()
    course.run_until(END - DAY - HOUR)
    course.context = replace(PHONE, has_call_target=False)
    course.event(TargetsLeft(call=0, notice=1))
    expires_at = course.life.expires_at
    course.run_until(expires_at + 48 * HOUR, renewals_accepted=True)
    assert [send.kind for _, send in course.sent] == [PushType.TARGETS_NEEDED, PushType.EXPIRED]
    assert course.life.ended_at == expires_at + 48 * HOUR, "asking was never accepted: grace"


def test_who_cannot_be_asked_for_targets_is_not_asked() -> None:
    course = Course()
    course.context = Context(warnable=False, renewable=True, has_call_target=False)
    course.event(TargetsLeft(call=0, notice=1))
    assert not course.sent
    course.run_until(START + DAY)
    assert course.life.ended is Ended.TARGETS_GONE


def test_who_was_asked_for_targets_is_not_asked_twice() -> None:
    course = Course()
    course.event(TargetsLeft(call=0, notice=2))
    before = course.life
    assert course.event(TargetsLeft(call=0, notice=1)) == ()
    assert course.life == before


def test_a_life_that_nobody_looked_at_until_its_grace_was_over_ends() -> None:
    """Its last warning was decided, and then the clock stood: that was no outage of ours."""
    course = Course()
    course.run_until(END - HOUR)
    course.now = END + 3 * DAY
    course.event(Fire())
    assert course.left(WARNING) == [12.0, 1.0], "one of last resort would have no time left"
    assert Tell("grace-over") in course.last
    assert course.life.ended is Ended.EXPIRED


def test_a_lost_target_beside_others_changes_nothing() -> None:
    course = Course()
    before = course.life
    assert course.event(TargetsLeft(call=1, notice=1)) == ()
    assert course.life == before


def test_an_unproven_registration_gets_nothing_and_catches_up_once_it_is_proven() -> None:
    course = Course(lifetime=DAY)
    course.context = replace(PHONE, is_proven=False)
    course.run_until(START + 13 * HOUR)
    assert not course.sent
    course.context = PHONE
    course.event(Proven())
    course.run_until(course.now)
    assert [send.kind for _, send in course.sent] == [RENEW]


def test_settlements_of_an_older_generation_are_ignored() -> None:
    course = Course()
    course.run_until(END - 10 * HOUR)
    course.event(Use("opened"))
    before = course.life
    course.event(RenewalSent(1))
    course.event(WarningSettled(1, COUNT - 1, accepted=True))
    assert course.life == before


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (START + 5 * DAY, Stage.ACTIVE),
        (END - DAY, Stage.RENEWING),
        (END - 12 * HOUR, Stage.WARNED),
        (END, Stage.EXPIRED),
    ],
)
def test_the_stage_is_read_from_the_step(at: int, expected: Stage) -> None:
    course = Course()
    course.run_until(at, warnings_accepted=True)
    assert stage(course.life, POLICY) is expected


def test_a_phone_that_shows_no_warning_is_never_called_warned() -> None:
    course = Course()
    course.context = replace(PHONE, warnable=False)
    course.run_until(END - HOUR)
    assert stage(course.life, POLICY, warnable=False) is Stage.RENEWING


def test_a_deleted_life_is_called_ended() -> None:
    course = Course()
    course.event(Cease(Ended.DELETED))
    assert stage(course.life, POLICY) is Stage.ENDED


def _superseded(life: Life, kind: PushType, step: int, now: int, generation: int = 1) -> bool:
    return is_superseded(life, kind, generation, step, now, POLICY)


def test_a_renewal_is_superseded_when_the_next_ones_moment_has_come() -> None:
    course = Course()
    course.run_until(END - DAY, renewals_accepted=False)
    assert not _superseded(course.life, RENEW, 0, END - DAY + HOUR - 1)
    assert _superseded(course.life, RENEW, 0, END - DAY + HOUR)


def test_a_warning_is_superseded_by_a_later_one() -> None:
    course = Course()
    course.run_until(END - HOUR)
    first, last = (send.step for _, send in course.sent if send.kind is WARNING)
    assert _superseded(course.life, WARNING, first, course.now)
    assert not _superseded(course.life, WARNING, last, course.now)
    course.run_until(END)
    assert _superseded(course.life, WARNING, last, course.now), "the one of last resort took its place"
    assert not _superseded(course.life, WARNING, LAST_RESORT, course.now)


def test_a_settled_warning_is_not_sent_again() -> None:
    course = Course()
    course.run_until(END)
    course.event(WarningSettled(1, COUNT - 1, accepted=True))  # it was in flight when the end came
    assert _superseded(course.life, WARNING, LAST_RESORT, course.now)


def test_a_use_supersedes_every_push_and_the_end_all_but_the_notice() -> None:
    course = Course()
    course.event(Use("opened"))
    assert _superseded(course.life, RENEW, 0, START, generation=1)
    assert not _superseded(course.life, PushType.MISSED_CALL, 0, START, generation=2)
    course.event(Cease(Ended.DELETED))
    assert _superseded(course.life, PushType.MISSED_CALL, 0, START, generation=2)
    assert not _superseded(course.life, PushType.EXPIRED, 0, START, generation=2)

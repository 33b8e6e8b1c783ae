"""The configuration changes in the middle of a life: nothing breaks, doubles, or ends unwarned."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from wakerobin.core.lifetime import (
    LAST_RESORT,
    Context,
    Fire,
    LifetimePolicy,
    RenewalSent,
    Send,
    WarningSettled,
    begin,
    deadline,
    decide,
    grace_end,
    is_superseded,
    ladder,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_735_689_600_000
END = START + 7 * DAY
PHONE = Context(warnable=True, renewable=True)
WARNINGS = (PushType.EXPIRY_WARNING,)


def policy(every: int, *warnings: int, lifetime: int = 7 * DAY, grace: int = 48 * HOUR) -> LifetimePolicy:
    return LifetimePolicy(
        lifetime=Duration(lifetime),
        renewal_every=Duration(every),
        warnings=tuple(Duration(lead) for lead in warnings),
        grace_limit=Duration(grace),
    )


USUAL = LifetimePolicy()
LONGER = policy(30 * MINUTE, 12 * HOUR, 6 * HOUR, HOUR)
SHORTER = policy(6 * HOUR, 12 * HOUR, HOUR)
ONE = policy(DAY, 2 * HOUR)
SHORT_LIVES = policy(20 * MINUTE, 5 * HOUR, HOUR, lifetime=12 * HOUR, grace=6 * HOUR)
POLICIES = [USUAL, LONGER, SHORTER, ONE, SHORT_LIVES]


class Course:
    """A life whose policy is changed at each restart; the courier accepts what it is told to."""

    def __init__(self, first: LifetimePolicy, *, warnings_accepted: bool = True) -> None:
        self.policy = first
        self.life = begin(1, 1, Duration(7 * DAY), START, first)
        self.warnings_accepted = warnings_accepted
        self.sent: list[tuple[int, Send]] = []
        self.now = START

    def run_until(self, at: int) -> None:
        while self.life.next_at is not None and self.life.next_at <= at:
            self.now = max(self.now, self.life.next_at)
            self.life, effects = decide(self.life, Fire(), self.now, self.policy, PHONE)
            assert self.life.next_at is None or self.life.next_at > self.now, "a firing always moves on"
            for send in effects:
                if isinstance(send, Send):
                    self._carry(send)
        self.now = at

    def _carry(self, send: Send) -> None:
        life, kind, step = self.life, send.kind, send.step
        if is_superseded(life, kind, send.generation, step, max(self.now, send.not_before), self.policy):
            return
        self.sent.append((self.now, send))
        event: RenewalSent | WarningSettled | None = None
        if kind is PushType.RENEW:
            event = RenewalSent(send.generation)
        elif kind in WARNINGS and self.warnings_accepted:
            event = WarningSettled(send.generation, step, accepted=True)
        if event is not None:
            self.life, _ = decide(life, event, self.now, self.policy, PHONE)

    def leads(self) -> list[float]:
        return [(END - at) / HOUR for at, send in self.sent if send.kind in WARNINGS]


def test_a_warning_that_was_sent_is_not_sent_again_on_a_longer_ladder() -> None:
    course = Course(USUAL)
    course.run_until(END - 11 * HOUR)
    course.policy = LONGER
    course.run_until(END + HOUR)
    assert course.leads() == [12.0, 6.0, 1.0]
    assert course.life.ended is Ended.EXPIRED


def test_the_last_warning_comes_in_time_on_a_shorter_ladder() -> None:
    course = Course(USUAL)
    course.run_until(END - 11 * HOUR)
    assert course.life.step > ladder(SHORTER, course.life.lifetime).count
    course.policy = SHORTER
    course.run_until(END)
    assert course.leads() == [12.0, 1.0]
    assert course.life.ended is Ended.EXPIRED


def test_an_overdue_life_is_not_warned_a_second_time_by_another_policy() -> None:
    course = Course(USUAL, warnings_accepted=False)
    course.run_until(END + HOUR)
    assert course.leads()[-1] == 0.0
    warned = len(course.sent)
    course.policy = LONGER
    course.run_until(END + 3 * DAY)
    assert len([1 for _, send in course.sent[warned:] if send.kind in WARNINGS]) == 0
    assert course.life.ended_at == END + 48 * HOUR


def test_an_end_that_waited_for_a_call_does_not_wait_again_under_another_policy() -> None:
    course = Course(USUAL)
    course.run_until(END - 1)
    held = replace(PHONE, held_call=True)
    course.life, _ = decide(course.life, Fire(), END, USUAL, held)
    assert course.life.ended is None
    assert course.life.next_at is not None
    course.life, _ = decide(course.life, Fire(), course.life.next_at, LONGER, held)
    assert course.life.ended is Ended.EXPIRED


@settings(max_examples=200, deadline=None)
@given(
    policies=st.lists(st.sampled_from(POLICIES), min_size=2, max_size=6),
    shares=st.lists(st.integers(0, 100), min_size=6, max_size=6),
    accepted=st.booleans(),
)
def test_whatever_the_policies_were_nobody_ends_unwarned_and_nobody_lives_for_ever(
    policies: list[LifetimePolicy], shares: list[int], accepted: bool
) -> None:
    course = Course(policies[0], warnings_accepted=accepted)
    for number, next_policy in enumerate(policies[1:]):
        course.run_until(max(course.now, START + 6 * DAY + shares[number] * 26 * HOUR // 100))
        course.policy = next_policy
    course.run_until(END + 5 * DAY)
    assert course.life.ended is Ended.EXPIRED
    last_lead = ladder(course.policy, Duration(7 * DAY)).smallest_lead
    if accepted:
        assert course.life.warned_at
        assert course.life.ended_at >= course.life.warned_at + min(HOUR, last_lead)
        assert course.life.ended_at <= END + 3 * HOUR
    else:
        assert [send.step for _, send in course.sent if send.kind in WARNINGS][-1] == LAST_RESORT
        assert course.life.ended_at >= END + min(one.grace_limit for one in policies)
    moments = [at for at, send in course.sent if send.kind in WARNINGS]
    assert len(moments) == len(set(moments)), "not two at once"


def test_the_warning_of_last_resort_is_wanted_as_long_as_the_end_waits_for_it() -> None:
    course = Course(USUAL, warnings_accepted=False)
    course.run_until(END)
    send = course.sent[-1][1]
    assert send.step == LAST_RESORT
    down = ((END + HOUR, END + 4 * DAY),)
    until = deadline(course.life, send.step, send.deadline_at, USUAL, down)
    assert until == grace_end(course.life, USUAL, down) == END + 48 * HOUR + 4 * DAY - HOUR
    assert deadline(course.life, 3, 77, USUAL, down) == 77, "others are worth nothing after the end"

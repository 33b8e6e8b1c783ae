"""Whatever happens to a call, in whatever order: one final response, no phone that rings on, none unheard."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.course_of_a_call import Copy, Course

PHONES = st.integers(1, 3)
PLACES = st.integers(5000, 5002)


class AnyOrder(RuleBasedStateMachine):
    """Three installations of an account, some awake, one INVITE."""

    def __init__(self) -> None:
        super().__init__()
        self.course = Course.begin(0, 0)

    @initialize(
        awake=st.integers(0, 3),
        asleep=st.integers(0, 2),
        decline_all=st.booleans(),
        ringback=st.sampled_from(["immediate", "pushed", "device"]),
    )
    def begin(self, awake: int, asleep: int, ringback: str, *, decline_all: bool) -> None:
        asleep = min(asleep, 3 - awake)
        self.course = Course.begin(awake, asleep, decline_all=decline_all, ringback=ringback)

    @precondition(lambda self: self.course.travelling)
    @rule(which=st.integers(0, 20))
    def a_message_arrives(self, which: int) -> None:
        self.course.deliver(which)

    @precondition(lambda self: self.silent)
    @rule(data=st.data())
    def a_phone_rings(self, data: Any) -> None:
        self.course.rings(data.draw(st.sampled_from(self.silent)))

    @precondition(lambda self: self.open)
    @rule(
        data=st.data(), status=st.sampled_from([200, 200, 200, 302, 401, 480, 486, 487, 503, 600, 603, 606])
    )
    def a_phone_answers(self, data: Any, status: int) -> None:
        self.course.says(data.draw(st.sampled_from(self.open)), status)

    @rule(number=PHONES, place=PLACES)
    def a_phone_registers(self, number: int, place: int) -> None:
        self.course.registers(number, place)

    @precondition(lambda self: self.course.pushes)
    @rule(accepted=st.booleans())
    def a_push_is_settled(self, *, accepted: bool) -> None:
        self.course.settles(accepted=accepted)

    @rule()
    def the_caller_gives_up(self) -> None:
        self.course.cancels()

    @rule(number=PHONES, everywhere=st.booleans())
    def the_user_declines(self, number: int, *, everywhere: bool) -> None:
        self.course.declines(number, everywhere=everywhere)

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, 10.0, 29.0, 31.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.course.waits(seconds)

    @invariant()
    def the_pbx_never_hears_a_second_final_response(self) -> None:
        winners = [copy for copy in self.course.copies if copy.forwarded and copy.state == "200"]
        repeated = len(self.course.finals) - 1 if winners else 0
        assert len(self.course.finals) <= 1 + repeated
        assert len(set(self.course.finals)) <= 1
        assert len(self.course.overs) <= 2, "an answer may cross the CANCEL, and then it is told twice"

    def teardown(self) -> None:
        course = self.course
        for number, place in tuple(course.ways.items()):
            course.registers(number, place)  # whoever was between two networks is back
        course.comes_to_rest()
        assert len(course.finals) == 1
        assert course.one.is_finished
        assert course.one.deadline is None
        answered = [copy for copy in course.copies if copy.state in ("200", "over")]
        winners = [copy for copy in answered if copy.forwarded]
        assert len(winners) == (course.finals == [200])
        for copy in answered:
            assert copy.forwarded or (copy.acks >= 1 and copy.byes == 1), f"left alone: {copy}"
        for copy in course.copies:
            assert copy.state != "rings", f"a ghost: {copy}"

    @property
    def silent(self) -> list[Copy]:
        return [copy for copy in self.course.copies if copy.has_come and not copy.state]

    @property
    def open(self) -> list[Copy]:
        return [copy for copy in self.course.copies if copy.has_come and copy.state in ("", "rings")]


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)

"""What holds of the guarded clock whatever the wall clock does: random steps, beats and restarts."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.system.lives_world import DAY, MINUTE, SECOND
from wakerobin.services.lives.clock_guard import AGREEMENT, ClockGuard
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory_groups import MemoryKept
from wakerobin.testing.memory_tables import Tables

LIMIT = 5 * MINUTE
SMALL = st.integers(-LIMIT + SECOND, LIMIT - SECOND)
LARGE = st.one_of(st.integers(LIMIT + SECOND, 400 * DAY), st.integers(-400 * DAY, -LIMIT - SECOND))


class GuardedClock(RuleBasedStateMachine):
    """`self.off` is by how much the wall clock is away from where it was last believed."""

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.kept = MemoryKept(Tables())
        self.guard = ClockGuard(self.clock, LIMIT)
        self.off = 0
        self.before = self.guard.now()
        self.guard.save(self.kept)

    @rule(by=st.integers(0, 10 * DAY))
    def time_passes(self, by: int) -> None:
        self.clock.advance(by)
        self.before += by

    @rule(by=SMALL)
    def a_small_step(self, by: int) -> None:
        if abs(self.off + by) < LIMIT:
            self.clock.step_wall(by)
            self.off += by

    @rule(by=LARGE)
    def a_large_step(self, by: int) -> None:
        self.clock.step_wall(by)
        self.off += by

    @rule()
    def it_is_set_right(self) -> None:
        self.clock.step_wall(-self.off)
        self.off = 0
        assert not self.guard.is_doubtful, "back where it was, it needs nobody's word"

    @rule()
    def a_beat(self) -> None:
        was_doubtful = self.guard.is_doubtful
        self.guard.follow()
        assert self.guard.is_doubtful is was_doubtful
        self.guard.save(self.kept)
        if not was_doubtful:
            self.off = 0
            self.before = self.guard.now()

    @rule()
    def the_operator_confirms_it(self) -> None:
        self.guard.confirm()
        assert self.guard.now() == self.clock.now()
        self.off = 0
        self.before = self.guard.now()
        self.guard.save(self.kept)

    @rule()
    def the_dates_of_others_agree(self) -> None:
        was_doubtful = self.guard.is_doubtful
        for _ in range(3):
            self.guard.note_date(self.clock.now())
            self.clock.advance(AGREEMENT // 2)
            self.before += AGREEMENT // 2
        self.guard.note_date(self.clock.now())
        assert self.guard.has_agreed is was_doubtful

    @rule(apart=st.integers(MINUTE, 400 * DAY))
    def the_dates_of_others_do_not_agree(self, apart: int) -> None:
        for _ in range(3):
            self.guard.note_date(self.clock.now() - apart)
            self.clock.advance(AGREEMENT)
            self.before += AGREEMENT
        assert not self.guard.has_agreed

    @rule(down=st.integers(0, 30 * DAY))
    def a_kill_and_a_restart(self, down: int) -> None:
        self.guard.save(self.kept)
        was_doubtful, believed = self.guard.is_doubtful, self.guard.now()
        wall = self.clock.now()
        self.clock.advance(down)
        self.guard = ClockGuard(self.clock, LIMIT)
        self.guard.restore(self.kept)
        assert self.guard.now() >= believed - LIMIT, "time does not go back"
        if was_doubtful and wall > believed:
            assert self.guard.is_doubtful, "a jump ahead is not believed for having been slept over"
        if not was_doubtful:
            assert not self.guard.is_doubtful, "an outage is no step"
        if self.guard.is_doubtful:
            self.guard.confirm()
        self.off = 0
        self.guard.follow()
        self.guard.save(self.kept)
        self.before = self.guard.now()

    @invariant()
    def a_step_that_is_too_large_is_never_lived_by(self) -> None:
        if abs(self.off) > LIMIT:
            assert self.guard.is_doubtful
            assert abs(self.guard.now() - self.before) <= 1
        if abs(self.off) < LIMIT:
            assert not self.guard.is_doubtful
            assert abs(self.guard.now() - (self.before + self.off)) <= 1


GuardedClock.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestGuardedClock = GuardedClock.TestCase

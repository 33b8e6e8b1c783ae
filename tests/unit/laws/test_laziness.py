"""A life is looked at only when something may be due, and a use may be left out that nothing follows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.course import DAY, HOUR, MINUTE, START
from tests.unit.laws.history import ZONE
from wakerobin.core.lifetime import (
    Context,
    Fire,
    LifetimePolicy,
    QuietHours,
    Renewal,
    RenewalSent,
    Send,
    Use,
    WarningSettled,
    begin,
    decide,
    is_personal,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Life

NIGHT = QuietHours(22 * 60, 7 * 60)
DAYLONG = LifetimePolicy(
    lifetime=Duration(DAY),
    renewal_from=Duration(6 * HOUR),
    renewal_every=Duration(30 * MINUTE),
    warnings=(Duration(3 * HOUR), Duration(HOUR)),
    grace_limit=Duration(8 * HOUR),
)
POLICIES = st.sampled_from(
    [replace(DAYLONG, quiet_hours=night, renewal=renewal) for night in (None, NIGHT) for renewal in Renewal]
)
CAUSES = st.sampled_from(["opened", "register", "renewal-push", "patched"])
USES = st.lists(st.tuples(st.integers(0, 40 * 60), CAUSES), max_size=8)
"""Minutes after the one before, and what did it."""


class World:
    """One life; `accepts_from`: since when the push service takes anything."""

    def __init__(self, policy: LifetimePolicy, accepts_from: int) -> None:
        self.policy = policy
        self.context = Context(warnable=True, renewable=True, zone=ZONE)
        self.life: Life = begin(1, 1, policy.lifetime, START, policy)
        self.accepts_from = accepts_from
        self.sent: list[tuple[int, PushType, int]] = []

    def look(self, now: int) -> None:
        self.life, effects = decide(self.life, Fire(), now, self.policy, self.context)
        for effect in effects:
            if isinstance(effect, Send):
                self.sent.append((now, effect.kind, effect.step))
                self._settle(effect, now)

    def use(self, cause: str, now: int) -> None:
        self.life, _ = decide(self.life, Use(cause), now, self.policy, self.context)

    def _settle(self, send: Send, now: int) -> None:
        if now < self.accepts_from:
            return
        if send.kind is PushType.RENEW:
            self._hear(RenewalSent(send.generation), now)
        elif send.kind is PushType.EXPIRY_WARNING:
            self._hear(WarningSettled(send.generation, send.step, accepted=True), now)

    def _hear(self, event: RenewalSent | WarningSettled, now: int) -> None:
        self.life, _ = decide(self.life, event, now, self.policy, self.context)


@settings(max_examples=60, deadline=None)
@given(policy=POLICIES, uses=USES, accepts_from=st.integers(0, 60).map(lambda hours: START + hours * HOUR))
def test_who_looks_every_minute_sends_what_who_looks_at_next_at_sends(
    policy: LifetimePolicy, uses: list[tuple[int, str]], accepts_from: int
) -> None:
    lazy, eager = World(policy, accepts_from), World(policy, accepts_from)
    at = START
    moments = []
    for minutes, cause in uses:
        at += minutes * MINUTE
        moments.append((at, cause))
    horizon = at + policy.lifetime + 20 * HOUR
    upcoming = iter([*moments, (horizon, "")])
    use_at, cause = next(upcoming)
    for now in range(START, horizon, MINUTE):
        if lazy.life.next_at is not None and lazy.life.next_at <= now:
            lazy.look(now)
        eager.look(now)
        eager.look(now)
        while use_at <= now:
            lazy.use(cause, now)
            eager.use(cause, now)
            use_at, cause = next(upcoming)
    assert lazy.sent == eager.sent
    assert lazy.life.ended is eager.life.ended
    assert lazy.life == eager.life


@settings(max_examples=300, deadline=None)
@given(
    policy=POLICIES,
    uses=st.lists(st.tuples(st.integers(1, 18 * 60), CAUSES), min_size=2, max_size=30),
    accepts_from=st.integers(0, 60).map(lambda hours: START + hours * HOUR),
)
@example(policy=DAYLONG, uses=[(60, "register")] * 20, accepts_from=START)
def test_a_use_that_no_due_moment_follows_before_the_next_use_changes_nothing(
    policy: LifetimePolicy, uses: list[tuple[int, str]], accepts_from: int
) -> None:
    """It must not close a generation in which pushes were decided: a life learns from those."""
    full, short = World(policy, accepts_from), World(policy, accepts_from)
    at, skipped, opened_at = START, 0, START
    moments = []
    for minutes, cause in uses:
        at += minutes * MINUTE
        moments.append((at, cause))
    for number, (now, cause) in enumerate(moments):
        for world in (full, short):
            while world.life.next_at is not None and world.life.next_at <= now:
                world.look(world.life.next_at)
        opened_at = now if is_personal(cause) else opened_at
        full.use(cause, now)
        follows = moments[number + 1][0] if number + 1 < len(moments) else None
        is_fresh = short.life.step == 0 and not short.life.renewal_sent_at
        next_at = short.life.next_at
        if is_fresh and follows is not None and next_at is not None and next_at > follows:
            skipped += 1
        else:
            short.use(cause, now)
    for world in (full, short):
        while world.life.next_at is not None and world.life.next_at <= at + 3 * DAY:
            world.look(world.life.next_at)
    assert short.sent == full.sent
    assert full.life.opened_at == opened_at
    same = replace(full.life, generation=short.life.generation, opened_at=short.life.opened_at)
    assert short.life == same
    assert full.life.generation == short.life.generation + skipped

"""Laws 1 to 6 of a life, over random histories: uses, firings late and early, outages, lost targets.

The machine keeps a record and its outbox as the store would, moves a clock by hand, and checks each
decision against what the history says, by the words of the laws and not by the code's own terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wakerobin.core.lifetime import (
    HELD_CALL_WAIT,
    NOTICE_TIME,
    TARGETS_NEEDED_TIME,
    Cease,
    Context,
    Effect,
    End,
    Event,
    Fire,
    LifetimePolicy,
    PlanKind,
    Release,
    RenewalSent,
    Send,
    TargetsLeft,
    TargetsRestored,
    Tell,
    Use,
    Void,
    WarningSettled,
    begin,
    decide,
    is_superseded,
    plan,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_735_689_600_000


def _policy(
    lifetime: int, renewal_from: int, every: int, warnings: tuple[int, ...], grace: int
) -> LifetimePolicy:
    return LifetimePolicy(
        lifetime=Duration(lifetime),
        renewal_from=Duration(renewal_from),
        renewal_every=Duration(every),
        warnings=tuple(Duration(lead) for lead in warnings),
        grace_limit=Duration(grace),
    )


POLICIES = [
    LifetimePolicy(),
    _policy(24 * HOUR, 24 * HOUR, HOUR, (12 * HOUR, HOUR), 6 * HOUR),
    _policy(60 * SECOND, 24 * SECOND, 4 * SECOND, (20 * SECOND, 8 * SECOND), 40 * SECOND),
    _policy(HOUR, 24 * HOUR, HOUR, (40 * MINUTE,), 2 * HOUR),
    _policy(10 * DAY, 3 * DAY, 20 * MINUTE, (2 * DAY, DAY, HOUR), 30 * DAY),
]


COURIERS = st.sampled_from(["accepts", "refuses", "accepts renewals only", "refuses warnings", "waits"])


@dataclass
class Pending:
    send: Send
    attempts: int = 0


@dataclass
class Generation:
    """What happened since the last use."""

    renewals_handed_over: list[int] = field(default_factory=list)
    decided: set[tuple[PushType, int]] = field(default_factory=set)
    warnings_decided: list[int] = field(default_factory=list)
    accepted_at: int = 0
    is_refused: bool = False
    needed_at: int = 0
    """When the user was asked for new targets."""


class LifeMachine(RuleBasedStateMachine):
    @initialize(policy=st.sampled_from(POLICIES))
    def enrol(self, policy: LifetimePolicy) -> None:
        self.policy = policy
        self.now = START
        self.life = begin(7, 99, policy.lifetime, self.now, policy)
        self.context = Context(warnable=True, renewable=True)
        self.call_targets = 1
        self.notice_targets = 1
        self.outbox: dict[tuple[int, PushType, int], Pending] = {}
        self.generation = Generation()
        self.notices = 0
        self.ends: list[tuple[int, Ended]] = []
        self.releases = 0
        self.release_at = 0
        self.postponed = 0
        self.last_use = START
        self.expires_at = START + policy.lifetime

    # --- the world ---

    @rule(cause=st.sampled_from(["opened", "renewal-push", "register"]))
    def use(self, cause: str) -> None:
        before = self.life
        self._decide(Use(cause))
        if before.ended is not None:
            assert self.life == before
            return
        # Law 1
        assert self.life.expires_at == self.now + before.lifetime
        assert self.life.generation == before.generation + 1
        assert self.life.ended is None
        assert all(generation >= self.life.generation for generation, _, _ in self.outbox)
        self._renewed()

    @rule(share=st.floats(0.0, 1.2), outage=st.booleans(), courier=COURIERS)
    def time_passes(self, share: float, outage: bool, courier: str) -> None:
        """Up to a lifetime and a bit; in an outage nothing fires until the server is back."""
        until = self.now + int(self.life.lifetime * share)
        if outage and until > self.now:
            self._down_until(until)
            self._fire()
            return
        while self.life.next_at is not None and self.life.next_at <= until:
            self.now = max(self.now, self.life.next_at)
            self._fire()
            self._run_courier(courier)
        self.now = until

    @rule(steps=st.integers(1, 30), courier=COURIERS, late=st.floats(0.0, 0.9))
    def the_next_things_happen(self, steps: int, courier: str, late: float) -> None:
        for _ in range(steps):
            if self.life.next_at is not None:
                self.now = max(self.now, self.life.next_at)
                self._fire()
                self.now += int(late * self._smallest_lead())
                self._run_courier(courier)

    @rule()
    def it_fires_early_or_twice(self) -> None:
        is_due = self.life.next_at is not None and self.life.next_at <= self.now
        before = self.life
        effects = self._decide(Fire())
        if not is_due:
            assert effects == (), "nothing is due before `next_at`"
            assert self.life == before

    @rule(data=st.data(), how=st.sampled_from(["accepted", "refused", "later"]))
    def the_courier_tries_a_push(self, data: st.DataObject, how: str) -> None:
        wanted = self._sendable()
        if not wanted:
            return
        key = data.draw(st.sampled_from(sorted(wanted)))
        self._attempt(key, how)

    @rule(courier=COURIERS)
    def the_courier_tries_everything(self, courier: str) -> None:
        self._run_courier(courier)

    @precondition(lambda self: self.life.ended is None and self.call_targets and self.notice_targets)
    @rule()
    def the_call_target_goes(self) -> None:
        self.call_targets = 0
        self.context = replace(self.context, has_call_target=False)
        before = self.life
        self._decide(TargetsLeft(0, self.notice_targets))
        # Law 5: the end comes within a day, and the user is told.
        assert self.life.expires_at <= max(before.expires_at, self.now + TARGETS_NEEDED_TIME)
        assert self.life.ended is None
        self.expires_at = self.life.expires_at

    @precondition(lambda self: self.life.ended is None and self.call_targets and self.notice_targets)
    @rule()
    def the_notice_target_goes(self) -> None:
        self.notice_targets = 0
        self.context = replace(self.context, warnable=False, renewable=False)
        self._decide(TargetsLeft(self.call_targets, 0))
        assert self.life.ended is None

    @precondition(lambda self: self.life.ended is None)
    @rule(hold=st.booleans())
    def every_target_goes(self, hold: bool) -> None:
        release_at = self.now + 5 * MINUTE if hold else 0
        self.call_targets = self.notice_targets = 0
        self.context = Context(warnable=False, renewable=False, has_call_target=False)
        effects = self._decide(TargetsLeft(0, 0, release_at))
        # Law 5: at once, silently.
        assert self.life.ended is Ended.TARGETS_GONE
        assert not [effect for effect in effects if isinstance(effect, Send)]
        assert any(isinstance(effect, Release) for effect in effects) is not hold
        self.release_at = release_at

    @precondition(lambda self: self.life.ended is Ended.TARGETS_GONE and self.release_at > self.now)
    @rule()
    def the_guard_takes_it_back(self) -> None:
        self.ends.clear()
        self.release_at = 0
        self.context = Context(warnable=True, renewable=True)
        self.call_targets = self.notice_targets = 1
        self._decide(TargetsRestored())
        assert self.life.ended is None
        assert self.life.next_at is not None
        assert self.life.expires_at == self.last_use + self.life.lifetime
        self.generation = Generation()
        self.expires_at = self.life.expires_at
        self.postponed = 0

    @rule(warnable=st.booleans(), renewable=st.booleans())
    def the_user_allows_and_forbids(self, warnable: bool, renewable: bool) -> None:
        if self.notice_targets and self.life.ended is None:
            # Reported by the app, which is a use.
            self.context = replace(self.context, warnable=warnable, renewable=renewable)
            self.use("foreground")

    @rule(held=st.booleans())
    def a_call_is_held_or_over(self, held: bool) -> None:
        self.context = replace(self.context, held_call=held)

    @precondition(lambda self: self.life.ended is None)
    @rule()
    def the_app_deletes_it(self) -> None:
        effects = self._decide(Cease(Ended.DELETED))
        assert self.life.ended is Ended.DELETED
        assert any(isinstance(effect, Release) for effect in effects)
        assert not [effect for effect in effects if isinstance(effect, Send)]

    # --- what always holds ---

    @invariant()
    def the_record_holds_together(self) -> None:
        life = self.life
        if life.ended is None:
            assert life.next_at is not None, "a living registration always has a next moment"
            assert life.expires_at == self.expires_at
            assert not self.ends
        else:
            assert len(self.ends) == 1, "it ends once"
            assert life.next_at is None or life.ended is Ended.TARGETS_GONE
            assert {kind for _, kind, _ in self.outbox} <= {PushType.EXPIRED}
        assert self.notices <= 1, "law 4: the notice goes out once"
        assert self.postponed <= 1, "law 4: an end waits once"

    @invariant()
    def nobody_lives_for_ever(self) -> None:
        """Law 3: the bound, while the server runs and fires in time."""
        if self.life.ended is not None or self.life.next_at is None or self.life.next_at <= self.now:
            return
        tried = self.generation.warnings_decided[-1:] or [self.expires_at]
        if self.generation.needed_at:
            tried = [self.generation.needed_at]
        bound = max(self.expires_at, *tried) + self.policy.grace_limit + self._smallest_lead()
        assert self.now <= bound + self._down_after(self.expires_at) + HELD_CALL_WAIT

    # --- how it is done ---

    def _decide(self, event: Event) -> tuple[Effect, ...]:
        before = self.life
        self.life, effects = decide(before, event, self.now, self.policy, self.context)
        if self.life.generation == before.generation:
            assert self.life.step >= before.step, "`step` only grows inside a generation"
        for effect in effects:
            match effect:
                case Send():
                    self._decided(effect, effects)
                case Void(below_generation=below):
                    self.outbox = {key: row for key, row in self.outbox.items() if key[0] >= below}
                case End(reason=reason):
                    self._ended(reason, effects)
                case Release():
                    self.releases += 1
                case Tell(event=told):
                    self.postponed += told == "end-postponed"
        return effects

    def _fire(self) -> None:
        had_ended = self.life.ended is not None
        is_due = self.life.next_at is not None and self.life.next_at <= self.now
        self._decide(Fire())
        assert self.life.next_at is None or self.life.next_at > self.now, "a firing always moves on"
        if had_ended and is_due:
            assert self.life.next_at is None

    def _decided(self, send: Send, together: tuple[Effect, ...]) -> None:
        assert send.generation == self.life.generation
        key = (send.generation, send.kind, send.step)
        assert (send.kind, send.step) not in self.generation.decided, "each at most once in a generation"
        self.generation.decided.add((send.kind, send.step))
        assert key not in self.outbox
        self.outbox[key] = Pending(send)
        match send.kind:
            case PushType.EXPIRY_WARNING:
                self._may_warn()
                self.generation.warnings_decided.append(self.now)
                assert self.context.warnable
                assert send.deadline_at > self.now
                assert send.payload["announced_at"] >= self.expires_at or self.now < self.expires_at
            case PushType.RENEW:
                assert self.context.renewable
                assert self.now < self.expires_at
                # What is stored on the way must not replace a warning.
                kinds = {effect.kind for effect in together if isinstance(effect, Send)}
                has_warned = bool(self.generation.warnings_decided) or PushType.EXPIRY_WARNING in kinds
                assert send.deadline_at == (0 if has_warned else self.expires_at)
            case PushType.EXPIRED:
                self.notices += 1
                assert send.deadline_at == self.now + NOTICE_TIME
            case PushType.TARGETS_NEEDED:
                self.generation.needed_at = self.now
            case _:
                raise AssertionError(f"a life does not send {send.kind}")

    def _may_warn(self) -> None:
        """Law 2."""
        handed_over = self.generation.renewals_handed_over
        had_its_chance = bool(handed_over) and handed_over[0] + self.policy.renewal_every <= self.now
        assert had_its_chance or not self.context.renewable or self.now >= self.expires_at

    def _ended(self, reason: Ended, effects: tuple[Effect, ...]) -> None:
        self.ends.append((self.now, reason))
        if reason is Ended.DELETED or (reason is Ended.TARGETS_GONE and not self.notice_targets):
            return
        if reason is Ended.TARGETS_GONE and self.generation.needed_at == 0:
            return
        # Law 3: nobody is cut off unwarned where a warning is possible.
        assert self.now >= self.expires_at
        assert self.releases or any(isinstance(effect, Release) for effect in effects)
        sends = [effect for effect in effects if isinstance(effect, Send)]
        assert [send.kind for send in sends] == ([PushType.EXPIRED] if self.context.warnable else [])
        if not self.context.warnable:
            return
        if self.generation.accepted_at:
            lead = self._smallest_lead()
            assert self.now >= self.generation.accepted_at + lead
        elif not self.generation.is_refused:
            tried = self.generation.needed_at or self._last_warning_decided_at()
            began = max(self.expires_at, tried)
            assert self.now >= began + self.policy.grace_limit + self._down_after(began)

    def _last_warning_decided_at(self) -> int:
        assert self.generation.warnings_decided, "it must have been warned"
        return min(at for at in self.generation.warnings_decided[-2:] if at)

    def _sendable(self) -> list[tuple[int, PushType, int]]:
        sendable = []
        for key, row in self.outbox.items():
            generation, kind, step = key
            is_lapsed = self.now >= row.send.deadline_at if row.send.deadline_at else row.attempts > 0
            if is_lapsed or row.send.not_before > self.now:
                continue
            if not is_superseded(self.life, kind, generation, step, self.now, self.policy):
                sendable.append(key)
        return sendable

    def _run_courier(self, courier: str) -> None:
        for key in sorted(self._sendable()):
            is_silent = key[1] is PushType.RENEW
            match courier:
                case "accepts":
                    how = "accepted"
                case "refuses":
                    how = "refused"
                case "accepts renewals only":
                    how = "accepted" if is_silent else "later"
                case "refuses warnings":
                    how = "accepted" if is_silent else "refused"
                case _:
                    how = "later"
            if key in self.outbox:
                self._attempt(key, how)

    def _attempt(self, key: tuple[int, PushType, int], how: str) -> None:
        generation, kind, step = key
        row = self.outbox[key]
        row.attempts += 1
        if kind is PushType.EXPIRED:
            assert self.life.ended is not None
        else:
            assert self.life.ended is None, "nothing but the notice leaves after the end"
            assert generation == self.life.generation, "nothing of an older generation leaves"
        if how == "later":
            return
        del self.outbox[key]
        is_accepted = how == "accepted"
        if kind is PushType.RENEW and is_accepted:
            self.generation.renewals_handed_over.append(self.now)
            self._decide(RenewalSent(generation))
        if kind in (PushType.EXPIRY_WARNING, PushType.TARGETS_NEEDED):
            is_last = step >= self._last_warning_step() or kind is PushType.TARGETS_NEEDED
            if is_last and is_accepted:
                self.generation.accepted_at = self.now
            if is_last and not is_accepted:
                self.generation.is_refused = True
            self._decide(WarningSettled(generation, step, is_accepted))

    def _last_warning_step(self) -> int:
        entries = plan(self.policy, self.life.expires_at, self.life.lifetime)
        return max(i for i, entry in enumerate(entries) if entry.kind is PlanKind.WARNING)

    def _smallest_lead(self) -> int:
        entries = plan(self.policy, self.life.expires_at, self.life.lifetime)
        return min(entry.lead for entry in entries if entry.kind is PlanKind.WARNING)

    def _down_until(self, until: int) -> None:
        self.context = replace(self.context, downtime=(*self.context.downtime, (self.now, until)))
        self.now = until

    def _down_after(self, began: int) -> int:
        return sum(up - max(down, began) for down, up in self.context.downtime if up > began)

    def _renewed(self) -> None:
        self.generation = Generation()
        self.last_use = self.now
        self.expires_at = self.life.expires_at
        self.postponed = 0


LifeMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestLaws = LifeMachine.TestCase

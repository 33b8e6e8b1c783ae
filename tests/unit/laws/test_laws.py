"""The laws of a life over random histories: uses, silence, outages, clock steps, trouble, other policies."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.laws.history import (
    DAY,
    HOUR,
    LONGEST_NIGHT,
    MINUTE,
    SECOND,
    START,
    History,
    Trouble,
)
from wakerobin.core.lifetime import (
    HELD_CALL_WAIT,
    TARGETS_NEEDED_TIME,
    Cease,
    Extend,
    Fire,
    LifetimePolicy,
    PolicyChanged,
    QuietHours,
    Recovered,
    Release,
    Renewal,
    Rewarn,
    Send,
    TargetsLeft,
    TargetsRestored,
    TroubleEnd,
    Use,
)
from wakerobin.core.lifetime import Trouble as TroubleSaid
from wakerobin.core.values import Duration, Ended


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


NIGHT = QuietHours(22 * 60, 7 * 60)
PLAIN = [
    LifetimePolicy(),
    _policy(24 * HOUR, 24 * HOUR, HOUR, (12 * HOUR, HOUR), 6 * HOUR),
    _policy(60 * SECOND, 24 * SECOND, 4 * SECOND, (20 * SECOND, 8 * SECOND), 40 * SECOND),
    _policy(HOUR, 24 * HOUR, HOUR, (40 * MINUTE,), 2 * HOUR),
    _policy(10 * DAY, 3 * DAY, 20 * MINUTE, (2 * DAY, DAY, HOUR), 30 * DAY),
]
POLICIES = [
    *PLAIN,
    *(replace(policy, quiet_hours=NIGHT) for policy in PLAIN),
    *(replace(policy, renewal=Renewal.ADAPTIVE) for policy in PLAIN),
    replace(PLAIN[0], renewal=Renewal.SINGLE),
    replace(PLAIN[0], dormant_for=Duration(30 * DAY)),
    replace(
        PLAIN[0],
        renewal=Renewal.ADAPTIVE,
        quiet_hours=NIGHT,
        dormant_for=Duration(DAY),
        monthly_note=True,
    ),
]
COURIERS = st.sampled_from(["accepts", "refuses", "accepts renewals only", "refuses warnings", "waits"])
CAUSES = st.sampled_from(
    ["opened", "renewal-push", "register", "receipt", "tapped-warning", "warning-extension", "patched"]
)
DEFAULT_SETTINGS = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


class LifeMachine(RuleBasedStateMachine):
    @initialize(policy=st.sampled_from(POLICIES), android=st.booleans())
    def enrol(self, policy: LifetimePolicy, android: bool) -> None:
        self.of = History(policy)
        self.of.context = replace(self.of.context, is_android=android)
        self.call_targets = self.notice_targets = 1
        self.release_at = 0

    @precondition(lambda self: self.of.life.ended not in (None, Ended.DORMANT))
    @rule(policy=st.sampled_from(POLICIES), android=st.booleans())
    def the_app_enrols_again(self, policy: LifetimePolicy, android: bool) -> None:
        self.enrol(policy, android)

    # --- use and time ---

    @rule(cause=CAUSES)
    def use(self, cause: str) -> None:
        of, before = self.of, self.of.life
        of.decide(Use(cause))
        if before.ended not in (None, Ended.DORMANT):
            assert of.life == before
            return
        # Law 1, and a dormant one is resumed by any use.
        assert of.life.expires_at == of.now + before.lifetime
        assert of.life.generation == before.generation + 1
        assert (of.life.ended, of.life.step) == (None, 0)
        assert all(generation >= of.life.generation for generation, _, _ in of.outbox)
        of.ends.clear()
        of.notices = 0
        of.last_use = of.now
        of.renewed()

    @rule(share=st.floats(0.0, 1.2), outage=st.booleans(), courier=COURIERS)
    def time_passes(self, share: float, outage: bool, courier: str) -> None:
        """Up to a lifetime and a bit; in an outage nothing fires until the server is back."""
        of = self.of
        until = of.now + int(of.life.lifetime * share)
        if outage and until > of.now:
            of.down_until(until)
            of.fire()
            return
        of.run_until(until, courier)

    @rule(steps=st.integers(1, 30), courier=COURIERS, late=st.floats(0.0, 0.9))
    def the_next_things_happen(self, steps: int, courier: str, late: float) -> None:
        of = self.of
        for _ in range(steps):
            if of.life.next_at is not None:
                of.now = max(of.now, of.life.next_at)
                of.fire()
                of.now += int(late * of.smallest_lead())
                of.run_courier(courier)

    @rule(by=st.integers(-3 * DAY, 3 * DAY))
    def the_clock_steps(self, by: int) -> None:
        """Law 8 is kept outside; inside, a step neither repeats nor breaks anything."""
        self.of.now = max(START, self.of.now + by)

    @rule()
    def it_fires_early_or_twice(self) -> None:
        of = self.of
        is_due = of.life.next_at is not None and of.life.next_at <= of.now
        before = of.life
        effects = of.decide(Fire())
        if not is_due:
            assert effects == (), "nothing is due before `next_at`"
            assert of.life == before

    @rule(data=st.data(), how=st.sampled_from(["accepted", "refused", "later"]))
    def the_courier_tries_a_push(self, data: st.DataObject, how: str) -> None:
        wanted = self.of.sendable()
        if wanted:
            self.of.attempt(data.draw(st.sampled_from(wanted)), how)

    @rule(courier=COURIERS)
    def the_courier_tries_everything(self, courier: str) -> None:
        self.of.run_courier(courier)

    # --- targets (law 5) ---

    @precondition(lambda self: self.of.life.ended is None and self.call_targets and self.notice_targets)
    @rule()
    def the_call_target_goes(self) -> None:
        of, before = self.of, self.of.life
        self.call_targets = 0
        of.context = replace(of.context, has_call_target=False)
        of.decide(TargetsLeft(0, self.notice_targets))
        # Law 5: the end comes within a day, and the user is told.
        assert of.life.expires_at <= max(before.expires_at, of.now + TARGETS_NEEDED_TIME)
        assert of.life.ended is None
        of.expires_at = of.life.expires_at

    @precondition(lambda self: self.of.life.ended is None and self.call_targets and self.notice_targets)
    @rule()
    def the_notice_target_goes(self) -> None:
        of = self.of
        self.notice_targets = 0
        of.context = replace(of.context, warnable=False, renewable=False)
        of.decide(TargetsLeft(self.call_targets, 0))
        assert of.life.ended is None

    @precondition(lambda self: self.of.life.ended is None)
    @rule(hold=st.booleans())
    def every_target_goes(self, hold: bool) -> None:
        of = self.of
        release_at = of.now + 5 * MINUTE if hold else 0
        self.call_targets = self.notice_targets = 0
        of.context = replace(of.context, warnable=False, renewable=False, has_call_target=False)
        effects = of.decide(TargetsLeft(0, 0, release_at))
        # Law 5: at once, silently.
        assert of.life.ended is Ended.TARGETS_GONE
        assert not [effect for effect in effects if isinstance(effect, Send)]
        assert any(isinstance(effect, Release) for effect in effects) is not hold
        self.release_at = release_at

    @precondition(lambda self: self.of.life.ended is Ended.TARGETS_GONE and self.of.has_binding)
    @precondition(lambda self: self.release_at > self.of.now)
    @rule()
    def the_guard_takes_it_back(self) -> None:
        of = self.of
        of.ends.clear()
        self.release_at = 0
        self.call_targets = self.notice_targets = 1
        of.context = replace(of.context, warnable=True, renewable=True, has_call_target=True)
        of.decide(TargetsRestored())
        assert of.life.next_at is not None
        assert of.life.expires_at == of.last_use + of.life.lifetime
        is_late = of.now >= of.life.expires_at and of.policy.dormant_for > 0
        assert of.life.ended is (Ended.DORMANT if is_late else None)
        if is_late:
            of.ends.append(Ended.DORMANT)
            of.has_binding = False
        of.renewed()

    @rule(warnable=st.booleans(), renewable=st.booleans())
    def the_user_allows_and_forbids(self, warnable: bool, renewable: bool) -> None:
        if self.notice_targets and self.of.life.ended is None:
            # Reported by the app, which is a use.
            self.of.context = replace(self.of.context, warnable=warnable, renewable=renewable)
            self.use("foreground")

    # --- the PBX (law 7) ---

    @rule(said=st.sampled_from(["lost", "back", "refused", "unreachable", "too long", "recovered"]))
    def the_pbx_says(self, said: str) -> None:
        of, before = self.of, self.of.life.ended
        match said:
            case "lost" | "back":
                of.context = replace(of.context, is_registered=said == "back")
            case "too long":
                of.decide(TroubleEnd("403"))
                assert of.life.ended in (before, Ended.REFUSED)
            case "recovered":
                of.context = replace(of.context, is_registered=True)
                of.decide(Recovered())
                if of.life.ended is None:
                    of.trouble = Trouble()
            case _:
                of.decide(TroubleSaid(said, "503"))
                assert of.life.ended is before, "an unreachable registrar ends nobody"
                if before is None and of.context.warnable:
                    assert of.trouble.told_at

    # --- another policy (law 9), and the operator ---

    @precondition(lambda self: self.of.life.ended is None)
    @rule(policy=st.sampled_from(POLICIES), jitter=st.floats(-1, 1))
    def the_policy_changes(self, policy: LifetimePolicy, jitter: float) -> None:
        of, before = self.of, self.of.life
        of.policy = policy
        of.context = replace(of.context, zone="Asia/Kolkata" if policy.quiet_hours is not None else "")
        of.generation.is_changed = True
        of.decide(PolicyChanged(jitter))
        assert of.life.expires_at <= before.expires_at, "longer takes effect at the next use"
        if of.life.expires_at < before.expires_at:
            assert of.life.expires_at > of.now, "there is time for its renewals"
        of.expires_at = of.life.expires_at

    @precondition(lambda self: self.of.life.ended is None)
    @rule(by=st.integers(-DAY, 30 * DAY))
    def the_operator_extends(self, by: int) -> None:
        of, before = self.of, self.of.life
        of.decide(Extend(before.expires_at + by))
        assert of.life.expires_at == max(before.expires_at, before.expires_at + by)
        if by > 0:
            of.renewed()
            self.call_targets = self.notice_targets = 1
            of.context = replace(of.context, has_call_target=True)
            # What the guard would bring back is the last use's.
            of.last_use = of.life.renewed_at

    @precondition(lambda self: self.of.life.ended is None)
    @rule()
    def the_operator_warns(self) -> None:
        self.of.generation.is_changed = True
        self.of.decide(Rewarn())

    @rule(held=st.booleans())
    def a_call_is_held_or_over(self, held: bool) -> None:
        self.of.context = replace(self.of.context, held_call=held)

    @precondition(lambda self: self.of.life.ended in (None, Ended.DORMANT))
    @rule()
    def the_app_deletes_it(self) -> None:
        effects = self.of.decide(Cease(Ended.DELETED))
        assert self.of.life.ended is Ended.DELETED
        assert Release() in effects
        assert not [effect for effect in effects if isinstance(effect, Send)]

    # --- what always holds ---

    @invariant()
    def the_record_holds_together(self) -> None:
        of, life = self.of, self.of.life
        if life.ended is None:
            assert life.next_at is not None, "a living registration always has a next moment"
            assert life.next_at <= max(of.now, life.expires_at) + 40 * DAY
            assert life.expires_at == of.expires_at
            assert not of.ends
        else:
            assert of.ends[-1] is life.ended
            assert len([end for end in of.ends if end is not Ended.DORMANT]) <= 1, "it ends once"
            assert life.next_at is None or life.ended in (Ended.TARGETS_GONE, Ended.DORMANT)

    @invariant()
    def law_4_the_end_is_told_once_and_waits_once(self) -> None:
        assert self.of.notices <= 1
        assert self.of.postponed <= 1

    @invariant()
    def law_6_the_binding_lives_as_long_as_the_life(self) -> None:
        life = self.of.life
        waits_for_the_guard = life.ended is Ended.TARGETS_GONE and life.next_at is not None
        assert self.of.has_binding is (life.ended is None or waits_for_the_guard)

    @invariant()
    def law_3_nobody_lives_for_ever(self) -> None:
        """While the server runs and fires in time."""
        of = self.of
        if of.life.ended is not None or of.life.next_at is None or of.life.next_at <= of.now:
            return
        tried = of.generation.warnings_decided[-1:] or [of.expires_at]
        if of.generation.needed_at:
            tried = [of.generation.needed_at]
        bound = max(of.expires_at, *tried) + of.policy.grace_limit + of.smallest_lead() + LONGEST_NIGHT
        if not of.generation.is_changed:  # it may have been tried under another policy, with another grace
            assert of.now <= bound + of.down_after(of.expires_at) + HELD_CALL_WAIT + 4 * DAY


LifeMachine.TestCase.settings = DEFAULT_SETTINGS
TestLaws = LifeMachine.TestCase

"""One life with its outbox as the store keeps it, on a clock moved by hand, and what its history says.

Each decision is checked at once against the laws, by their words and not by the code's own terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from wakerobin.core.lifetime import (
    LAST_RESORT,
    NOTICE_TIME,
    REWARN,
    TROUBLE_NOTICE,
    TROUBLE_TEXT,
    Context,
    Effect,
    End,
    Event,
    Fire,
    LifetimePolicy,
    PlanEntry,
    PlanKind,
    Release,
    RenewalSent,
    Resume,
    Send,
    Tell,
    Void,
    WarningSettled,
    begin,
    decide,
    is_superseded,
    plan,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Life

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_735_689_600_000
ZONE = "Asia/Kolkata"
"""Half an hour off, and without changes of its clocks: what is night can be reckoned here by hand."""
_AHEAD = 5 * HOUR + 30 * MINUTE
NIGHT_BEGINS, NIGHT_ENDS = 22 * HOUR, 7 * HOUR
LONGEST_NIGHT = 9 * HOUR
_LATE = 10 * MINUTE

WARNING, TEXT = PushType.EXPIRY_WARNING, PushType.REGISTRATION_TROUBLE
_OF_WARNINGS = (WARNING, PushType.TARGETS_NEEDED)


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
    is_troubled: bool = False
    """The user was told in it that the PBX is in the way."""
    is_changed: bool = False
    """Another policy or the operator's warning came in it."""


@dataclass
class Trouble:
    """What the user knows of trouble, over all generations."""

    told_at: int = 0
    is_settled: bool = False
    cause: str = ""


class History:
    """`now` is moved by whoever drives it."""

    def __init__(self, policy: LifetimePolicy) -> None:
        self.policy = policy
        self.now = START
        self.life = begin(7, 99, policy.lifetime, START, policy)
        zone = ZONE if policy.quiet_hours is not None else ""
        self.context = Context(warnable=True, renewable=True, zone=zone)
        self.outbox: dict[tuple[int, PushType, int], Pending] = {}
        self.generation = Generation()
        self.trouble = Trouble()
        self.notices = 0
        self.ends: list[Ended] = []
        self.has_binding = True
        self.postponed = 0
        self.last_use = START
        self.expires_at = START + policy.lifetime
        self.noted_at: list[int] = []

    # --- what drives it ---

    def decide(self, event: Event) -> tuple[Effect, ...]:
        before = self.life
        self.life, effects = decide(before, event, self.now, self.policy, self.context)
        if self.life.generation == before.generation and not self.generation.is_changed:
            assert self.life.step >= before.step, "`step` only grows inside a generation"
        if self.life.generation != before.generation:
            assert Void(self.life.generation) in effects
        for effect in effects:
            match effect:
                case Send():
                    self._sends(effect, effects)
                case Void(below_generation=below):
                    self.outbox = {key: row for key, row in self.outbox.items() if key[0] >= below}
                case End(reason=reason):
                    self._ends(reason, before.ended, effects, by_time=isinstance(event, Fire))
                case Release():
                    assert self.has_binding or before.ended is Ended.DORMANT, "it goes once"
                    self.has_binding = False
                case Resume():
                    assert before.ended is Ended.DORMANT
                    self.has_binding = True
                case Tell(event=told):
                    self.postponed += told == "end-postponed"
        return effects

    def fire(self) -> None:
        had_ended = self.life.ended not in (None, Ended.DORMANT)
        is_due = self.life.next_at is not None and self.life.next_at <= self.now
        before = self.life
        effects = self.decide(Fire())
        if all(isinstance(effect, Send) for effect in effects):
            assert _climbed(before, self.life) == self.life, "all that the store writes of such a firing"
        assert self.life.next_at is None or self.life.next_at > self.now, "a firing always moves on"
        if had_ended and is_due:
            assert self.life.next_at is None

    def run_until(self, until: int, courier: str) -> None:
        while self.life.next_at is not None and self.life.next_at <= until:
            self.now = max(self.now, self.life.next_at)
            self.fire()
            self.run_courier(courier)
        self.now = max(self.now, until)

    def down_until(self, until: int) -> None:
        self.context = replace(self.context, downtime=(*self.context.downtime, (self.now, until)))
        self.now = until

    def renewed(self) -> None:
        """Begin a generation."""
        self.generation = Generation()
        self.expires_at = self.life.expires_at
        self.postponed = 0
        if not self.trouble.is_settled:
            self.trouble = Trouble()

    # --- what is read of it ---

    def smallest_lead(self) -> int:
        return self.policy.leads(self.life.lifetime)[-1]

    def down_after(self, began: int) -> int:
        return sum(
            up - max(down, began) for down, up in self.context.downtime if up > began and down < self.now
        )

    def is_night(self, at: int) -> bool:
        if self.policy.quiet_hours is None:
            return False
        clock = (at + _AHEAD - NIGHT_BEGINS) % DAY
        return _LATE <= clock < (NIGHT_ENDS - NIGHT_BEGINS) % DAY

    def first_warning_at(self) -> int:
        """Return the moment of the first warning; one that is late may have given way to the next."""
        return next(entry.at for entry in self.planned() if entry.kind is PlanKind.WARNING)

    def last_warning_step(self) -> int:
        return max(i for i, entry in enumerate(self.planned()) if entry.kind is PlanKind.WARNING)

    def planned(self) -> tuple[PlanEntry, ...]:
        life, zone = self.life, self.context.zone
        return plan(self.policy, life.expires_at, life.lifetime, zone=zone, habits=life.habits)

    # --- the courier ---

    def sendable(self) -> list[tuple[int, PushType, int]]:
        found = []
        for key, row in self.outbox.items():
            generation, kind, step = key
            is_lapsed = self.now >= row.send.deadline_at if row.send.deadline_at else row.attempts > 0
            if is_lapsed or row.send.not_before > self.now:
                continue
            asked = (self.life, kind, generation, step, self.now, self.policy, self.context.zone)
            if not is_superseded(*asked):
                found.append(key)
        return sorted(found)

    def run_courier(self, courier: str) -> None:
        for key in self.sendable():
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
                self.attempt(key, how)

    def attempt(self, key: tuple[int, PushType, int], how: str) -> None:
        generation, kind, step = key
        row = self.outbox[key]
        row.attempts += 1
        if kind is PushType.EXPIRED or (kind is TEXT and step == TROUBLE_NOTICE):
            assert self.life.ended is not None
        else:
            assert self.life.ended is None, "nothing but the notice leaves after the end"
            assert generation == self.life.generation, "nothing of an older generation leaves"
        if kind is TEXT and step == TROUBLE_TEXT:
            assert self.trouble.told_at, "law 7: what is over is not told"
        if how == "later":
            return
        del self.outbox[key]
        self._settles(kind, generation, step, is_accepted=how == "accepted")

    def _settles(self, kind: PushType, generation: int, step: int, *, is_accepted: bool) -> None:
        if kind is PushType.RENEW and is_accepted:
            self.generation.renewals_handed_over.append(self.now)
            self.decide(RenewalSent(generation))
        if kind in _OF_WARNINGS:
            is_last = step != REWARN and step >= self.last_warning_step()
            if step == REWARN:
                # It is the last one only where that is all that the end waits for.
                is_last = self.now >= self.expires_at and is_accepted
            if is_last and is_accepted:
                self.generation.accepted_at = self.now
            if is_last and not is_accepted:
                self.generation.is_refused = True
            self.decide(WarningSettled(generation, step, is_accepted))
        if kind is TEXT and step == TROUBLE_TEXT:
            self.trouble.is_settled = True
            self.decide(WarningSettled(generation, step, is_accepted))

    # --- what the laws say of a decision ---

    def _sends(self, send: Send, together: tuple[Effect, ...]) -> None:
        assert send.generation == self.life.generation
        key = (send.generation, send.kind, send.step)
        is_repeatable = send.step == REWARN or send.kind in (TEXT, PushType.REGISTRATION_TROUBLE_OVER)
        if not (is_repeatable or self.generation.is_changed):
            assert (send.kind, send.step) not in self.generation.decided, "each at most once in a generation"
        self.generation.decided.add((send.kind, send.step))
        self.outbox.setdefault(key, Pending(send))
        if send.kind is not PushType.RENEW and send.step != REWARN:
            assert not self.is_night(max(self.now, send.not_before)), "nobody is woken by a text"
        match send.kind:
            case PushType.EXPIRY_WARNING:
                self._warns(send)
            case PushType.RENEW:
                self._asks(send, together)
            case PushType.EXPIRED:
                self.notices += 1
                assert send.deadline_at == self.now + NOTICE_TIME
            case PushType.TARGETS_NEEDED:
                self.generation.needed_at = self.now
            case PushType.REGISTRATION_TROUBLE:
                self._tells_of_trouble(send)
            case PushType.REGISTRATION_TROUBLE_OVER:
                assert self.trouble.told_at, "law 7: who was not told is not told that it is over"
                assert self.trouble.is_settled
            case PushType.STILL_REACHABLE:
                assert all(self.now - at >= 30 * DAY for at in self.noted_at[-1:])
                self.noted_at.append(self.now)
            case _:
                raise AssertionError(f"a life does not send {send.kind}")

    def _warns(self, send: Send) -> None:
        assert self.context.warnable
        assert send.deadline_at > self.now
        assert send.payload["announced_at"] >= self.expires_at or self.now < self.expires_at
        assert send.payload.get("registered", True) is self.context.is_registered
        if send.step == REWARN:
            return
        self.generation.warnings_decided.append(self.now)
        # Law 2
        handed_over = self.generation.renewals_handed_over
        had_its_chance = bool(handed_over) and handed_over[0] + self.policy.renewal_every <= self.now
        assert had_its_chance or not self.context.renewable or self.now >= self.expires_at
        # Law 7
        if self.generation.is_troubled and not self.generation.is_changed:
            assert send.step in (LAST_RESORT, self.last_warning_step()), "no ordinary warning"

    def _asks(self, send: Send, together: tuple[Effect, ...]) -> None:
        assert self.context.renewable
        assert self.now < self.expires_at
        if self.generation.is_changed:
            return
        # What is stored on the way must not replace a warning.
        kinds = {effect.kind for effect in together if isinstance(effect, Send)}
        if self.generation.warnings_decided or WARNING in kinds:
            assert send.deadline_at == 0
        elif not self.generation.is_troubled and self.now < self.first_warning_at():
            assert send.deadline_at == self.expires_at

    def _tells_of_trouble(self, send: Send) -> None:
        assert self.context.warnable
        if send.step == TROUBLE_NOTICE:
            self.notices += 1
            assert send.payload["ended"] is True
            return
        is_worse = (self.trouble.cause, send.payload["cause"]) == ("unreachable", "refused")
        assert not self.trouble.told_at or is_worse, "law 7: once until it is over"
        self.trouble = Trouble(self.now, cause=send.payload["cause"])
        self.generation.is_troubled = True

    def _ends(
        self, reason: Ended, before: Ended | None, effects: tuple[Effect, ...], *, by_time: bool
    ) -> None:
        self.ends.append(reason)
        releases = [effect for effect in effects if isinstance(effect, Release)]
        assert all(effect.keeps_credentials is (reason is Ended.DORMANT) for effect in releases)
        notices = [effect for effect in effects if isinstance(effect, Send)]
        if before is Ended.DORMANT:
            assert not notices, "its user was told when it fell asleep"
        elif reason is Ended.REFUSED:
            self._ends_by_refusal(notices)
        elif by_time:
            self._ends_by_neglect(notices)
            assert releases

    def _ends_by_refusal(self, notices: list[Send]) -> None:
        assert [send.kind for send in notices] == ([TEXT] if self.context.warnable else [])
        if self.context.warnable:
            told_at = self.trouble.told_at
            assert told_at, "law 7: nobody ends by it who was not told"
            assert self.trouble.cause == "refused"
            grace_is_over = self.now >= told_at + self.policy.grace_limit + self.down_after(told_at)
            assert self.trouble.is_settled or grace_is_over
            assert self.now >= told_at + self.smallest_lead() or grace_is_over

    def _ends_by_neglect(self, notices: list[Send]) -> None:
        """Law 3: nobody is cut off unwarned where a warning is possible."""
        assert self.now >= self.expires_at
        assert [send.kind for send in notices] == ([PushType.EXPIRED] if self.context.warnable else [])
        if not self.context.warnable:
            return
        if self.generation.accepted_at:
            assert self.now >= min(self.generation.accepted_at + self.smallest_lead(), self._grace_end())
        elif not (self.generation.is_refused or self.generation.is_changed):
            assert self.now >= self._grace_end()

    def _grace_end(self) -> int:
        tried = self.generation.needed_at or min(self.generation.warnings_decided[-2:], default=self.now)
        began = max(self.expires_at, tried)
        return began + self.policy.grace_limit + self.down_after(began)


def _climbed(before: Life, after: Life) -> Life:
    """Return what the store has after a firing of which nothing follows but pushes."""
    return replace(
        before,
        step=after.step,
        next_at=after.next_at,
        warning_tried_at=after.warning_tried_at,
        warning_settled=after.warning_settled,
    )

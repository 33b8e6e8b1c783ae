"""One phone's way through the days under one policy, with the real decisions of lives and deliveries."""

from __future__ import annotations

import bisect
import heapq
from dataclasses import dataclass

from wakerobin.core import delivery
from wakerobin.core.delivery import DeliveryPolicy
from wakerobin.core.lifetime import (
    Context,
    Effect,
    End,
    Event,
    Fire,
    RenewalSent,
    Rescue,
    Send,
    TargetsLeft,
    Use,
    WarningSettled,
    begin,
    decide,
    rescue,
)
from wakerobin.core.pushes import Accepted, Outcome, PushType, TargetGone, Unavailable
from wakerobin.core.values import Ended, Life
from wakerobin.simulation.fate import Fate
from wakerobin.simulation.luck import Purpose
from wakerobin.simulation.model import DAY, HOUR, Model
from wakerobin.simulation.phone import NEVER, Answer, phone_of
from wakerobin.simulation.policies import Contestant
from wakerobin.simulation.tally import Tally

_DELIVERY = DeliveryPolicy()
_WARNINGS = frozenset({PushType.EXPIRY_WARNING, PushType.TARGETS_NEEDED})


@dataclass(frozen=True, slots=True)
class Row:
    """A push that waits to be sent, as `delivery.decide` reads it."""

    send: Send
    attempts: int

    @property
    def kind(self) -> PushType:
        """The type of push."""
        return self.send.kind

    @property
    def deadline_at(self) -> int:
        """Until when it is of use; 0: one attempt."""
        return self.send.deadline_at


class Walk:
    """`run` adds to the tally. `skips`: uses that no due moment follows before the next are left out.

    Never left out is a use that closes a generation in which pushes were decided: a life learns from it.
    """

    def __init__(
        self, fate: Fate, model: Model, contestant: Contestant, tally: Tally, *, skips: bool = True
    ) -> None:
        self._fate = fate
        self._model = model
        self._policy = contestant.policy
        self._tally = tally
        self._phone = phone_of(fate, model)
        self._skips = skips and self._phone.is_settled
        self._context = Context(
            warnable=contestant.warns and self._phone.warnable,
            renewable=self._phone.renewable,
            is_android=not fate.traits.is_ios,
        )
        self._life: Life
        self._rings_since = NEVER
        """Since when calls ring; NEVER where the life is over."""
        self._ended_at = NEVER
        self._acts_at = NEVER
        """When the owner opens the app for a warning."""
        self._outbox: list[tuple[int, int, Row]] = []
        self._rows = 0
        self._open = self._call = 0
        self._is_in_need = False

    def run(self) -> None:
        """Walk from the enrolment to the end of the simulation."""
        fate = self._fate
        self._tally.phones += 1
        self._tally.installed += fate.gone_at - fate.start
        self._tally.on += fate.off.outside(fate.start, fate.gone_at)
        self._tally.calls += len(fate.calls)
        self._phone.opened(fate.start)
        self._enrol(fate.start)
        while self._step():
            pass
        self._ring_until(fate.gone_at)
        if self._ended_at != NEVER and fate.gone_at < fate.end:
            self._tally.lost_days[fate.gone_at // DAY] -= 1

    def _step(self) -> bool:
        """Do what comes next; False: nothing does before the end."""
        fate, life, phone = self._fate, self._life, self._phone
        fires_at = NEVER if life.next_at is None else life.next_at
        sends_at = self._outbox[0][0] if self._outbox else NEVER
        internal = min(fires_at, sends_at, phone.due, self._acts_at)
        opens_at = fate.opens[self._open] if self._open < len(fate.opens) else NEVER
        call_at = fate.calls[self._call] if self._call < len(fate.calls) else NEVER
        now = min(internal, opens_at, call_at)
        if now >= fate.end or (life.ended and self._open >= len(fate.opens) and internal >= fate.end):
            return False
        if min(opens_at, call_at) <= now:
            self._uses(now, max(min(internal, fate.end), now + 1))
        elif now >= fate.gone_at and now in (phone.due, self._acts_at):
            phone.due = self._acts_at = NEVER  # the app is gone
        elif now == self._acts_at:
            self._acted(now)
        elif now == sends_at:
            self._attempt(heapq.heappop(self._outbox)[2], now)
        elif now == phone.due:
            self._answered(phone.look(now), now)
        else:
            self._decide(Fire(), max(now, 1))
        return True

    def _uses(self, now: int, before: int) -> None:
        """Take the owner's next use, or all of those that nothing happens between."""
        fate = self._fate
        if not self._skips or self._is_in_need or self._life.ended is not None:
            self._use_one(now)
            return
        opens = bisect.bisect_left(fate.opens, before, self._open)
        calls = bisect.bisect_left(fate.calls, before, self._call)
        last_open = fate.opens[opens - 1] if opens > self._open else -1
        last_call = fate.calls[calls - 1] if calls > self._call else -1
        self._open, self._call = opens, calls
        if last_open >= 0:
            self._phone.opened(last_open)
        if last_call > last_open:
            self._phone.called(last_call)
        self._renew("opened" if last_open > last_call else "call", max(last_open, last_call))

    def _use_one(self, now: int) -> None:
        fate = self._fate
        if self._open < len(fate.opens) and fate.opens[self._open] <= now:
            self._open += 1
            self._ring_until(now)
            self._phone.opened(now)
            if self._life.ended is not None:
                self._enrol(now)
            else:
                self._rings_since = now
                self._renew("opened", now)
            return
        self._call += 1
        if self._life.ended is not None:
            self._tally.calls_lost += 1
        elif now < self._phone.deaf_at:
            self._phone.called(now)
            self._renew("call", now)

    def _acted(self, now: int) -> None:
        """The owner opens the app because a warning or the notice of the end said so."""
        back = self._fate.off.end_of(now)
        if back > now:
            self._acts_at = back
            return
        self._acts_at = NEVER
        self._ring_until(now)
        self._phone.opened(now)
        if self._life.ended is not None:
            self._enrol(now)
        else:
            self._rings_since = now
            self._renew("tapped-warning", now)

    def _enrol(self, now: int) -> None:
        if self._ended_at != NEVER:
            self._tally.lost_days[now // DAY] -= 1
            self._ended_at = NEVER
        self._life = begin(self._fate.number + 1, 0, self._policy.lifetime, now, self._policy)
        self._rings_since = now
        self._acts_at = NEVER
        self._outbox.clear()
        self._is_in_need = False

    def _renew(self, cause: str, now: int) -> None:
        saved = rescue(self._life, cause)
        self._tally.silent += saved is Rescue.SILENT
        self._tally.by_warning += saved is Rescue.WARNED
        self._decide(Use(cause), now)
        self._acts_at = NEVER  # the app has removed its warnings
        self._is_in_need = False
        self._outbox.clear()

    def _decide(self, event: Event, now: int) -> None:
        self._life, effects = decide(self._life, event, now, self._policy, self._context)
        for effect in effects:
            self._perform(effect, now)

    def _perform(self, effect: Effect, now: int) -> None:
        if isinstance(effect, Send):
            if not self._is_in_need and effect.kind is not PushType.EXPIRED:
                self._is_in_need = True
                self._tally.in_need += 1
            self._post(Row(effect, 0), max(now, effect.not_before))
        elif isinstance(effect, End):
            self._ring_until(now)
            self._tally.ended[effect.reason.value] += 1
            if effect.reason is not Ended.TARGETS_GONE and now < self._fate.gone_at:
                self._ended_at = now
                self._tally.lost_days[now // DAY] += 1

    def _post(self, row: Row, at: int) -> None:
        self._rows += 1
        heapq.heappush(self._outbox, (at, self._rows, row))

    def _attempt(self, row: Row, now: int) -> None:
        if delivery.is_lapsed(row, now) or row.send.generation < self._life.generation:
            return
        outcome = self._outcome(row, now)
        jitter = self._fate.luck.at(Purpose.RETRY, now)
        verdict = delivery.decide(row, outcome, now, jitter, _DELIVERY)
        if isinstance(verdict, delivery.Again):
            self._post(Row(row.send, verdict.attempts), verdict.not_before)
        elif verdict.delivered:
            self._delivered(row, now)
        elif isinstance(outcome, TargetGone) and self._life.ended is None:
            self._decide(TargetsLeft(call=0, notice=0), now)

    def _outcome(self, row: Row, now: int) -> Outcome:
        if now >= self._fate.gone_at:
            return TargetGone("the app was removed")
        if row.attempts == 0 and self._fate.luck.at(Purpose.BUSY, now) < self._model.push_service_busy:
            return Unavailable("503", processed=False)
        return Accepted()

    def _delivered(self, row: Row, now: int) -> None:
        kind = row.kind
        if kind is PushType.RENEW:
            self._tally.renewals += 1
            self._decide(RenewalSent(row.send.generation), now)
        elif kind in _WARNINGS:
            self._tally.warnings_sent += 1
            self._decide(WarningSettled(row.send.generation, row.send.step, accepted=True), now)
        self._answered(self._phone.push(kind, now, row.deadline_at), now)

    def _answered(self, answer: Answer | None, now: int) -> None:
        match answer:
            case Answer.RENEWED | Answer.RENEWED_FIRST if self._life.ended is None:
                self._phone.renewed(now)
                self._renew("renewal-push" if answer is Answer.RENEWED else "warning-extension", now)
            case Answer.SHOWN:
                self._tally.warnings += 1
                self._read(now)
            case Answer.NOTICED:
                self._tally.notices += 1
                self._read(now)
            case _:
                pass

    def _read(self, now: int) -> None:
        """A text is on the screen: the owner reads it when awake, and may act on it later."""
        luck, fate = self._fate.luck, self._fate
        if luck.at(Purpose.ACTS, now) >= fate.traits.acts:
            return
        after = luck.at(Purpose.DELAY, now) * 2 * self._model.reaction_hours * HOUR
        self._acts_at = min(self._acts_at, fate.wakes_at(fate.wakes_at(now) + round(after)))

    def _ring_until(self, now: int) -> None:
        """Count the time in which calls rang."""
        since, self._rings_since = self._rings_since, NEVER
        until = min(now, self._phone.deaf_at, self._fate.gone_at)
        if since >= until:
            return
        self._tally.reachable += self._fate.off.outside(since, until)
        self._tally.reachable -= self._phone.rings_outside(since, until)

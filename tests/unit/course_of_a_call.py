"""A call machine between a caller and phones that do as they please, over ways that deliver in any order.

The phones are the worst that can be met: they know no copy of an INVITE from another, ring for each, and may
answer what was cancelled as long as the CANCEL has not come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.incoming_calls import answer, call, phone
from wakerobin.core.call import Abandon, Effect, Follow, IncomingCall, Offer, Over, Push, Recall
from wakerobin.core.sip.forking import Acknowledge, Answer, Cancel, EndDialog, Forward
from wakerobin.core.values import PhoneFlow

TIMER_B_S = 32.0


@dataclass(slots=True)
class Copy:
    """An INVITE on one phone: a server transaction there, and at most one client transaction of ours."""

    key: str
    """Of its branch, as we know it; a branch that was abandoned is known under none."""
    phone: PhoneFlow
    sent_at: float
    has_come: bool = False
    state: str = ""
    """What the phone does: nothing, `rings`, or the status that it said last."""
    is_known: bool = True
    has_spoken: bool = False
    """Whether a response came to us: only then may it be cancelled."""
    is_cancelled: bool = False
    acks: int = 0
    byes: int = 0
    forwarded: int = 0


@dataclass(slots=True)
class Course:
    """Everything that has happened so far, and what is on its way."""

    one: IncomingCall
    now: float = 0.0
    copies: list[Copy] = field(default_factory=list)
    ways: dict[int, int] = field(default_factory=dict)
    """By registration: the port at which its phone is now."""
    travelling: list[Callable[[], None]] = field(default_factory=list)
    pushes: list[int] = field(default_factory=list)
    """Registrations whose push has not been settled."""
    finals: list[int] = field(default_factory=list)
    overs: list[Over] = field(default_factory=list)

    @classmethod
    def begin(cls, awake: int, asleep: int, **policy: object) -> Course:
        """Call an account of so many phones."""
        course = cls(call(**policy))
        flows = [
            phone(number, 4000 + number, heard_at=-60.0 * (number % 2)) for number in range(1, awake + 1)
        ]
        course.ways = {one.registration_id: one.flow.remote[1] for one in flows}
        course.perform(course.one.start(flows, range(1, awake + asleep + 1), 0.0))
        return course

    # What may happen

    def deliver(self, which: int) -> None:
        """Let one of the messages arrive that travel."""
        self.travelling.pop(which % len(self.travelling))()

    def rings(self, copy: Copy) -> None:
        copy.state = "rings"
        self._say(copy, 180)

    def says(self, copy: Copy, status: int) -> None:
        copy.state = str(status)
        self._say(copy, status)

    def registers(self, number: int, port: int) -> None:
        """A phone comes, at the place where it was or at another."""
        self.ways[number] = port
        self.perform(self.one.phone_arrived(phone(number, port, heard_at=self.now), self.now))

    def settles(self, *, accepted: bool) -> None:
        number = self.pushes.pop(0)
        self.perform(self.one.push_settled(number, accepted=accepted, reason="APNS", now=self.now))

    def cancels(self) -> None:
        self.perform(self.one.cancel("SIP;cause=487", self.now))

    def declines(self, number: int, *, everywhere: bool) -> None:
        self.perform(self.one.decline(number, everywhere=everywhere, status=486, now=self.now))

    def waits(self, seconds: float) -> None:
        """Let time pass: timers of the call, and timer B of what nobody has answered."""
        end = self.now + seconds
        while (due := self._next()) is not None and due <= end:
            self.now = max(self.now, due)
            silent = [c for c in self._unanswered() if c.sent_at + TIMER_B_S <= self.now]
            for copy in silent:
                copy.is_known = False
                self.perform(self.one.branch_failed(copy.key, "timeout", self.now))
            self.perform(self.one.on_timer(self.now))
        self.now = end

    def comes_to_rest(self) -> None:
        """Let everything arrive that travels, and every timer fire."""
        for _ in range(1000):
            while self.travelling:
                self.deliver(0)
            due = self._next()
            if due is None:
                return
            self.waits(max(0.0, due - self.now))
        raise AssertionError("it never comes to rest")

    # What the machine wants

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Push(number):
                    self.pushes.append(number)
                case Over():
                    self.overs.append(effect)
                case Offer() | Abandon() | Follow() | Recall() | Cancel():
                    self._perform_branch(effect)
                case Forward() | Answer() | Acknowledge() | EndDialog():
                    self._perform_end(effect)
                case _:
                    pass

    def _perform_branch(self, effect: Offer | Abandon | Follow | Recall | Cancel) -> None:
        match effect:
            case Offer(key, where, _):
                self._offer(Copy(key, where, self.now))
            case Abandon(key):
                self._of(key).is_known = False
            case Follow(key, where):
                self._follow(self._of(key), where)
            case Recall(key, where, _):
                copy = self._of(key)
                copy.phone = where
                self._send(copy, lambda: self._cancelled(copy))
            case Cancel(key, _):
                self._cancel(self._of(key))

    def _perform_end(self, effect: Forward | Answer | Acknowledge | EndDialog) -> None:
        match effect:
            case Forward(key, response):
                self._of(key).forwarded += response.status >= 200
                self._final(response.status)
            case Answer(status, _):
                self._final(status)
            case Acknowledge(key, _):
                self._of(key).acks += 1
            case EndDialog(key, _, _):
                copy = self._of(key)
                copy.byes += 1
                copy.state = "over"

    def _final(self, status: int) -> None:
        if status >= 200:
            self.finals.append(status)

    def _offer(self, copy: Copy) -> None:
        self.copies.append(copy)
        self._send(copy, lambda: setattr(copy, "has_come", True))

    def _follow(self, copy: Copy, where: PhoneFlow) -> None:
        copy.phone = where
        self._send(copy, lambda: setattr(copy, "has_come", True))

    def _cancel(self, copy: Copy) -> None:
        copy.is_cancelled = True
        if copy.has_spoken:
            self._send(copy, lambda: self._cancelled(copy))

    def _send(self, copy: Copy, arrives: Callable[[], None]) -> None:
        """What is sent to a place where the phone is no more arrives nowhere."""
        port = copy.phone.flow.remote[1]

        def at_the_phone() -> None:
            if self.ways.get(copy.phone.registration_id) == port:
                arrives()

        self.travelling.append(at_the_phone)

    def _cancelled(self, copy: Copy) -> None:
        if copy.state in ("", "rings"):
            copy.state = "487"
            self._say(copy, 487)

    def _say(self, copy: Copy, status: int) -> None:
        self.travelling.append(lambda: self._heard(copy, status))

    def _heard(self, copy: Copy, status: int) -> None:
        if not copy.is_known:
            key = copy.key if copy.key.startswith("old") else f"old {len(self.copies)} {copy.key}"
            number = copy.phone.registration_id
            copy.phone = phone(number, self.ways[number])  # where its response comes from
            effects = self.one.take_back(key, copy.phone, status, self.now)
            if effects is None:
                return
            copy.key, copy.is_known = key, True
            copy.has_spoken = True
            self.perform(effects)
        is_first, copy.has_spoken = not copy.has_spoken, True
        if is_first and copy.is_cancelled and status < 200:
            self._send(copy, lambda: self._cancelled(copy))
        self.perform(self.one.receive(copy.key, answer(status, f"{id(copy)}"), self.now))

    def _of(self, key: str) -> Copy:
        return next(copy for copy in reversed(self.copies) if copy.key == key)

    def _unanswered(self) -> list[Copy]:
        return [copy for copy in self.copies if copy.is_known and not copy.has_spoken]

    def _next(self) -> float | None:
        times = [copy.sent_at + TIMER_B_S for copy in self._unanswered()]
        deadline = self.one.deadline
        return min(times if deadline is None else [*times, deadline], default=None)

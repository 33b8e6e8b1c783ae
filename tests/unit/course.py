"""One life on a clock moved by hand, with a courier that does as it is told."""

from __future__ import annotations

from wakerobin.core.lifetime import (
    TROUBLE_TEXT,
    Context,
    Effect,
    Event,
    Fire,
    LifetimePolicy,
    RenewalSent,
    Send,
    WarningSettled,
    begin,
    decide,
    is_superseded,
)
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, Ended

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_735_689_600_000
"""2025-01-01 00:00 UTC."""
PHONE = Context(warnable=True, renewable=True)
WARNINGS = (PushType.EXPIRY_WARNING, PushType.TARGETS_NEEDED, PushType.REGISTRATION_TROUBLE)


class Course:
    """`sent`: when each push was decided."""

    def __init__(
        self,
        policy: LifetimePolicy | None = None,
        lifetime: int = 7 * DAY,
        *,
        start: int = START,
        context: Context = PHONE,
    ) -> None:
        self.policy = policy or LifetimePolicy()
        self.now = start
        self.context = context
        self.life = begin(7, 3, Duration(lifetime), start, self.policy)
        self.sent: list[tuple[int, Send]] = []
        self.last: tuple[Effect, ...] = ()

    def event(self, event: Event) -> tuple[Effect, ...]:
        self.life, self.last = decide(self.life, event, self.now, self.policy, self.context)
        self.sent += [(self.now, effect) for effect in self.last if isinstance(effect, Send)]
        return self.last

    def run_until(self, at: int, *, renewals_accepted: bool = True, warnings_accepted: bool = False) -> None:
        """Fire whatever is due on the way; the courier settles at once what it accepts."""
        while self.life.next_at is not None and self.life.next_at <= at:
            self.now = max(self.now, self.life.next_at)
            before = len(self.sent)
            self.event(Fire())
            for _, send in self.sent[before:]:
                if send.kind is PushType.RENEW and renewals_accepted:
                    self.event(RenewalSent(send.generation))
                if send.kind in WARNINGS and warnings_accepted:
                    self.event(WarningSettled(send.generation, send.step, accepted=True))
        self.now = at

    def left(self, kind: PushType) -> list[float]:
        """How many hours before the end pushes of a kind were decided."""
        return [(self.life.expires_at - at) / HOUR for at, send in self.sent if send.kind is kind]

    def end(self) -> Ended | None:
        """Why it ended; a call, so that a type checker does not take it for constant."""
        return self.life.ended

    def kinds(self) -> list[PushType]:
        return [send.kind for _, send in self.sent]

    def of(self, kind: PushType) -> Send:
        return next(send for _, send in reversed(self.sent) if send.kind is kind)

    def trouble_is_settled(self) -> None:
        self.event(WarningSettled(self.life.generation, TROUBLE_TEXT, accepted=True))

    def is_superseded(self, send: Send) -> bool:
        return is_superseded(
            self.life, send.kind, send.generation, send.step, self.now, self.policy, self.context.zone
        )

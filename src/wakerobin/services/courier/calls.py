"""Call pushes: sent at once, without awaiting and without the store, and noted afterwards.

A call is known by the id of its push and the target: a repeated INVITE pushes nothing new, and whoever
asks again learns how the first push ended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from wakerobin import log, metrics
from wakerobin.core.delivery import Again, decide
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, PushType, Rejected, TargetGone, Unavailable
from wakerobin.core.values import PushTarget
from wakerobin.ports.clock import Timer
from wakerobin.ports.push import Attempt
from wakerobin.services.courier.around import Around, count, count_delay
from wakerobin.services.courier.gates import Gates

OnOutcome: TypeAlias = Callable[[PushMessage, Outcome], None]

_REMEMBERED_S = 60.0
_MOST_NOTED_AT_ONCE = 50

_log = log.get("courier")


@dataclass(slots=True, eq=False)
class _CallPush:
    """One call push, from the wish to its outcome; in the eyes of `core.delivery` a row of the outbox."""

    message: PushMessage
    deadline: float
    deadline_at: int
    began: float
    listeners: list[OnOutcome]
    kind: PushType = PushType.CALL
    attempts: int = 0
    outcome: Outcome | None = None
    attempt: Attempt | None = None
    timer: Timer | None = None
    is_over: bool = field(default=False)


class CallPushes:
    """Sends call pushes, once each."""

    def __init__(self, around: Around, gates: Gates) -> None:
        self._around = around
        self._gates = gates
        self._pushes: dict[tuple[str, int], _CallPush] = {}
        self._of_call: dict[str, list[_CallPush]] = {}
        self._to_note: deque[tuple[str, PushTarget, Outcome]] = deque()
        self._woken = asyncio.Event()

    def call_now(self, messages: list[PushMessage], on_outcome: OnOutcome, deadline: float) -> None:
        """Send each at once; `on_outcome` is called once for each, perhaps before this returns."""
        now = self._around.clock.monotonic()
        self._forget(now)
        for message in messages:
            key = (message.id, message.target.id)
            known = self._pushes.get(key)
            if known is None:
                deadline_at = self._around.clock.now() + max(0, round((deadline - now) * 1000))
                push = self._pushes[key] = _CallPush(message, deadline, deadline_at, now, [on_outcome])
                self._of_call.setdefault(_call_id(message), []).append(push)
                self._try(push)
            elif known.outcome is None:
                known.listeners.append(on_outcome)
            else:
                self._tell(on_outcome, message, known.outcome)

    def call_over(self, call_id: str) -> None:
        """The call (the `call_id` of its payload) is over: no push of it may leave any more."""
        for push in self._of_call.get(call_id, ()):
            if push.outcome is None:
                self._end(push)

    async def run(self) -> None:
        """Write down, until cancelled, what call pushes told of their targets."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._to_note:
                batch = [self._to_note.popleft() for _ in range(min(len(self._to_note), _MOST_NOTED_AT_ONCE))]
                await asyncio.gather(*(self._note(*one) for one in batch))

    def _try(self, push: _CallPush) -> None:
        push.timer = None
        message = push.message
        service = self._around.service(message.app, message.target.provider)
        if service is None:
            reason = f"no {message.target.provider} in the settings of this app"
            self._settle(push, Rejected(reason, ours=True))
        else:
            push.attempt = service.begin(message, push.deadline, partial(self._tried, push))

    def _tried(self, push: _CallPush, outcome: Outcome) -> None:
        around = self._around
        if not push.is_over:
            self._gates.heard(push.message.app, push.message.target, outcome)
        wait = self._wait(push, outcome)
        if wait is None:
            self._settle(push, outcome)
        else:
            push.attempts += 1
            push.timer = around.timers.call_at(
                around.clock.monotonic() + wait / 1000, partial(self._try, push)
            )

    def _wait(self, push: _CallPush, outcome: Outcome) -> int | None:
        """Return how long to wait for another attempt; None: this was the last."""
        if push.is_over:
            return None
        if isinstance(outcome, Unavailable) and outcome.processed is None:
            return None  # the push service has repeated it already: a third copy is one too many
        now = self._around.clock.now()
        verdict = decide(push, outcome, now, self._around.jitter(), self._around.policy)
        return verdict.not_before - now if isinstance(verdict, Again) else None

    def _end(self, push: _CallPush) -> None:
        push.is_over = True
        if push.timer is not None:
            push.timer.cancel()
            self._settle(push, Unavailable("the call is over", processed=False))
        elif push.attempt is not None:
            push.attempt.withdraw()

    def _settle(self, push: _CallPush, outcome: Outcome) -> None:
        push.outcome = outcome
        took = self._around.clock.monotonic() - push.began
        count(push.message, outcome, took)
        if isinstance(outcome, Accepted):
            count_delay(push.message, took)
        if isinstance(outcome, Accepted | TargetGone):
            self._to_note.append((push.message.app, push.message.target, outcome))
            self._woken.set()
        listeners, push.listeners = push.listeners, []
        for on_outcome in listeners:
            self._tell(on_outcome, push.message, outcome)

    def _tell(self, on_outcome: OnOutcome, message: PushMessage, outcome: Outcome) -> None:
        try:
            on_outcome(message, outcome)
        except Exception:
            # This runs inside the connection to the push service, which carries other calls too.
            metrics.FAULTS.labels("courier").inc()
            _log.error("courier_fault", kind=message.type, exc_info=True)

    async def _note(self, app: str, target: PushTarget, outcome: Outcome) -> None:
        try:
            if isinstance(outcome, TargetGone):
                await self._around.lives.target_gone(target, outcome)
                if self._around.lives.is_refused_in_bulk(app, target):
                    self._gates.refused_in_bulk(app, target, outcome)
            elif isinstance(outcome, Accepted):
                await self._around.lives.target_accepted(target, outcome)
        except StoreUnavailableError as error:
            _log.warning("push_outcome_not_noted", reason=str(error))  # the next push says it again
        except Exception:
            metrics.FAULTS.labels("courier").inc()
            _log.error("courier_fault", exc_info=True)

    def _forget(self, now: float) -> None:
        while self._pushes:
            key, push = next(iter(self._pushes.items()))
            if push.outcome is None or push.began > now - _REMEMBERED_S:
                return
            del self._pushes[key]
            call_id = _call_id(push.message)
            left = [other for other in self._of_call.get(call_id, ()) if other is not push]
            if left:
                self._of_call[call_id] = left  # pushed later, when a phone's flow had turned out dead
            else:
                self._of_call.pop(call_id, None)


def _call_id(message: PushMessage) -> str:
    return str(message.payload.get("call_id", ""))

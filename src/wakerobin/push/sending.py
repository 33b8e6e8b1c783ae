"""What sending is to every push service: `send` by way of `begin`, and how a push goes to a pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from wakerobin.core.pushes import Lane, Outcome, PushMessage
from wakerobin.ports.push import Attempt, always_wanted
from wakerobin.push.connection import Headers, Request, Result

OnOutcome: TypeAlias = Callable[[Outcome], None]
Begin: TypeAlias = Callable[[PushMessage, float, OnOutcome], Attempt]


@dataclass(frozen=True, slots=True)
class Wish:
    """A push that somebody wants sent."""

    message: PushMessage
    deadline: float
    """Monotonic seconds."""
    on_outcome: OnOutcome
    is_wanted: Callable[[], bool] = always_wanted

    @property
    def is_call(self) -> bool:
        """Whether it goes before everything else, and is known again by its id."""
        return self.message.lane is Lane.CALLS

    def request(
        self,
        headers: Headers,
        body: bytes,
        on_done: Callable[[Result], None],
        *,
        deadline: float | None = None,
        is_on_trial: bool = False,
    ) -> Request:
        """Return it as a pool takes it; an earlier `deadline` may be given."""
        return Request(
            headers=headers,
            body=body,
            deadline=self.deadline if deadline is None else deadline,
            on_done=on_done,
            is_urgent=self.is_call,
            may_repeat=self.is_call,
            is_on_trial=is_on_trial,
            is_wanted=None if self.is_call else self.is_wanted,
        )


async def outcome_of(begin: Begin, message: PushMessage, deadline: float) -> Outcome:
    """Begin, and return the outcome. Who is cancelled while waiting leaves the push on its way."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def on_outcome(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    begin(message, deadline, on_outcome)
    return await future

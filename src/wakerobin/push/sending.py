"""A push that is awaited, by way of one that is not: `send` of every push service, from its `begin`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from wakerobin.core.pushes import Outcome, PushMessage
from wakerobin.ports.push import Attempt

OnOutcome: TypeAlias = Callable[[Outcome], None]
Begin: TypeAlias = Callable[[PushMessage, float, OnOutcome], Attempt]


async def outcome_of(begin: Begin, message: PushMessage, deadline: float) -> Outcome:
    """Begin, and return the outcome. Who is cancelled while waiting leaves the push on its way."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def on_outcome(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    begin(message, deadline, on_outcome)
    return await future

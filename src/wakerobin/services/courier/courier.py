"""The courier: whoever wants something pushed comes here, and nobody else talks to push services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wakerobin.core.delivery import DeliveryPolicy
from wakerobin.core.ids import Entropy
from wakerobin.core.pushes import PushMessage
from wakerobin.core.values import Provider
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.push import PushService
from wakerobin.ports.store import Store
from wakerobin.ports.texts import Texts
from wakerobin.services.courier.alarms import PushAlarms
from wakerobin.services.courier.around import Around, is_apple
from wakerobin.services.courier.calls import CallPushes, OnOutcome
from wakerobin.services.courier.gates import Gates
from wakerobin.services.courier.lanes import LaneOptions, Lanes
from wakerobin.services.courier.settling import Settler
from wakerobin.services.lives import Lives


class Courier:
    """Carries call pushes at once and the outbox in lanes. Every push it takes ends in one outcome."""

    def __init__(  # noqa: PLR0913 - it is where the ports meet; all of them named
        self,
        *,
        store: Store,
        clock: Clock,
        timers: Timers,
        texts: Texts,
        services: Callable[[str, Provider], PushService | None],
        lives: Lives,
        entropy: Entropy,
        policy: DeliveryPolicy | None = None,
        options: LaneOptions | None = None,
        is_rationed: Callable[[str, Provider], bool] = is_apple,
    ) -> None:
        """`services` gives the push service of an app at a provider, None where it has none.

        `is_rationed` says of it whether it rations silent pushes.
        """
        policy, options = policy or DeliveryPolicy(), options or LaneOptions()
        around = Around(store, clock, timers, texts, services, lives, entropy, policy, is_rationed)
        self._alarms = PushAlarms(store, clock, timers)
        gates = Gates(around, options.pace, self._alarms)
        self._settler = Settler(around)
        self._calls = CallPushes(around, gates)
        self._lanes = Lanes(around, options, gates, self._settler)

    async def run(self) -> None:
        """Carry the outbox and note the outcomes of calls, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._alarms.run())
            group.create_task(self._settler.run())
            group.create_task(self._lanes.run())
            group.create_task(self._calls.run())

    def call_now(self, messages: list[PushMessage], on_outcome: OnOutcome, deadline: float) -> None:
        """Send call pushes, on the wire when this returns; `deadline` is monotonic seconds.

        `on_outcome` is called once for each message, perhaps before this returns. The same message
        within a minute is not sent again; it gets the outcome of the first.
        """
        self._calls.call_now(messages, on_outcome, deadline)

    def call_over(self, call_id: str) -> None:
        """No push of this call (the `call_id` of its payload) may leave any more."""
        self._calls.call_over(call_id)

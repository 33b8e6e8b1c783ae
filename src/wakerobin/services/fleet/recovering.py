"""Bringing back bindings that were lost together, as when a connection to a PBX ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from wakerobin.core.binding import ComeLater, Trouble, Unreachable, recovery_order
from wakerobin.core.values import BindingState, Flow
from wakerobin.services.fleet.cycle import Ending, Errand
from wakerobin.services.fleet.hops import Hops
from wakerobin.services.fleet.schedule import Roster
from wakerobin.services.fleet.surroundings import Surroundings
from wakerobin.services.fleet.turns import Urgency

_SLICE = 2_000
_LATELY_S = 86_400.0
"""A call in the last day: this phone is missed first."""


class Recovering:
    """`bind_now` lets a row be bound out of turn; `troubles` are those of accounts that are not bound."""

    def __init__(
        self,
        around: Surroundings,
        roster: Roster,
        hops: Hops,
        troubles: Mapping[int, Trouble],
        bind_now: Callable[[int, Urgency], None],
    ) -> None:
        self._around = around
        self._roster = roster
        self._hops = hops
        self._troubles = troubles
        self._bind_now = bind_now

    def lost(self, flow: Flow, now: int) -> None:
        """Take the news that a connection is no more: who was bound over it is bound no longer.

        `now` is the present second of the fleet's own time.
        """
        rows = self._hops.cut(flow)
        for row in rows:
            self._roster.bound_until[row] = min(self._roster.bound_until[row], now)
        self.bring_back(rows)

    def bring_back(self, rows: Iterable[int]) -> None:
        """Bind rows again that have lost their binding together: first those that were called lately."""
        lately = int(self._around.wall_s() - _LATELY_S) // 60
        order = recovery_order(rows, self._roster.called, lately)
        self._some(order[:_SLICE])
        if len(order) > _SLICE:
            self._around.start(self._rest(order))

    def learn_pace(self, errand: Errand, ending: Ending) -> None:
        """Find out how fast this PBX can take back those that it has lost."""
        now_s, pace = self._around.clock.monotonic(), errand.registrar.queue.recovery
        if isinstance(ending.outcome, ComeLater | Unreachable):
            pace.overloaded(now_s)
        else:
            pace.answered(now_s, now_s - ending.started_s)

    async def _rest(self, order: list[int]) -> None:
        """Leave the loop to others between slices: a hundred thousand may be lost at once."""
        for first in range(_SLICE, len(order), _SLICE):
            await asyncio.sleep(0)
            self._some(order[first : first + _SLICE])

    def _some(self, rows: list[int]) -> None:
        for row in rows:
            account_id = self._roster.account[row]  # 0 where it has ended meanwhile
            if account_id and not self._is_refused(account_id):
                self._bind_now(row, Urgency.RECOVERY)

    def _is_refused(self, account_id: int) -> bool:
        """Whether asking again before its time would look like guessing, which PBXs ban us for."""
        trouble = self._troubles.get(account_id)
        return trouble is not None and trouble.state is not BindingState.UNREACHABLE

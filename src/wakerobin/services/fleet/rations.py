"""The guessing budgets of all PBXs, by what they ban us from: their addresses.

Names and ports are the enrolments' to choose, and a name may lead to several hosts, of which only the last
one that is tried answers. So a trial needs a grant of every address that it may come to, and its refusal
counts at the one that refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wakerobin.services.fleet.budget import (
    Grant,
    GuessingBudget,
    TooManyAtRegistrar,
    TooManyOfUser,
    Wait,
)

_MOST_BUDGETS = 10_000


@dataclass(frozen=True, slots=True)
class Ration:
    """A grant for one trial. To be given back by `settle`, once."""

    user: str
    budgets: dict[str, GuessingBudget]

    def settle(self, now_s: float, *, refused_at: str = "") -> None:
        """Give it back; `refused_at` is the address that refused the credentials, if any did."""
        for address, budget in self.budgets.items():
            budget.settle(self.user, now_s, is_refused=address == refused_at)


class Rations:
    """Driven by trials. `rate` and `most_refusals` are those of each address."""

    def __init__(self, rate: float, most_refusals: int) -> None:
        self._rate = rate
        self._most_refusals = most_refusals
        self._budgets: dict[str, GuessingBudget] = {}

    def ask(
        self, addresses: Iterable[str], user: str, now_s: float
    ) -> Ration | Wait | TooManyAtRegistrar | TooManyOfUser:
        """Ask to try credentials of a user at a PBX with these addresses."""
        granted: dict[str, GuessingBudget] = {}
        ration = Ration(user, granted)
        for address in dict.fromkeys(addresses):
            budget = self._of(address, now_s)
            answer = budget.ask(user, now_s)
            if not isinstance(answer, Grant):
                ration.settle(now_s)
                return answer
            granted[address] = budget
        return ration

    def exhausted(
        self, addresses: Iterable[str], user: str, now_s: float
    ) -> TooManyAtRegistrar | TooManyOfUser | None:
        """Return why credentials of a user cannot be tried now; None where they can, or may only wait."""
        for address in addresses:
            budget = self._budgets.get(address)
            exhausted = budget.exhausted(user, now_s) if budget is not None else None
            if exhausted is not None:
                return exhausted
        return None

    def _of(self, address: str, now_s: float) -> GuessingBudget:
        budget = self._budgets.get(address)
        if budget is None:
            if len(self._budgets) >= _MOST_BUDGETS:
                self._budgets = {key: one for key, one in self._budgets.items() if not one.is_quiet(now_s)}
            budget = self._budgets[address] = GuessingBudget(self._rate, self._most_refusals, now_s)
        return budget

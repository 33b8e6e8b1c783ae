"""How often offered credentials may be compared with the proven ones: each comparison answers a guess."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TypeAlias

MOST_WRONG = 3
WINDOW_S = 3_600.0
MOST_ACCOUNTS = 10_000

Who: TypeAlias = tuple[int, str]
"""The id of an account, and of the installation where that is proven there."""


@dataclass(slots=True)
class _Account:
    wrong: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_WRONG))
    open: int = 0
    """Comparisons under way: each may turn out to be wrong."""


class Guesses:
    """Wrong comparisons of the last hour, by account. `now_s` is monotonic seconds.

    An installation that is proven there has a budget of its own: no stranger knows its id, so none can use
    it up and keep the phone from enrolling again.

    Beyond the budget nothing is compared: the PBX decides, within the budget that the fleet keeps for it.
    """

    def __init__(self) -> None:
        self._accounts: OrderedDict[Who, _Account] = OrderedDict()

    def begin(self, who: Who, now_s: float) -> bool:
        """Whether credentials that are offered for this account may be compared; if so, `end` follows."""
        account = self._accounts.setdefault(who, _Account())
        self._accounts.move_to_end(who)
        while account.wrong and now_s - account.wrong[0] >= WINDOW_S:
            account.wrong.popleft()
        if account.open + len(account.wrong) >= MOST_WRONG:
            return False
        account.open += 1
        if len(self._accounts) > MOST_ACCOUNTS:
            self._accounts.popitem(last=False)
        return True

    def end(self, who: Who, now_s: float, *, is_wrong: bool) -> None:
        """Say how a comparison went."""
        account = self._accounts.setdefault(who, _Account())
        account.open = max(0, account.open - 1)
        if is_wrong:
            account.wrong.append(now_s)
        elif not account.open and not account.wrong:
            del self._accounts[who]

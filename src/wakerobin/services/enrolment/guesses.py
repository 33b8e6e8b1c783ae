"""How often offered credentials may be compared with the proven ones: each comparison answers a guess."""

from __future__ import annotations

from collections import OrderedDict, deque

MOST_WRONG = 3
WINDOW_S = 3_600.0
MOST_ACCOUNTS = 10_000


class Guesses:
    """Wrong comparisons of the last hour, by account. `now_s` is monotonic seconds.

    Beyond the budget nothing is compared: the PBX decides, within the budget that the fleet keeps for it.
    """

    def __init__(self) -> None:
        self._wrong: OrderedDict[int, deque[float]] = OrderedDict()

    def may_compare(self, account_id: int, now_s: float) -> bool:
        """Whether credentials that are offered for this account may be compared."""
        wrong = self._wrong.get(account_id)
        if wrong is None:
            return True
        while wrong and now_s - wrong[0] >= WINDOW_S:
            wrong.popleft()
        return len(wrong) < MOST_WRONG

    def was_wrong(self, account_id: int, now_s: float) -> None:
        """Count a comparison that failed."""
        self._wrong.setdefault(account_id, deque(maxlen=MOST_WRONG)).append(now_s)
        self._wrong.move_to_end(account_id)
        if len(self._wrong) > MOST_ACCOUNTS:
            self._wrong.popitem(last=False)

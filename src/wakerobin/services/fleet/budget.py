"""How many wrong passwords this server may carry to a PBX, which would ban it with all its users (fail2ban).

Anyone can enrol with any password, so credentials without a proof are rationed: by time, by refusals of
one PBX, and by refusals of one of its users.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from wakerobin.core.pacing import TokenBucket

_PER_REGISTRAR_S = 600.0
_PER_USER_S = 3_600.0
_MOST_PER_USER = 3
_LOOK_AGAIN_S = 0.5
_SHORTEST_WAIT_S = 0.001  # what rounding makes nothing of would never fill the bucket
_MOST_USERS = 10_000


@dataclass(frozen=True, slots=True)
class Grant:
    """It may be tried now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Others are being tried, or the rate is used up: ask again after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TooManyAtRegistrar:
    """This PBX has refused too many; in so many seconds it may be tried again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TooManyOfUser:
    """This user's credentials were refused too often; in so many seconds they may be tried again."""

    seconds: float


@dataclass(slots=True)
class _Account:
    """Refusals within a window, and trials whose answer is open: each may become one."""

    refused: deque[float] = field(default_factory=deque)
    open: int = 0

    def count(self, now_s: float, window_s: float) -> int:
        while self.refused and now_s - self.refused[0] >= window_s:
            self.refused.popleft()
        return len(self.refused)

    def free_in(self, now_s: float, window_s: float) -> float:
        return max(1.0, self.refused[0] + window_s - now_s)


class GuessingBudget:
    """The budget of one registrar. `now_s` is monotonic seconds everywhere."""

    def __init__(self, rate: float, most_refusals: int, now_s: float) -> None:
        self._bucket = TokenBucket(rate, max(1.0, rate), at=now_s)
        self._most = max(1, most_refusals)
        self._all = _Account()
        self._users: dict[str, _Account] = {}

    def ask(self, user: str, now_s: float) -> Grant | Wait | TooManyAtRegistrar | TooManyOfUser:
        """Ask to try credentials of a user. A grant must be given back by `settle`."""
        user = user.casefold()  # to many PBXs "Anna" is anna
        mine = self._users.get(user) or _Account()
        exhausted = self.exhausted(user, now_s)
        if exhausted is not None:
            return exhausted
        if (
            mine.open + len(mine.refused) >= _MOST_PER_USER
            or self._all.open + len(self._all.refused) >= self._most
        ):
            return Wait(0.5)
        wait = self._bucket.take(now_s)
        if wait:
            return Wait(max(wait, _SHORTEST_WAIT_S))
        if len(self._users) >= _MOST_USERS:
            self._forget_quiet(now_s)
        self._users[user] = mine
        mine.open += 1
        self._all.open += 1
        return Grant()

    def exhausted(self, user: str, now_s: float) -> TooManyAtRegistrar | TooManyOfUser | None:
        """Return why credentials of a user cannot be tried now; None where they can, or may only wait."""
        mine = self._users.get(user.casefold()) or _Account()
        if mine.count(now_s, _PER_USER_S) >= _MOST_PER_USER:
            return TooManyOfUser(mine.free_in(now_s, _PER_USER_S))
        if self._all.count(now_s, _PER_REGISTRAR_S) >= self._most:
            return TooManyAtRegistrar(self._all.free_in(now_s, _PER_REGISTRAR_S))
        return None

    def is_quiet(self, now_s: float) -> bool:
        """Whether nothing is open and no refusal counts any more: then it may be forgotten."""
        self._forget_quiet(now_s)
        return not self._users and not self._all.open

    def settle(self, user: str, now_s: float, *, is_refused: bool) -> None:
        """Give a grant back, and say whether the PBX refused the credentials."""
        mine = self._users.setdefault(user.casefold(), _Account())
        for account in (mine, self._all):
            account.open = max(0, account.open - 1)
            if is_refused:
                account.refused.append(now_s)

    def _forget_quiet(self, now_s: float) -> None:
        for user, account in tuple(self._users.items()):
            if not account.count(now_s, _PER_USER_S) and not account.open:
                del self._users[user]

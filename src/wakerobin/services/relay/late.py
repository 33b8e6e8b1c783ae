"""What came for a phone without a connection and is left for it: its ACKs for seconds, a BYE for minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wakerobin.core.sip.message import Message
from wakerobin.core.tokens import RouteToken
from wakerobin.ports.clock import Clock, Timer, Timers

MOST_OF_AN_ACCOUNT = 20
MOST = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class LateMessage:
    """A request, ready to be sent, and the phone that it is for."""

    message: Message
    token: RouteToken


class LateMessages:
    """Requests by account, each kept for so many seconds. The oldest go where there are too many."""

    def __init__(self, clock: Clock, timers: Timers, seconds: float) -> None:
        self._clock = clock
        self._timers = timers
        self._seconds = seconds
        self._waiting: dict[LateMessage, Timer] = {}
        self._of: dict[int, list[LateMessage]] = {}

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._waiting)

    def wait(self, message: Message, token: RouteToken) -> bool:
        """Keep a request for as long as one may wait. False: an older one of the account had to go for it."""
        mine = self._of.get(token.account, [])
        is_full = len(mine) >= MOST_OF_AN_ACCOUNT
        if is_full:
            self._drop(mine[0])
        elif len(self._waiting) >= MOST:
            self._drop(next(iter(self._waiting)))
        late = LateMessage(message, token)
        # A timer holds what it is for: it goes with it, or what was dropped would fill memory all the same.
        when = self._clock.monotonic() + self._seconds
        self._waiting[late] = self._timers.call_at(when, lambda: self._drop(late))
        self._of.setdefault(token.account, []).append(late)
        return not is_full

    def arrived(self, account_id: int, send: Callable[[Message, RouteToken], bool]) -> None:
        """A phone of this account is there: try each; `send` says whether that was its phone."""
        for late in list(self._of.get(account_id, ())):
            if send(late.message, late.token):
                self._drop(late)

    def _drop(self, late: LateMessage) -> None:
        if late not in self._waiting:
            return
        self._waiting.pop(late).cancel()
        mine = self._of[late.token.account]
        mine.remove(late)
        if not mine:
            del self._of[late.token.account]

"""REFERs of a PBX (click to dial) that wait for the phone that a push wakes. Only for apps that want it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account, PhoneFlow
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.services.phones.answers import refuse

WAITS_S = 20.0
"""The PBX's transaction ends after 32 s, and a 408 of its own would tell it less."""

MOST_OF_AN_ACCOUNT = 5


class Waker(Protocol):
    """Who pushes the phones of an account."""

    def summon(self, account: Account, request: Message, seconds: float) -> bool:
        """Push every phone for a request. False: the app does not want it, or there is nobody to push."""
        ...

    def in_vain(self, account: Account, request: Message) -> None:
        """Nobody came in time: take the pushes back."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    transaction: ServerTransactionHandle
    account: Account
    send: Callable[[list[PhoneFlow]], None]
    timer: Timer


class Referrals:
    """Those that wait, by account."""

    def __init__(self, clock: Clock, timers: Timers, waker: Waker) -> None:
        self._clock = clock
        self._timers = timers
        self._waker = waker
        self._waiting: dict[int, list[_Waiting]] = {}

    def wait(
        self,
        transaction: ServerTransactionHandle,
        account: Account,
        send: Callable[[list[PhoneFlow]], None],
    ) -> bool:
        """Push the phones, and `send` to the first that comes. False: nobody is waited for."""
        mine = self._waiting.get(account.id, [])
        request = transaction.request
        if request.method != "REFER" or len(mine) >= MOST_OF_AN_ACCOUNT:
            return False
        if not self._waker.summon(account, request, WAITS_S):
            return False
        when = self._clock.monotonic() + WAITS_S
        timer = self._timers.call_at(when, lambda: self._give_up(waiting))
        waiting = _Waiting(transaction, account, send, timer)
        self._waiting.setdefault(account.id, []).append(waiting)
        return True

    def arrived(self, account_id: int, phone: PhoneFlow) -> None:
        """A phone of this account is there: it gets what waits."""
        for waiting in self._waiting.pop(account_id, ()):
            waiting.timer.cancel()
            waiting.send([phone])

    def _give_up(self, waiting: _Waiting) -> None:
        mine = self._waiting[waiting.account.id]
        mine.remove(waiting)
        if not mine:
            del self._waiting[waiting.account.id]
        refuse(waiting.transaction, 480, "No phone of this account came in time")
        self._waker.in_vain(waiting.account, waiting.transaction.request)

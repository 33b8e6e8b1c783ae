"""Wakes phones for a request that is no call, where the app wants it: a REFER, click to dial."""

from __future__ import annotations

from collections.abc import Callable

from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account
from wakerobin.ports.store import Store
from wakerobin.services.switchboard.exchange import Exchange
from wakerobin.services.switchboard.wake import Wakeable, wakeables

IN_VAIN = "cancelled"
"""The word of the `call-over` push."""


class Summons:
    """Has no state. The pushes are those of a call, since no other kind wakes every phone at once."""

    def __init__(self, store: Store, exchange: Exchange, is_wanted: Callable[[str], bool]) -> None:
        self._store = store
        self._exchange = exchange
        self._is_wanted = is_wanted

    def summon(self, account: Account, request: Message, seconds: float) -> bool:
        """Push every phone for a request. False: the app does not want it, or there is nobody to push."""
        if not self._is_wanted(account.app):
            return False
        expires_at = self._exchange.clock.now() + round(1000 * seconds)
        found = self._of(account)
        for wakeable in found:
            self._exchange.push(request, wakeable, expires_at, _ignore)
        return bool(found)

    def in_vain(self, account: Account, request: Message) -> None:
        """Nobody came in time: take the pushes back."""
        for wakeable in self._of(account):
            self._exchange.call_over(request, wakeable)
            targets = {target.id for target in wakeable.targets}
            self._exchange.take_back(request, wakeable, targets, IN_VAIN)

    def _of(self, account: Account) -> list[Wakeable]:
        return self._store.read(lambda tx: wakeables(tx, account))


def _ignore(_target_id: int, _accepted: bool, _reason: str) -> None:  # noqa: FBT001 - the shape of a callback
    """Whether a phone comes is what counts."""

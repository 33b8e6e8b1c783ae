"""The other side hung up while the phone of a call had no connection: its app is told, by no VoIP push."""

from __future__ import annotations

from wakerobin.core.sip.message import Message
from wakerobin.core.tokens import RouteToken
from wakerobin.ports.store import Store, StoryRow, Transaction
from wakerobin.services.switchboard.exchange import Exchange
from wakerobin.services.switchboard.incoming import call_key
from wakerobin.services.switchboard.wake import Wakeable, wakeables

ENDED = "ended"
"""The word of a `call-over` push for a call that was up."""


class Farewells:
    """Has no state."""

    def __init__(self, store: Store, exchange: Exchange) -> None:
        self._store = store
        self._exchange = exchange

    async def left(self, phone: RouteToken, bye: Message) -> None:
        """Tell the app of a BYE that is left for its phone, and the call's story."""
        wakeable = self._store.read(lambda tx: _owner(tx, phone))
        services = []
        if wakeable is not None:
            targets = {target.id for target in wakeable.targets}
            services = self._exchange.take_back(bye, wakeable, targets, ENDED)
        key = call_key(self._exchange.keys.lasting, bye, phone.account)
        if self._store.read(lambda tx: tx.calls.get(key)) is None:
            return  # the phone had called: no story is kept of that
        now = self._exchange.clock.now()
        row = StoryRow(
            subject=f"call:{key}", at=now, event="hung-up-unheard", details={"by": ", ".join(services)}
        )
        await self._store.transact(lambda tx: tx.stories.add(row))


def _owner(tx: Transaction, phone: RouteToken) -> Wakeable | None:
    account = tx.accounts.get(phone.account)
    if account is None:
        return None
    found = wakeables(tx, account)
    return next((one for one in found if one.registration.id == phone.installation), None)

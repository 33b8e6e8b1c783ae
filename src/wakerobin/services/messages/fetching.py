"""What an app fetches by the API: given once, kept until the app says that it has it."""

from __future__ import annotations

from collections.abc import Sequence

from wakerobin.core.values import PushRegistration
from wakerobin.ports.messages import KeptMessage
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.services.messages.deliveries import take_back_pushes
from wakerobin.services.messages.values import KNOWN_MS, Around

_MOST_AT_ONCE = 1_000
"""More of an account never wait."""


class Fetching:
    """Answers the API. All of it is for one push registration, whose secret was proven."""

    def __init__(self, around: Around) -> None:
        self._around = around

    async def fetch(self, registration: PushRegistration, after: str, limit: int) -> list[KeptMessage]:
        """Return the next messages, and erase all up to `after`, which the app has.

        What is given is not sent to the phone any more, and no push tells of it.
        """
        now = self._around.clock.now()

        def work(tx: Transaction) -> list[KeptMessage]:
            _confirm_up_to(tx, registration.id, after, now)
            found = tx.messages.waiting(registration.id, 0, limit, fetched_too=True)
            given = [message for message in found if message.expires_at > now]
            _give(tx, registration.id, given, now)
            return given

        return await self._around.store.transact(work)

    async def one(self, registration: PushRegistration, public_id: str) -> KeptMessage | None:
        """Return one message; None where none of this name waits."""
        now = self._around.clock.now()

        def work(tx: Transaction) -> KeptMessage | None:
            message = tx.messages.get(registration.id, public_id)
            if message is None or message.expires_at <= now:
                return None
            _give(tx, registration.id, [message], now)
            return message

        return await self._around.store.transact(work)

    async def confirm(self, registration: PushRegistration, public_id: str) -> bool:
        """The app has this message: it is erased. False: none of this name waits."""
        now = self._around.clock.now()

        def work(tx: Transaction) -> bool:
            message = tx.messages.get(registration.id, public_id)
            if message is None:
                return False
            take_back_pushes(tx, registration.id, {message.id})
            return tx.messages.settle(registration.id, [message.id], now + KNOWN_MS) > 0

        return await self._around.store.transact(work)


def _give(tx: Transaction, registration_id: int, messages: Sequence[KeptMessage], now: int) -> None:
    if not messages:
        return
    ids = [message.id for message in messages]
    tx.messages.note_fetched(registration_id, ids, now)
    take_back_pushes(tx, registration_id, set(ids))
    story.tell(tx, story.of_registration(registration_id), now, "message-fetched", count=len(ids))


def _confirm_up_to(tx: Transaction, registration_id: int, after: str, now: int) -> None:
    """Erase what the app says it has. A name that is not known has been confirmed before."""
    last = tx.messages.get(registration_id, after) if after else None
    if last is None:
        return
    known = tx.messages.waiting(registration_id, 0, _MOST_AT_ONCE, fetched_too=True)
    ids = [message.id for message in known if message.id <= last.id]
    take_back_pushes(tx, registration_id, set(ids))
    tx.messages.settle(registration_id, ids, now + KNOWN_MS)

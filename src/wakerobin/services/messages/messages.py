"""The room for text messages and mailboxes, as the others know it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from wakerobin.core.ids import Entropy
from wakerobin.core.mailbox import Mailbox
from wakerobin.core.values import Account, Duration, Flow, PhoneFlow
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.sip import ServerTransactionHandle, TransactionLayer
from wakerobin.ports.store import Store
from wakerobin.services.fleet.values import Upstream
from wakerobin.services.messages.deliveries import Deliveries
from wakerobin.services.messages.fetching import Fetching
from wakerobin.services.messages.mailboxes import Mailboxes
from wakerobin.services.messages.receiving import Receiving
from wakerobin.services.messages.sending import Sending
from wakerobin.services.messages.subscriptions import Subscriptions
from wakerobin.services.messages.values import Around, MessageLimits, PhonesOf, guarded
from wakerobin.services.phones.answers import refuse

TRY_AGAIN_S = 5


class Messages:
    """Takes what the PBX sends, and hands it to phones and apps. Works while `run` runs.

    `subscribing` are the apps for whose accounts the PBX is asked about the mailbox, `silent` those for which
    nothing is pushed of it.
    """

    def __init__(  # noqa: PLR0913 - the ports of a service; all of them named
        self,
        *,
        store: Store,
        clock: Clock,
        timers: Timers,
        transactions: TransactionLayer,
        phones: PhonesOf,
        upstream: Callable[[int], Upstream | None],
        entropy: Entropy,
        secret: bytes,
        limits: MessageLimits,
        kept_for: Callable[[str], Duration],
        subscribing: frozenset[str] = frozenset(),
        silent: frozenset[str] = frozenset(),
    ) -> None:
        self._tasks: asyncio.TaskGroup | None = None
        around = Around(
            store=store,
            clock=clock,
            timers=timers,
            transactions=transactions,
            phones=phones,
            upstream=upstream,
            entropy=entropy,
            secret=secret,
            limits=limits,
            start=self._start,
        )
        self._deliveries = Deliveries(around)
        self._receiving = Receiving(around, self._deliveries, kept_for)
        self._mailboxes = Mailboxes(around, silent)
        self._subscriptions = Subscriptions(
            around, self._mailboxes, subscribing.__contains__, some=bool(subscribing)
        )
        self.fetching = Fetching(around)
        """What the API asks."""
        self.sending = Sending(around)
        """What apps send by the API."""

    async def run(self) -> None:
        """Own the work that waits for the store."""
        async with asyncio.TaskGroup() as group:
            self._tasks = group
            try:
                self.sending.resume()
                self._subscriptions.start()
                await asyncio.Event().wait()
            finally:
                self._tasks = None
                self.sending.stop()
                self._subscriptions.stop()

    def message(self, transaction: ServerTransactionHandle, account: Account) -> bool:
        """Take a MESSAGE from the PBX. False: there is nobody to keep it for; others may have it."""
        return self._is_closed(transaction) or self._receiving.receive(transaction, account)

    def mailbox(self, transaction: ServerTransactionHandle, account: Account) -> None:
        """Take a NOTIFY about the mailbox. Raises SipSyntaxError for what is no summary."""
        if not self._is_closed(transaction):
            self._mailboxes.receive(transaction, account)

    def notified(
        self, transaction: ServerTransactionHandle, is_from_pbx: Callable[[Account, Flow], bool]
    ) -> bool:
        """Take a NOTIFY of a subscription of ours. False: it is none. Raises SipSyntaxError."""
        return self._subscriptions.notified(transaction, is_from_pbx)

    def mailbox_of(self, account_id: int) -> Mailbox | None:
        """Return what the PBX said last of the mailbox of an account."""
        return self._mailboxes.of(account_id)

    def phone_arrived(self, _account_id: int, phone: PhoneFlow) -> None:
        """A phone has registered: it gets what waits for it."""
        self._deliveries.phone_arrived(phone)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._deliveries.flow_closed(flow)

    def _is_closed(self, transaction: ServerTransactionHandle) -> bool:
        """Whether the server is starting or stopping; answered then."""
        if self._tasks is None:
            refuse(transaction, 500, "The server is starting", retry_after=TRY_AGAIN_S)
        return self._tasks is None

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._tasks is None:
            work.close()  # nothing was written, so all of it is done anew by the next run
        else:
            self._tasks.create_task(guarded(work))

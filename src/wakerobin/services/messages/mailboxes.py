"""NOTIFYs about the mailbox (RFC 3842): what has changed is stored, pushed and passed on."""

from __future__ import annotations

from functools import partial

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.mailbox import SUMMARY, Mailbox, is_change, is_news, read_summary
from wakerobin.core.messages import content_type
from wakerobin.core.pushes import PushType
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Account, Life, PushRegistration
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.ports.store import OutboxRow, Transaction
from wakerobin.services import story
from wakerobin.services.messages import copies
from wakerobin.services.messages.values import PUSHED_FOR_MS, Around, living, remove_pushes
from wakerobin.services.phones.answers import answer, refuse

TRY_AGAIN_S = 30

_log = log.get("messages")


class Mailboxes:
    """Knows the mailbox of each account as its PBX said it last. `silent`: apps that are not pushed."""

    def __init__(self, around: Around, silent: frozenset[str]) -> None:
        self._around = around
        self._silent = silent

    def receive(self, transaction: ServerTransactionHandle, account: Account) -> None:
        """Take a NOTIFY about an account's mailbox. Raises SipSyntaxError for what is no summary."""
        request = transaction.request
        if not request.body:  # the end of a subscription, or its beginning, says nothing
            transaction.respond(answer(request, 200))
            return
        if content_type(request) != SUMMARY:
            transaction.respond(answer(request, 415, headers=[("Accept", SUMMARY)]))
            return
        mailbox = read_summary(request.body)
        self._around.start(self._take(transaction, account, mailbox))

    def of(self, account_id: int) -> Mailbox | None:
        """Return what was said last; None where nothing was."""
        known = self._around.store.read(lambda tx: tx.mailboxes.get(account_id))
        return known[0] if known is not None else None

    async def _take(self, transaction: ServerTransactionHandle, account: Account, mailbox: Mailbox) -> None:
        request, now = transaction.request, self._around.clock.now()
        try:
            await self._around.store.transact(lambda tx: self._put(tx, account, mailbox, now))
        except StoreUnavailableError as error:
            _log.warning("store_unavailable", reason=str(error))
            refuse(transaction, 500, "It cannot be stored now", retry_after=TRY_AGAIN_S)
            return
        transaction.respond(answer(request, 200))
        metrics.MESSAGES.labels("mailbox").inc()
        for phone in self._around.phones.flows(account.id):
            # A phone may know what to do with it though it has not asked (RFC 3842 makes no rule of that).
            self._around.transactions.request(
                copies.for_phone(request, phone),
                phone.flow,
                partial(self._answered, phone.registration_id),
                lambda _reason: None,
            )

    def _put(self, tx: Transaction, account: Account, mailbox: Mailbox, now: int) -> None:
        before, changes = tx.mailboxes.get(account.id) or (None, 0)
        if before is not None and not is_change(before, mailbox) and before.urgent == mailbox.urgent:
            return
        tx.mailboxes.put(account.id, mailbox, changes + 1)
        if not is_change(before, mailbox) or account.app in self._silent:
            return
        is_quiet = not is_news(before, mailbox)
        for registration, life in living(tx, account.id):
            said = {"waiting": mailbox.waiting, "new": mailbox.new}
            story.tell(tx, story.of_registration(registration.id), now, "mwi", **said)
            # Each tells how it is now: one that has not left is not true any more.
            remove_pushes(tx, tx.outbox.of_registration(registration.id, PushType.MWI))
            not_before = self._around.pushed_from(account.id, registration.id, now)
            row = _push(mailbox, registration, life, changes + 1, not_before, now, is_quiet=is_quiet)
            tx.outbox.add(row)

    def _answered(self, registration_id: int, response: Message) -> None:
        if registration_id and 200 <= response.status < 300:
            self._around.start(self._known(registration_id))

    async def _known(self, registration_id: int) -> None:
        """The phone has it: no push need tell."""

        def work(tx: Transaction) -> None:
            remove_pushes(tx, tx.outbox.of_registration(registration_id, PushType.MWI))

        try:
            await self._around.store.transact(work)
        except StoreUnavailableError as error:
            _log.warning("store_unavailable", reason=str(error))


def _push(  # noqa: PLR0913 - what such a push is made of
    mailbox: Mailbox,
    registration: PushRegistration,
    life: Life,
    step: int,
    not_before: int,
    now: int,
    *,
    is_quiet: bool,
) -> OutboxRow:
    return OutboxRow(
        slot=life.slot,
        registration_id=registration.id,
        generation=life.generation,
        kind=PushType.MWI,
        step=step,
        not_before=not_before,
        deadline_at=now + PUSHED_FOR_MS,
        payload={
            "waiting": mailbox.waiting,
            "new": mailbox.new,
            "old": mailbox.old,
            "count": mailbox.new,
            "is_quiet": is_quiet,
        },
    )

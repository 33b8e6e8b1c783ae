"""Brings what waits to the phones that are connected: in order, and again until each phone has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import PushType
from wakerobin.core.sip.message import Message
from wakerobin.core.values import Flow, PhoneFlow
from wakerobin.ports.messages import KeptMessage
from wakerobin.ports.sip import ClientTransactionHandle
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.services.messages import copies
from wakerobin.services.messages.values import KNOWN_MS, Around, remove_pushes

_FOR_GOOD = frozenset({405, 406, 413, 415, 416, 420, 488, 493, 501, 505, 513, 604, 606})
"""Answers that a phone would give to the same message each time."""

MOST_EMPTY = 1_000_000

_log = log.get("messages")


@dataclass(slots=True, eq=False)
class _Round:
    """One walk through what waits for a push registration, over one flow of its phone."""

    phone: PhoneFlow
    refused: set[int] = field(default_factory=set)
    """Messages that are not sent over this flow any more."""
    cursor: int = 0
    under_way: ClientTransactionHandle | None = None
    came_back: bool = False
    """The phone has registered over this flow since the message that is under way was sent."""


class Deliveries:
    """One MESSAGE at a time to each installation; only a 2xx settles one.

    Whatever else comes leaves it waiting: for the phone's next REGISTER, or for the app, which a push tells.
    """

    def __init__(self, around: Around) -> None:
        self._around = around
        self._rounds: dict[int, _Round] = {}
        self._by_flow: dict[Flow, set[int]] = {}
        """Push registrations whose rounds go over it: thousands close at once when a network goes."""
        self._empty: set[int] = set()
        """Push registrations for which nothing waits: they were looked at, and nothing came since."""

    def look_again(self) -> None:
        """A commit may have been done whose success could not be told."""
        self._empty.clear()

    def came_before(self, account_id: int) -> None:
        """The PBX repeats itself: maybe nobody was told of the first one."""
        for phone in self._around.phones.flows(account_id):
            self.phone_arrived(phone)

    def came(self, account_id: int, registration_ids: Sequence[int], request: Message) -> None:
        """A message was kept for these: bring it to those that are there, and to phones without any."""
        self._empty.difference_update(registration_ids)
        phones = self._around.phones.flows(account_id)
        for phone in {one.registration_id: one for one in reversed(phones)}.values():
            if phone.registration_id in registration_ids:
                self.phone_arrived(phone)
        self.pass_on(request, (one for one in phones if one.registration_id not in registration_ids))

    def pass_on(self, request: Message, phones: Iterable[PhoneFlow]) -> None:
        """Hand a copy to phones, once; nobody minds what becomes of it."""
        for phone in phones:
            self._around.transactions.request(
                copies.for_phone(request, phone), phone.flow, lambda _response: None, lambda _reason: None
            )

    def phone_arrived(self, phone: PhoneFlow) -> None:
        """A phone has registered, or something new waits for it: bring what waits."""
        number = phone.registration_id
        if not number or number in self._empty:
            return
        former = self._rounds.get(number)
        is_same = former is not None and former.phone.flow == phone.flow
        if former is not None and former.under_way is not None:
            if is_same:
                former.phone, former.came_back = phone, True
                return
            former.under_way.abandon()
        refused = former.refused if former is not None and is_same else set()
        self._end(number)
        begun = self._rounds[number] = _Round(phone, refused)
        self._by_flow.setdefault(phone.flow, set()).add(number)
        self._next(begun)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone, and with it what was refused over it."""
        for number in tuple(self._by_flow.get(flow, ())):
            ended = self._end(number)
            if ended is not None and ended.under_way is not None:
                ended.under_way.abandon()

    def _end(self, number: int) -> _Round | None:
        one = self._rounds.pop(number, None)
        if one is not None:
            others = self._by_flow[one.phone.flow]
            others.discard(number)
            if not others:
                del self._by_flow[one.phone.flow]
        return one

    def _next(self, one: _Round) -> None:
        number = one.phone.registration_id
        one.under_way = None
        try:
            message = self._first(one)
        except StoreUnavailableError as error:
            _log.warning("store_unavailable", reason=str(error))
            return
        if message is None:
            if not one.refused:
                self._end(number)
                if len(self._empty) >= MOST_EMPTY:
                    self._empty.clear()
                self._empty.add(number)
            return
        one.cursor, one.came_back = message.id, False
        request = copies.opened(message.content)
        if request is None:
            one.refused.add(message.id)
            self._next(one)
            return
        one.under_way = self._around.transactions.request(
            copies.for_phone(request, one.phone),
            one.phone.flow,
            partial(self._answered, one, message),
            partial(self._failed, one),
        )

    def _first(self, one: _Round) -> KeptMessage | None:
        number, now = one.phone.registration_id, self._around.clock.now()
        after, step = one.cursor, 1 + len(one.refused)
        while found := self._around.store.read(partial(_waiting, number, after, step)):
            for message in found:
                if message.id not in one.refused and message.expires_at > now:
                    return message
            after = found[-1].id
        return None

    def _answered(self, one: _Round, message: KeptMessage, response: Message) -> None:
        if response.status < 200 or self._rounds.get(one.phone.registration_id) is not one:
            return
        if response.status < 300:
            metrics.MESSAGES.labels("delivered").inc()
            self._around.start(self._settle(one.phone.registration_id, message))
            self._next(one)
        elif response.status in _FOR_GOOD:
            one.refused.add(message.id)
            reason = f"{response.status} {response.reason}"
            self._around.start(self._tell_refused(one.phone.registration_id, reason))
            self._next(one)
        else:
            self._failed(one, "")  # whatever it is, the next ones would meet it too

    def _failed(self, one: _Round, _reason: str) -> None:
        one.under_way = None
        if one.came_back and self._rounds.get(one.phone.registration_id) is one:
            one.cursor = 0
            self._next(one)

    async def _settle(self, registration_id: int, message: KeptMessage) -> None:
        now = self._around.clock.now()
        try:
            await self._around.store.transact(lambda tx: _settle_in(tx, registration_id, message.id, now))
        except StoreUnavailableError as error:
            # It waits still, and the phone gets it once more: twice is better than never.
            _log.warning("store_unavailable", reason=str(error))
            self._empty.discard(registration_id)

    async def _tell_refused(self, registration_id: int, reason: str) -> None:
        now, subject = self._around.clock.now(), story.of_registration(registration_id)
        try:
            await self._around.store.transact(
                lambda tx: story.tell(tx, subject, now, "message-refused", reason=reason)
            )
        except StoreUnavailableError as error:
            _log.warning("store_unavailable", reason=str(error))


def _waiting(registration_id: int, after: int, limit: int, tx: Transaction) -> list[KeptMessage]:
    return tx.messages.waiting(registration_id, after, limit)


def _settle_in(tx: Transaction, registration_id: int, message_id: int, now: int) -> None:
    if not tx.messages.settle(registration_id, [message_id], now + KNOWN_MS):
        return
    take_back_pushes(tx, registration_id, {message_id})
    story.tell(tx, story.of_registration(registration_id), now, "message-delivered")


def take_back_pushes(tx: Transaction, registration_id: int, message_ids: set[int]) -> None:
    """Let no push tell of messages that the phone has."""
    rows = tx.outbox.of_registration(registration_id, PushType.MESSAGE)
    remove_pushes(tx, [row for row in rows if row.payload["message"] in message_ids])

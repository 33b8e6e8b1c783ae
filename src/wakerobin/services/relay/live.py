"""A request that nobody is woken for goes to every phone that is connected; the first answer counts."""

from __future__ import annotations

from wakerobin.core.ids import Entropy
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import put_routes, record_routes
from wakerobin.core.values import Flow, PhoneFlow
from wakerobin.ports.sip import ServerTransactionHandle, TransactionLayer
from wakerobin.services.phones.answers import refuse
from wakerobin.services.phones.routes import Address, RecordRoutes
from wakerobin.services.relay.leg import loop_marked_branch
from wakerobin.services.relay.outgoing import DIALOG_FORMING

_NOT_AN_ANSWER = (401, 407, 408, 503)
"""What a phone says to us, or about itself only."""


class Fan:
    """One server transaction, a client transaction for each phone. For anything but an INVITE."""

    def __init__(self, transactions: TransactionLayer, transaction: ServerTransactionHandle) -> None:
        self._transactions = transactions
        self._transaction = transaction
        self._open = 0
        self._is_over = False

    def send(self, copies: list[tuple[Message, Flow, str]]) -> None:
        """Send each copy over its flow with its branch; without any the answer is 480."""
        self._open = len(copies)
        for message, flow, branch in copies:
            self._transactions.request(message, flow, self._receive, lambda _reason: self._failed(), branch)
        if not copies:
            self._refuse("No phone of this account is connected now")

    def _receive(self, response: Message) -> None:
        if response.status < 200 or self._is_over:
            return
        if response.status in _NOT_AN_ANSWER:
            self._failed()
            return
        self._is_over = True
        back = response.copy()
        back.pop_first("via")
        self._transaction.respond(back)

    def _failed(self) -> None:
        self._open -= 1
        if self._open == 0 and not self._is_over:
            self._refuse("No phone of this account answered")

    def _refuse(self, text: str) -> None:
        self._is_over = True
        refuse(self._transaction, 480, text)


class LivePhones:
    """Passes requests of a PBX on to phones that are connected."""

    def __init__(self, transactions: TransactionLayer, routes: RecordRoutes, entropy: Entropy) -> None:
        self._transactions = transactions
        self._routes = routes
        self._entropy = entropy

    def pass_on(
        self,
        transaction: ServerTransactionHandle,
        onward: Message,
        phones: list[PhoneFlow],
        pbx_side: Address,
        breadth: int,
    ) -> None:
        """Send a copy to each of the phones, to `breadth` of them at most (RFC 5393 5.3.3)."""
        copies = []
        for phone in phones[:breadth]:
            copy = onward.copy()
            copy.uri = phone.contact_uri
            copy.set("Max-Breadth", str(max(1, breadth // len(phones))))
            if copy.method in DIALOG_FORMING:
                first, second = self._routes.pair(phone, pbx_side, transaction.flow)
                record_routes(copy, first=first, second=second)
            put_routes(copy, phone.path)
            copies.append((copy, phone.flow, loop_marked_branch(self._entropy, transaction.request)))
        Fan(self._transactions, transaction).send(copies)

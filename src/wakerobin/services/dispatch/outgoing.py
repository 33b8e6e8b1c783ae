"""Client transactions: the requests that we send, and which of them a response answers."""

from __future__ import annotations

import re
from collections import deque

from wakerobin import metrics
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.transaction import ClientTransaction, InviteClientTransaction
from wakerobin.core.sip.transaction.matching import client_key
from wakerobin.core.values import Flow
from wakerobin.ports.clock import Timer
from wakerobin.ports.sip import OnFailure, OnResponse
from wakerobin.services.dispatch.running import Running, Shared, guarded

_QUOTED = re.compile(rb"(REGISTER|OPTIONS) [^\r\n]{1,300}\r\nVia: [^\r\n]{1,200};branch=([0-9A-Za-z]{8,100})")

_ALIVE = metrics.Tally(metrics.SIP_TRANSACTIONS.labels("client"))
_TIMED_OUT = metrics.SIP_UNANSWERED.labels("timeout")
_TRANSPORT = metrics.SIP_UNANSWERED.labels("transport")


class OutgoingRequest(Running):
    """Implements `ports.sip.ClientTransactionHandle`. Made by its table, which it leaves at its end."""

    __slots__ = (
        "_cancel_headers",
        "_cancelling",
        "_giving_up",
        "_has_failed",
        "_has_final",
        "_has_provisional",
        "_is_cancelled",
        "_on_failure",
        "_on_response",
        "_table",
        "_transaction",
        "_why",
        "flow",
        "heard_on",
        "key",
    )

    def __init__(
        self,
        table: OutgoingRequests,
        request: Message,
        flow: Flow,
        on_response: OnResponse,
        on_failure: OnFailure,
    ) -> None:
        kind = InviteClientTransaction if request.method == "INVITE" else ClientTransaction
        self._transaction = kind(request, reliable=flow.transport.is_reliable, timers=table.shared.values)
        super().__init__(table.shared, self._transaction)
        self.key = client_key(request)
        self.flow = self.heard_on = flow
        self._table = table
        self._on_response = on_response
        self._on_failure = on_failure
        self._has_provisional = self._has_final = self._has_failed = self._is_cancelled = False
        self._cancel_headers: tuple[tuple[str, str], ...] = ()
        self._cancelling: OutgoingRequest | None = None
        self._giving_up: Timer | None = None
        self._why = ""

    @property
    def _only_absorbs(self) -> bool:
        """Whether nothing is left to do after the final response but to absorb its repetitions (timer K)."""
        return not (self.flow.connection or isinstance(self._transaction, InviteClientTransaction))

    @property
    def branch(self) -> str:
        """The branch of our Via."""
        return self._transaction.request.branch or ""

    def start(self) -> None:
        """Send the request. What goes wrong is told later, never from within."""
        self.perform(self._transaction.start(self._shared.clock.monotonic()))

    def go_on(self) -> None:
        """Stand where a run before this one stood when a provisional had come: nothing is sent."""
        now = self._shared.clock.monotonic()
        self._transaction.start(now)
        self._transaction.receive_response(respond(self._transaction.request, 100), now)
        self._has_provisional = True
        self.perform([])

    def receive(self, response: Message) -> None:
        """Take a response of this transaction."""
        self.perform(self._transaction.receive_response(response, self._shared.clock.monotonic()))

    def cancel(self, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Cancel an INVITE: now if a provisional has come, else as soon as one comes (9.1).

        The INVITE still ends by its own final response, or as a timeout 64*T1 after the CANCEL.
        Nothing happens when it is final or cancelled. Raises ValueError for another method.
        """
        if not isinstance(self._transaction, InviteClientTransaction):
            raise ValueError("only an INVITE is cancelled")
        if self._is_cancelled or self._has_final or self.is_over:
            return
        self._is_cancelled = True
        self._cancel_headers = headers
        if self._has_provisional:
            self._send_cancel()

    def repeat(self) -> None:
        """Send an INVITE that nobody has answered once more, and begin again with timer A.

        Nothing happens over a reliable transport. Raises ValueError for another method.
        """
        if not isinstance(self._transaction, InviteClientTransaction):
            raise ValueError("only an INVITE is repeated")
        if not self.is_over:
            self.perform(self._transaction.repeat(self._shared.clock.monotonic()))

    def abandon(self) -> None:
        """Stop retransmitting and forget it; what comes for it is a stray then.

        After its final response it stays as long as it must, to absorb or acknowledge repetitions.
        """
        if self._has_final:
            return
        if self._cancelling is not None:
            self._cancelling.end()
        self.end()

    def _transmit(self, data: bytes) -> None:
        if not self._shared.endpoint.send(self.flow, data):
            self.fail_soon("the flow is closed")

    def _pass_up(self, message: Message) -> None:
        if message.status >= 200:
            self._has_final = True
            if self._only_absorbs:
                self._table.absorb(self.key, self._shared.clock.monotonic() + self._shared.values.timer_k)
                self.end()
        is_first = not self._has_provisional
        self._has_provisional = True
        if is_first and self._is_cancelled and not self._has_final:
            self._send_cancel()
        guarded(self._on_response, message)

    def _send_cancel(self) -> None:
        shared = self._shared
        when = shared.clock.monotonic() + shared.values.timer_b
        self._giving_up = shared.timers.call_at(when, self._give_up)
        cancel = cancellation(self._transaction.request, self._cancel_headers)
        if self._table.is_absorbing(client_key(cancel)):
            return  # it was cancelled, and that was answered, before its phone came by another way
        self._cancelling = self._table.start(cancel, self.flow, lambda _response: None, lambda _reason: None)

    def _give_up(self) -> None:
        """9.1: a cancelled INVITE without a final response for 64*T1 counts as cancelled."""
        if not self._has_final:
            self._timed_out()
            self.end()

    def _timed_out(self) -> None:
        _TIMED_OUT.inc()
        self._tell_failure("timeout")

    def _transport_failed(self) -> None:
        _TRANSPORT.inc()
        self._tell_failure(f"transport: {self._why}")

    def _note_failure(self, reason: str) -> None:
        self._why = reason

    def _tell_failure(self, reason: str) -> None:
        # An ACK that could not be sent is nobody's failure: the final response was passed up.
        if not self._has_failed and not self._has_final:
            self._has_failed = True
            guarded(self._on_failure, reason)

    def _forget(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
        self._table.forget(self)


class OutgoingRequests:
    """The table of client transactions, by key and by the connection that they were sent over."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._by_key: dict[str, OutgoingRequest] = {}
        self._by_connection: dict[int, set[OutgoingRequest]] = {}
        # Answered, and until when repetitions are absorbed: in order, since each stays for timer K. The key
        # is all that this takes. With the requests themselves, 5,000 REGISTERs a second would hold 250 MB.
        self._absorbed: set[str] = set()
        self._until: deque[tuple[float, str]] = deque()
        self._sweeping: Timer | None = None

    def __len__(self) -> int:
        return len(self._by_key) + len(self._absorbed)

    def start(
        self, request: Message, flow: Flow, on_response: OnResponse, on_failure: OnFailure
    ) -> OutgoingRequest:
        """Send a request that has our Via on top. Raises ValueError for a branch that is in use."""
        one = self._open(request, flow, on_response, on_failure)
        one.start()
        return one

    def resume(
        self, request: Message, flow: Flow, on_response: OnResponse, on_failure: OnFailure
    ) -> OutgoingRequest:
        """Go on with a request that an earlier run sent. Raises ValueError for a branch that is in use."""
        one = self._open(request, flow, on_response, on_failure)
        one.go_on()
        return one

    def _open(
        self, request: Message, flow: Flow, on_response: OnResponse, on_failure: OnFailure
    ) -> OutgoingRequest:
        one = OutgoingRequest(self, request, flow, on_response, on_failure)
        if one.key in self._by_key or one.key in self._absorbed:
            raise ValueError("a transaction with this branch is under way")
        self._by_key[one.key] = one
        if flow.connection:
            self._by_connection.setdefault(flow.connection, set()).add(one)
        _ALIVE.count += 1
        return one

    def take(self, response: Message, flow: Flow) -> bool:
        """Give a response to its transaction. False: there is none."""
        key = client_key(response)
        one = self._by_key.get(key)
        if one is None:
            return key in self._absorbed
        one.heard_on = flow
        one.receive(response)
        return True

    def is_absorbing(self, key: str) -> bool:
        """Whether the transaction with this key was answered just now."""
        return key in self._absorbed

    def absorb(self, key: str, until: float) -> None:
        """Absorb repeated responses of a transaction from now on; it is not needed for that any more."""
        self._absorbed.add(key)
        self._until.append((until, key))
        _ALIVE.count += 1
        if self._sweeping is None:
            self._sweeping = self.shared.timers.call_at(until, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = self.shared.clock.monotonic()
        before = len(self._absorbed)
        while self._until and self._until[0][0] <= now:
            self._absorbed.remove(self._until.popleft()[1])
        _ALIVE.count -= before - len(self._absorbed)
        if self._until:
            self._sweeping = self.shared.timers.call_at(self._until[0][0], self._sweep)

    def undelivered(self, quoted: bytes, reason: str) -> None:
        """Fail the REGISTER or OPTIONS of which these are the first octets, if it is still under way."""
        begun = _QUOTED.match(quoted)
        if begun is None:
            return
        one = self._by_key.get(f"{begun[1].decode()} {begun[2].decode().lower()}")
        if one is not None:
            one.fail_soon(reason)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Fail what was sent over a connection that is no more; what rings there may still answer.

        A datagram that could not be sent has failed its own transaction already.
        """
        for one in tuple(self._by_connection.get(flow.connection, ())):
            one.fail(reason)

    def forget(self, one: OutgoingRequest) -> None:
        """Remove a transaction that is over."""
        del self._by_key[one.key]
        _ALIVE.count -= 1
        over_connection = self._by_connection.get(one.flow.connection)
        if over_connection is not None:
            over_connection.discard(one)
            if not over_connection:
                del self._by_connection[one.flow.connection]


def cancellation(invite: Message, headers: tuple[tuple[str, str], ...] = ()) -> Message:
    """Return the CANCEL of an INVITE as we sent it (9.1): same hop, route, target and number."""
    cancel = Message.request("CANCEL", invite.uri, [("Via", invite.values("Via")[0])])
    cancel.copy_lines(invite, {"route", "from", "to", "call-id"})
    cancel.add("CSeq", f"{invite.cseq.number} CANCEL")
    cancel.add("Max-Forwards", "70")
    for name, value in headers:
        cancel.add(name, value)
    return cancel

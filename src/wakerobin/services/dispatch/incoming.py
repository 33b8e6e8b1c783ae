"""Server transactions: the requests that we owe an answer, and the way that the answer takes."""

from __future__ import annotations

from collections.abc import Callable

from wakerobin import log, metrics
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.transaction import InviteServerTransaction, ServerTransaction
from wakerobin.core.sip.transaction.matching import cancelled_key
from wakerobin.core.values import Flow, Transport
from wakerobin.services.dispatch.running import Running, Shared, guarded

DEFAULT_PORT = 5060

_log = log.get("dispatch")
_ALIVE = metrics.Tally(metrics.SIP_TRANSACTIONS.labels("server"))


class IncomingRequest(Running):
    """Implements `ports.sip.ServerTransactionHandle`. Made by its table, which it leaves at its end."""

    __slots__ = ("_ack_flow", "_flow", "_table", "_transaction", "_way", "key", "status")

    def __init__(self, table: IncomingRequests, key: str, request: Message, flow: Flow) -> None:
        kind = InviteServerTransaction if request.method == "INVITE" else ServerTransaction
        self._transaction = kind(request, reliable=flow.transport.is_reliable, timers=table.shared.values)
        super().__init__(table.shared, self._transaction)
        self.key = key
        self.status = 0
        self._table = table
        self._flow = flow
        self._ack_flow = flow
        self._way = flow if flow.transport.is_reliable else datagram_way(request, flow)

    @property
    def request(self) -> Message:
        """The request as it came, with Via `received` and `rport` filled in."""
        return self._transaction.request

    @property
    def flow(self) -> Flow:
        """Where it came from."""
        return self._flow

    def respond(self, response: Message) -> None:
        """Send a provisional or the final response; what may no longer be sent is discarded."""
        if self.status < 200:
            self.status = response.status
        self.perform(self._transaction.respond(response, self._shared.clock.monotonic()))

    def receive(self, request: Message, flow: Flow) -> None:
        """Take a retransmission, or the ACK."""
        self._ack_flow = flow
        self.perform(self._transaction.receive_request(request, self._shared.clock.monotonic()))

    def go_on(self) -> None:
        """Stand where a run before this one stood when it had answered 100: nothing is sent."""
        self.status = 100
        self._transaction.respond(respond(self.request, 100), self._shared.clock.monotonic())

    def _transmit(self, data: bytes) -> None:
        endpoint = self._shared.endpoint
        if endpoint.send(self._way, data):
            return
        if self._way.transport.is_reliable:
            # 18.2.2: the connection is no more, so the response opens one to where the request came from.
            self._way = new_way(endpoint.flow_to, self.request, self._flow)
            if endpoint.send(self._way, data):
                return
        self.fail_soon("the flow is closed")

    def _pass_up(self, message: Message) -> None:
        guarded(self._table.on_ack, message, self._ack_flow)

    def _timed_out(self) -> None:
        _log.debug("no_ack", flow=self._flow, status=self.status)

    def _transport_failed(self) -> None:
        _log.debug("response_not_sent", flow=self._flow, status=self.status)

    def _note_failure(self, reason: str) -> None:
        """Nothing: whoever asked has gone, and no reason is told to anybody."""

    def _forget(self) -> None:
        self._table.forget(self)


class IncomingRequests:
    """The table of server transactions. `on_ack` is told of the ACK to a 2xx that matches one."""

    def __init__(self, shared: Shared, on_ack: Callable[[Message, Flow], None]) -> None:
        self.shared = shared
        self.on_ack = on_ack
        self._by_key: dict[str, IncomingRequest] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, key: str) -> IncomingRequest | None:
        """Return the transaction that a request with this server key repeats or acknowledges."""
        return self._by_key.get(key)

    def cancelled(self, cancel: Message) -> IncomingRequest | None:
        """Return the INVITE that a CANCEL means."""
        return self._by_key.get(cancelled_key(cancel))

    def open(self, key: str, request: Message, flow: Flow) -> IncomingRequest:
        """Return a transaction for a new request with this server key."""
        one = self._by_key[key] = IncomingRequest(self, key, request, flow)
        _ALIVE.count += 1
        return one

    def forget(self, one: IncomingRequest) -> None:
        """Remove a transaction that is over."""
        del self._by_key[one.key]
        _ALIVE.count -= 1


def datagram_way(message: Message, flow: Flow) -> Flow:
    """Return where a response by UDP goes: received and rport of the top Via (18.2.2, RFC 3581).

    `flow` says which socket it leaves from. A `maddr` is not followed: it would let a stranger send
    our responses to anybody.
    """
    via = message.top_via
    address = via.received or via.host.strip("[]")
    return Flow(Transport.UDP, flow.local, (address, via.rport or via.port or DEFAULT_PORT))


def new_way(flow_to: Callable[[Transport, str, int, str], Flow], message: Message, flow: Flow) -> Flow:
    """Return a new connection for a response whose own is gone: received, and the port of sent-by."""
    via = message.top_via
    address = via.received or via.host.strip("[]")
    return flow_to(flow.transport, address, via.port or DEFAULT_PORT, flow.local[0])

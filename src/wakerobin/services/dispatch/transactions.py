"""The transaction layer (RFC 3261 section 17): between the endpoint below and the services above."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from wakerobin import log, metrics
from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.sip.transaction.matching import MAGIC_COOKIE, server_key
from wakerobin.core.values import Flow
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.sip import (
    ClientTransactionHandle,
    OnFailure,
    OnResponse,
    ServerTransactionHandle,
    SipEndpoint,
)
from wakerobin.services.dispatch.incoming import IncomingRequests, datagram_way, new_way
from wakerobin.services.dispatch.outgoing import OutgoingRequests
from wakerobin.services.dispatch.running import Shared, guarded

OnRequest: TypeAlias = Callable[[ServerTransactionHandle], None]
OnCancel: TypeAlias = Callable[[ServerTransactionHandle, ServerTransactionHandle], None]
OnMessage: TypeAlias = Callable[[Message, Flow], None]
OnHeard: TypeAlias = Callable[[Flow], None]
OnFlowClosed: TypeAlias = Callable[[Flow, str], None]

_MOST_INCOMING = 100_000
_BRANCH_OCTETS = 12
_TAG_OCTETS = 6

_log = log.get("dispatch")
_STRAY_RESPONSES = metrics.SIP_STRAYS.labels("response")
_STRAY_CANCELS = metrics.SIP_STRAYS.labels("cancel")


class Transactions:
    """Implements `ports.sip.TransactionLayer` upwards and `ports.sip.SipReceiver` downwards.

    The transaction user sets the `on_…` attributes before the endpoint starts. One that raises is
    logged, counted and answered for with 500 where it left a new request without any answer.
    """

    def __init__(
        self, endpoint: SipEndpoint, timers: Timers, clock: Clock, entropy: Entropy, values: SipTimers
    ) -> None:
        shared = Shared(endpoint, timers, clock, values)
        self._endpoint = endpoint
        self._entropy = entropy
        self._outgoing = OutgoingRequests(shared)
        self._incoming = IncomingRequests(shared, lambda ack, flow: self.on_ack(ack, flow))
        self.on_request: OnRequest = self._unavailable
        """A new request, other than ACK and CANCEL. It is owed a final response; INVITE also a 100."""
        self.on_cancel: OnCancel = lambda cancel, _invite: self._unavailable(cancel)
        """A CANCEL and the INVITE that it means; both are owed their response (RFC 3261 9.2)."""
        self.on_ack: OnMessage = _ignore
        """An ACK to a 2xx, which is no part of a transaction."""
        self.on_stray_response: OnMessage = _ignore
        """A response that no transaction awaits."""
        self.on_heard: OnHeard = lambda _flow: None
        """Anything came over a flow: a message, before it is handed on, or a keep-alive."""
        self.on_registrar: OnHeard = lambda _flow: None
        """A REGISTER of ours was accepted over a flow: a PBX is at its other end."""
        self.on_flow_closed: OnFlowClosed = lambda _flow, _reason: None
        """A flow is no more; the client transactions on it have been told."""

    @property
    def alive(self) -> tuple[int, int]:
        """How many client and server transactions there are."""
        return len(self._outgoing), len(self._incoming)

    def request(
        self,
        message: Message,
        flow: Flow,
        on_response: OnResponse,
        on_failure: OnFailure,
        branch: str = "",
    ) -> ClientTransactionHandle:
        """Put our Via on top of a copy and send it in a client transaction.

        Responses are passed up with our Via still on top. Raises ValueError for a branch in use.
        """
        return self._outgoing.start(self._with_via(message, flow, branch), flow, on_response, on_failure)

    def send_ack(self, ack: Message, flow: Flow) -> None:
        """Put our Via on top of a copy of an ACK for a 2xx and send it once (13.2.2.4)."""
        self._endpoint.send(flow, self._with_via(ack, flow, "").encode())

    def respond_stateless(self, response: Message, flow: Flow) -> None:
        """Send a response that belongs to no transaction of this run, by its top Via.

        Raises SipSyntaxError for one without a Via that can be read.
        """
        if not flow.transport.is_reliable:
            flow = datagram_way(response, flow)
        elif not self._endpoint.is_open(flow):
            flow = new_way(self._endpoint.flow_to, response, flow)
        self._endpoint.send(flow, response.encode())

    def adopt_server(self, invite: Message, flow: Flow) -> ServerTransactionHandle:
        """Go on with an INVITE received before a restart, as if its 100 had just been sent.

        Where it has come again meanwhile, that transaction goes on.
        """
        key = server_key(invite)
        known = self._incoming.find(key)
        if known is None:
            known = self._incoming.open(key, invite, flow)
            known.go_on()
        return known

    def adopt_client(
        self,
        invite: Message,
        flow: Flow,
        branch: str,
        on_response: OnResponse,
        on_failure: OnFailure,
    ) -> ClientTransactionHandle:
        """Go on with an INVITE sent before a restart under `branch`, as if a provisional had come.

        Raises ValueError for a branch in use.
        """
        on_wire = self._with_via(invite, flow, branch)
        return self._outgoing.resume(on_wire, flow, on_response, on_failure)

    def receive(self, message: Message, flow: Flow) -> None:
        """Take a message that passed the edge: give it to its transaction, or make one."""
        guarded(self.on_heard, flow)
        if message.is_request:
            self._receive_request(message, flow)
        elif self._outgoing.take(message, flow):
            if 200 <= message.status < 300 and message.cseq.method == "REGISTER":
                guarded(self.on_registrar, flow)
        else:
            _STRAY_RESPONSES.inc()
            guarded(self.on_stray_response, message, flow)

    def heard(self, flow: Flow) -> None:
        """Take the news that a keep-alive came over a flow."""
        guarded(self.on_heard, flow)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Fail what was sent over a flow that is no more, then tell the transaction user."""
        self._outgoing.flow_closed(flow, reason)
        guarded(self.on_flow_closed, flow, reason)

    def undelivered(self, quoted: bytes, reason: str) -> None:
        """Take what ICMP quotes of a datagram that did not arrive (18.4).

        That fails what PBXs are asked: there is another target, or there will be. A phone whose socket is
        gone is asleep, and is woken as it is. And only who sees our requests knows their branch.
        """
        self._outgoing.undelivered(quoted, reason)

    def _receive_request(self, request: Message, flow: Flow) -> None:
        key = server_key(request)
        known = self._incoming.find(key)
        if known is not None:
            known.receive(request, flow)
        elif request.method == "ACK":
            guarded(self.on_ack, request, flow)
        elif len(self._incoming) >= _MOST_INCOMING:
            _log.warning("too_many_transactions", flow=flow)
            refusal = respond(request, 503, to_tag=self._tag(), headers=[("Retry-After", "10")])
            self.respond_stateless(refusal, flow)
        elif request.method == "CANCEL":
            self._receive_cancel(key, request, flow)
        else:
            self._hand_up(key, request, flow)

    def _receive_cancel(self, key: str, cancel: Message, flow: Flow) -> None:
        invite = self._incoming.cancelled(cancel)
        transaction = self._incoming.open(key, cancel, flow)
        if invite is None:
            _STRAY_CANCELS.inc()
            transaction.respond(respond(cancel, 481, to_tag=self._tag()))
        elif not guarded(self.on_cancel, transaction, invite) and not transaction.status:
            transaction.respond(respond(cancel, 500, to_tag=self._tag()))

    def _hand_up(self, key: str, request: Message, flow: Flow) -> None:
        transaction = self._incoming.open(key, request, flow)
        if not guarded(self.on_request, transaction) and transaction.status < 200:
            transaction.respond(respond(request, 500, to_tag=self._tag()))

    def _unavailable(self, transaction: ServerTransactionHandle) -> None:
        """Answer for a transaction user that is not there yet."""
        headers = [("Retry-After", "5")]
        transaction.respond(respond(transaction.request, 503, to_tag=self._tag(), headers=headers))

    def _with_via(self, message: Message, flow: Flow, branch: str) -> Message:
        host, port = self._endpoint.local_address(flow.transport, flow.remote[0])
        host = f"[{host}]" if ":" in host else host
        branch = branch or MAGIC_COOKIE + hex_token(self._entropy, _BRANCH_OCTETS)
        via = f"SIP/2.0/{flow.transport.upper()} {host}:{port};branch={branch};rport"
        return message.below(via, branch)

    def _tag(self) -> str:
        return hex_token(self._entropy, _TAG_OCTETS)


def _ignore(_message: Message, _flow: Flow) -> None:
    """Drop what no transaction user is there for yet."""

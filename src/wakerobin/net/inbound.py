"""What the SIP sockets bring, on its way to the receiver; what is refused is answered from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip import stun
from wakerobin.core.sip.framing import KeepAlive
from wakerobin.core.sip.message import MalformedMessageError, Message, parse
from wakerobin.core.values import Flow, Transport
from wakerobin.net import edge
from wakerobin.ports.sip import SipReceiver

P = ParamSpec("P")

_log = log.get("net")
_FAULTS = metrics.FAULTS.labels("net")
_ANSWERED = metrics.SIP_REFUSED.labels("answered")
_DROPPED = metrics.SIP_REFUSED.labels("dropped")
_MESSAGES = {transport: metrics.SIP_MESSAGES.labels(transport.value) for transport in Transport}


class Inbound:
    """Driven by the sockets. One bad message, or one fault of the receiver, stops nothing."""

    def __init__(self, send: Callable[[Flow, bytes], bool], blame: Callable[[Flow], None]) -> None:
        self._send = send
        self._blame = blame
        self.on_undelivered: Callable[[bytes, str], None] = lambda _quoted, _reason: None
        """Told what ICMP quotes of a datagram of ours, and why it did not arrive."""
        self.receiver: SipReceiver | None = None
        """Who is told. None before the start and after the end: then nobody is."""

    def datagram(self, data: bytes, flow: Flow) -> None:
        """Take a datagram: a message or a keep-alive."""
        if edge.is_keep_alive(data):
            if data == KeepAlive.PING.value:
                self._send(flow, KeepAlive.PONG.value)
            self.kept_alive(flow)
        elif stun.is_stun(data):
            answer = stun.answer(data, flow.remote)
            if answer is not None:
                metrics.SIP_STUN.inc()
                self._send(flow, answer)
            self.kept_alive(flow)
        else:
            self.delivered(data, flow)

    def delivered(self, data: bytes, flow: Flow) -> None:
        """Take a message; it goes on if it passes the edge."""
        try:
            message = edge.read(data, flow.remote)
        except edge.RefusedError as refused:
            self._refuse(refused.answer, refused, flow)
            return
        _MESSAGES[flow.transport].inc()
        if self.receiver is not None:
            self._tell(self.receiver.receive, message, flow)

    def kept_alive(self, flow: Flow) -> None:
        """Take the news that a keep-alive came over a flow."""
        if self.receiver is not None:
            self._tell(self.receiver.heard, flow)

    def broken(self, data: bytes, flow: Flow, fault: SipSyntaxError) -> None:
        """Answer the request that broke a stream, if it can still be told that it is one."""
        try:
            message: Message | None = parse(data)
        except MalformedMessageError as malformed:
            message = malformed.message
        self._refuse(edge.refusal(message, fault, flow.remote), fault, flow)

    def closed(self, flow: Flow, reason: str) -> None:
        """Take the news that a flow is no more."""
        if self.receiver is not None:
            self._tell(self.receiver.flow_closed, flow, reason)

    def undelivered(self, quoted: bytes, reason: str) -> None:
        """Take what ICMP quotes of a datagram of ours that did not arrive."""
        self._tell(self.on_undelivered, quoted, reason)

    def _refuse(self, answer: Message | None, fault: SipSyntaxError, flow: Flow) -> None:
        _log.debug("message_refused", flow=flow, reason=str(fault), status=fault.status)
        self._blame(flow)
        if answer is None:
            _DROPPED.inc()
            return
        _ANSWERED.inc()
        if flow.transport is Transport.UDP:
            flow = Flow(Transport.UDP, flow.local, (flow.remote[0], edge.response_port(answer)))
        self._send(flow, answer.encode())

    def _tell(self, callback: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception:
            _FAULTS.inc()
            _log.error("receiver_raised", exc_info=True)

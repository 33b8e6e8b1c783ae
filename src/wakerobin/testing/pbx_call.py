"""A call that the fake PBX makes to its contacts, or takes from one: one dialog, seen from the PBX."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wakerobin.core.addresses import parse_address
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Flow, Transport
from wakerobin.ports.sip import (
    ClientTransactionHandle,
    ServerTransactionHandle,
    SipEndpoint,
    TransactionLayer,
)
from wakerobin.testing.pbx_registrar import PbxContact

_SDP = (
    "v=0\r\no=pbx 1 1 IN {address}\r\ns=-\r\nc=IN {address}\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
)
_WEBRTC = (
    "a=ice-ufrag:pbx1\r\na=ice-pwd:a-password-of-the-pbx-1\r\na=setup:actpass\r\n"
    f"a=fingerprint:sha-256 {':'.join(['5B'] * 32)}\r\n"
    "a=candidate:1 1 UDP 2130706431 127.0.0.1 40000 typ host\r\n"
)
_DEFAULT_PORT = 5060
_ACKED = 200


class PbxSide(Protocol):
    """What a call needs of its PBX."""

    @property
    def transactions(self) -> TransactionLayer:
        """Its transaction layer."""
        ...

    @property
    def endpoint(self) -> SipEndpoint:
        """Its sockets."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Where its tags and Call-IDs come from."""
        ...

    def own_uri(self, user: str, flow: Flow) -> str:
        """Return the Contact of a user of this PBX towards the far end of a flow."""
        ...


@dataclass(frozen=True, slots=True)
class SeenResponse:
    """A response to our INVITE or to a request in the dialog."""

    status: int
    reason: str
    to_tag: str
    message: Message


class FakeCall:
    """One INVITE of the PBX to the contacts of a user, as a forking proxy or a B2BUA makes it.

    What happens to it is recorded; `wait` awaits it. The first 2xx wins and is acknowledged, the
    others are acknowledged and ended.
    """

    def __init__(
        self, side: PbxSide, caller: str, callee: str, display: str = "", *, webrtc: bool = False
    ) -> None:
        self.responses: list[SeenResponse] = []
        """Responses to the INVITE, 100 too, of all branches in their order."""
        self.requests: list[Message] = []
        """Requests that came from the callee within the dialog, BYE too."""
        self.replies: list[SeenResponse] = []
        """Final responses to our requests within the dialog."""
        self.failures: list[str] = []
        """Branches that brought no final response."""
        self.is_over = False
        """Whether a BYE of either side was sent or came."""
        self.answer: Message | None = None
        """The 2xx that won."""
        self.call_id = hex_token(side.entropy, 12)
        self.from_tag = hex_token(side.entropy, 6)
        self._media = _SDP + _WEBRTC if webrtc else _SDP
        self._side = side
        self._caller, self._callee, self._display = caller, callee, display
        self._branches: dict[ClientTransactionHandle, int] = {}
        self._losers: set[str | None] = set()
        self._cseq = 1
        self._flow: Flow | None = None
        self._route: list[str] = []
        self._target = ""
        self._to = f"<{callee}>"
        self._changed = asyncio.Event()

    @property
    def final(self) -> int:
        """The status of the last final response to the INVITE, a 2xx before all others; 0 for none yet."""
        finals = [response.status for response in self.responses if response.status >= 200]
        return next((status for status in finals if status < 300), finals[-1] if finals else 0)

    @property
    def is_ringing(self) -> bool:
        """Whether a provisional response beyond 100 came."""
        return any(100 < response.status < 200 for response in self.responses)

    async def wait(self, condition: Callable[[FakeCall], bool], within: float = 5.0) -> None:
        """Wait until the condition holds. Raises TimeoutError with what has happened instead."""
        try:
            async with asyncio.timeout(within):
                while not condition(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"the call has seen {self}") from None

    def ring(
        self, contact: PbxContact, headers: tuple[tuple[str, str], ...] = (), body: bytes | None = None
    ) -> None:
        """Send the INVITE to a contact: over the flow that it was registered on, if that still lives.

        `body`: another offer than the usual one; empty for a delayed offer.
        """
        flow = contact.flow
        uri = SipUri.parse(NameAddr.parse(contact.path[0]).uri if contact.path else contact.uri)
        if flow.transport is Transport.UDP or not self._side.endpoint.is_open(flow):
            flow = self._flow_to(uri)
        invite = self._request("INVITE", contact.uri, flow)
        for route in contact.path:
            invite.add("Route", route)
        for name, value in headers:
            invite.add(name, value)
        _attach_sdp(invite, self._sdp(flow) if body is None else body)
        handle = self._side.transactions.request(
            invite,
            flow,
            lambda response: self._invite_answered(handle, response, flow),
            lambda reason: self._branch_failed(handle, reason),
        )
        self._branches[handle] = 0

    def cancel(self, reason: str = "") -> None:
        """Cancel every branch that is not answered."""
        headers = (("Reason", reason),) if reason else ()
        for handle, status in self._branches.items():
            if status < 200:
                handle.cancel(headers)

    def hang_up(self) -> None:
        """Send BYE along the dialog's route set."""
        self.is_over = True
        self.send("BYE")

    def send(self, method: str, *, has_sdp: bool = False) -> None:
        """Send a request within the dialog: BYE, a re-INVITE, UPDATE, INFO, OPTIONS."""
        assert self.answer is not None, "there is no dialog yet"
        self._cseq += 1
        flow = self._next_flow()
        request = self._request(method, self._target, flow)
        for route in self._route:
            request.add("Route", route)
        if has_sdp or method == "INVITE":
            _attach_sdp(request, self._sdp(flow))
        self._side.transactions.request(
            request, flow, lambda response: self._replied(request, response, flow), self._request_failed
        )

    def receive(self, transaction: ServerTransactionHandle) -> None:
        """Take a request that came within this dialog, and accept it."""
        request = transaction.request
        if self._is_of_another_dialog(request):
            transaction.respond(respond(request, 481))
            return
        self.requests.append(request)
        headers: list[tuple[str, str]] = []
        body = b""
        if request.method in ("INVITE", "UPDATE") and request.body:
            headers = [
                ("Contact", f"<{self._side.own_uri(_user(self._caller), transaction.flow)}>"),
                ("Content-Type", "application/sdp"),
            ]
            body = self._sdp(transaction.flow)
        if request.method == "BYE":
            self.is_over = True
        transaction.respond(respond(request, _ACKED, headers=headers, body=body))
        self._changed.set()

    def _is_of_another_dialog(self, request: Message) -> bool:
        winner = self.answer.to_tag if self.answer is not None else request.from_tag
        return request.from_tag != winner and request.from_tag not in self._losers

    def _invite_answered(self, handle: ClientTransactionHandle, response: Message, flow: Flow) -> None:
        self._branches[handle] = response.status
        self._record(self.responses, response)
        if not 200 <= response.status < 300:
            return
        if self.answer is None:
            self._establish(response, flow)
            for other, status in self._branches.items():
                if other is not handle and status < 200:
                    other.cancel((("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),))
        is_winner = self.answer is not None and response.to_tag == self.answer.to_tag
        self._acknowledge(response, 1, flow)
        if not is_winner and response.to_tag not in self._losers:
            self._losers.add(response.to_tag)
            self._end_loser(response, flow)

    def _branch_failed(self, handle: ClientTransactionHandle, reason: str) -> None:
        self._branches[handle] = 408
        self.failures.append(reason)
        self._changed.set()

    def _establish(self, response: Message, flow: Flow) -> None:
        self.answer = response
        self._to = response.get("To") or self._to
        self._route = list(reversed(response.values("Record-Route")))
        self._target = response.contacts[0].uri if response.contacts else self._callee
        self._flow = flow

    def _replied(self, request: Message, response: Message, flow: Flow) -> None:
        if response.status < 200:
            return
        if request.method == "INVITE" and response.status < 300:
            if response.contacts:
                self._target = response.contacts[0].uri
            self._acknowledge(response, request.cseq.number, flow)
        self._record(self.replies, response)

    def _request_failed(self, reason: str) -> None:
        self.failures.append(reason)
        self._changed.set()

    def _acknowledge(self, response: Message, cseq: int, flow: Flow) -> None:
        route = list(reversed(response.values("Record-Route"))) or self._route
        target = response.contacts[0].uri if response.contacts else self._target
        ack = Message.request("ACK", target, self._headers("ACK", cseq, response.get("To") or self._to))
        for value in route:
            ack.add("Route", value)
        self._side.transactions.send_ack(ack, self._flow_by(route, target, flow))

    def _end_loser(self, response: Message, flow: Flow) -> None:
        """End the dialog of a second 2xx: nobody will talk in it."""
        route = list(reversed(response.values("Record-Route")))
        target = response.contacts[0].uri if response.contacts else self._callee
        bye = Message.request("BYE", target, self._headers("BYE", 2, response.get("To") or self._to))
        for value in route:
            bye.add("Route", value)
        way = self._flow_by(route, target, flow)
        self._side.transactions.request(bye, way, lambda _response: None, lambda _reason: None)

    def _request(self, method: str, uri: str, flow: Flow) -> Message:
        request = Message.request(method, uri, self._headers(method, self._cseq, self._to))
        request.add("Contact", f"<{self._side.own_uri(_user(self._caller), flow)}>")
        return request

    def _headers(self, method: str, cseq: int, to: str) -> list[tuple[str, str]]:
        caller = NameAddr(self._display, self._caller, {"tag": self.from_tag})
        return [
            ("Max-Forwards", "70"),
            ("From", str(caller)),
            ("To", to),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]

    def _sdp(self, flow: Flow) -> bytes:
        """Return an offer of PCMA and PCMU at our own address."""
        host, _ = self._side.endpoint.local_address(flow.transport, flow.remote[0])
        return self._media.format(address=f"IP{6 if ':' in host else 4} {host}").encode()

    def _next_flow(self) -> Flow:
        assert self._flow is not None
        return self._flow_by(self._route, self._target, self._flow)

    def _flow_by(self, route: list[str], target: str, otherwise: Flow) -> Flow:
        """Return the flow to the first Route, else to the target; names lead where the INVITE went."""
        try:
            uri = SipUri.parse(NameAddr.parse(route[0]).uri if route else target)
        except SipSyntaxError:
            return otherwise
        if parse_address(uri.host) is None:
            return otherwise
        place = (uri.host.strip("[]"), uri.port or _DEFAULT_PORT)
        if otherwise.transport is not Transport.UDP and self._side.endpoint.is_open(otherwise):
            return otherwise
        return otherwise if place == otherwise.remote else self._flow_to(uri)

    def _flow_to(self, uri: SipUri) -> Flow:
        transport = Transport.TCP if (uri.param("transport") or "").lower() == "tcp" else Transport.UDP
        return self._side.endpoint.flow_to(transport, uri.host.strip("[]"), uri.port or _DEFAULT_PORT)

    def _record(self, record: list[SeenResponse], response: Message) -> None:
        record.append(SeenResponse(response.status, response.reason, response.to_tag or "", response))
        self._changed.set()

    def __str__(self) -> str:
        statuses = [response.status for response in self.responses]
        methods = [request.method for request in self.requests]
        return f"responses {statuses}, requests {methods}, failures {self.failures}"


def _attach_sdp(request: Message, body: bytes) -> None:
    if body:
        request.add("Content-Type", "application/sdp")
        request.body = body


def _user(uri: str) -> str:
    return SipUri.parse(uri).user

"""A call as a phone has it: one dialog, from whichever side it began (RFC 3261 sections 12 to 15)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.values import Flow
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.sip import ClientTransactionHandle, ServerTransactionHandle, TransactionLayer

SDP = (
    b"v=0\r\no=phone 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 40004 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n"
)
_WITH_SDP = (("Content-Type", "application/sdp"),)
_T1, _T2 = 0.5, 4.0
_REPEATS_FOR = 64 * _T1


class PhoneSide(Protocol):
    """What a call needs of its phone."""

    @property
    def transactions(self) -> TransactionLayer:
        """Its transaction layer."""
        ...

    @property
    def clock(self) -> Clock:
        """Its clock."""
        ...

    @property
    def timers(self) -> Timers:
        """Its timers."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Where its tags and Call-IDs come from."""
        ...

    @property
    def flow(self) -> Flow:
        """The way to its server, as it is now."""
        ...

    @property
    def contact(self) -> str:
        """Its Contact, as it is now."""
        ...

    def authorize(self, request: Message, response: Message) -> bool:
        """Answer the challenge of a 401 or 407 in `request`. False: it cannot be answered."""
        ...


class PhoneCall:
    """Made by its phone. What happens is recorded; `until` awaits it."""

    def __init__(self, phone: PhoneSide, call_id: str, local: str, remote: str) -> None:
        self.call_id = call_id
        self.local = local
        """Our From (or To) with our tag."""
        self.remote = remote
        """Theirs; with a tag once there is a dialog."""
        self.target = ""
        """The Contact of the other side."""
        self.routes: list[str] = []
        self.invite: Message | None = None
        """The INVITE that began it."""
        self.answered_with: Message | None = None
        """The 2xx."""
        self.responses: list[Message] = []
        """What our requests got, provisional responses too."""
        self.requests: list[Message] = []
        """What came within the dialog: ACK, BYE and others; CANCEL too."""
        self.failures: list[str] = []
        self.is_over = False
        self._phone = phone
        self._cseq = 0
        self._incoming: ServerTransactionHandle | None = None
        self._outgoing: ClientTransactionHandle | None = None
        self._repeating: Timer | None = None
        self._changed = asyncio.Event()

    @property
    def is_acknowledged(self) -> bool:
        """Whether the ACK to our 2xx has come."""
        return any(request.method == "ACK" for request in self.requests)

    @property
    def is_cancelled(self) -> bool:
        """Whether the caller gave up before it was answered."""
        return any(request.method == "CANCEL" for request in self.requests)

    @property
    def status(self) -> int:
        """The status of the last response to our own INVITE; 0 before any."""
        return next((r.status for r in reversed(self.responses) if r.cseq.method == "INVITE"), 0)

    async def until(self, condition: Callable[[PhoneCall], bool], within: float = 5.0) -> None:
        """Wait until this holds. Raises TimeoutError with what happened so far."""
        try:
            async with asyncio.timeout(within):
                while not condition(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise TimeoutError(f"this did not happen: {self}") from None

    # A call that came

    def ring(self, status: int = 180) -> None:
        """Ring, or send another provisional response."""
        self._respond(status)

    def answer(self) -> None:
        """Take the call: 200, again until its ACK comes (13.3.1.4)."""
        self._repeat_answer(self._respond(200, SDP), _T1, self._phone.clock.monotonic() + _REPEATS_FOR)

    def decline(self, status: int = 486) -> None:
        """Refuse the call."""
        self._respond(status)
        self.is_over = True

    def came(self, transaction: ServerTransactionHandle) -> None:
        """Take the INVITE that begins it."""
        self._incoming = transaction
        self.invite = invite = transaction.request
        self.routes = invite.values("record-route")
        self.target = _contact(invite)

    def cancelled(self, cancel: ServerTransactionHandle) -> None:
        """Take the CANCEL of that INVITE."""
        self._note(cancel.request)
        cancel.respond(respond(cancel.request, 200, to_tag=self.tag))
        if not self.is_over and self.answered_with is None:
            self._respond(487)
            self.is_over = True

    # A call that we make

    def dial(self, invite: Message) -> None:
        """Send the INVITE; a challenge of the PBX is answered once."""
        self.invite = invite
        self._cseq = invite.cseq.number
        self._outgoing = self._phone.transactions.request(
            invite, self._phone.flow, self._invite_answered, self._failed
        )

    def cancel(self, reason: str = "") -> None:
        """Give up before the other side answers."""
        assert self._outgoing is not None, "the call was not dialled"
        self._outgoing.cancel((("Reason", reason),) if reason else ())

    # Both

    def hang_up(self) -> None:
        """End the dialog by a BYE."""
        self.is_over = True
        self.request("BYE")

    def request(
        self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> ClientTransactionHandle:
        """Send a request within the dialog, over the way that the phone has now."""
        self._cseq += 1
        message = self._within_dialog(method, self._cseq)
        for name, value in headers:
            message.add(name, value)
        message.body = body
        return self._phone.transactions.request(message, self._phone.flow, self._answered, self._failed)

    def received(self, transaction: ServerTransactionHandle) -> None:
        """Take a request within the dialog; everything is fine with us."""
        request = transaction.request
        self._note(request)
        self.is_over = self.is_over or request.method == "BYE"
        has_offer = request.method in ("INVITE", "UPDATE")
        headers = [("Contact", f"<{self._phone.contact}>"), *_WITH_SDP] if has_offer else []
        response = respond(request, 200, headers=headers, body=SDP if has_offer else b"")
        transaction.respond(response)
        if request.method == "INVITE":
            self._incoming = transaction
            self._repeat_answer(response, _T1, self._phone.clock.monotonic() + _REPEATS_FOR)

    def acknowledged(self, ack: Message) -> None:
        """Take the ACK to a 2xx of ours."""
        if self._repeating is not None:
            self._repeating.cancel()
            self._repeating = None
        self._note(ack)

    def _respond(self, status: int, body: bytes = b"") -> Message:
        assert self._incoming is not None, "this call was not received"
        assert self.invite is not None
        headers = [("Contact", f"<{self._phone.contact}>")] if status < 300 else []
        if body:
            headers += _WITH_SDP
        response = respond(
            self.invite, status, to_tag=self.tag, headers=headers, body=body, record_route=status < 300
        )
        self._incoming.respond(response)
        if 200 <= status < 300:
            self.answered_with = response
            self._changed.set()
        return response

    def _repeat_answer(self, response: Message, wait: float, until: float) -> None:
        def again() -> None:
            assert self._incoming is not None
            self._incoming.respond(response)
            self._repeat_answer(response, min(2 * wait, _T2), until)

        when = self._phone.clock.monotonic() + wait
        timers = self._phone.timers
        self._repeating = (
            timers.call_at(when, again) if when < until else timers.call_at(until, self._give_up)
        )

    def _give_up(self) -> None:
        """End a call whose ACK has never come (13.3.1.4)."""
        self._repeating = None
        if not self.is_over:
            self.hang_up()

    def _invite_answered(self, response: Message) -> None:
        assert self.invite is not None
        self.responses.append(response)
        self._changed.set()
        is_first_challenge = response.status in (401, 407) and not self._has_answered(response)
        if is_first_challenge and self._phone.authorize(self.invite, response):
            self._cseq += 1
            self.invite.set("CSeq", f"{self._cseq} INVITE")
            self.dial(self.invite)
        elif 200 <= response.status < 300:
            self._establish(response)
            self._acknowledge(response)
        elif response.status >= 300:
            self.is_over = True

    def _has_answered(self, response: Message) -> bool:
        assert self.invite is not None
        header = "proxy-authorization" if response.status == 407 else "authorization"
        return self.invite.has(header)

    def _establish(self, response: Message) -> None:
        if self.answered_with is None:
            self.answered_with = response
            self.remote = response.get("to") or self.remote
            self.routes = response.values("record-route")[::-1]
            self.target = _contact(response)

    def _acknowledge(self, response: Message) -> None:
        ack = self._within_dialog("ACK", response.cseq.number)
        self._phone.transactions.send_ack(ack, self._phone.flow)

    def _answered(self, response: Message) -> None:
        self.responses.append(response)
        if response.cseq.method == "INVITE" and 200 <= response.status < 300:
            self._acknowledge(response)
        self._changed.set()

    def _failed(self, reason: str) -> None:
        self.failures.append(reason)
        self._changed.set()

    def _note(self, request: Message) -> None:
        self.requests.append(request)
        self._changed.set()

    @property
    def tag(self) -> str:
        """Ours."""
        return NameAddr.parse(self.local).tag or ""

    def _within_dialog(self, method: str, cseq: int) -> Message:
        headers = [("Max-Forwards", "70")]
        headers += [("Route", route) for route in self.routes]
        headers += [
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]
        if method in ("INVITE", "UPDATE", "SUBSCRIBE", "REFER"):
            headers.append(("Contact", f"<{self._phone.contact}>"))
        return Message.request(method, self.target, headers)

    def __str__(self) -> str:
        got = ", ".join(str(response.status) for response in self.responses)
        came = ", ".join(request.method for request in self.requests)
        return f"call {self.call_id}: responses {got or 'none'}; requests {came or 'none'}; {self.failures}"


def incoming_call(phone: PhoneSide, transaction: ServerTransactionHandle) -> PhoneCall:
    """Return the call that an INVITE begins."""
    invite = transaction.request
    tag = hex_token(phone.entropy, 6)
    call = PhoneCall(phone, invite.call_id, f"{invite.get('to')};tag={tag}", invite.get("from") or "")
    call.came(transaction)
    return call


def _contact(message: Message) -> str:
    try:
        return message.contacts[0].uri
    except (SipSyntaxError, IndexError):
        return message.uri

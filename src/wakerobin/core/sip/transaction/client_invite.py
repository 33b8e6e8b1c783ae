"""The INVITE client transaction: RFC 3261 section 17.1.1 with the Accepted state of RFC 6026."""

from __future__ import annotations

from wakerobin.core.sip.message import Message
from wakerobin.core.sip.timers import Timers
from wakerobin.core.sip.transaction.effects import (
    Effect,
    PassUp,
    Terminated,
    TimedOut,
    Transmit,
    TransportFailed,
)
from wakerobin.core.sip.transaction.state import TransactionState, earliest, is_due


class InviteClientTransaction:
    """One INVITE that we send, its retransmissions, and the ACKs to its 300-699 responses.

    Driven by `start`, the responses that 17.1.3 matches to it, `on_timer` at `deadline` and
    `transport_failed`. How long it may ring is the transaction user's business (timer C): in
    Proceeding there is no deadline. A 2xx is acknowledged by the transaction user, too.
    """

    __slots__ = (
        "_ack",
        "_interval",
        "_invite",
        "_is_reliable",
        "_timer_a",
        "_timer_b",
        "_timer_d",
        "_timer_m",
        "_timers",
        "request",
        "state",
    )

    def __init__(self, request: Message, *, reliable: bool, timers: Timers) -> None:
        """Make a transaction that has sent nothing yet; the INVITE is not to be changed after."""
        self.request = request
        self.state = TransactionState.CALLING
        self._invite = request.encode()
        self._ack = b""
        self._is_reliable = reliable
        self._timers = timers
        self._interval = timers.t1
        self._timer_a: float | None = None
        self._timer_b: float | None = None
        self._timer_d: float | None = None
        self._timer_m: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `on_timer` must be called next, or None if nothing is pending."""
        return earliest(self._timer_a, self._timer_b, self._timer_d, self._timer_m)

    def start(self, now: float) -> list[Effect]:
        """Send the INVITE and arm timers A and B."""
        self._timer_b = now + self._timers.timer_b
        if not self._is_reliable:
            self._timer_a = now + self._interval
        return [Transmit(self._invite)]

    def receive_response(self, message: Message, now: float) -> list[Effect]:
        """Take a response that 17.1.3 has matched to this transaction."""
        match self.state:
            case TransactionState.CALLING | TransactionState.PROCEEDING:
                return self._first_answers(message, now)
            case TransactionState.ACCEPTED if 200 <= message.status < 300:
                # RFC 6026 7.2: retransmissions, and the 2xx of other branches of a forked INVITE.
                return [PassUp(message)]
            case TransactionState.COMPLETED if message.status >= 300:
                return [Transmit(self._ack)]
            case _:
                return []

    def on_timer(self, now: float) -> list[Effect]:
        """Fire every timer that is due. Calling it early does nothing."""
        if is_due(self._timer_d, now) or is_due(self._timer_m, now):
            return self._terminate()
        if is_due(self._timer_b, now):
            return [TimedOut(), *self._terminate()]
        if is_due(self._timer_a, now):
            # 17.1.1.2: doubled each time and, other than timer E, not capped by T2.
            self._interval *= 2
            self._timer_a = now + self._interval
            return [Transmit(self._invite)]
        return []

    def repeat(self, now: float) -> list[Effect]:
        """Take the news that the peer, silent so far, has just come within reach: timer A starts again."""
        if self.state is not TransactionState.CALLING or self._is_reliable:
            return []
        self._interval = self._timers.t1
        self._timer_a = now + self._interval
        return [Transmit(self._invite)]

    def transport_failed(self, now: float) -> list[Effect]:
        """Take the news that the INVITE or the ACK could not be sent.

        Where nothing is waiting to be sent this changes nothing: a phone that rings may lose its
        connection, and answers by a new one (18.2.2).
        """
        if self.state in (TransactionState.CALLING, TransactionState.COMPLETED):
            return [TransportFailed(), *self._terminate()]
        return []

    def _first_answers(self, message: Message, now: float) -> list[Effect]:
        # Timer B ends with the first response of any kind: a phone may ring for minutes.
        self._timer_a = self._timer_b = None
        if message.status < 200:
            self.state = TransactionState.PROCEEDING
            return [PassUp(message)]
        if message.status < 300:
            self.state = TransactionState.ACCEPTED
            self._timer_m = now + self._timers.timer_m
            return [PassUp(message)]
        self._ack = acknowledgement(self.request, message).encode()
        effects: list[Effect] = [Transmit(self._ack), PassUp(message)]
        if self._is_reliable:
            return effects + self._terminate()  # timer D is zero: nothing will be repeated
        self.state = TransactionState.COMPLETED
        self._timer_d = now + self._timers.timer_d
        return effects

    def _terminate(self) -> list[Effect]:
        self.state = TransactionState.TERMINATED
        self._timer_a = self._timer_b = self._timer_d = self._timer_m = None
        return [Terminated()]


def acknowledgement(invite: Message, response: Message) -> Message:
    """The ACK to a 300-699 response (17.1.1.3): hop by hop, in the INVITE's own transaction.

    The branch, Request-URI and Route are the INVITE's, the To (with its tag) is the response's.
    """
    headers = [("Via", invite.values("Via")[0]), ("Max-Forwards", "70")]
    for name in ("Route", "From"):
        headers += [(name, value) for value in invite.all(name)]
    headers += [("To", value) for value in response.all("To")]
    headers += [("Call-ID", value) for value in invite.all("Call-ID")]
    headers.append(("CSeq", f"{invite.cseq.number} ACK"))
    return Message.request("ACK", invite.uri, headers)

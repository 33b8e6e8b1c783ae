"""The INVITE server transaction: RFC 3261 section 17.2.1 with the Accepted state of RFC 6026."""

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
from wakerobin.core.sip.transaction.matching import has_magic_cookie
from wakerobin.core.sip.transaction.state import TransactionState, earliest, is_due


class InviteServerTransaction:
    """One INVITE that we received, our responses to it, and the ACK to a 300-699 one.

    The transaction user makes it with the INVITE that it has in hand, and sends the 100 itself.
    Driven by `respond`, the retransmissions and ACKs that 17.2.3 matches to it, `on_timer` at
    `deadline` and `transport_failed`. A 2xx is repeated by the UAS that made it, not here: a
    proxy hands each one to `respond`.
    """

    __slots__ = (
        "_interval",
        "_is_reliable",
        "_response",
        "_tag_of_answer",
        "_timer_g",
        "_timer_h",
        "_timer_i",
        "_timer_l",
        "_timers",
        "request",
        "state",
    )

    def __init__(self, request: Message, *, reliable: bool, timers: Timers) -> None:
        """Make a transaction in Proceeding that has answered nothing yet."""
        self.request = request
        self.state = TransactionState.PROCEEDING
        self._is_reliable = reliable
        self._timers = timers
        self._interval = timers.t1
        self._response = b""
        self._tag_of_answer: str | None = None
        self._timer_g: float | None = None
        self._timer_h: float | None = None
        self._timer_i: float | None = None
        self._timer_l: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `on_timer` must be called next, or None if nothing is pending."""
        return earliest(self._timer_g, self._timer_h, self._timer_i, self._timer_l)

    def receive_request(self, message: Message, now: float) -> list[Effect]:
        """Take a repeated INVITE or an ACK that 17.2.3 has matched to this transaction."""
        if message.method == "ACK":
            return self._receive_ack(message, now)
        repeats = self.state in (TransactionState.PROCEEDING, TransactionState.COMPLETED)
        return [Transmit(self._response)] if repeats and self._response else []

    def respond(self, message: Message, now: float) -> list[Effect]:
        """Send a response of the transaction user; what may no longer be sent is discarded."""
        is_success = 200 <= message.status < 300
        if self.state is TransactionState.ACCEPTED and is_success:
            return [Transmit(message.encode())]  # RFC 6026 7.1: repeated, or of another branch
        if self.state is not TransactionState.PROCEEDING:
            return []
        self._response = message.encode()
        effects: list[Effect] = [Transmit(self._response)]
        if is_success:
            self.state = TransactionState.ACCEPTED
            self._timer_l = now + self._timers.timer_l
        elif message.status >= 300:
            self._complete(message, now)
        return effects

    def on_timer(self, now: float) -> list[Effect]:
        """Fire every timer that is due. Calling it early does nothing."""
        if is_due(self._timer_i, now) or is_due(self._timer_l, now):
            return self._terminate()
        if is_due(self._timer_h, now):
            return [TimedOut(), *self._terminate()]
        if is_due(self._timer_g, now):
            self._interval = min(2 * self._interval, self._timers.t2)
            self._timer_g = now + self._interval
            return [Transmit(self._response)]
        return []

    def transport_failed(self, now: float) -> list[Effect]:
        """Take the news that a response could not be sent; tell the transaction user, and go on.

        RFC 6026 7.1, against RFC 3261 17.2.4: the state stays until a timer ends it, or the next
        retransmission of the INVITE would look like a new call.
        """
        if self.state in (TransactionState.CONFIRMED, TransactionState.TERMINATED):
            return []
        return [TransportFailed()]

    def _receive_ack(self, ack: Message, now: float) -> list[Effect]:
        if self.state is TransactionState.ACCEPTED:
            # An ACK to a 2xx belongs to the transaction user. It has a branch of its own, but
            # an RFC 2543 caller has none and ends up here.
            return [PassUp(ack)]
        if self.state is not TransactionState.COMPLETED or not self._is_for_our_answer(ack):
            return []
        self._timer_g = self._timer_h = None
        self.state = TransactionState.CONFIRMED
        if self._is_reliable:
            return self._terminate()  # timer I is zero
        self._timer_i = now + self._timers.timer_i
        return []

    def _is_for_our_answer(self, ack: Message) -> bool:
        # 17.2.3: without the magic cookie, only the To tag ties an ACK to the response.
        return self._tag_of_answer is None or ack.to_tag == self._tag_of_answer

    def _complete(self, message: Message, now: float) -> None:
        self.state = TransactionState.COMPLETED
        self._timer_h = now + self._timers.timer_h
        if not self._is_reliable:
            self._timer_g = now + self._interval
        if not has_magic_cookie(self.request.branch):
            self._tag_of_answer = message.to_tag

    def _terminate(self) -> list[Effect]:
        self.state = TransactionState.TERMINATED
        self._timer_g = self._timer_h = self._timer_i = self._timer_l = None
        return [Terminated()]

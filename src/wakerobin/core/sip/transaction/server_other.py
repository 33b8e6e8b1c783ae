"""The server transaction of every request but INVITE and ACK: RFC 3261 section 17.2.2."""

from __future__ import annotations

from wakerobin.core.sip.message import Message
from wakerobin.core.sip.timers import Timers
from wakerobin.core.sip.transaction.effects import Effect, Terminated, Transmit, TransportFailed
from wakerobin.core.sip.transaction.state import TransactionState, is_due


class ServerTransaction:
    """One request that we received, and our answer to it and to its retransmissions.

    The transaction user makes it with the request that it has in hand. Driven by `respond`, the
    retransmissions that 17.2.3 matches to it, `on_timer` at `deadline` and `transport_failed`.
    """

    __slots__ = ("_is_reliable", "_response", "_timer_j", "_timers", "request", "state")

    def __init__(self, request: Message, *, reliable: bool, timers: Timers) -> None:
        """Make a transaction in Trying that has answered nothing yet."""
        self.request = request
        self.state = TransactionState.TRYING
        self._is_reliable = reliable
        self._timers = timers
        self._response = b""
        self._timer_j: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `on_timer` must be called next, or None if nothing is pending."""
        return self._timer_j

    def receive_request(self, message: Message, now: float) -> list[Effect]:
        """Take a retransmission: answered with the last response, in Trying with silence."""
        repeats = self.state in (TransactionState.PROCEEDING, TransactionState.COMPLETED)
        return [Transmit(self._response)] if repeats else []

    def respond(self, message: Message, now: float) -> list[Effect]:
        """Send a response of the transaction user; after the final one the rest is discarded."""
        if self.state in (TransactionState.COMPLETED, TransactionState.TERMINATED):
            return []
        self._response = message.encode()
        if message.status < 200:
            self.state = TransactionState.PROCEEDING
            return [Transmit(self._response)]
        if self._is_reliable:
            return [Transmit(self._response), *self._terminate()]  # timer J is zero
        self.state = TransactionState.COMPLETED
        self._timer_j = now + self._timers.timer_j
        return [Transmit(self._response)]

    def on_timer(self, now: float) -> list[Effect]:
        """Fire timer J if it is due. Calling it early does nothing."""
        return self._terminate() if is_due(self._timer_j, now) else []

    def transport_failed(self, now: float) -> list[Effect]:
        """Take the news that a response could not be sent."""
        if self.state in (TransactionState.PROCEEDING, TransactionState.COMPLETED):
            return [TransportFailed(), *self._terminate()]
        return []

    def _terminate(self) -> list[Effect]:
        self.state = TransactionState.TERMINATED
        self._timer_j = None
        return [Terminated()]

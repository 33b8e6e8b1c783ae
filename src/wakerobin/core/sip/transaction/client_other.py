"""The client transaction of every request but INVITE and ACK: RFC 3261 section 17.1.2."""

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


class ClientTransaction:
    """One request that we send, and its retransmissions until a final response.

    Driven by `start`, the responses that 17.1.3 matches to it, `on_timer` at `deadline` and
    `transport_failed`. It is over 64 * T1 + T4 after its start at the latest.
    """

    __slots__ = (
        "_interval",
        "_is_reliable",
        "_timer_e",
        "_timer_f",
        "_timer_k",
        "_timers",
        "_wire",
        "request",
        "state",
    )

    def __init__(self, request: Message, *, reliable: bool, timers: Timers) -> None:
        """Make a transaction that has sent nothing yet; the request is not to be changed after."""
        self.request = request
        self.state = TransactionState.TRYING
        self._wire = request.encode()
        self._is_reliable = reliable
        self._timers = timers
        self._interval = timers.t1
        self._timer_e: float | None = None
        self._timer_f: float | None = None
        self._timer_k: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `on_timer` must be called next, or None if nothing is pending."""
        if self._timer_e is None:
            return self._timer_f if self._timer_k is None else self._timer_k
        return earliest(self._timer_e, self._timer_f)

    def start(self, now: float) -> list[Effect]:
        """Send the request and arm timers E and F."""
        self._timer_f = now + self._timers.timer_f
        if not self._is_reliable:
            self._timer_e = now + self._interval
        return [Transmit(self._wire)]

    def receive_response(self, message: Message, now: float) -> list[Effect]:
        """Take a response that 17.1.3 has matched to this transaction."""
        if self.state in (TransactionState.COMPLETED, TransactionState.TERMINATED):
            return []  # a retransmission: absorbed
        if message.status < 200:
            # Timers E and F run on: a provisional response promises nothing here.
            self.state = TransactionState.PROCEEDING
            return [PassUp(message)]
        if self._is_reliable:
            return [PassUp(message), *self._terminate()]  # timer K is zero
        self.state = TransactionState.COMPLETED
        self._timer_e = self._timer_f = None
        self._timer_k = now + self._timers.timer_k
        return [PassUp(message)]

    def on_timer(self, now: float) -> list[Effect]:
        """Fire every timer that is due. Calling it early does nothing."""
        if is_due(self._timer_k, now):
            return self._terminate()
        if is_due(self._timer_f, now):
            return [TimedOut(), *self._terminate()]
        if is_due(self._timer_e, now):
            # 17.1.2.2: in Proceeding, timer E is set to T2 at once.
            proceeding = self.state is TransactionState.PROCEEDING
            doubled = min(2 * self._interval, self._timers.t2)
            self._interval = self._timers.t2 if proceeding else doubled
            self._timer_e = now + self._interval
            return [Transmit(self._wire)]
        return []

    def transport_failed(self, now: float) -> list[Effect]:
        """Take the news that the request could not be sent."""
        if self.state in (TransactionState.TRYING, TransactionState.PROCEEDING):
            return [TransportFailed(), *self._terminate()]
        return []

    def _terminate(self) -> list[Effect]:
        self.state = TransactionState.TERMINATED
        self._timer_e = self._timer_f = self._timer_k = None
        return [Terminated()]

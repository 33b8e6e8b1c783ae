"""One request on its way through: from its server transaction to one client transaction, and back (16.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.sip.forking import loop_hash
from wakerobin.core.sip.header import reason_value
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.transaction.matching import MAGIC_COOKIE
from wakerobin.core.tokens import RouteToken
from wakerobin.core.values import Flow
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.sip import ClientTransactionHandle, ServerTransactionHandle, TransactionLayer
from wakerobin.services.phones.answers import answer, refuse
from wakerobin.services.relay.patience import Answer

TIMER_C_S = 185.0
"""How long an INVITE may go without a sign of life before it is cancelled (RFC 3261 16.6 step 11, 16.8)."""

_BRANCH_OCTETS = 8
_TOO_LONG = reason_value(408, "Nobody answered")


def loop_marked_branch(entropy: Entropy, request: Message) -> str:
    """Return a new branch that also says what the request was like when it came (RFC 5393 4.2)."""
    return f"{MAGIC_COOKIE}{hex_token(entropy, _BRANCH_OCTETS)}.{loop_hash(request)}"


class Keeper(Protocol):
    """Who made a leg."""

    def leg_rings(self, leg: Leg) -> None:
        """A response beyond 100 came that is not final."""
        ...

    def leg_over(self, leg: Leg) -> None:
        """It has its final response; told once."""
        ...


class Leg:
    """Driven by its keeper, which sends it on, and by the responses that come; ends with its final response.

    `destination` is the phone that it goes to; None towards a PBX.
    """

    def __init__(
        self,
        transactions: TransactionLayer,
        transaction: ServerTransactionHandle,
        onward: Message,
        destination: RouteToken | None,
        keeper: Keeper,
    ) -> None:
        self.transaction = transaction
        self.onward = onward
        self.destination = destination
        self.flow: Flow | None = None
        self.is_over = False
        self.has_answer = False
        self.waits: Timer | None = None
        """Runs while it waits for its phone."""
        self.is_cancelled = False
        self._timer_c: Timer | None = None
        """Runs while an INVITE rings."""
        self._transactions = transactions
        self._keeper = keeper
        self._handle: ClientTransactionHandle | None = None

    @property
    def is_in_dialog(self) -> bool:
        """Whether the request belongs to a dialog that both sides know."""
        return self.transaction.request.to_tag is not None

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.onward.method

    def send(self, flow: Flow, branch: str, on_failure: Callable[[Leg, str], None]) -> None:
        """Send the request over a flow; one that went out over another flow is given up there."""
        self.stop_waiting()
        if self.is_cancelled:
            self.end(Answer(487, ""))
            return
        if self._handle is not None:
            self._handle.abandon()
        self.flow = flow

        def failed(reason: str) -> None:
            if not self.is_over:
                on_failure(self, reason)

        self._handle = self._transactions.request(self.onward, flow, self._receive, failed, branch)

    def stop_waiting(self) -> None:
        """Its phone came, or nobody waits for it any more."""
        if self.waits is not None:
            self.waits.cancel()
            self.waits = None

    def start_timer_c(self, clock: Clock, timers: Timers) -> None:
        """From now on an INVITE may go for so long without a sign of life; others have no timer C."""
        if self.method != "INVITE" or self.is_over:
            return
        self._stop_timer_c()
        self._timer_c = timers.call_at(clock.monotonic() + TIMER_C_S, self._give_up)

    def cancel(self, cancel: ServerTransactionHandle) -> None:
        """Whoever sent the INVITE takes it back; the final response follows as usual."""
        cancel.respond(answer(cancel.request, 200))
        self.is_cancelled = True
        if self._handle is None or self.waits is not None:
            self.end(Answer(487, ""))
        else:
            reason = cancel.request.get("reason")
            self._handle.cancel((("Reason", reason),) if reason else ())

    def end(self, said: Answer) -> None:
        """Answer it ourselves; nothing happens where it has its final response."""
        if self.is_over:
            return
        if self.is_cancelled:
            said = Answer(487, "")
        self._over()
        refuse(self.transaction, said.status, said.text, retry_after=said.retry_after)

    def _receive(self, response: Message) -> None:
        """Hand a response back. A 2xx to an INVITE comes again until its ACK gets through."""
        if response.status == 100:  # hop by hop
            self.has_answer = True
            return
        if self.is_over and not (self.method == "INVITE" and 200 <= response.status < 300):
            return
        back = response.copy()
        back.pop_first("via")
        if response.status == 503:  # 16.7 step 6: it is about that server, not about us
            back.status, back.reason = 500, "Server Internal Error"
        self.has_answer = True
        if response.status >= 200:
            self._over()
        else:
            self._keeper.leg_rings(self)
        self.transaction.respond(back)

    def _over(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.stop_waiting()
            self._stop_timer_c()
            self._keeper.leg_over(self)

    def _give_up(self) -> None:
        """Nobody takes it back, but it rang for too long: its own side says how it ends."""
        if self._handle is not None:
            self._handle.cancel((("Reason", _TOO_LONG),))

    def _stop_timer_c(self) -> None:
        if self._timer_c is not None:
            self._timer_c.cancel()
            self._timer_c = None

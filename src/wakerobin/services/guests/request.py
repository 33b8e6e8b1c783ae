"""A request of the PBX to a guest that is no call: pushed for where it is worth it, and held until then."""

from __future__ import annotations

from collections.abc import Callable

from wakerobin import metrics
from wakerobin.core.guests import Guest
from wakerobin.core.sip.message import Message
from wakerobin.core.values import PhoneFlow, Purpose
from wakerobin.ports.clock import Timer
from wakerobin.ports.sip import ClientTransactionHandle, ServerTransactionHandle
from wakerobin.services.guests.around import Around
from wakerobin.services.guests.call import for_guest
from wakerobin.services.guests.waking import SILENT_FOR_S, Settled, Waking
from wakerobin.services.phones.answers import refuse
from wakerobin.services.relay.leg import loop_marked_branch

WORTH_A_PUSH = frozenset({"MESSAGE", "SUBSCRIBE", "REFER", "INFO", "PUBLISH"})
"""What somebody waits for. NOTIFY comes with every change of a mailbox, and OPTIONS each minute."""

_COMPOSING = "application/im-iscomposing+xml"


class GuestRequest:
    """One request. It ends with its final response, of the phone or ours; `on_over` is called then."""

    def __init__(
        self,
        around: Around,
        waking: Waking,
        *,
        transaction: ServerTransactionHandle,
        onward: Message,
        guest: Guest,
        on_over: Callable[[GuestRequest], None],
    ) -> None:
        self.number = guest.number
        self.transaction = transaction
        self._around = around
        self._waking = waking
        self._onward = onward
        self._guest = guest
        self._on_over = on_over
        self._phone: PhoneFlow | None = None
        self._handle: ClientTransactionHandle | None = None
        self._is_pushed = False
        self._refusal = ""
        """Why no push wakes it."""
        self._is_over = False
        self._timers: list[Timer] = []

    def start(self) -> None:
        """Send it where its phone has a flow; push where that is not known to be alive."""
        around, policy = self._around, self._around.policy(self._guest.app)
        phone, now = around.flow_of(self.number), around.clock.monotonic()
        if phone is None and not self._can_wake:
            self._end(480, "The phone has no connection now")
            return
        self._timers.append(around.timers.call_at(now + SILENT_FOR_S, self._too_late))
        if phone is not None:
            self._send(phone)
        if not self._can_wake:
            return
        if phone is not None and now - phone.heard_at <= policy.live_flow:
            self._timers.append(around.timers.call_at(now + policy.live_flow_answer, self._push))
        else:
            self._push()

    def phone_arrived(self, phone: PhoneFlow) -> None:
        """Its phone has registered: what got no answer over another flow goes to it now."""
        if self._is_over or (self._phone is not None and self._phone.flow == phone.flow):
            return
        self._send(phone)

    @property
    def _can_wake(self) -> bool:
        is_news = (self._onward.get("content-type") or "").lower().startswith(_COMPOSING)
        is_worth_it = self._onward.method in WORTH_A_PUSH and not is_news
        return is_worth_it and bool(self._guest.for_purpose(Purpose.NOTICE))

    def _send(self, phone: PhoneFlow) -> None:
        if self._handle is not None:
            self._handle.abandon()
        self._phone = phone
        sent = for_guest(self._around, self._onward, phone, self.transaction)
        self._handle = self._around.transactions.request(
            sent,
            phone.flow,
            self._answered,
            lambda _reason: self._failed(phone),
            loop_marked_branch(self._around.entropy, self.transaction.request),
        )

    def _answered(self, response: Message) -> None:
        if self._is_over or response.status < 200:
            return
        back = response.copy()
        back.pop_first("via")
        if response.status in (401, 407):  # the phone's challenge to us; the PBX would take it for its own
            self._end(480, "The phone does not take it")
            return
        if response.status == 503:
            back.status, back.reason = 500, "Server Internal Error"
        self._close("answered")
        self.transaction.respond(back)

    def _failed(self, phone: PhoneFlow) -> None:
        """A flow that was dead: the phone may still come by another one, if it can be woken."""
        if self._phone is not phone:
            return
        self._handle = None
        if not self._can_wake or self._refusal:
            self._end(480, self._refusal or "The phone has no connection now")
        else:
            self._push()

    def _push(self) -> None:
        if self._is_over or self._is_pushed:
            return
        self._is_pushed = True
        name = f"{self._onward.method} {self._onward.call_id} {self._onward.cseq.number}"
        is_message = self._onward.method == "MESSAGE"
        self._waking.in_silence(self._guest, name, self._pushed, is_message=is_message)

    def _pushed(self, settled: Settled) -> None:
        if settled.is_accepted:
            return
        self._refusal = f"The phone cannot be woken: {settled.reason}"
        if self._handle is None:
            self._end(480, self._refusal)

    def _too_late(self) -> None:
        self._end(480, "The phone did not come in time")

    def _end(self, status: int, text: str) -> None:
        if self._is_over:
            return
        self._close("missed")
        refuse(self.transaction, status, text)

    def _close(self, outcome: str) -> None:
        self._is_over = True
        for timer in self._timers:
            timer.cancel()
        if self._handle is not None and outcome == "missed":
            self._handle.abandon()
        metrics.GUEST_REQUESTS.labels(outcome=outcome).inc()
        self._on_over(self)

"""Requests of a PBX in dialogs on their way to phones: they follow them, wait for them, are left for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wakerobin.core.sip.message import Message
from wakerobin.core.tokens import RouteToken
from wakerobin.core.values import Flow
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.sip import TransactionLayer
from wakerobin.services.relay.late import LateMessages
from wakerobin.services.relay.leg import Leg
from wakerobin.services.relay.patience import Answer, patience
from wakerobin.services.relay.whereabouts import Whereabouts

LEFT_FOR_S = 300.0
"""How long a phone without a connection finds the BYE of its call when it comes back."""

WOKEN_WITHIN_S = 20.0
"""How long a request within a dialog waits for a phone that is pushed for it: its client ends after 32 s."""

NUDGE_S = 1.0
"""How long such a phone has to answer over a flow that it had, before it is pushed."""


class Carrier(Protocol):
    """Who sends legs, and tells the app of those that found nobody."""

    def send(self, leg: Leg, flow: Flow) -> None:
        """Send a request over a flow."""
        ...

    def left(self, phone: RouteToken, bye: Message) -> None:
        """A BYE is left for this phone."""
        ...


class Deliveries:
    """`wake` pushes the phone of an account for a request, if that phone has asked for it (RFC 8599 6)."""

    def __init__(
        self,
        transactions: TransactionLayer,
        whereabouts: Whereabouts,
        clock: Clock,
        timers: Timers,
        carrier: Carrier,
        wake: Callable[[int, Message, Callable[[], None]], bool],
    ) -> None:
        self._transactions = transactions
        self._whereabouts = whereabouts
        self._clock = clock
        self._timers = timers
        self._carrier = carrier
        self._wake = wake
        self._legs: dict[int, set[Leg]] = {}
        """By account; those with a destination."""
        self._late_acks = LateMessages(clock, timers, patience("ACK").seconds)
        self._late_byes = LateMessages(clock, timers, LEFT_FOR_S)

    def begin(self, leg: Leg, phone: RouteToken, former: Flow | None) -> None:
        """Send a request to a phone, or let it wait; `former` is where it was when the server last ran."""
        self._legs.setdefault(phone.account, set()).add(leg)
        known = self._whereabouts.phone(phone, leg.onward.uri)
        flow = known.flow if known is not None else former
        if flow is None:
            self.wait(leg)
            return
        self._carrier.send(leg, flow)
        if "pn-purr" in leg.onward.uri:
            # A flow that is known is no phone that is awake.
            self._timers.call_at(self._clock.monotonic() + NUDGE_S, lambda: self._nudge(leg))

    def over(self, leg: Leg) -> None:
        """It has its final response."""
        if leg.destination is None:
            return
        legs = self._legs[leg.destination.account]
        legs.discard(leg)
        if not legs:
            del self._legs[leg.destination.account]

    def arrived(self, account_id: int) -> None:
        """A phone of this account is there: what waits for it, or hangs on its older flow, goes to it now."""
        for leg in list(self._legs.get(account_id, ())):
            assert leg.destination is not None
            phone = self._whereabouts.phone(leg.destination, leg.onward.uri)
            is_new_way = phone is not None and (leg.waits is not None or phone.flow != leg.flow)
            if phone is not None and is_new_way and not leg.has_answer:
                self._carrier.send(leg, phone.flow)
        self._late_acks.arrived(account_id, self._ack)
        self._late_byes.arrived(account_id, self._bye)

    def ack(self, ack: Message, phone: RouteToken, former: Flow | None) -> None:
        """Send an ACK to a phone, or keep it for a little."""
        if self._ack(ack, phone):
            return
        self._late_acks.wait(ack, phone)
        if former is not None:
            self._transactions.send_ack(ack, former)

    def wait(self, leg: Leg) -> None:
        """Let a request wait for its phone. Only who asked for it, by `pn-purr`, is pushed meanwhile."""
        allowed = patience(leg.method)
        seconds = WOKEN_WITHIN_S if self._wakes(leg, allowed.answer) else allowed.seconds
        if leg.is_cancelled or not seconds:
            self.give_up(leg, allowed.answer)
            return
        when = self._clock.monotonic() + seconds
        leg.waits = self._timers.call_at(when, lambda: self.give_up(leg, allowed.answer))

    def give_up(self, leg: Leg, answer: Answer) -> None:
        """Answer for the phone. A call that ended without it must not stay on its display."""
        if leg.is_over:
            return
        leg.end(answer)
        if leg.method != "BYE" or leg.destination is None:
            return
        # Each may push the phone, and whoever has seen a Route of the call can send as many as he likes.
        if self._late_byes.wait(leg.onward, leg.destination):
            self._carrier.left(leg.destination, leg.onward)

    def _nudge(self, leg: Leg) -> None:
        if leg.waits is None and not leg.has_answer and not leg.is_over:
            self._wakes(leg, patience(leg.method).answer)

    def _wakes(self, leg: Leg, answer: Answer) -> bool:
        assert leg.destination is not None

        def give_up() -> None:
            if leg.waits is not None:
                self.give_up(leg, answer)

        def refused() -> None:
            self._timers.call_at(self._clock.monotonic(), give_up)

        return not leg.is_cancelled and self._wake(leg.destination.account, leg.onward, refused)

    def _ack(self, ack: Message, token: RouteToken) -> bool:
        phone = self._whereabouts.phone(token, ack.uri)
        if phone is not None:
            self._transactions.send_ack(ack, phone.flow)
        return phone is not None

    def _bye(self, bye: Message, token: RouteToken) -> bool:
        phone = self._whereabouts.phone(token, bye.uri)
        if phone is not None:
            self._transactions.request(bye, phone.flow, _ignore, _ignore)
        return phone is not None


def _ignore(_outcome: object) -> None:
    """The PBX has its answer already."""

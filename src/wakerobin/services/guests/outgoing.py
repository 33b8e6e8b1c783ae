"""What a guest begins: taken from the flow that its PBX's 2xx proved, and led to that PBX alone."""

from __future__ import annotations

from wakerobin import metrics
from wakerobin.core.guests import Guest, is_guest_number
from wakerobin.core.pacing import TokenBuckets
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.routing import forwarded, record_routes
from wakerobin.core.sip.targets import Target
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.values import Flow, PhoneFlow
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.services.guests.around import Around
from wakerobin.services.phones.answers import refuse
from wakerobin.services.relay.leg import Leg, loop_marked_branch
from wakerobin.services.relay.outgoing import (
    DIALOG_FORMING,
    REQUESTS_AT_ONCE,
    REQUESTS_PER_SECOND,
    claimed_aors,
)
from wakerobin.services.relay.patience import unanswered, unreachable


class Outgoing:
    """Requests of guests on their way to the PBX; its challenges pass through."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._rates: TokenBuckets[Flow] = TokenBuckets(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE)
        self._legs: dict[int, Leg] = {}

    def take(self, transaction: ServerTransactionHandle, onward: Message, mine: list[PhoneFlow]) -> bool:
        """Pass on what a guest begins. False: it is of a phone that has enrolled.

        `mine` are the phones of this flow. Raises SipSyntaxError where it may travel no further.
        """
        guests = [phone for phone in mine if is_guest_number(phone.account_id)]
        if not guests:
            return False
        sender = self._sender(transaction.request, guests)
        if sender is None:
            if len(guests) < len(mine):
                return False
            refuse(transaction, 403, "From is not an account that registered over this connection")
            return True
        wait = self._rates.take(transaction.flow, self._around.clock.monotonic())
        if wait:
            refuse(transaction, 503, "Too many requests", retry_after=int(wait) + 1)
            return True
        self._pass_on(transaction, onward, *sender)
        return True

    def cancel(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> bool:
        """Take back an INVITE that was passed on. False: it is none of these."""
        leg = self._legs.get(id(invite))
        if leg is None:
            return False
        leg.cancel(cancel)
        return True

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._rates.forget(flow)

    def leg_rings(self, leg: Leg) -> None:
        """A response beyond 100 came that is not final: timer C begins again (16.7 step 2)."""
        leg.start_timer_c(self._around.clock, self._around.timers)

    def leg_over(self, leg: Leg) -> None:
        """It has its final response."""
        self._legs.pop(id(leg.transaction), None)

    def _pass_on(
        self, transaction: ServerTransactionHandle, onward: Message, phone: PhoneFlow, guest: Guest
    ) -> None:
        sent = forwarded(onward)
        if sent.method == "INVITE":
            transaction.respond(respond(transaction.request, 100))
        leg = Leg(self._around.transactions, transaction, sent, None, self)
        self._legs[id(transaction)] = leg

        def send(targets: list[Target]) -> None:
            if leg.is_over:
                return
            if not targets:
                leg.end(unreachable(is_in_dialog=False))
                return
            flow = self._around.flow_to(targets[0])
            if sent.method in DIALOG_FORMING:
                pbx_side, phone_side = self._around.routes.pair(phone, self._around.our_address(flow))
                record_routes(sent, first=phone_side, second=pbx_side)
            leg.send(flow, loop_marked_branch(self._around.entropy, transaction.request), _failed)
            leg.start_timer_c(self._around.clock, self._around.timers)

        metrics.RELAYED.labels("outgoing").inc()
        # Whatever domain the Request-URI names: strangers' names are not for us to look up.
        self._around.with_targets(SipUri.parse(guest.registrar), guest.aor, send)

    def _sender(self, request: Message, guests: list[PhoneFlow]) -> tuple[PhoneFlow, Guest] | None:
        claimed = claimed_aors(request)
        for phone in guests:
            guest = self._around.guest(phone.account_id)
            if guest is not None and guest.aor in claimed:
                return phone, guest
        return None


def _failed(leg: Leg, reason: str) -> None:
    if reason == "timeout":
        leg.end(unanswered(leg.method, is_in_dialog=False, is_to_phone=False))
    else:
        leg.end(unreachable(is_in_dialog=False))

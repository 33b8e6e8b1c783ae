"""The relay: knows for each request within a dialog, and each that a phone begins, where it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.ids import Entropy
from wakerobin.core.sip.forking import breadth_of
from wakerobin.core.sip.header import reason_value
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.routing import forwarded, next_hop, put_routes, record_routes, take_own_routes
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import RouteToken, Side
from wakerobin.core.values import Account, Flow, PhoneFlow
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.sip import ServerTransactionHandle, TransactionLayer
from wakerobin.ports.store import Store
from wakerobin.services.fleet.values import Upstream
from wakerobin.services.phones import Phones
from wakerobin.services.phones.answers import answer, refuse
from wakerobin.services.phones.proof import Doorkeeper
from wakerobin.services.phones.routes import Address, RecordRoutes, seen_address
from wakerobin.services.relay.acks import LateAcks
from wakerobin.services.relay.leg import Leg, loop_marked_branch
from wakerobin.services.relay.live import Fan
from wakerobin.services.relay.outgoing import (
    DIALOG_FORMING,
    Rates,
    claimed_aors,
    for_pbx,
    without_credentials,
)
from wakerobin.services.relay.patience import patience, unanswered, unreachable
from wakerobin.services.relay.ways import Ways

_TOO_LONG = reason_value(408, "Nobody answered")

_log = log.get("relay")
_FAULTS = metrics.FAULTS.labels("relay")

TIMER_C_S = 185.0
"""How long an INVITE may go without a sign of life before it is cancelled (RFC 3261 16.6 step 11, 16.8)."""

MAX_BREADTH = 60
"""RFC 5393 5.3.3: what is assumed of a request that does not say."""


class Relay:
    """Stateful per transaction only: what it knows of a dialog comes back in the Route of each request.

    `upstream` gives an account's way to its PBX. `run` lets names be looked up.
    """

    def __init__(  # noqa: PLR0913 - the ports of a service; all of them named
        self,
        *,
        transactions: TransactionLayer,
        ways: Ways,
        phones: Phones,
        doorkeeper: Doorkeeper,
        routes: RecordRoutes,
        upstream: Callable[[int], Upstream | None],
        store: Store,
        clock: Clock,
        timers: Timers,
        entropy: Entropy,
    ) -> None:
        self._transactions = transactions
        self._ways = ways
        self._phones = phones
        self._doorkeeper = doorkeeper
        self._routes = routes
        self._upstream = upstream
        self._store = store
        self._clock = clock
        self._timers = timers
        self._entropy = entropy
        self._rates = Rates()
        self._legs: dict[int, Leg] = {}
        self._to_phones: dict[int, set[Leg]] = {}
        self._late_acks = LateAcks(clock, timers)
        self._lookups: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the tasks that wait for a name to be resolved."""
        async with asyncio.TaskGroup() as group:
            self._lookups = group
            try:
                await asyncio.Event().wait()
            finally:
                self._lookups = None

    # Within a dialog

    def in_dialog(self, transaction: ServerTransactionHandle, onward: Message, taken: list[SipUri]) -> bool:
        """Pass on a request by its Routes of ours, `taken` from `onward`. False: they have no token.

        Raises SipSyntaxError where it may travel no further.
        """
        token = self._token(taken)
        if token is None:
            return False
        onward = self._onward(onward)
        self._trying(transaction)
        if token.side is Side.PBX:
            next_hop(onward)  # only the fix for strict routers: it goes to the phone's own flow
            leg = self._open(transaction, onward, token)
            self._deliver(leg, token, self._routes.former_way(taken, token.account))
        else:
            self._forget_our_nonces(onward, token.account)
            leg = self._open(transaction, onward, None)
            self._to_pbx(leg, next_hop(onward), token.account, seen_address(taken))
        metrics.RELAYED.labels("in-dialog").inc()
        return True

    def ack(self, ack: Message, _flow: Flow) -> None:
        """Pass on the ACK to a 2xx; one that leads nowhere is dropped."""
        try:
            onward = ack.copy()
            taken = take_own_routes(onward, self._routes.is_ours)
            token = self._token(taken)
            if token is None:
                return
            onward = forwarded(onward)
            hop = next_hop(onward)
        except SipSyntaxError:
            return
        if token.side is Side.PHONE:
            self._forget_our_nonces(onward, token.account)
            self._ack_to_pbx(onward, hop, token.account, seen_address(taken))
        elif not self._ack_to_phone(onward, token):
            self._late_acks.wait(onward, token)
            flow = self._ways.back(self._routes.former_way(taken, token.account))
            if flow is not None:
                self._transactions.send_ack(onward, flow)

    def cancel(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> bool:
        """Take back an INVITE that was passed on. False: it is none of ours, or has its final response."""
        leg = self._legs.get(id(invite))
        if leg is None:
            return False
        cancel.respond(answer(cancel.request, 200))
        reason = cancel.request.get("reason")
        leg.cancel((("Reason", reason),) if reason else ())
        return True

    def phone_arrived(self, account_id: int, _phone: PhoneFlow) -> None:
        """A phone registered: what waits for it, or hangs on its older flow, goes to it now."""
        for leg in list(self._to_phones.get(account_id, ())):
            assert leg.destination is not None
            phone = self._phone(leg.destination, leg.onward.uri)
            is_new_way = phone is not None and (leg.waits is not None or phone.flow != leg.flow)
            if phone is not None and is_new_way and not leg.has_answer:
                self._send(leg, phone.flow)
        self._late_acks.arrived(account_id, self._ack_to_phone)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._rates.forget(flow)

    # What phones begin

    def outgoing(self, transaction: ServerTransactionHandle, onward: Message, mine: list[PhoneFlow]) -> None:
        """Pass on what a phone begins, if it is its own account's, by that account's own path to its PBX.

        `mine` are the phones that authenticated this flow. Raises SipSyntaxError where it may travel no
        further.
        """
        sender = self._sender(transaction.request, mine)
        if sender is None:
            refuse(transaction, 403, "From is not an account that registered over this connection")
            return
        wait = self._rates.take(transaction.flow, self._clock.monotonic())
        if wait:
            refuse(transaction, 503, "Too many requests", retry_after=int(wait) + 1)
            return
        phone, account = sender
        upstream = self._upstream(account.id)
        if upstream is None:
            refuse(transaction, 480, "The account is not registered at its PBX now", retry_after=5)
            return
        pbx_side = Address(*upstream.our_address, upstream.flow.transport)
        sent = self._breadth(for_pbx(onward, upstream, self._routes.pair(phone, pbx_side)))
        without_credentials(sent, lambda value: self._doorkeeper.issued(value, account.aor))
        self._trying(transaction)
        self._send(self._open(transaction, sent, None), upstream.flow)
        metrics.RELAYED.labels("outgoing").inc()

    # What the PBX sends to our Contact and nobody is woken for

    def to_live_phones(self, transaction: ServerTransactionHandle, onward: Message, account: Account) -> None:
        """Pass a request on to every phone that is connected now; the first final answer counts.

        Raises SipSyntaxError where it may travel no further.
        """
        onward = self._onward(onward)
        phones = self._phones.flows(account.id)
        breadth = breadth_of(transaction.request, MAX_BREADTH)
        copies = []
        for phone in phones[:breadth]:
            copy = onward.copy()
            copy.uri = phone.contact_uri
            copy.set("Max-Breadth", str(max(1, breadth // len(phones))))
            if copy.method in DIALOG_FORMING:
                pbx_side, phone_side = self._routes.pair(
                    phone, self._towards(account.id, transaction.flow), transaction.flow
                )
                record_routes(copy, first=pbx_side, second=phone_side)
            put_routes(copy, phone.path)
            copies.append((copy, phone.flow, loop_marked_branch(self._entropy, transaction.request)))
        Fan(self._transactions, transaction).send(copies)
        metrics.RELAYED.labels("to-live-phones").inc()

    # Its own

    def _open(
        self, transaction: ServerTransactionHandle, onward: Message, destination: RouteToken | None
    ) -> Leg:
        leg = Leg(self._transactions, transaction, onward, destination, self)
        self._legs[id(transaction)] = leg
        if destination is not None:
            self._to_phones.setdefault(destination.account, set()).add(leg)
        return leg

    def leg_rings(self, leg: Leg) -> None:
        """A response beyond 100 came that is not final: timer C begins again (16.7 step 2)."""
        self._start_timer_c(leg)

    def leg_over(self, leg: Leg) -> None:
        """It has its final response."""
        self._legs.pop(id(leg.transaction), None)
        if leg.destination is not None:
            legs = self._to_phones[leg.destination.account]
            legs.discard(leg)
            if not legs:
                del self._to_phones[leg.destination.account]

    def _send(self, leg: Leg, flow: Flow) -> None:
        leg.send(flow, loop_marked_branch(self._entropy, leg.transaction.request), self._failed)
        self._start_timer_c(leg)

    def _start_timer_c(self, leg: Leg) -> None:
        if leg.method != "INVITE" or leg.is_over:
            return
        if leg.timer_c is not None:
            leg.timer_c.cancel()
        when = self._clock.monotonic() + TIMER_C_S
        leg.timer_c = self._timers.call_at(when, lambda: leg.give_up((("Reason", _TOO_LONG),)))

    def _failed(self, leg: Leg, reason: str) -> None:
        was_sent = reason == "timeout"
        if not was_sent and leg.destination is not None and not leg.has_answer:
            self._wait(leg)  # its connection broke; the phone may come back by itself
        elif was_sent or leg.destination is not None:
            leg.end(unanswered(leg.method, is_in_dialog=leg.is_in_dialog))
        else:
            leg.end(unreachable(is_in_dialog=leg.is_in_dialog))

    def _deliver(self, leg: Leg, destination: RouteToken, former: tuple[str, int] | None) -> None:
        phone = self._phone(destination, leg.onward.uri)
        flow = phone.flow if phone is not None else self._ways.back(former)
        if flow is not None:
            self._send(leg, flow)
        else:
            self._wait(leg)

    def _wait(self, leg: Leg) -> None:
        """Let a request wait for its phone: no push is ever sent for one (design, calls, 6)."""
        allowed = patience(leg.method)
        if leg.is_cancelled or not allowed.seconds:
            leg.end(allowed.answer)
            return
        when = self._clock.monotonic() + allowed.seconds
        leg.waits = self._timers.call_at(when, lambda: leg.end(allowed.answer))

    def _phone(self, token: RouteToken, uri: str) -> PhoneFlow | None:
        """Return the phone of a dialog on its current flow.

        After a new enrolment it is known by its instance, and any phone by the Contact of the dialog.
        """
        phones = self._phones.flows(token.account)
        wanted = RouteToken(Side.PHONE, token.account, installation=token.installation, flow=token.flow)
        for phone in phones:
            if self._routes.token(phone) == wanted:
                return phone
        number = token.installation
        former = None if number is None else self._store.read(lambda tx: tx.registrations.get(number))
        for phone in phones:
            if phone.contact_uri == uri or (former is not None and phone.instance == former.sip_instance):
                return phone
        return None

    def _to_pbx(self, leg: Leg, hop: SipUri, account_id: int, seen: tuple[str, int] | None) -> None:
        upstream = self._upstream(account_id)
        flow = self._ways.at_once(hop, upstream, seen)
        if flow is not None:
            self._send(leg, flow)
        else:
            self._look_up(self._to_name(leg, hop, upstream, seen))

    async def _to_name(
        self, leg: Leg, hop: SipUri, upstream: Upstream | None, seen: tuple[str, int] | None
    ) -> None:
        flow = await self._ways.resolved(hop, upstream, seen)
        if leg.is_over:
            return
        if flow is not None:
            self._send(leg, flow)
        else:
            leg.end(unreachable(is_in_dialog=leg.is_in_dialog))

    def _ack_to_pbx(self, ack: Message, hop: SipUri, account_id: int, seen: tuple[str, int] | None) -> None:
        upstream = self._upstream(account_id)
        flow = self._ways.at_once(hop, upstream, seen)
        if flow is not None:
            self._transactions.send_ack(ack, flow)
            return

        async def to_name() -> None:
            found = await self._ways.resolved(hop, upstream, seen)
            if found is not None:
                self._transactions.send_ack(ack, found)

        self._look_up(to_name())

    def _ack_to_phone(self, ack: Message, token: RouteToken) -> bool:
        phone = self._phone(token, ack.uri)
        if phone is not None:
            self._transactions.send_ack(ack, phone.flow)
        return phone is not None

    def _look_up(self, work: Coroutine[None, None, None]) -> None:
        if self._lookups is None:
            work.close()
            raise RuntimeError("the relay does not run")
        self._lookups.create_task(_guarded(work))

    def _sender(self, request: Message, mine: list[PhoneFlow]) -> tuple[PhoneFlow, Account] | None:
        claimed = claimed_aors(request)
        for phone in mine:
            account = self._account(phone.account_id)
            if account is not None and account.aor in claimed:
                return phone, account
        return None

    def _account(self, account_id: int) -> Account | None:
        return self._store.read(lambda tx: tx.accounts.get(account_id))

    def _towards(self, account_id: int, flow: Flow) -> Address:
        """Return our address as the PBX of this account reaches it."""
        upstream = self._upstream(account_id)
        host, port = upstream.our_address if upstream is not None else flow.local
        return Address(host, port, flow.transport if upstream is None else upstream.flow.transport)

    def _token(self, taken: list[SipUri]) -> RouteToken | None:
        """Return the token of the first of our Routes: that one tells the side it came from."""
        return next((token for token in map(self._routes.read, taken) if token is not None), None)

    def _forget_our_nonces(self, onward: Message, account_id: int) -> None:
        if not (onward.has("authorization") or onward.has("proxy-authorization")):
            return
        account = self._account(account_id)
        if account is not None:
            without_credentials(onward, lambda value: self._doorkeeper.issued(value, account.aor))

    def _onward(self, onward: Message) -> Message:
        return self._breadth(forwarded(onward))

    def _breadth(self, onward: Message) -> Message:
        """RFC 5393 5.3.3: every request that is passed on says how far it may spread."""
        breadth = breadth_of(onward, MAX_BREADTH)
        if breadth < 1:
            raise SipSyntaxError("Max-Breadth Exceeded", 440)
        onward.set("Max-Breadth", str(breadth))
        return onward

    def _trying(self, transaction: ServerTransactionHandle) -> None:
        if transaction.request.method == "INVITE":
            transaction.respond(respond(transaction.request, 100))


async def _guarded(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception:
        _FAULTS.inc()
        _log.error("lookup_failed", exc_info=True)

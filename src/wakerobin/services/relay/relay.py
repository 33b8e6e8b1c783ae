"""The relay: knows for each request within a dialog, and each that a phone begins, where it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.ids import Entropy
from wakerobin.core.pacing import TokenBuckets
from wakerobin.core.sip.forking import breadth_of
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.routing import forwarded, next_hop, record_again, take_own_routes
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import RouteToken, Side
from wakerobin.core.values import Account, Flow, PhoneFlow
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.sip import ServerTransactionHandle, TransactionLayer
from wakerobin.ports.store import Store
from wakerobin.services.fleet.values import Upstream
from wakerobin.services.phones import Phones
from wakerobin.services.phones.answers import refuse
from wakerobin.services.phones.proof import Doorkeeper
from wakerobin.services.phones.routes import Address, RecordRoutes, seen_address
from wakerobin.services.relay.deliveries import Deliveries
from wakerobin.services.relay.leg import Leg, loop_marked_branch
from wakerobin.services.relay.live import LivePhones
from wakerobin.services.relay.outgoing import (
    REQUESTS_AT_ONCE,
    REQUESTS_PER_SECOND,
    claimed_aors,
    for_pbx,
    without_credentials,
)
from wakerobin.services.relay.patience import unanswered, unreachable
from wakerobin.services.relay.referrals import Referrals, Waker
from wakerobin.services.relay.ways import Ways
from wakerobin.services.relay.whereabouts import Whereabouts

_log = log.get("relay")
_FAULTS = metrics.FAULTS.labels("relay")

MAX_BREADTH = 60
"""RFC 5393 5.3.3: what is assumed of a request that does not say."""


class PbxSide(Protocol):
    """The part of the fleet that the relay needs."""

    def upstream(self, account_id: int) -> Upstream | None:
        """Return the way to an account's PBX; None where there is none."""
        ...

    def is_known(self, account: Account, flow: Flow) -> bool:
        """Whether a flow leads to an address of the account's PBX."""
        ...


@dataclass(frozen=True, slots=True)
class _Aim:
    """Where a request of a phone wants to go, in a dialog of which the PBX was `seen` at that address."""

    hop: SipUri
    account_id: int
    seen: tuple[str, int] | None
    is_proven: bool
    """Whether it came over a flow that this account's password has opened."""


class Relay:
    """Stateful per transaction only: what it knows of a dialog comes back in the Route of each request.

    `run` must run. `on_left` is told of each BYE whose phone was not there. `wake_in_dialog` pushes the phone
    of an account for a request, if that phone has asked for it; it is told where no push was taken.
    """

    def __init__(  # noqa: PLR0913 - the ports of a service; all of them named
        self,
        *,
        transactions: TransactionLayer,
        ways: Ways,
        phones: Phones,
        doorkeeper: Doorkeeper,
        routes: RecordRoutes,
        pbxs: PbxSide,
        store: Store,
        clock: Clock,
        timers: Timers,
        entropy: Entropy,
        on_left: Callable[[RouteToken, Message], Coroutine[None, None, None]],
        waker: Waker,
        wake_in_dialog: Callable[[int, Message, Callable[[], None]], bool],
    ) -> None:
        self._transactions = transactions
        self._ways = ways
        self._phones = phones
        self._doorkeeper = doorkeeper
        self._routes = routes
        self._pbxs = pbxs
        self._store = store
        self._clock = clock
        self._timers = timers
        self._entropy = entropy
        self._rates: TokenBuckets[Flow] = TokenBuckets(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE)
        self._legs: dict[int, Leg] = {}
        self._on_left = on_left
        whereabouts = Whereabouts(phones, routes, store)
        self._deliveries = Deliveries(transactions, whereabouts, clock, timers, self, wake_in_dialog)
        self._live = LivePhones(transactions, routes, entropy)
        self._referrals = Referrals(clock, timers, waker)
        self._errands: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the tasks that wait for a name to be resolved, or for the store."""
        async with asyncio.TaskGroup() as group:
            self._errands = group
            try:
                await asyncio.Event().wait()
            finally:
                self._errands = None

    # Within a dialog

    def in_dialog(self, transaction: ServerTransactionHandle, onward: Message, taken: list[SipUri]) -> bool:
        """Pass on a request by its Routes of ours, `taken` from `onward`. False: they have no token.

        Raises SipSyntaxError where it may travel no further.
        """
        token = self._token(taken)
        if token is None:
            return False
        onward = self._onward(onward)
        if onward.method == "NOTIFY":
            record_again(onward, taken)
        if token.side is Side.PBX:
            self._trying(transaction)
            next_hop(onward)  # only the fix for strict routers: it goes to the phone's own flow
            leg = self._open(transaction, onward, token)
            self._deliveries.begin(leg, token, self._former(taken, token))
        elif onward.method != "BYE" and self._is_too_fast(transaction):
            return True
        else:
            self._trying(transaction)
            self._forget_our_nonces(onward, token.account)
            leg = self._open(transaction, onward, None)
            aim = self._aim(onward, token.account, taken, transaction.flow)
            self._to_pbx(aim, lambda flow: self._leave_for_pbx(leg, flow))
        metrics.RELAYED.labels("in-dialog").inc()
        return True

    def ack(self, ack: Message, flow: Flow) -> None:
        """Pass on the ACK to a 2xx; one that leads nowhere is dropped."""
        try:
            onward = ack.copy()
            taken = take_own_routes(onward, self._routes.is_ours)
            token = self._token(taken)
            if token is None:
                return
            onward = forwarded(onward)
            aim = self._aim(onward, token.account, taken, flow)
        except SipSyntaxError:
            return
        if token.side is Side.PHONE:
            self._forget_our_nonces(onward, token.account)
            self._to_pbx(aim, lambda way: self._send_ack(onward, way))
        else:
            self._deliveries.ack(onward, token, self._former(taken, token))

    def cancel(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> bool:
        """Take back an INVITE that was passed on. False: it is none of ours, or has its final response."""
        leg = self._legs.get(id(invite))
        if leg is None:
            return False
        leg.cancel(cancel)
        return True

    def phone_arrived(self, account_id: int, arrived: PhoneFlow) -> None:
        """A phone registered: what waits for it, or hangs on its older flow, goes to it now."""
        self._deliveries.arrived(account_id)
        self._referrals.arrived(account_id, arrived)

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
        if self._is_too_fast(transaction):
            return
        phone, account = sender
        upstream = self._pbxs.upstream(account.id)
        if upstream is None:
            refuse(transaction, 480, "The account is not registered at its PBX now", retry_after=5)
            return
        pbx_side = Address(*upstream.our_address, upstream.flow.transport)
        sent = self._breadth(for_pbx(onward, upstream, self._routes.pair(phone, pbx_side)))
        without_credentials(sent, lambda value: self._doorkeeper.issued(value, account.aor))
        self._trying(transaction)
        self.send(self._open(transaction, sent, None), upstream.flow)
        metrics.RELAYED.labels("outgoing").inc()

    # What the PBX sends to our Contact outside a dialog, calls and messages left out

    def to_live_phones(self, transaction: ServerTransactionHandle, onward: Message, account: Account) -> None:
        """Pass a request on to every phone that is connected now; the first final answer counts.

        A REFER waits for a phone that is woken, where its app wants that.
        Raises SipSyntaxError where it may travel no further.
        """
        onward = self._onward(onward)
        breadth = breadth_of(transaction.request, MAX_BREADTH)

        def send(phones: list[PhoneFlow]) -> None:
            pbx_side = self._towards(account.id, transaction.flow)
            self._live.pass_on(transaction, onward, phones, pbx_side, breadth)

        phones = self._phones.flows(account.id)
        if phones or not self._referrals.wait(transaction, account, send):
            send(phones)
        metrics.RELAYED.labels("to-live-phones").inc()

    # Its own

    def _open(
        self, transaction: ServerTransactionHandle, onward: Message, destination: RouteToken | None
    ) -> Leg:
        leg = Leg(self._transactions, transaction, onward, destination, self)
        self._legs[id(transaction)] = leg
        return leg

    def leg_rings(self, leg: Leg) -> None:
        """A response beyond 100 came that is not final: timer C begins again (16.7 step 2)."""
        leg.start_timer_c(self._clock, self._timers)

    def leg_over(self, leg: Leg) -> None:
        """It has its final response."""
        self._legs.pop(id(leg.transaction), None)
        self._deliveries.over(leg)

    def left(self, phone: RouteToken, bye: Message) -> None:
        """A BYE is left for this phone: its app is told."""
        self._begin(self._on_left(phone, bye))

    def send(self, leg: Leg, flow: Flow) -> None:
        """Send a request over a flow; a former one is given up."""
        leg.send(flow, loop_marked_branch(self._entropy, leg.transaction.request), self._failed)
        leg.start_timer_c(self._clock, self._timers)

    def _failed(self, leg: Leg, reason: str) -> None:
        was_sent = reason == "timeout"
        is_to_phone = leg.destination is not None
        if not was_sent and is_to_phone and not leg.has_answer:
            self._deliveries.wait(leg)  # its connection broke; the phone may come back by itself
        elif was_sent or is_to_phone:
            said = unanswered(leg.method, is_in_dialog=leg.is_in_dialog, is_to_phone=is_to_phone)
            self._deliveries.give_up(leg, said)
        else:
            leg.end(unreachable(is_in_dialog=leg.is_in_dialog))

    def _former(self, taken: list[SipUri], token: RouteToken) -> Flow | None:
        return self._ways.back(self._routes.former_way(taken, token.account))

    def _aim(self, onward: Message, account_id: int, taken: list[SipUri], flow: Flow) -> _Aim:
        """Raises SipSyntaxError where nobody can read the way."""
        is_proven = any(phone.account_id == account_id for phone in self._phones.of_flow(flow))
        return _Aim(next_hop(onward), account_id, seen_address(taken), is_proven)

    def _to_pbx(self, aim: _Aim, then: Callable[[Flow | None], None]) -> None:
        """Call `then` with the flow, or with None where there is no way; at once where no name is asked."""
        upstream = self._pbxs.upstream(aim.account_id)
        flow = self._ways.at_once(aim.hop, upstream, aim.seen)
        if flow is not None:
            then(self._allowed(aim, flow))
        else:
            self._begin(self._to_name(aim, upstream, then))

    async def _to_name(
        self, aim: _Aim, upstream: Upstream | None, then: Callable[[Flow | None], None]
    ) -> None:
        then(self._allowed(aim, await self._ways.resolved(aim.hop, upstream, aim.seen)))

    def _allowed(self, aim: _Aim, flow: Flow | None) -> Flow | None:
        """Whoever has seen a token can send by it: without a password he reaches the account's PBX only."""
        if flow is None or aim.is_proven:
            return flow
        account, guest = self._store.read(
            lambda tx: (tx.accounts.get(aim.account_id), tx.guests.get(aim.account_id))
        )
        if guest is not None:
            return flow if guest.pbx == flow.remote[0] else None
        return flow if account is not None and self._pbxs.is_known(account, flow) else None

    def _leave_for_pbx(self, leg: Leg, flow: Flow | None) -> None:
        if leg.is_over:
            return
        if flow is not None:
            self.send(leg, flow)
        else:
            leg.end(unreachable(is_in_dialog=leg.is_in_dialog))

    def _send_ack(self, ack: Message, flow: Flow | None) -> None:
        if flow is not None:
            self._transactions.send_ack(ack, flow)

    def _is_too_fast(self, transaction: ServerTransactionHandle) -> bool:
        wait = self._rates.take(transaction.flow, self._clock.monotonic())
        if wait:
            refuse(transaction, 503, "Too many requests", retry_after=int(wait) + 1)
        return wait > 0

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        if self._errands is None:
            work.close()
            raise RuntimeError("the relay does not run")
        self._errands.create_task(_guarded(work))

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
        upstream = self._pbxs.upstream(account_id)
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
        _log.error("errand_failed", exc_info=True)

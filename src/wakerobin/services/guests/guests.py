"""The door of the room: what the front door hands to it, and what becomes of a guest's flow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from wakerobin import log, metrics
from wakerobin.core.addresses import networks_in, parse_address
from wakerobin.core.call import CallPolicy
from wakerobin.core.guests import Guest, is_guest_number, push_wish
from wakerobin.core.ids import Entropy, hex_token
from wakerobin.core.pacing import TokenBuckets
from wakerobin.core.sip.forking import breadth_of
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.uri import SipUri
from wakerobin.core.tokens import Side, TokenKeys, is_purr
from wakerobin.core.values import Flow, PhoneFlow, Purpose
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import Gatekeeper, Resolver, ServerTransactionHandle, SipEndpoint, TransactionLayer
from wakerobin.ports.store import Store
from wakerobin.services.guests.around import Around, Pusher, Sponsor, Sponsors
from wakerobin.services.guests.call import GuestCall
from wakerobin.services.guests.outgoing import Outgoing
from wakerobin.services.guests.refreshing import Refreshing
from wakerobin.services.guests.registering import PATH_FLOW, Registering
from wakerobin.services.guests.request import GuestRequest
from wakerobin.services.guests.waking import Settled, Waking
from wakerobin.services.phones import Phones
from wakerobin.services.phones.answers import refuse
from wakerobin.services.phones.routes import RecordRoutes

REQUESTS_PER_SECOND = 10.0
REQUESTS_AT_ONCE = 60.0

_log = log.get("guests")
_FAULTS = metrics.FAULTS.labels("guests")


class Guests:
    """Phones that nobody enrolled. `run` owns its tasks; everything else is called on the event loop."""

    def __init__(  # noqa: PLR0913 - the ports of a service; all of them named
        self,
        *,
        store: Store,
        clock: Clock,
        timers: Timers,
        transactions: TransactionLayer,
        endpoint: SipEndpoint,
        resolver: Resolver,
        routes: RecordRoutes,
        phones: Phones,
        pusher: Pusher,
        keys: TokenKeys,
        secret: bytes,
        entropy: Entropy,
        options: SipOptions,
        policy: Callable[[str], CallPolicy],
        sponsors: Iterable[Sponsor],
        gate: Gatekeeper | None = None,
    ) -> None:
        """`sponsors` are the apps that serve such phones; without any, none is served.

        `secret` is what lasts: names and ids are derived from it. `keys` are renewed.
        """
        self._around = around = Around(
            store=store,
            clock=clock,
            timers=timers,
            transactions=transactions,
            endpoint=endpoint,
            resolver=resolver,
            routes=routes,
            phones=phones,
            pusher=pusher,
            keys=keys,
            secret=secret,
            entropy=entropy,
            options=options,
            policy=policy,
            gate=gate,
            start=self._start,
        )
        self._waking = Waking(around)
        self._registering = Registering(around, Sponsors(sponsors))
        self._outgoing = Outgoing(around)
        self._refreshing = Refreshing(around, self._waking)
        self._limits: TokenBuckets[int] = TokenBuckets(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE)
        self._sources = networks_in(options.call_sources)
        self._calls: dict[int, GuestCall] = {}
        """By their INVITE's transaction."""
        self._latest: dict[tuple[int, str, str], GuestCall] = {}
        """By guest, Call-ID and From tag."""
        self._early: dict[tuple[str, str], GuestCall] = {}
        """By Call-ID and our own To tag."""
        self._waiting: dict[int, dict[GuestCall | GuestRequest, None]] = {}
        """By the guest's number."""
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the tasks of the room, and wake guests before their bindings end."""
        async with asyncio.TaskGroup() as group:
            self._tasks = group
            try:
                await self._refreshing.run()
            finally:
                self._tasks = None

    @property
    def waiting(self) -> int:
        """How many requests to guests are under way."""
        return sum(map(len, self._waiting.values()))

    # From the front door

    def register(self, transaction: ServerTransactionHandle, onward: Message) -> bool:
        """Take a REGISTER to its PBX. False: it is no guest's, and the phones' own registrar's."""
        return self._registering.take(transaction, onward)

    def meant(self, request: Message, taken: list[SipUri], flow: Flow) -> int:
        """Return whom a request outside a dialog is for; 0: nobody.

        Our Path among its Routes says it, `taken` from it. A PBX that keeps none, or rewrites Contacts and
        forgets it, shows the push resource in the Request-URI (RFC 8599 5.6.2), and comes from the PBX.
        """
        for uri in taken:
            token = self._around.routes.read(uri)
            if token is not None:
                is_path = token.side is Side.PBX and token.flow == PATH_FLOW
                return token.account if is_path and is_guest_number(token.account) else 0
        return self._by_resource(request.uri, flow) if "pn-prid" in request.uri.lower() else 0

    def _by_resource(self, text: str, flow: Flow) -> int:
        """Return the guest of this PBX that is meant; a phone may have several accounts and one resource."""
        uri = SipUri.parse(text)
        wish = push_wish(uri)
        if wish is None or not wish.is_request:
            return 0
        found = self._around.store.read(lambda tx: tx.guests.of_resource(wish.resource))
        here = [
            one
            for one in found
            if one.pbx == flow.remote[0] and SipUri.parse(one.contact_uri).user == uri.user
        ]
        return max(here, key=lambda one: one.registered_at).number if here else 0

    def incoming(self, transaction: ServerTransactionHandle, onward: Message, number: int) -> None:
        """Take a request of the PBX to a guest: send it, or wake the phone and hold it.

        Raises SipSyntaxError where it may travel no further.
        """
        guest = self._around.guest(number)
        if guest is None:
            refuse(transaction, 480, "This phone is not registered here any more")
            return
        if not self._may_come_from(guest, transaction.flow):
            refuse(transaction, 403, "This address may not ring this phone")
            return
        if self._around.gate is not None and transaction.flow.remote[0] == guest.pbx:
            self._around.gate.pbx(transaction.flow)  # the phone has our Path, too: it alone proves nothing
        if wait := self._limits.take(number, self._around.clock.monotonic()):
            refuse(transaction, 503, "Too many requests at once", retry_after=int(wait) + 1)
        elif onward.method == "INVITE":
            self._call(transaction, onward, guest)
        else:
            held = GuestRequest(
                self._around,
                self._waking,
                transaction=transaction,
                onward=onward,
                guest=guest,
                on_over=self._over,
            )
            self._hold(held)
            held.start()

    def outgoing(self, transaction: ServerTransactionHandle, onward: Message, mine: list[PhoneFlow]) -> bool:
        """Pass on what a guest begins. False: it is of a phone that has enrolled."""
        return self._outgoing.take(transaction, onward, mine)

    def wake_in_dialog(self, number: int, request: Message, on_refused: Callable[[], None]) -> bool:
        """Push a guest for a request within a dialog in which it showed our reference (RFC 8599 6.2).

        False: it has not, or there is nobody to push. `on_refused`: no push service took it after all.
        """
        if not is_guest_number(number) or "pn-purr" not in request.uri.lower():
            return False
        reference = SipUri.parse(request.uri).param("pn-purr") or ""
        guest = self._around.guest(number) if is_purr(reference, self._around.keys, number) else None
        if guest is None or not guest.for_purpose(Purpose.NOTICE):
            return False

        def settled(settled: Settled) -> None:
            if not settled.is_accepted:
                on_refused()

        name = f"{request.method} {request.call_id} {request.cseq.number}"
        self._waking.in_silence(guest, name, settled)
        return True

    def cancel(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> bool:
        """Take a CANCEL. False: its INVITE is none of a guest's."""
        call = self._calls.get(id(invite))
        if call is None:
            return self._outgoing.cancel(cancel, invite)
        call.cancel(cancel)
        return True

    def early_request(self, transaction: ServerTransactionHandle) -> bool:
        """Answer a request into the early dialog of our own 180. False: it is none."""
        request = transaction.request
        call = self._early.get((request.call_id, request.to_tag or "")) if self._early else None
        if call is not None:
            call.early_request(transaction)
        return call is not None

    # From the other services

    def phone_arrived(self, account_id: int, phone: PhoneFlow) -> None:
        """A phone registered: a guest gets what is held for it."""
        if not is_guest_number(account_id):
            return
        self._waking.arrived(account_id)
        for held in list(self._waiting.get(account_id, ())):
            held.phone_arrived(phone)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._outgoing.flow_closed(flow)
        self._registering.prune()

    # Its own

    def _call(self, transaction: ServerTransactionHandle, onward: Message, guest: Guest) -> None:
        request, tag = transaction.request, hex_token(self._around.entropy, 8)
        if breadth_of(request, self._around.policy(guest.app).max_breadth) < 1:
            transaction.respond(respond(request, 440, to_tag=tag))  # RFC 5393 5.3.3.1
            return
        key = (guest.number, request.call_id, request.from_tag or "")
        known = self._latest.get(key)
        if known is not None and known.is_ringing:
            # A PBX that holds two Contacts of one phone forks to both (RFC 3261 8.2.2.2).
            transaction.respond(respond(request, 482, "Merged Request", to_tag=tag))
            return
        transaction.respond(respond(request, 100))
        call = GuestCall(
            self._around,
            self._waking,
            transaction=transaction,
            onward=onward,
            guest=guest,
            to_tag=tag,
            on_over=self._call_over,
        )
        self._calls[id(transaction)] = self._early[request.call_id, tag] = self._latest[key] = call
        self._hold(call)
        call.start()

    def _hold(self, held: GuestCall | GuestRequest) -> None:
        self._waiting.setdefault(held.number, {})[held] = None

    def _call_over(self, call: GuestCall) -> None:
        request = call.transaction.request
        key = (call.number, request.call_id, request.from_tag or "")
        if self._latest.get(key) is call:  # a PBX may try again under the Call-ID of a call that is over
            del self._latest[key]
        self._calls.pop(id(call.transaction), None)
        self._early.pop((call.transaction.request.call_id, call.to_tag), None)
        self._over(call)

    def _over(self, held: GuestCall | GuestRequest) -> None:
        waiting = self._waiting.get(held.number, {})
        waiting.pop(held, None)
        if not waiting:
            self._waiting.pop(held.number, None)

    def _may_come_from(self, guest: Guest, flow: Flow) -> bool:
        """Whether the sender may ring it: who knows our Path has it from the PBX; operators may be strict."""
        if self._around.options.call_sources_policy != "strict" or flow.remote[0] == guest.pbx:
            return True
        address = parse_address(flow.remote[0])
        return address is not None and any(address in network for network in self._sources)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._tasks is None:
            work.close()
            _log.warning("guests_do_not_run")
            return
        self._tasks.create_task(_guarded(work))


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        _FAULTS.inc()
        _log.error("guest_task_failed", exc_info=True)

"""The registrar for phones: takes their REGISTERs, knows their flows, and tells lives when one was used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError, StoreUnavailableError
from wakerobin.core.location import Granted, Location, grant
from wakerobin.core.sip import uri as sip_uri
from wakerobin.core.sip.header import NameAddr, delta_seconds
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.values import Account, Credentials, Flow, PhoneFlow, PushRegistration
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.ports.store import Store, Transaction
from wakerobin.services.lives import Lives
from wakerobin.services.phones.proof import Doorkeeper, Verdict

_log = log.get("phones")

SWEEP_S = 5.0
RETRY_USE_S = 2.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """One Contact of a REGISTER and what may be granted to it."""

    contact: NameAddr
    granted: Granted


class Phones:
    """All flows of all phones. `run` keeps its clock; everything else is called on the event loop."""

    def __init__(  # noqa: PLR0913 - the ports of a service; all of them named
        self,
        *,
        store: Store,
        clock: Clock,
        timers: Timers,
        lives: Lives,
        doorkeeper: Doorkeeper,
        options: SipOptions,
        on_flow: Callable[[int, PhoneFlow], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._timers = timers
        self._lives = lives
        self._doorkeeper = doorkeeper
        self._options = options
        self._on_flow = on_flow
        self._locations: dict[int, Location] = {}
        self._accounts_on: dict[Flow, set[int]] = {}
        self._uses: asyncio.Queue[int] = asyncio.Queue()

    # What others ask

    def flows(self, account_id: int) -> list[PhoneFlow]:
        """Return the live flows of an account's phones, the most recently heard first."""
        location = self._locations.get(account_id)
        return location.phones(self._clock.monotonic()) if location is not None else []

    def current(self, account_id: int, registration_id: int) -> PhoneFlow | None:
        """Return the flow that an installation has now."""
        return next((p for p in self.flows(account_id) if p.registration_id == registration_id), None)

    def of_flow(self, flow: Flow) -> list[PhoneFlow]:
        """Return the phones that authenticated this flow: several, if an app has several accounts."""
        accounts = self._accounts_on.get(flow, set())
        return [p for account_id in accounts for p in self.flows(account_id) if p.flow == flow]

    def heard(self, flow: Flow) -> None:
        """Something came over a flow."""
        for account_id in self._accounts_on.get(flow, ()):
            self._locations[account_id].heard(flow, self._clock.monotonic())

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone; the push registrations are not touched."""
        for account_id in self._accounts_on.pop(flow, set()):
            self._locations[account_id].closed(flow)
        self._count()

    # REGISTER

    def register(self, transaction: ServerTransactionHandle) -> None:
        """Answer a phone's REGISTER: one challenge, then its flow is the way to its installation."""
        request = transaction.request
        try:
            aor = sip_uri.aor(request.to.uri)
            wishes = self._wishes(request)
        except SipSyntaxError as error:
            self._answer(transaction, respond(request, error.status, str(error)))
            return
        source, now_s = str(transaction.flow), self._clock.now() / 1000
        candidates = self._store.read(lambda tx: _candidates(tx, aor))
        proof = self._doorkeeper.judge(request, aor, candidates, now_s, source)
        if proof.verdict is Verdict.PROVEN and proof.account is not None:
            self._doorkeeper.succeeded(aor, transaction.flow.remote[0])
            self._proven(transaction, proof.account, wishes)
        elif proof.verdict is Verdict.WRONG:
            self._refuse(transaction, aor)
        else:
            known = proof.account or (candidates[0][0] if candidates else None)
            stale = proof.verdict is Verdict.STALE
            challenge = self._doorkeeper.challenge(aor, known, now_s, source, stale=stale)
            headers = [("WWW-Authenticate", challenge)]
            self._answer(transaction, respond(request, 401, to_tag="register", headers=headers))

    async def run(self) -> None:
        """Store uses as they come, and drop flows that were not refreshed in time."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._store_uses())
            group.create_task(self._sweep())

    def _proven(self, transaction: ServerTransactionHandle, account: Account, wishes: list[_Wish]) -> None:
        request = transaction.request
        refused = next((w.granted for w in wishes if w.granted.status == 423), None)
        if refused is not None:
            headers = [("Min-Expires", str(refused.seconds))]
            self._answer(transaction, respond(request, 423, to_tag="register", headers=headers))
            return
        arrived = []
        for wish in wishes:
            phone = self._take(transaction, account, wish)
            if phone is not None:
                arrived.append(phone)
        self._count()
        self._answer(transaction, self._accepted(request, account))
        for phone in arrived:
            if phone.registration_id:
                self._uses.put_nowait(phone.registration_id)
            self._on_flow(account.id, phone)

    def _take(self, transaction: ServerTransactionHandle, account: Account, wish: _Wish) -> PhoneFlow | None:
        location = self._locations.setdefault(account.id, Location())
        flow, now = transaction.flow, self._clock.monotonic()
        if wish.contact.uri == "*":
            location.closed(flow)
            return None
        registration = self._registration(account, wish.contact)
        phone = PhoneFlow(
            account_id=account.id,
            registration_id=registration.id if registration is not None else 0,
            flow=flow,
            contact_uri=wish.contact.uri,
            path=tuple(transaction.request.values("path")),
            instance=_instance(wish.contact),
            heard_at=now,
            expires_at=now + wish.granted.seconds,
        )
        if wish.granted.seconds == 0:
            location.unregistered(phone.installation)
            return None
        location.registered(phone)
        self._accounts_on.setdefault(flow, set()).add(account.id)
        return phone

    def _registration(self, account: Account, contact: NameAddr) -> PushRegistration | None:
        """Return whose phone this is: by instance, by `wr-reg`, else the account's only registration."""
        living = self._store.read(lambda tx: [r for r in tx.registrations.of_account(account.id) if r.proven])
        instance = _instance(contact)
        if instance:
            by_instance = next((r for r in living if r.sip_instance == instance), None)
            if by_instance is not None:
                return by_instance
        named = _uri_param(contact.uri, "wr-reg")
        if named is not None:
            return next((r for r in living if r.public_id == named), None)
        return living[0] if len(living) == 1 else None

    def _accepted(self, request: Message, account: Account) -> Message:
        now = self._clock.monotonic()
        headers = [
            ("Contact", f"<{phone.contact_uri}>;expires={max(0, round(phone.expires_at - now))}")
            for phone in self.flows(account.id)
        ]
        headers += [("Path", value) for value in request.values("path")]
        if "reg-id" in ",".join(request.all("contact")) and _supports(request, "outbound"):
            headers.append(("Require", "outbound"))
        return respond(request, 200, to_tag="register", headers=headers)

    def _refuse(self, transaction: ServerTransactionHandle, aor: str) -> None:
        text = "Wrong password here; if it was changed at the PBX, enter it in the app again"
        headers = [("Reason", f'SIP;cause=403;text="{text}"')]
        response = respond(transaction.request, 403, to_tag="register", headers=headers)
        wait = self._doorkeeper.failed(aor, transaction.flow.remote[0])
        if wait:
            when = self._clock.monotonic() + wait
            self._timers.call_at(when, lambda: self._answer(transaction, response))
        else:
            self._answer(transaction, response)

    def _answer(self, transaction: ServerTransactionHandle, response: Message) -> None:
        metrics.PHONE_REGISTERS.labels(status=str(response.status)).inc()
        transaction.respond(response)

    def _wishes(self, request: Message) -> list[_Wish]:
        """Read the Contacts; raises SipSyntaxError for what is no REGISTER (10.2.2)."""
        shortest = self._options.phone_expires_min // 1000
        longest = self._options.phone_expires_max // 1000
        wishes = []
        if any(value.strip() == "*" for value in request.values("contact")):
            if request.expires != 0 or len(request.values("contact")) != 1:
                raise SipSyntaxError("Contact: * goes only with Expires: 0 and alone")
            return [_Wish(NameAddr("", "*", {}), Granted(200, 0))]
        for contact in request.contacts:
            asked = contact.params.get("expires")
            seconds = delta_seconds(asked) if asked else request.expires
            wishes.append(_Wish(contact, grant(seconds, shortest, longest)))
        return wishes

    # Its own clock

    async def _store_uses(self) -> None:
        """A use is never lost: where the store cannot take it now, it is tried again until it can."""
        while True:
            registration_id = await self._uses.get()
            while True:
                try:
                    await self._lives.use(registration_id, "register")
                    break
                except StoreUnavailableError as error:
                    _log.error("use_not_stored", registration=registration_id, reason=str(error))
                    await asyncio.sleep(RETRY_USE_S)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self._clock.monotonic()
            for account_id, location in list(self._locations.items()):
                for phone in location.expire(now):
                    self._accounts_on.get(phone.flow, set()).discard(account_id)
                if not location:
                    del self._locations[account_id]
            for flow in [flow for flow, accounts in self._accounts_on.items() if not accounts]:
                del self._accounts_on[flow]
            self._doorkeeper.prune(self._clock.now() / 1000)
            self._count()

    def _count(self) -> None:
        metrics.PHONE_FLOWS.set(sum(len(accounts) for accounts in self._accounts_on.values()))


def _candidates(tx: Transaction, aor: str) -> list[tuple[Account, Credentials]]:
    found = []
    for account in tx.accounts.by_aor(aor):
        credentials = tx.accounts.credentials(account.id)
        if credentials is not None:
            found.append((account, credentials))
    return found


def _instance(contact: NameAddr) -> str:
    return (contact.params.get("+sip.instance") or "").strip('"').strip("<>").lower()


def _uri_param(text: str, name: str) -> str | None:
    try:
        return sip_uri.SipUri.parse(text).param(name)
    except SipSyntaxError:
        return None


def _supports(request: Message, option: str) -> bool:
    return any(option in (o.strip() for o in value.split(",")) for value in request.all("supported"))

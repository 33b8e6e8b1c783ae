"""The registrar for phones: takes their REGISTERs, knows their flows, and tells lives when one was used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from wakerobin import log, metrics
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.location import Granted, Locations, grant
from wakerobin.core.sip.header import NameAddr, delta_seconds
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.uri import SipUri, aor
from wakerobin.core.values import Account, Credentials, Flow, PhoneFlow, PushRegistration
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.options import SipOptions
from wakerobin.ports.sip import Gatekeeper, ServerTransactionHandle
from wakerobin.ports.store import Store, Transaction
from wakerobin.services.phones.answers import answer
from wakerobin.services.phones.guessing import Guessing
from wakerobin.services.phones.proof import Doorkeeper, Verdict, answers_in
from wakerobin.services.phones.uses import UsedLives, Uses

SWEEP_S = 5.0
MOST_CONTACTS = 10

_log = log.get("phones")


@dataclass(frozen=True, slots=True)
class _Wish:
    """One Contact of a REGISTER and what may be granted to it."""

    contact: NameAddr
    granted: Granted


class Phones:
    """All flows of all phones. `run` keeps its clock; everything else is called on the event loop.

    `on_flow(account_id, phone)` is called after the 200 to each Contact that was registered.
    """

    def __init__(  # noqa: PLR0913 - the ports of a service; all of them named
        self,
        *,
        store: Store,
        clock: Clock,
        timers: Timers,
        lives: UsedLives,
        doorkeeper: Doorkeeper,
        options: SipOptions,
        on_flow: Callable[[int, PhoneFlow], None],
        gate: Gatekeeper | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timers = timers
        self._uses = Uses(lives, clock, timers)
        self._doorkeeper = doorkeeper
        self._guessing = Guessing()
        self._postponed: Counter[tuple[str, str]] = Counter()
        self._options = options
        self._on_flow = on_flow
        self._gate = gate
        self._locations = Locations()
        self._sweeping: Timer | None = None

    # What others ask

    def flows(self, account_id: int) -> list[PhoneFlow]:
        """Return the live flows of an account's phones, the most recently heard first."""
        return self._locations.phones(account_id, self._clock.monotonic())

    def current(self, account_id: int, registration_id: int) -> PhoneFlow | None:
        """Return the flow that an installation has now."""
        return next((p for p in self.flows(account_id) if p.registration_id == registration_id), None)

    def of_flow(self, flow: Flow) -> list[PhoneFlow]:
        """Return the phones that authenticated this flow: several, if an app has several accounts."""
        return self._locations.on_flow(flow, self._clock.monotonic())

    def heard(self, flow: Flow) -> None:
        """Something came over a flow."""
        self._locations.heard(flow, self._clock.monotonic())

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone; the push registrations are not touched."""
        self._locations.closed(flow)
        self._count()

    # Phones that are registered at their PBX, through us

    def passed(self, phone: PhoneFlow) -> None:
        """A PBX has accepted this phone's own REGISTER and was answered for: its flow is the way to it."""
        if self._gate is not None:
            self._gate.proven(phone.flow)
        self._locations.registered(phone)
        self._count()
        self._on_flow(phone.account_id, phone)

    def left(self, account_id: int) -> None:
        """Such a phone has taken its Contact back."""
        self._locations.cleared(account_id)
        self._count()

    # REGISTER

    def register(self, transaction: ServerTransactionHandle) -> None:
        """Answer a phone's REGISTER: one challenge, then its flow is the way to its installation."""
        request = transaction.request
        try:
            named = aor(request.to.uri)
            wishes = self._wishes(request)
        except SipSyntaxError as error:
            self._answer(transaction, answer(request, error.status, str(error)))
            return
        pair = (named, transaction.flow.remote[0])
        wait = self._guessing.delay(*pair, self._clock.monotonic()) if answers_in(request) else 0.0
        if not wait or self._is_home(transaction.flow, named):
            self._judge(transaction, named, wishes)
        elif self._postponed[pair] >= self._guessing.at_once(*pair):
            self._note_guess(transaction, named)
            headers = [("Retry-After", str(int(wait) + 1))]
            self._answer(transaction, answer(request, 503, "Too many wrong passwords", headers))
        else:
            self._postponed[pair] += 1
            when = self._clock.monotonic() + wait
            self._timers.call_at(when, lambda: self._judge_late(transaction, pair, wishes))

    async def run(self) -> None:
        """Store uses as they come, and drop flows that were not refreshed in time."""
        self._sweep()
        try:
            await self._uses.run()
        finally:
            if self._sweeping is not None:
                self._sweeping.cancel()

    def _judge_late(
        self, transaction: ServerTransactionHandle, pair: tuple[str, str], wishes: list[_Wish]
    ) -> None:
        self._postponed[pair] -= 1
        if not self._postponed[pair]:
            del self._postponed[pair]
        self._judge(transaction, pair[0], wishes)

    def _is_home(self, flow: Flow, named: str) -> bool:
        """Whether a phone of this AOR is registered over this very flow: nothing is left to guess there."""
        ids = [phone.account_id for phone in self.of_flow(flow)]
        accounts = self._store.read(lambda tx: [tx.accounts.get(one) for one in ids])
        return any(account is not None and account.aor == named for account in accounts)

    def _judge(self, transaction: ServerTransactionHandle, named: str, wishes: list[_Wish]) -> None:
        request, host = transaction.request, transaction.flow.remote[0]
        source, now_s = str(transaction.flow), self._clock.now() / 1000
        candidates = self._store.read(lambda tx: _candidates(tx, named))
        proof = self._doorkeeper.judge(request, named, candidates, now_s, source)
        if proof.verdict is Verdict.PROVEN and proof.account is not None:
            self._guessing.succeeded(named, host)
            if self._gate is not None:
                self._gate.proven(transaction.flow)
            self._proven(transaction, proof.account, wishes)
        elif proof.verdict is Verdict.WRONG:
            self._guessing.failed(named, host, self._clock.monotonic())
            self._note_guess(transaction, named)
            text = "Wrong password here. If it was changed at the PBX, enter it in the app again"
            self._answer(transaction, answer(request, 403, text))
        else:
            known = proof.account or (candidates[0][0] if candidates else None)
            stale = proof.verdict is Verdict.STALE
            challenge = self._doorkeeper.challenge(named, known, now_s, source, stale=stale)
            self._answer(transaction, answer(request, 401, headers=[("WWW-Authenticate", challenge)]))

    def _note_guess(self, transaction: ServerTransactionHandle, named: str) -> None:
        if self._gate is not None:
            flow, now_s = transaction.flow, self._clock.now() / 1000
            is_seen = self._doorkeeper.is_seen(transaction.request, named, now_s, str(flow))
            self._gate.guessed(flow, is_seen=is_seen)

    def _proven(self, transaction: ServerTransactionHandle, account: Account, wishes: list[_Wish]) -> None:
        request = transaction.request
        refused = next((w.granted for w in wishes if w.granted.status == 423), None)
        if refused is not None:
            headers = [("Min-Expires", str(refused.seconds))]
            self._answer(transaction, answer(request, 423, headers=headers))
            return
        # First what is taken back: a client that moved gives its new Contact beside the old one.
        for wish in sorted(wishes, key=lambda wish: wish.granted.seconds > 0):
            self._take_back(account, wish)
        arrived = [self._take(transaction, account, wish) for wish in wishes if wish.granted.seconds]
        self._count()

        def accept() -> None:
            self._answer(transaction, self._accepted(request, account))
            for phone in arrived:
                self._on_flow(account.id, phone)

        used = list(dict.fromkeys(phone.registration_id for phone in arrived if phone.registration_id))
        if used:
            self._uses.store(used, accept)
        else:
            accept()

    def _take_back(self, account: Account, wish: _Wish) -> None:
        if wish.contact.uri == "*":
            self._locations.cleared(account.id)
        elif not wish.granted.seconds:
            self._locations.unregistered(account.id, wish.contact.uri)

    def _take(self, transaction: ServerTransactionHandle, account: Account, wish: _Wish) -> PhoneFlow:
        now = self._clock.monotonic()
        registration = self._registration(account, wish.contact)
        phone = PhoneFlow(
            account_id=account.id,
            registration_id=registration.id if registration is not None else 0,
            flow=transaction.flow,
            contact_uri=wish.contact.uri,
            path=tuple(transaction.request.values("path")),
            instance=_instance(wish.contact),
            heard_at=now,
            expires_at=now + wish.granted.seconds,
        )
        self._locations.registered(phone)
        return phone

    def _registration(self, account: Account, contact: NameAddr) -> PushRegistration | None:
        """Return whose phone this is: by instance, by `wr-reg`, else the account's only registration.

        A dormant one counts where none is living: its phone is back.
        """
        instance = _instance(contact)
        usable, by_instance = self._store.read(
            lambda tx: (
                _usable(tx, account.id),
                tx.registrations.by_sip_instance(account.id, instance) if instance else None,
            )
        )
        if by_instance is not None:  # of an ended one nothing is renewed, and nothing else either
            return next((one for one in usable if one.id == by_instance.id), None)
        named = SipUri.parse(contact.uri).param("wr-reg")
        if named is not None:
            return next((one for one in usable if one.public_id == named), None)
        return usable[0] if len(usable) == 1 else None

    def _accepted(self, request: Message, account: Account) -> Message:
        now = self._clock.monotonic()
        headers = [
            ("Contact", f"<{phone.contact_uri}>;expires={max(0, round(phone.expires_at - now))}")
            for phone in self.flows(account.id)
        ]
        headers += [("Path", value) for value in request.values("path")]
        if _asks_for_outbound(request):
            headers.append(("Require", "outbound"))
        return answer(request, 200, headers=headers)

    def _answer(self, transaction: ServerTransactionHandle, response: Message) -> None:
        metrics.PHONE_REGISTERS.labels(status=str(response.status)).inc()
        transaction.respond(response)

    def _wishes(self, request: Message) -> list[_Wish]:
        """Read the Contacts; raises SipSyntaxError for what is no REGISTER (10.2.2)."""
        contacts = request.contacts
        if len(contacts) > MOST_CONTACTS:
            raise SipSyntaxError(f"There are more than {MOST_CONTACTS} Contacts")
        if contacts and contacts[0].uri == "*":
            if request.expires != 0:
                raise SipSyntaxError("Contact: * goes only with Expires: 0")
            return [_Wish(contacts[0], Granted(200, 0))]
        return [self._wish(contact, request.expires) for contact in contacts]

    def _wish(self, contact: NameAddr, expires: int | None) -> _Wish:
        uri = SipUri.parse(contact.uri)
        if uri.scheme != "sip" or uri.headers:
            raise SipSyntaxError("A phone is reached at a sip: URI without headers")
        asked = contact.params.get("expires")
        seconds = delta_seconds(asked) if asked else expires
        shortest = self._options.phone_expires_min // 1000
        return _Wish(contact, grant(seconds, shortest, self._options.phone_expires_max // 1000))

    # Its own clock

    def _sweep(self) -> None:
        for phone in self._locations.expire(self._clock.monotonic()):
            _log.debug("flow_expired", account=phone.account_id, flow=phone.flow)
        self._doorkeeper.prune(self._clock.now() / 1000)
        self._guessing.prune(self._clock.monotonic())
        self._count()
        self._sweeping = self._timers.call_at(self._clock.monotonic() + SWEEP_S, self._sweep)

    def _count(self) -> None:
        metrics.PHONE_FLOWS.set(len(self._locations))


def _candidates(tx: Transaction, named: str) -> list[tuple[Account, Credentials]]:
    found = []
    for account in tx.accounts.by_aor(named):
        credentials = tx.accounts.credentials(account.id)
        if credentials is not None:
            found.append((account, credentials))
    return found


def _usable(tx: Transaction, account_id: int) -> list[PushRegistration]:
    living = [one for one in tx.registrations.of_account(account_id) if one.proven]
    return living or tx.registrations.dormant(account_id)


def _instance(contact: NameAddr) -> str:
    return (contact.params.get("+sip.instance") or "").strip('"').strip("<>").lower()


def _asks_for_outbound(request: Message) -> bool:
    """RFC 5626 6: only who sends a reg-id and says that he supports it is told."""
    supported = (option.strip().lower() for option in request.values("supported"))
    return "outbound" in supported and any("reg-id" in contact.params for contact in request.contacts)

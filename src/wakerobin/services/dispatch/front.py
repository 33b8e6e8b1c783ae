"""The front door: who gets which request (RFC 3261 16.3 to 16.5). It answers what is nobody's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from wakerobin import log
from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.pacing import TokenBuckets
from wakerobin.core.sip.forking import has_looped
from wakerobin.core.sip.header import NameAddr
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import take_own_routes
from wakerobin.core.sip.uri import SipUri, aor
from wakerobin.core.values import Account, Flow, PhoneFlow
from wakerobin.ports.clock import Clock
from wakerobin.ports.sip import Gatekeeper, ServerTransactionHandle
from wakerobin.ports.store import Store
from wakerobin.services.phones import Phones
from wakerobin.services.phones.answers import answer, refuse
from wakerobin.services.phones.routes import RecordRoutes
from wakerobin.services.relay import Relay

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, SUBSCRIBE, MESSAGE"
ACCEPT = "application/sdp, text/plain, message/cpim, application/simple-message-summary"
SCHEMES = frozenset({"sip", "sips", "tel"})
NEVER_PROXIED = frozenset({"REGISTER", "OPTIONS"})
ONLY_IN_DIALOGS = frozenset({"BYE", "PRACK", "UPDATE"})
REGISTRAR_EXTENSIONS = frozenset({"path", "outbound", "gruu"})

MOST_NAMESAKES = 100
"""So many PBXs may have the same user here; what is beyond is found by its AOR."""
CALLS_PER_SECOND = 10.0
CALLS_AT_ONCE = 60.0

_log = log.get("front")


class CallDesk(Protocol):
    """The part of the switchboard that the front door needs."""

    def invite(self, transaction: ServerTransactionHandle, account: Account) -> None:
        """Take a call to an account."""
        ...

    def cancel(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> bool:
        """The PBX cancels. False: that INVITE is not one of the switchboard's."""
        ...

    def early_request(self, transaction: ServerTransactionHandle) -> bool:
        """Answer a request into the early dialog of our own 180. False: it is none."""
        ...


class PbxSide(Protocol):
    """The part of the fleet that the front door needs."""

    def is_from_pbx(self, account: Account, flow: Flow) -> bool:
        """Whether what comes over this flow may ring the phones of an account."""
        ...

    def is_known(self, account: Account, flow: Flow) -> bool:
        """Whether this flow comes from an address of the account's PBX."""
        ...

    def called(self, account_id: int) -> None:
        """Somebody calls an account: its binding is among those that matter most."""
        ...


class MessageDesk(Protocol):
    """The part of the room for messages that the front door needs."""

    def message(self, transaction: ServerTransactionHandle, account: Account) -> bool:
        """Take a MESSAGE. False: there is nobody to keep it for; who is connected may have it."""
        ...

    def mailbox(self, transaction: ServerTransactionHandle, account: Account) -> None:
        """Take a NOTIFY about the mailbox. Raises SipSyntaxError for what is no summary."""
        ...

    def notified(
        self, transaction: ServerTransactionHandle, is_from_pbx: Callable[[Account, Flow], bool]
    ) -> bool:
        """Take a NOTIFY of a subscription of ours. False: it is none."""
        ...


class GuestDesk(Protocol):
    """What the front door needs of those who serve phones that have not enrolled."""

    def register(self, transaction: ServerTransactionHandle, onward: Message) -> bool:
        """Take a REGISTER to its PBX. False: it is no guest's."""
        ...

    def meant(self, request: Message, taken: list[SipUri], flow: Flow) -> int:
        """Return the guest whom a request is for, by the Routes of ours that it brought; 0: nobody."""
        ...

    def incoming(self, transaction: ServerTransactionHandle, onward: Message, number: int) -> None:
        """Take a request of a PBX to a guest."""
        ...

    def outgoing(self, transaction: ServerTransactionHandle, onward: Message, mine: list[PhoneFlow]) -> bool:
        """Pass on what a guest begins. False: it is of a phone that has enrolled."""
        ...

    def cancel(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> bool:
        """Take a CANCEL. False: its INVITE is none of a guest's."""
        ...

    def early_request(self, transaction: ServerTransactionHandle) -> bool:
        """Answer a request into the early dialog of our own 180. False: it is none."""
        ...


class Front:
    """The transaction user of the SIP side: `receive`, `cancel` and `ack` are called by the transactions."""

    def __init__(  # noqa: PLR0913 - it is where the services meet; all of them named
        self,
        *,
        store: Store,
        clock: Clock,
        phones: Phones,
        relay: Relay,
        switchboard: CallDesk,
        fleet: PbxSide,
        messages: MessageDesk,
        routes: RecordRoutes,
        guests: GuestDesk,
        gate: Gatekeeper | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._phones = phones
        self._relay = relay
        self._switchboard = switchboard
        self._fleet = fleet
        self._messages = messages
        self._routes = routes
        self._guests = guests
        self._gate = gate
        self._calls: TokenBuckets[int] = TokenBuckets(CALLS_PER_SECOND, CALLS_AT_ONCE)

    def receive(self, transaction: ServerTransactionHandle) -> None:
        """Give a new request to whom it is for, or answer it."""
        try:
            self._receive(transaction)
        except SipSyntaxError as error:
            refuse(transaction, error.status, str(error))

    def cancel(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> None:
        """Give a CANCEL to whoever has its INVITE."""
        if self._switchboard.cancel(cancel, invite) or self._relay.cancel(cancel, invite):
            return
        if self._guests.cancel(cancel, invite):
            return
        # 9.2: the INVITE is there but has its final response, so the CANCEL changes nothing.
        cancel.respond(answer(cancel.request, 200))

    def ack(self, ack: Message, flow: Flow) -> None:
        """Pass on the ACK to a 2xx, if it is for a dialog that goes through us."""
        self._relay.ack(ack, flow)

    def _receive(self, transaction: ServerTransactionHandle) -> None:
        request = transaction.request
        if self._is_refused(transaction):
            return
        onward = request.copy()
        taken = take_own_routes(onward, self._is_own_route(request))
        if request.method == "REGISTER":
            if not self._guests.register(transaction, onward):
                self._phones.register(transaction)
        elif request.to_tag is not None:
            self._within_dialog(transaction, onward, taken)
        elif request.method in ONLY_IN_DIALOGS:
            refuse(transaction, 481)
        elif self._is_for_us(onward):
            self._options(transaction)
        elif number := self._guests.meant(request, taken, transaction.flow):
            self._for_guest(transaction, onward, number)
        elif mine := self._phones.of_flow(transaction.flow):
            if not self._guests.outgoing(transaction, onward, mine):
                self._relay.outgoing(transaction, onward, mine)
        else:
            self._from_pbx(transaction, onward)

    def _is_refused(self, transaction: ServerTransactionHandle) -> bool:
        """Check what a proxy must check before it does anything (16.3); answered if it is refused."""
        request = transaction.request
        scheme = request.uri.partition(":")[0].lower()
        if scheme not in SCHEMES:
            refuse(transaction, 416)
        elif request.max_forwards == 0 and request.method not in NEVER_PROXIED:
            refuse(transaction, 483)
        elif has_looped(request):
            _log.warning("loop", flow=transaction.flow, call_id=request.call_id)
            refuse(transaction, 482)
        elif scheme == "sips":
            refuse(transaction, 480, "No secure way leads from here to the phone")
        elif unknown := _unsupported(request):
            transaction.respond(answer(request, 420, headers=[("Unsupported", ", ".join(unknown))]))
        else:
            return False
        return True

    def _is_own_route(self, request: Message) -> Callable[[SipUri], bool]:
        if request.to_tag is not None:
            return self._routes.is_ours
        # Outside a dialog a token is worth nothing, and some phones write a user into their proxy's URI.
        return lambda uri: self._routes.is_ours(uri) or (uri.has_param("lr") and self._routes.is_here(uri))

    def _is_for_us(self, onward: Message) -> bool:
        """Whether an OPTIONS asks this server itself (11: a request to no user)."""
        if onward.method != "OPTIONS":
            return False
        uri = SipUri.parse(onward.uri)
        return not uri.user and self._routes.is_here(uri)

    def _within_dialog(
        self, transaction: ServerTransactionHandle, onward: Message, taken: list[SipUri]
    ) -> None:
        if self._guests.early_request(transaction) or self._relay.in_dialog(transaction, onward, taken):
            return
        if self._messages.notified(transaction, self._fleet.is_from_pbx):
            return
        if not self._switchboard.early_request(transaction):
            self._blame(transaction)
            refuse(transaction, 481)

    def _for_guest(self, transaction: ServerTransactionHandle, onward: Message, number: int) -> None:
        if onward.method == "OPTIONS":
            self._options(transaction)  # asked each minute whether the phone can be reached: it can
        else:
            self._guests.incoming(transaction, onward, number)

    # From a PBX

    def _from_pbx(self, transaction: ServerTransactionHandle, onward: Message) -> None:
        uri = SipUri.parse(onward.uri)
        user = uri.user
        account = self._store.read(lambda tx: tx.accounts.by_contact_user(user)) if user else None
        if account is not None:
            if self._fleet.is_from_pbx(account, transaction.flow):
                self._welcome(transaction.flow, account)
                self._at_contact(transaction, onward, account)
            else:
                self._blame(transaction)
                refuse(transaction, 403, "This address may not ring this account's phones")
            return
        account = self._by_aor(transaction.request, transaction.flow)
        if account is not None:
            self._at_contact(transaction, onward, account)
            return
        self._blame(transaction)
        if self._routes.is_here(uri):
            refuse(transaction, 404)
        elif _lists(transaction.request, "supported", "outbound"):
            refuse(transaction, 430, "Register first")  # RFC 5626 5.3: the flow has to be made again
        else:
            refuse(transaction, 403, "Register first")

    def _welcome(self, flow: Flow, account: Account) -> None:
        """Tell the gate who named our Contact of an account, which only its PBX knows."""
        if self._gate is None:
            return
        if self._fleet.is_known(account, flow):
            self._gate.pbx(flow)
        else:
            self._gate.proven(flow)  # it may have got around: enough for a provider's calls, not for a flood

    def _blame(self, transaction: ServerTransactionHandle) -> None:
        if self._gate is not None:
            self._gate.blame(transaction.flow)

    def _at_contact(self, transaction: ServerTransactionHandle, onward: Message, account: Account) -> None:
        """Answer, wake or pass on: what a PBX may ask of our Contact outside a dialog (sip 5)."""
        method = onward.method
        if method == "INVITE":
            # A flood on one Contact must not become a flood of pushes.
            wait = self._calls.take(account.id, self._clock.monotonic())
            if wait:
                refuse(transaction, 503, "Too many calls at once", retry_after=int(wait) + 1)
            else:
                self._fleet.called(account.id)
                self._switchboard.invite(transaction, account)
        elif method == "OPTIONS":
            self._options(transaction)
        elif method == "NOTIFY" and _event(onward) == "message-summary":
            self._messages.mailbox(transaction, account)
        elif method != "MESSAGE" or not self._messages.message(transaction, account):
            self._relay.to_live_phones(transaction, onward, account)

    def _by_aor(self, request: Message, flow: Flow) -> Account | None:
        """Return the account that a PBX means which does not use our Contact: exactly one, of its own."""
        for candidates in self._candidates(request):
            bound = [a for a in candidates if a.proven and self._fleet.is_known(a, flow)]
            if bound:
                return bound[0] if len(bound) == 1 else None
        return None

    def _candidates(self, request: Message) -> Iterable[list[Account]]:
        """Yield accounts that a request may be for: of the user at our own address, then of AORs."""
        uri = SipUri.parse(request.uri)
        if uri.user and self._routes.is_here(uri):
            yield self._store.read(lambda tx: tx.accounts.by_user(uri.user, MOST_NAMESAKES))
        for named in _named_aors(request):
            yield self._accounts(named)

    def _accounts(self, named: str) -> list[Account]:
        return self._store.read(lambda tx: tx.accounts.by_aor(named))

    def _options(self, transaction: ServerTransactionHandle) -> None:
        """Answer for the phone, which may sleep: unanswered, a PBX would take it for unreachable."""
        headers = [("Allow", ALLOW), ("Accept", ACCEPT), ("Supported", "path, outbound")]
        transaction.respond(answer(transaction.request, 200, headers=headers))


def _unsupported(request: Message) -> list[str]:
    """Return the extensions that are asked of us and that we lack: none of a proxy (16.3 step 5)."""
    asked = request.values("proxy-require")
    if request.method == "REGISTER":
        asked += [option for option in request.values("require") if option not in REGISTRAR_EXTENSIONS]
    return asked


def _named_aors(request: Message) -> Iterable[str]:
    """Return whom a request may be for: Request-URI, P-Called-Party-ID (RFC 3455), To."""
    called = request.get("p-called-party-id")
    for text in (request.uri, called and _address(called), request.to.uri):
        try:
            if text:
                yield aor(text)
        except SipSyntaxError:
            continue


def _address(value: str) -> str:
    try:
        return NameAddr.parse(value).uri
    except SipSyntaxError:
        return ""


def _event(request: Message) -> str:
    return (request.get("event") or "").partition(";")[0].strip().lower()


def _lists(request: Message, header: str, option: str) -> bool:
    return any(value.strip().lower() == option for value in request.values(header))

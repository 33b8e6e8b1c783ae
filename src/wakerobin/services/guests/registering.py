"""REGISTERs of guests on their way to the PBX, which alone knows their password, and its answers back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.guests import (
    Asked,
    Guest,
    Passed,
    Refused,
    decide,
    granted_s,
    guest_number,
    hosts_named,
    instance_of,
    is_wrong_answer,
    keeps_flow,
    of_registrar,
    read_register,
    registrar_of,
    shows_resource,
    who_is,
)
from wakerobin.core.pacing import TokenBuckets
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.routing import forwarded, next_hop
from wakerobin.core.sip.targets import Target
from wakerobin.core.sip.uri import SipUri, aor
from wakerobin.core.tokens import RouteToken, Side, seal_purr, sign
from wakerobin.core.values import Flow, PhoneFlow, Purpose, Transport
from wakerobin.ports.clock import Timer
from wakerobin.ports.sip import ClientTransactionHandle, ServerTransactionHandle
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.services.guests.around import Around, Sponsors
from wakerobin.services.phones.answers import answer
from wakerobin.services.phones.guessing import Guessing
from wakerobin.services.relay.leg import loop_marked_branch

ANSWER_WITHIN_S = 0.25
"""A phone that was woken for a call does not wait for a disk that hangs."""

PATIENCE_S = 25.0
"""How long a PBX has to answer: the phone, too, gives up after 32 s (timer F), and is to hear why."""

MOST_OF_AOR = 20
"""So many phones of one user are kept; beyond it the one that registered first has to go."""

_COUNTED = frozenset({200, 400, 401, 403, 404, 407, 423, 480, 503, 504, 555})

_REFERENCE_OCTETS = 8

PATH_FLOW = 0
"""In a token: the way to a guest outside dialogs, as our Path says it."""

_log = log.get("guests")


@dataclass(slots=True, eq=False)
class _Going:
    """A REGISTER on its way: what it asks, and what its 2xx will be worth."""

    transaction: ServerTransactionHandle
    asked: Asked
    verdict: Passed
    aor: str
    registrar: str
    sender: str
    number: int
    known: Guest | None
    timer: Timer | None = None
    """Runs while the PBX is waited for."""
    targets: list[Target] = field(default_factory=list)
    """Places of the PBX that are still to be tried."""
    target: Target | None = None
    handle: ClientTransactionHandle | None = None

    def has_ended(self) -> None:
        """It is answered for."""
        if self.timer is not None:
            self.timer.cancel()


class Registering:
    """Decides which REGISTERs are a guest's, and takes them to the PBX and back."""

    def __init__(self, around: Around, sponsors: Sponsors) -> None:
        self._around = around
        self._sponsors = sponsors
        self._guessing = Guessing()
        self._of_source: TokenBuckets[str] = TokenBuckets(rate=20.0, burst=100.0)
        self._of_strangers: TokenBuckets[str] = TokenBuckets(rate=20.0, burst=200.0)
        self._of_phone: TokenBuckets[tuple[str, str]] = TokenBuckets(rate=1.0, burst=15.0)

    def take(self, transaction: ServerTransactionHandle, onward: Message) -> bool:
        """Answer a REGISTER, or take it to its PBX. False: it is no guest's.

        Raises SipSyntaxError for one that nobody can read.
        """
        if not self._sponsors:
            return False
        request = transaction.request
        named = aor(request.to.uri)
        offers = self._sponsors.offers(hosts_named(onward))
        if not offers:
            return False
        asked = read_register(request)
        accounts, guests = self._around.store.read(
            lambda tx: (any(one.proven for one in tx.accounts.by_aor(named)), tx.guests.of_aor(named))
        )
        if accounts:
            self._forget(guests)  # it has enrolled: that is worth more
            return False
        registrar = registrar_of(onward)
        known = self._known(transaction, asked, of_registrar(guests, registrar))
        if asked.wish is None and known is None:
            return False
        sender = self._sender(transaction.flow, named, asked, known)
        wait = self._wait(transaction, named, sender, known)
        if wait:
            self._refuse(transaction, Refused(503, "Too many REGISTERs", (("Retry-After", str(wait)),)))
            return True
        verdict = decide(asked, offers, self._around.clock.now())
        if isinstance(verdict, Refused):
            self._refuse(transaction, verdict)
            return True
        number = known.number if known is not None else self._number(named, asked)
        self._go(_Going(transaction, asked, verdict, named, registrar, sender, number, known), onward)
        return True

    def prune(self) -> None:
        """Forget wrong passwords that are forgiven."""
        self._guessing.prune(self._around.clock.monotonic())

    # On the way there

    def _go(self, going: _Going, onward: Message) -> None:
        passed = forwarded(onward)

        def begin(targets: list[Target]) -> None:
            going.targets = targets
            when = self._around.clock.monotonic() + PATIENCE_S
            going.timer = self._around.timers.call_at(when, lambda: self._give_up(going))
            self._try_next(going, passed, 480, "There is no such PBX")

        self._around.with_targets(next_hop(passed), going.aor, begin)

    def _try_next(self, going: _Going, passed: Message, status: int, text: str) -> None:
        """RFC 3263 4.3: the same request goes to the next place, in a new transaction; after the last, so."""
        if not going.targets:
            going.has_ended()
            self._answer(going.transaction, answer(going.transaction.request, status, text))
            return
        going.target = target = going.targets.pop(0)
        flow = self._around.flow_to(target)
        sent = passed.copy()
        self._mark(sent, going, flow)

        def came(response: Message) -> None:
            if response.status == 503:  # it is about that server (RFC 3261 16.7 step 6)
                self._around.resolver.failed(target)
                self._try_next(going, passed, 500, "The PBX cannot serve now")
            elif response.status >= 200:  # 100 is hop by hop, and a REGISTER has no other
                self._around.resolver.answered(target)
                self._came(going, response, flow)

        def failed(reason: str) -> None:
            self._around.resolver.failed(target)
            # RFC 4320 4.2: no 408 to anything but an INVITE.
            self._try_next(going, passed, 504 if reason == "timeout" else 480, "The PBX does not answer")

        branch = loop_marked_branch(self._around.entropy, going.transaction.request)
        going.handle = self._around.transactions.request(sent, flow, came, failed, branch)

    def _mark(self, sent: Message, going: _Going, flow: Flow) -> None:
        """Say in the REGISTER that its phone is reached through us (RFC 3327), and that we push (5.6.1.1)."""
        if going.asked.contact is None:
            return
        sent.prepend("Path", f"<{self._path(going, flow)}>")
        if not any(option.strip().lower() == "path" for option in sent.values("supported")):
            sent.add("Supported", "path")
        if going.verdict.targets and going.asked.wish is not None:
            sent.add("Feature-Caps", f'*;+sip.pns="{going.asked.wish.provider}"')

    def _path(self, going: _Going, flow: Flow) -> str:
        address = self._around.our_address(flow)
        user = sign(RouteToken(Side.PBX, going.number, flow=PATH_FLOW), self._around.keys)
        host = f"[{address.host}]" if ":" in address.host else address.host
        transport = "" if address.transport is Transport.UDP else f";transport={address.transport}"
        outbound = ";ob" if keeps_flow(going.transaction.request, going.asked) else ""
        return f"sip:{user}@{host}:{address.port}{transport};lr{outbound}"

    # On the way back

    def _came(self, going: _Going, response: Message, flow: Flow) -> None:
        going.has_ended()
        back = response.copy()
        back.pop_first("via")
        if 200 <= response.status < 300:
            self._guessing.succeeded(going.aor, going.sender)
            self._accepted(going, response, back, flow)
            return
        if response.status in (401, 403, 407) and is_wrong_answer(going.transaction.request, response):
            self._guessed(going.transaction.flow)
            self._guessing.failed(going.aor, going.sender, self._around.clock.monotonic())
        self._answer(going.transaction, back)

    def _guessed(self, flow: Flow) -> None:
        """Tell the gate of a wrong password; whose a datagram is, only the PBX's challenge could show."""
        if self._around.gate is not None:
            self._around.gate.guessed(flow, is_seen=flow.transport.is_reliable)

    def _accepted(self, going: _Going, response: Message, back: Message, flow: Flow) -> None:
        """The PBX knows this phone: its flow is proven, and what it asked for is kept."""
        seconds = granted_s(response, going.asked)
        if going.asked.contact is None or not seconds:
            if going.asked.expires_s == 0 and (going.asked.contact is not None or going.asked.is_of_all):
                self._taken_back(going)
            self._answer(going.transaction, back)
            return
        guest, phone = self._guest(going, seconds, flow), self._phone(going, seconds)
        for value in going.verdict.capabilities:
            back.add("Feature-Caps", value + self._reference(guest))
        done = _Once(lambda: self._welcome(going, back, phone))
        self._around.timers.call_at(self._around.clock.monotonic() + ANSWER_WITHIN_S, done)
        self._around.start(self._keep(guest, going, done))

    def _welcome(self, going: _Going, back: Message, phone: PhoneFlow) -> None:
        self._answer(going.transaction, back)
        self._around.phones.passed(phone)

    async def _keep(self, guest: Guest, going: _Going, done: _Once) -> None:
        now = self._around.clock.now()
        event = _news(going.known, guest)

        def keep(tx: Transaction) -> None:
            namesakes = of_registrar(tx.guests.of_aor(guest.aor), guest.registrar)
            others = [one for one in namesakes if one.number != guest.number]
            for one in sorted(others, key=lambda one: -one.registered_at)[MOST_OF_AOR - 1 :]:
                tx.guests.remove(one.number)
            tx.guests.put(guest)
            details = {"provider": guest.targets[0].provider.value} if guest.targets else {}
            if event:
                story.tell(tx, story.of_guest(guest.number), now, event, **details)

        try:
            await self._around.store.transact(keep)
        except StoreUnavailableError as error:
            _log.error("guest_not_stored", reason=str(error))
        done()

    def _reference(self, guest: Guest) -> str:
        """RFC 8599 6.2: what it shows in dialogs that it wants to be woken for, which no VoIP push can do."""
        if not guest.for_purpose(Purpose.NOTICE):
            return ""
        nonce = self._around.entropy(_REFERENCE_OCTETS)
        return f';+sip.pnspurr="{seal_purr(self._around.keys, guest.number, nonce)}"'

    def _guest(self, going: _Going, seconds: int, flow: Flow) -> Guest:
        asked, now = going.asked, self._around.clock.now()
        assert asked.contact is not None
        return Guest(
            number=going.number,
            app=going.verdict.app,
            aor=going.aor,
            instance=instance_of(asked.contact),
            contact_uri=asked.contact.uri,
            registrar=going.registrar,
            pbx=flow.remote[0],
            targets=going.verdict.targets,
            has_own_timer=asked.has_own_timer,
            registered_at=now,
            expires_at=now + seconds * 1000,
        )

    def _phone(self, going: _Going, seconds: int) -> PhoneFlow:
        now = self._around.clock.monotonic()
        assert going.asked.contact is not None
        return PhoneFlow(
            account_id=going.number,
            registration_id=going.number,
            flow=going.transaction.flow,
            contact_uri=going.asked.contact.uri,
            instance=instance_of(going.asked.contact),
            heard_at=now,
            expires_at=now + seconds,
        )

    def _taken_back(self, going: _Going) -> None:
        """It has taken back its Contact, or all of its AOR (`*`): it must not be pushed any more (5.5)."""
        if going.asked.contact is not None:
            gone = [going.known] if going.known is not None else []
        else:
            gone = of_registrar(
                self._around.store.read(lambda tx: tx.guests.of_aor(going.aor)), going.registrar
            )
        self._forget(gone)

    def _forget(self, guests: Sequence[Guest]) -> None:
        if not guests:
            return
        for one in guests:
            self._around.phones.left(one.number)
        self._around.start(self._forget_stored([one.number for one in guests]))

    async def _forget_stored(self, numbers: list[int]) -> None:
        now = self._around.clock.now()

        def forget(tx: Transaction) -> None:
            for number in numbers:
                tx.guests.remove(number)
                story.tell(tx, story.of_guest(number), now, "guest-left")

        await self._around.store.transact(forget)

    def _give_up(self, going: _Going) -> None:
        """The phone loses its patience soon: it is to hear why, and its next REGISTER is to go elsewhere."""
        if going.handle is not None:
            going.handle.abandon()
        if going.target is not None:
            self._around.resolver.failed(going.target)
        self._answer(going.transaction, answer(going.transaction.request, 504, "The PBX does not answer"))

    # Who it is

    def _known(
        self, transaction: ServerTransactionHandle, asked: Asked, guests: Sequence[Guest]
    ) -> Guest | None:
        if asked.contact is None:
            on_flow = {phone.account_id for phone in self._around.phones.of_flow(transaction.flow)}
            return next((one for one in guests if one.number in on_flow), None)
        return who_is(guests, asked)

    def _number(self, named: str, asked: Asked) -> int:
        """Return a number that no other phone has."""
        assert asked.contact is not None
        wish, secret = asked.wish, self._around.secret
        resource = f"{wish.provider} {wish.prid.reveal()}" if wish is not None and wish.is_request else ""
        place = resource or asked.contact.uri
        numbers = (
            guest_number(secret, named, instance_of(asked.contact), place, attempt) for attempt in count()
        )
        return next(number for number in numbers if self._around.guest(number) is None)

    def _sender(self, flow: Flow, named: str, asked: Asked, known: Guest | None) -> str:
        """Return who counts as one: over UDP anybody can write any source, over a connection nobody can.

        A phone is one wherever it is, and known, where it shows what no guesser has.
        """
        if self._is_home(flow, known):
            return str(flow)
        if known is not None and shows_resource(known, asked):
            sender = f"guest {known.number}"
            self._guessing.succeeded(named, sender)
            return sender
        return flow.remote[0] if flow.transport.is_reliable else f"{flow.remote[0]} by UDP"

    def _wait(
        self, transaction: ServerTransactionHandle, named: str, sender: str, known: Guest | None
    ) -> int:
        """Return the seconds to wait for who asks too often, or guesses.

        Strangers together may not make a PBX shut us out, nor what they forge a phone.
        """
        request, now = transaction.request, self._around.clock.monotonic()
        waits = [self._of_source.take(sender, now), self._of_phone.take((named, sender), now)]
        if known is None and not any(waits):
            waits.append(self._of_strangers.take(SipUri.parse(request.uri).host.lower(), now))
        has_answer = request.has("authorization") or request.has("proxy-authorization")
        if has_answer and not self._is_home(transaction.flow, known):
            waits.append(self._guessing.delay(named, sender, now))
        longest = max(waits)
        return int(longest) + 1 if longest else 0

    def _is_home(self, flow: Flow, known: Guest | None) -> bool:
        """Whether this phone is registered over this very flow: nothing is left to guess there."""
        return known is not None and any(
            phone.account_id == known.number for phone in self._around.phones.of_flow(flow)
        )

    def _refuse(self, transaction: ServerTransactionHandle, verdict: Refused) -> None:
        response = answer(transaction.request, verdict.status, verdict.text, verdict.headers)
        self._answer(transaction, response)

    def _answer(self, transaction: ServerTransactionHandle, response: Message) -> None:
        status = response.status
        label = str(status) if status in _COUNTED else f"{status // 100}xx"
        metrics.GUEST_REGISTERS.labels(status=label).inc()
        transaction.respond(response)


def _news(known: Guest | None, guest: Guest) -> str:
    """Return what a REGISTER means for the story: most mean nothing, and phones send them all day."""
    if known is None or {one.token for one in known.targets} != {one.token for one in guest.targets}:
        return "guest-registered"
    return "guest-refreshed" if known.step else ""


class _Once:
    """Goes on, once, whoever says so first."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def __call__(self) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()

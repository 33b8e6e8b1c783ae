"""A call to a guest: the call machine of all calls, with one phone, in memory only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from wakerobin import log, metrics
from wakerobin.core.call import (
    Abandon,
    Effect,
    Follow,
    IncomingCall,
    Offer,
    Over,
    Push,
    Recall,
    Repeat,
    Ring,
    Tell,
)
from wakerobin.core.guests import Guest
from wakerobin.core.pushes import CallDetails
from wakerobin.core.sip import forking
from wakerobin.core.sip.header import reason_value
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.sip.routing import forwarded, record_routes
from wakerobin.core.story import readable
from wakerobin.core.values import PhoneFlow, Purpose
from wakerobin.ports.clock import Timer
from wakerobin.ports.sip import ClientTransactionHandle, ServerTransactionHandle
from wakerobin.ports.store import StoryRow, Transaction
from wakerobin.services import story
from wakerobin.services.callers import caller_of
from wakerobin.services.guests.around import Around
from wakerobin.services.guests.waking import Settled, Waking, public_name
from wakerobin.services.relay.leg import loop_marked_branch
from wakerobin.services.relay.outgoing import DIALOG_FORMING
from wakerobin.services.switchboard.incoming import (
    has_video,
    leads_somewhere,
    registration_call_id,
)

_log = log.get("guests")
_FAULTS = metrics.FAULTS.labels("guests")


@dataclass(frozen=True, slots=True)
class _Branch:
    phone: PhoneFlow
    sent: Message
    handle: ClientTransactionHandle
    has_moved: bool = False


class GuestCall:
    """One INVITE. `on_over(call)` is called once when nothing that can still arrive matters.

    `onward` is the INVITE without our Routes; what is left of them leads on to the phone.
    """

    def __init__(  # noqa: PLR0913 - what a call is made of; all of it named
        self,
        around: Around,
        waking: Waking,
        *,
        transaction: ServerTransactionHandle,
        onward: Message,
        guest: Guest,
        to_tag: str,
        on_over: Callable[[GuestCall], None],
    ) -> None:
        self.number = guest.number
        self.transaction = transaction
        self.to_tag = to_tag
        self._around = around
        self._waking = waking
        self._guest = guest
        self._onward = onward
        self._on_over = on_over
        self._began_at = around.clock.now()
        self._policy = around.policy(guest.app)
        self._machine = IncomingCall(onward, self._policy, around.clock.monotonic())
        self._branches: dict[str, _Branch] = {}
        self._timer: Timer | None = None
        self._pending: list[Effect] = []
        self._is_feeding = False
        self._is_told = False
        self._rows: list[StoryRow] = []

    @property
    def is_ringing(self) -> bool:
        """Whether it still waits for its phone, or for somebody to answer."""
        return not self._machine.state.is_over

    def start(self) -> None:
        """Offer it to the phone where that has a flow, and push where that may not be enough."""
        phone = self._around.flow_of(self.number)
        caller = caller_of(self._onward)
        self.tell("invite", caller=caller["name"] or caller["uri"], source=str(self.transaction.flow))
        can_wake = bool(self._guest.for_purpose(Purpose.CALL)) and not self._onward.has("replaces")
        woken = [self.number] if can_wake else []
        self._feed(self._machine.start([phone] if phone is not None else [], woken, self._now))

    def phone_arrived(self, phone: PhoneFlow) -> None:
        """Its phone has registered."""
        self._feed(self._machine.phone_arrived(phone, self._now))

    def cancel(self, cancel: ServerTransactionHandle) -> None:
        """The PBX cancels."""
        cancel.respond(respond(cancel.request, 200, to_tag=self.to_tag))
        self._feed(self._machine.cancel(cancel.request.get("reason") or "", self._now))

    def early_request(self, transaction: ServerTransactionHandle) -> None:
        """Answer a request into the early dialog of our own 180: nobody is there yet."""
        request = transaction.request
        if request.method == "BYE":
            transaction.respond(respond(request, 200))
            self._feed(self._machine.cancel("", self._now))
        elif request.method in ("UPDATE", "INVITE"):
            transaction.respond(respond(request, 500, headers=[("Retry-After", "5")]))
        else:
            transaction.respond(respond(request, 481))

    def tell(self, event: str, **details: object) -> None:
        """Remember what happened; it is written down when the call is over."""
        subject = story.of_guest(self.number)
        self._rows.append(
            StoryRow(subject=subject, at=self._around.clock.now(), event=event, details=dict(details))
        )

    # Its own

    @property
    def _now(self) -> float:
        return self._around.clock.monotonic()

    def _feed(self, effects: list[Effect]) -> None:
        """Carry out what the machine wants, and arm its timer again."""
        self._pending.extend(effects)
        if self._is_feeding:
            return
        self._is_feeding = True
        try:
            while self._pending:
                self._perform_guarded(self._pending.pop(0))
        finally:
            self._is_feeding = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._machine.is_finished:
            if not self._is_told:
                self._is_told = True
                self._on_over(self)
        elif self._machine.deadline is not None:
            self._timer = self._around.timers.call_at(self._machine.deadline, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._feed(self._machine.on_timer(self._now))

    def _perform_guarded(self, effect: Effect) -> None:
        try:
            self._perform(effect)
        except Exception:
            _FAULTS.inc()
            _log.error("effect_failed", effect=type(effect).__name__, exc_info=True)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Tell(event, details):
                self.tell(event, **details)
            case Push():
                self._push()
            case Offer() | Repeat() | Follow() | Recall() | Abandon():
                self._perform_branch(effect)
            case Ring(is_first):
                self._respond(180, record_route=True)
                if is_first:
                    self.tell("ringback")
            case Over(state):
                metrics.GUEST_REQUESTS.labels(outcome=str(state)).inc()
                self._around.start(self._write())
            case _:
                self._perform_forking(effect)

    def _perform_branch(self, effect: Offer | Repeat | Follow | Recall | Abandon) -> None:
        match effect:
            case Offer():
                self._offer(effect)
            case Repeat(key):
                self._branches[key].handle.repeat()
            case Follow(key, phone):
                self._follow(key, phone)
            case Recall(key, phone, reason):
                self._recall(key, phone, reason)
            case Abandon(key):
                self._branches.pop(key).handle.abandon()

    async def _write(self) -> None:
        rows, self._rows = self._rows, []

        def write(tx: Transaction) -> None:
            for row in rows:
                tx.stories.add(row)

        await self._around.store.transact(write)

    def _perform_forking(self, effect: Effect) -> None:
        match effect:
            case forking.Forward(_, response):
                upstream = response.copy()
                upstream.pop_first("via")
                self.transaction.respond(upstream)
            case forking.Answer(status, text):
                self._respond(status, reason=reason_value(status, text))
            case forking.Cancel(key, reason):
                self._cancel(key, reason)
            case forking.Acknowledge(key, response):
                branch = self._branches[key]
                ack = forking.ack_for(branch.sent, response, self._around.routes.is_written_by_us)
                self._around.transactions.send_ack(ack, branch.handle.heard_on)
            case forking.EndDialog(key, response, reason):
                branch = self._branches[key]
                bye = forking.bye_for(branch.sent, response, reason, self._around.routes.is_written_by_us)
                self._around.transactions.request(bye, branch.handle.heard_on, _ignore, _ignore)
            case _:
                pass  # what is to be stored of a call: this one is not

    def _respond(self, status: int, *, reason: str = "", record_route: bool = False) -> None:
        headers = [("Reason", reason)] if reason else []
        request = self.transaction.request
        self.transaction.respond(
            respond(request, status, to_tag=self.to_tag, headers=headers, record_route=record_route)
        )

    def _push(self) -> None:
        self.tell("push-sent")
        invite, secret = self._onward, self._around.secret
        name = public_name(secret, self.number)
        details = CallDetails(
            call_id=registration_call_id(secret, invite.call_id, invite.from_tag or "", name),
            sip_call_id=readable(invite.call_id),
            caller=caller_of(invite),
            has_video=has_video(invite),
        )
        expires_at = self._began_at + round(self._policy.wake_timeout * 1000)
        self._waking.for_call(self._guest, details, expires_at, self._pushed)

    def _pushed(self, settled: Settled) -> None:
        accepted, reason = settled.is_accepted, settled.reason
        self._feed(self._machine.push_settled(self.number, accepted=accepted, reason=reason, now=self._now))

    def _offer(self, offer: Offer) -> None:
        sent = self._sent_to(offer.phone, offer.breadth)
        branch = loop_marked_branch(self._around.entropy, self.transaction.request)
        self._send(offer.key, offer.phone, sent, branch)

    def _follow(self, key: str, phone: PhoneFlow) -> None:
        old = self._branches[key]
        old.handle.abandon()
        sent = self._sent_to(phone, forking.breadth_of(old.sent, 1))
        self._send(key, phone, sent, old.handle.branch, has_moved=True)
        # It has spoken on the other flow, so it may be cancelled before it speaks here (9.1).
        self._branches[key].handle.receive(respond(sent, 100))

    def _cancel(self, key: str, reason: str) -> None:
        branch = self._branches[key]
        spoken_on = branch.handle.heard_on
        if branch.has_moved or spoken_on == branch.phone.flow:
            branch.handle.cancel((("Reason", reason),))
        else:  # it has moved, and has not registered yet
            self._recall(key, replace(branch.phone, flow=spoken_on), reason)

    def _recall(self, key: str, phone: PhoneFlow, reason: str) -> None:
        old = self._branches[key]
        old.handle.abandon()
        sent = self._sent_to(phone, forking.breadth_of(old.sent, 1))
        sent.uri = old.sent.uri  # 9.1: a CANCEL's target is that of its INVITE
        handle = self._around.transactions.adopt_client(
            sent, phone.flow, old.handle.branch, *self._listeners(key)
        )
        self._branches[key] = _Branch(phone, sent, handle)
        handle.cancel((("Reason", reason),))

    def _sent_to(self, phone: PhoneFlow, breadth: int) -> Message:
        sent = for_guest(self._around, self._onward, phone, self.transaction)
        sent.set("Max-Breadth", str(breadth))
        return sent

    def _send(
        self, key: str, phone: PhoneFlow, sent: Message, branch: str, *, has_moved: bool = False
    ) -> None:
        handle = self._around.transactions.request(sent, phone.flow, *self._listeners(key), branch)
        self._branches[key] = _Branch(phone, sent, handle, has_moved)

    def _listeners(self, key: str) -> tuple[Callable[[Message], None], Callable[[str], None]]:
        return (
            lambda message: self._feed(self._machine.receive(key, message, self._now)),
            lambda why: self._feed(self._machine.branch_failed(key, why, self._now)),
        )


def for_guest(
    around: Around, onward: Message, phone: PhoneFlow, transaction: ServerTransactionHandle
) -> Message:
    """Return a request of the PBX as its phone gets it: at its last Contact, record-routed twice.

    Raises SipSyntaxError where it may travel no further.
    """
    sent = forwarded(onward)
    sent.uri = phone.contact_uri
    if sent.method in DIALOG_FORMING:
        seen = transaction.flow
        where = None if leads_somewhere(onward, seen) else seen
        pbx_side, phone_side = around.routes.pair(phone, around.our_address(seen), where)
        record_routes(sent, first=pbx_side, second=phone_side)
    return sent


def _ignore(_outcome: object) -> None:
    """Nobody waits for what becomes of a BYE that we sent ourselves."""

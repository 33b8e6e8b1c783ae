"""One call on the switchboard: carries out what the call machine decides, on the transaction layer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wakerobin import log, metrics
from wakerobin.core.call import (
    Abandon,
    CallState,
    Effect,
    Follow,
    IncomingCall,
    Offer,
    Over,
    Push,
    Recall,
    Repeat,
    Ring,
    Save,
    Tell,
)
from wakerobin.core.sip import forking
from wakerobin.core.sip.forking import breadth_of
from wakerobin.core.sip.header import reason_value
from wakerobin.core.sip.message import Message, respond
from wakerobin.core.story import readable
from wakerobin.core.values import Account, Flow, PhoneFlow, Provider
from wakerobin.ports.clock import Timer
from wakerobin.ports.sip import ClientTransactionHandle, ServerTransactionHandle
from wakerobin.ports.store import CallRecord, HeldCall, StoryRow
from wakerobin.services.callers import caller_of
from wakerobin.services.switchboard.aftermath import Aftermath, Missed
from wakerobin.services.switchboard.exchange import Exchange
from wakerobin.services.switchboard.incoming import flow_to_json, for_phone, with_loop_mark
from wakerobin.services.switchboard.wake import Wakeable

LARGE = 1_300
"""Octets. Beyond it a datagram may be cut up on its way, and is then often lost (RFC 3261 18.1.1)."""

_log = log.get("switchboard")
_FAULTS = metrics.FAULTS.labels("switchboard")


@dataclass(frozen=True, slots=True)
class Branch:
    """An INVITE that went to a phone, and the transaction that carries it."""

    phone: PhoneFlow
    sent: Message
    handle: ClientTransactionHandle
    has_moved: bool = False
    """Whether its phone has registered on another flow since, which goes before what is said on any."""


class Line:
    """A live call. Everything that happens to it enters through `feed`."""

    def __init__(  # noqa: PLR0913 - what a call is made of; all of it named
        self,
        exchange: Exchange,
        *,
        key: str,
        account: Account,
        transaction: ServerTransactionHandle,
        machine: IncomingCall,
        to_tag: str,
        wakeables: list[Wakeable],
        expires_at: int,
        started_at: int,
        on_over: Callable[[Line], None],
        on_fed: Callable[[Line], None],
    ) -> None:
        self.key = key
        self.account = account
        self.transaction = transaction
        self.machine = machine
        self.to_tag = to_tag
        self.invite = transaction.request
        self.branches: dict[str, Branch] = {}
        self.is_dirty = False
        self.rows: list[StoryRow] = []
        self.uses: list[int] = []
        """Registrations whose life this call renews, not yet stored."""
        self._exchange = exchange
        self._on_over = on_over
        self._on_fed = on_fed
        self.missed: list[Missed] = []
        """Whom to tell that they missed this call, not yet stored."""
        self.was_missed = False
        self._wakeables = {w.registration.id: w for w in wakeables}
        self._aftermath = Aftermath(exchange, self.invite, wakeables)
        self._unsettled: dict[int, int] = {}
        self._pending: deque[Effect] = deque()
        self._is_feeding = False
        self._timer: Timer | None = None
        self._waiters: list[Callable[[], None]] = []
        self._is_silence_told = False
        self._ended: dict[tuple[str, str | None], tuple[Flow, str]] = {}
        """Where the BYEs of late answers went, and why."""
        self.record = CallRecord(
            call_id=key,
            sip_call_id=self.invite.call_id,
            from_tag=self.invite.from_tag or "",
            account_id=account.id,
            state=str(CallState.HELD),
            caller=caller_of(self.invite),
            started_at=started_at,
            expires_at=expires_at,
        )

    @property
    def registrations(self) -> list[int]:
        """The push registrations that this call may wake."""
        return list(self._wakeables)

    @property
    def browsers(self) -> set[int]:
        """Those of them that only a browser can answer: it is reached by its own push service."""
        return {
            number
            for number, wakeable in self._wakeables.items()
            if all(target.provider is Provider.WEBPUSH for target in wakeable.targets)
        }

    @property
    def has_news(self) -> bool:
        """Whether there is something to write."""
        return bool(self.rows or self.uses or self.missed) or self.is_dirty

    # In

    def feed(self, effects: list[Effect]) -> None:
        """Carry out effects of the machine, and re-arm its one timer.

        What an effect brings about at once (a push refused on the spot) waits until its batch is done.
        """
        self._pending.extend(effects)
        if self._is_feeding:
            return
        self._is_feeding = True
        try:
            while self._pending:
                self._perform_guarded(self._pending.popleft())
        finally:
            self._is_feeding = False
        if str(self.machine.state) != self.record.state:
            self._record(state=str(self.machine.state))
        self._rearm()
        self._on_fed(self)

    def when_changed(self, callback: Callable[[], None]) -> None:
        """Call back once, at the next change of the record."""
        self._waiters.append(callback)

    def phone_arrived(self, phone: PhoneFlow) -> None:
        """A phone of the account registered."""
        self._aftermath.awoke(phone.registration_id)
        self.feed(self.machine.phone_arrived(phone, self._exchange.clock.monotonic()))

    def progress(self, registration_id: int) -> None:
        """An app says that it is awake and deals with the call."""
        self.tell("progress")
        self.feed([])
        self._aftermath.knows(registration_id)

    def knows(self, registration_id: int) -> None:
        """An app knows of the call: its user needs no telling."""
        self._aftermath.knows(registration_id)

    def shown(self, registration_id: int) -> None:
        """A phone reports a push of the call."""
        self._aftermath.shown(registration_id)

    def push_ids(self, registration_id: int) -> list[str]:
        """Return the ids of the pushes of this call to a registration."""
        wakeable = self._wakeables.get(registration_id)
        return self._exchange.push_ids(self.invite, wakeable) if wakeable is not None else []

    def response(self, key: str, message: Message) -> None:
        """A phone answered."""
        if (branch := self.branches.get(key)) is not None:
            self._aftermath.awoke(branch.phone.registration_id)
        self.feed(self.machine.receive(key, message, self._exchange.clock.monotonic()))

    def failure(self, key: str, reason: str) -> None:
        """A phone did not answer, or cannot be reached."""
        self.feed(self.machine.branch_failed(key, reason, self._exchange.clock.monotonic()))

    def adopt(self, kept: Mapping[str, Any], phone: PhoneFlow, sent: Message) -> None:
        """Take up a branch of before a restart: the transaction, and its place in the call."""
        key = kept["key"]
        self._aftermath.awoke(phone.registration_id)
        self._resume_branch(key, phone, sent, kept["via"])
        self.machine.adopt(kept, phone)

    def take_back(self, number: int, response: Message, flow: Flow) -> None:
        """A phone answers a branch that was abandoned, or not stored in time, or whose connection died."""
        is_known = number in self._wakeables
        now = self._exchange.clock.monotonic()
        phone = PhoneFlow(
            account_id=self.account.id,
            registration_id=number if is_known else 0,
            flow=flow,
            contact_uri=forking.remote_target(self.invite, response),
            instance="" if is_known else f"r{number}",
            heard_at=now,
            expires_at=now,
        )
        sent = self._sent_to(phone, 1)
        key = response.branch or ""
        self._aftermath.awoke(phone.registration_id)
        effects = self.machine.take_back(key, phone, response.status, now)
        if effects is not None:
            self._resume_branch(key, phone, sent, key)
            self.feed(effects)
            self.branches[key].handle.receive(response)
        elif response.status >= 300:
            # It repeats that answer until it is acknowledged.
            self._exchange.transactions.adopt_client(sent, flow, key, _ignore, _ignore).receive(response)

    def _resume_branch(self, key: str, phone: PhoneFlow, sent: Message, via: str) -> None:
        handle = self._exchange.transactions.adopt_client(
            sent,
            phone.flow,
            via,
            lambda message: self.response(key, message),
            lambda why: self.failure(key, why),
        )
        self.branches[key] = Branch(phone, sent, handle)

    # For the store

    def resume_aftermath(self, held: HeldCall) -> None:
        """Take up what was known of its phones before a restart."""
        self._aftermath.restore(held.branches["aftermath"])

    def held(self) -> HeldCall | None:
        """Return what a restart needs to go on with this call; None while, or after, there is nothing to."""
        if self.machine.state is CallState.HELD or self.machine.is_answered_for:
            return None
        snapshot = self.machine.snapshot() | {"aftermath": self._aftermath.snapshot()}
        for branch in snapshot["branches"]:
            known = self.branches[branch["key"]]
            branch["flow"] = flow_to_json(known.phone.flow)
            branch["contact"] = known.phone.contact_uri
            branch["path"] = list(known.phone.path)
            branch["instance"] = known.phone.instance
            branch["sent"] = known.sent.encode().decode("latin-1")
            branch["via"] = known.handle.branch
        return HeldCall(
            call_id=self.key,
            account_id=self.account.id,
            invite=self.invite.encode(),
            flow=flow_to_json(self.transaction.flow),
            to_tag=self.to_tag,
            branches=snapshot,
            started_at=self.record.started_at,
            expires_at=self.record.expires_at,
        )

    # Out

    def _perform_guarded(self, effect: Effect) -> None:
        """A fault in one effect must not keep the caller from his final response."""
        try:
            self._perform(effect)
        except Exception:
            _FAULTS.inc()
            _log.error("effect_failed", call=self.key, effect=type(effect).__name__, exc_info=True)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Tell(event, details):
                self.tell(event, **details)
            case Push(registration_id):
                self._push(registration_id)
            case Ring(is_first):
                self._respond(180, record_route=True)
                if is_first:
                    self.tell("ringback")
            case Save():
                self.is_dirty = True
            case Over():
                self._over(effect)
            case Offer() | Repeat() | Follow() | Recall() | Abandon():
                self._perform_branch(effect)
            case _:
                self._perform_forking(effect)

    def _perform_branch(self, effect: Offer | Repeat | Follow | Recall | Abandon) -> None:
        match effect:
            case Offer():
                self._offer(effect)
            case Repeat(key):
                self.branches[key].handle.repeat()
            case Follow(key, phone):
                self._follow(key, phone)
            case Recall(key, phone, reason):
                self._recall(key, phone, reason)
            case Abandon(key):
                self.branches.pop(key).handle.abandon()

    def _perform_forking(self, effect: forking.Effect) -> None:
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
                self._acknowledge(key, response)
            case forking.EndDialog(key, response, reason):
                self._end_dialog(key, response, reason)
                self.tell("late-answer-ended", to=str(self.branches[key].handle.heard_on))

    def _acknowledge(self, key: str, response: Message) -> None:
        branch = self.branches[key]
        ack = forking.ack_for(branch.sent, response, self._exchange.is_ours)
        self._exchange.transactions.send_ack(ack, branch.handle.heard_on)
        known = self._ended.get((key, response.to_tag))
        if known is not None and known[0] != branch.handle.heard_on:
            self._end_dialog(key, response, known[1])  # it has moved, and repeats itself: the BYE missed it

    def _end_dialog(self, key: str, response: Message, reason: str) -> None:
        branch = self.branches[key]
        self._ended[key, response.to_tag] = branch.handle.heard_on, reason
        bye = forking.bye_for(branch.sent, response, reason, self._exchange.is_ours)
        self._exchange.transactions.request(bye, branch.handle.heard_on, _ignore, _ignore)

    def _respond(self, status: int, *, reason: str = "", record_route: bool = False) -> None:
        headers = [("Reason", reason)] if reason else []
        self.transaction.respond(
            respond(self.invite, status, to_tag=self.to_tag, headers=headers, record_route=record_route)
        )

    def _push(self, registration_id: int) -> None:
        wakeable = self._wakeables[registration_id]
        self._unsettled[registration_id] = len(wakeable.targets)
        self.tell("push-sent", registration=wakeable.registration.public_id)
        self.is_dirty = True  # stored after the push has left, never before it
        self._exchange.push(
            self.invite,
            wakeable,
            self.record.expires_at,
            lambda target_id, accepted, reason: self._push_outcome(
                registration_id, target_id, accepted=accepted, reason=reason
            ),
        )

    def _push_outcome(self, registration_id: int, target_id: int, *, accepted: bool, reason: str) -> None:
        if accepted:
            self._tell_over(self._aftermath.taken(registration_id, target_id))
        left = self._unsettled.get(registration_id, 0)
        if left <= 0:
            return  # one target took it already
        left = 0 if accepted else left - 1
        self._unsettled[registration_id] = left
        if left == 0:
            now = self._exchange.clock.monotonic()
            self.feed(self.machine.push_settled(registration_id, accepted=accepted, reason=reason, now=now))

    def _follow(self, key: str, phone: PhoneFlow) -> None:
        old = self.branches[key]
        old.handle.abandon()
        sent = self._sent_to(phone, breadth_of(old.sent, 1))
        handle = self._exchange.transactions.request(
            sent,
            phone.flow,
            lambda message: self.response(key, message),
            lambda why: self.failure(key, why),
            branch=old.handle.branch,
        )
        self.branches[key] = Branch(phone, sent, handle, has_moved=True)
        # It has spoken on the other flow, so it may be cancelled before it speaks here (9.1).
        handle.receive(respond(sent, 100))

    def _cancel(self, key: str, reason: str) -> None:
        branch = self.branches[key]
        spoken_on = branch.handle.heard_on
        if branch.has_moved or spoken_on == branch.phone.flow:
            branch.handle.cancel((("Reason", reason),))
        else:  # it has moved, and has not registered yet
            self._recall(key, replace(branch.phone, flow=spoken_on), reason)

    def _recall(self, key: str, phone: PhoneFlow, reason: str) -> None:
        old = self.branches[key]
        old.handle.abandon()
        sent = self._sent_to(phone, breadth_of(old.sent, 1))
        sent.uri = old.sent.uri  # 9.1: a CANCEL's target is that of its INVITE
        self._resume_branch(key, phone, sent, old.handle.branch)
        self.branches[key].handle.cancel((("Reason", reason),))

    def _sent_to(self, phone: PhoneFlow, breadth: int) -> Message:
        routes = self._exchange.record_routes(phone, self.account, self.invite, self.transaction.flow)
        return for_phone(self.invite, phone, routes, breadth)

    def _offer(self, offer: Offer) -> None:
        phone, key = offer.phone, offer.key
        sent = self._sent_to(phone, offer.breadth)
        branch = with_loop_mark(self._exchange.branch(sent, phone), self.invite)
        handle = self._exchange.transactions.request(
            sent,
            phone.flow,
            lambda message: self.response(key, message),
            lambda why: self.failure(key, why),
            branch=branch,
        )
        self.branches[key] = Branch(phone, sent, handle)
        octets = len(sent.encode())
        if octets > LARGE and not phone.flow.transport.is_reliable:
            self.tell("too-large", octets=octets)
        if not self._is_silence_told:
            pbx, acoustics = self.transaction.flow, self._exchange.acoustics
            address = acoustics.doubt(self.account, pbx, phone.flow, lambda: self.machine.offer)
            if address:
                self._is_silence_told = True
                self.tell("no-sound-likely", address=address)
        if not self.machine.state.is_over and phone.registration_id:
            metrics.CALL_WAKE.observe(self._exchange.clock.monotonic() - self.machine.began)

    def _over(self, over: Over) -> None:
        self._record(
            state=str(over.state),
            reason=readable(over.reason),
            answered_by=over.answered_by,
            ended_at=self._exchange.clock.now(),
        )
        metrics.CALLS.labels(outcome=str(over.state)).inc()
        if over.answered_by:
            self.uses.append(over.answered_by)  # an answered or declined call is a use of the app
        for registration_id in self._unsettled:
            self._exchange.call_over(self.invite, self._wakeables[registration_id])
        self._tell_over(self._aftermath.over(over.state, over.reason, over.answered_by))
        self.missed = self._aftermath.missed(self.record)
        self.was_missed = self.was_missed or bool(self.missed)
        self._on_over(self)

    def _tell_over(self, services: list[str]) -> None:
        if services:
            self.tell("call-over-sent", by=", ".join(dict.fromkeys(services)))

    def tell(self, event: str, **details: Any) -> None:
        """Add an event to the story of this call."""
        said = {name: readable(value) if isinstance(value, str) else value for name, value in details.items()}
        self.rows.append(
            StoryRow(subject=f"call:{self.key}", at=self._exchange.clock.now(), event=event, details=said)
        )

    def _record(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
        self.is_dirty = True
        waiters, self._waiters = self._waiters, []
        for callback in waiters:
            callback()

    def _rearm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.deadline
        if deadline is not None:
            self._timer = self._exchange.timers.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.feed(self.machine.on_timer(self._exchange.clock.monotonic()))


def _ignore(_: object) -> None:
    """Nobody waits for the answer to a BYE that ends a dialog only we know of."""

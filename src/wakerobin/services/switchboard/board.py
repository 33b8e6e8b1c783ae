"""The switchboard: finds or makes the call that an event belongs to, and writes down what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from wakerobin import log, metrics
from wakerobin.core import tokens
from wakerobin.core.call import CallPolicy, CallState, IncomingCall
from wakerobin.core.errors import SipSyntaxError, StoreUnavailableError
from wakerobin.core.ids import hex_token
from wakerobin.core.pushes import PushType
from wakerobin.core.sip.forking import breadth_of
from wakerobin.core.sip.message import Message, parse, respond
from wakerobin.core.values import Account, Flow, PhoneFlow, PushRegistration
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.sip import ServerTransactionHandle
from wakerobin.ports.store import CallRecord, HeldCall, Store, Transaction
from wakerobin.services.lives import Lives
from wakerobin.services.phones import Phones
from wakerobin.services.switchboard.acoustics import write_alarms
from wakerobin.services.switchboard.aftermath import tell_missed, withdraw_missed
from wakerobin.services.switchboard.exchange import Exchange
from wakerobin.services.switchboard.ghosts import Ghosts
from wakerobin.services.switchboard.incoming import (
    call_key,
    flow_from_json,
    registration_call_id,
    without_loop_mark,
)
from wakerobin.services.switchboard.line import Line
from wakerobin.services.switchboard.wake import wakeables

_log = log.get("switchboard")
_FAULTS = metrics.FAULTS.labels("switchboard")

LONGEST_PUSH_MS = 30_000
"""A call push is of no use after that, however long phones are waited for."""

MANY = 32
WRITE_REST_S = 0.01
"""How long the writer rests after a write while there are MANY calls: their news go into one COMMIT.

A COMMIT costs as much CPU time as half a call. The news of few calls are written at once.
"""

RETRY_WRITE_S = 1.0
"""How long the writer waits when the store cannot take a call's story; the call itself never waits."""


class Switchboard:
    """All calls from PBXs to phones. Lives on the event loop; `run` is its writer."""

    def __init__(
        self,
        *,
        store: Store,
        lives: Lives,
        phones: Phones,
        exchange: Exchange,
        policy: Callable[[str], CallPolicy],
    ) -> None:
        self._store = store
        self._lives = lives
        self._phones = phones
        self._exchange = exchange
        self._policy = policy
        self._lines: dict[Line, None] = {}
        """All calls, also those that are over and stay for late answers."""
        self._by_key: dict[str, Line] = {}
        """The latest of each key: a PBX may try again under the Call-ID of a call that is over."""
        self._ringing: dict[Line, None] = {}
        self._by_account: dict[int, dict[Line, None]] = {}
        self._by_sip_call_id: dict[str, dict[Line, None]] = {}
        self._by_transaction: dict[int, Line] = {}
        self._fed: dict[Line, None] = {}
        """Calls to which something has happened since they were written."""
        self._work = asyncio.Event()
        self._ghosts = Ghosts(store, exchange)

    def __len__(self) -> int:
        """Return how many calls are known, those included that are over and wait for late answers."""
        return len(self._lines)

    # From the front door

    def invite(self, transaction: ServerTransactionHandle, account: Account) -> None:
        """Take a call to an account: 100 at once, then whatever wakes or rings its phones."""
        request, policy = transaction.request, self._policy(account.app)
        key = call_key(self._exchange.keys.lasting, request, account.id)
        tag = hex_token(self._exchange.entropy, 8)
        known = self._by_key.get(key)
        if known is not None and not known.machine.state.is_over:
            transaction.respond(respond(request, 482, "Merged Request", to_tag=tag))  # RFC 3261 8.2.2.2
            return
        if breadth_of(request, policy.max_breadth) < 1:
            transaction.respond(respond(request, 440, to_tag=tag))  # RFC 5393 5.3.3.1
            return
        transaction.respond(respond(request, 100))
        now, at = self._exchange.clock.now(), self._exchange.clock.monotonic()
        machine = IncomingCall(request, policy, at)
        line = self._open(key, account, transaction, machine, to_tag=tag, started_at=now)
        caller = line.record.caller["name"] or line.record.caller["uri"]
        line.tell("invite", caller=caller, source=str(transaction.flow))
        # What it is to replace (RFC 3891) is a call on a phone that is awake.
        woken = [] if request.has("replaces") else line.registrations
        line.feed(machine.start(self._phones.flows(account.id), woken, at, line.browsers))

    def cancel(self, cancel: ServerTransactionHandle, invite: ServerTransactionHandle) -> bool:
        """The PBX cancels. False: that INVITE is not one of ours."""
        line = self._by_transaction.get(id(invite))
        if line is None:
            return False
        cancel.respond(respond(cancel.request, 200, to_tag=line.to_tag))
        reason = cancel.request.get("reason") or ""
        line.feed(line.machine.cancel(reason, self._exchange.clock.monotonic()))
        return True

    def early_request(self, transaction: ServerTransactionHandle) -> bool:
        """Answer a request into the early dialog of our own 180 (sip.md 18). False: it is none."""
        request = transaction.request
        line = next((one for one in self._of_dialog(request) if one.to_tag == request.to_tag), None)
        if line is None:
            return False
        if request.method == "BYE":
            transaction.respond(respond(request, 200))
            line.feed(line.machine.cancel("", self._exchange.clock.monotonic()))
        elif request.method in ("UPDATE", "INVITE"):
            # 481 would let some PBXs end the whole call.
            transaction.respond(respond(request, 500, headers=[("Retry-After", "5")]))
        else:
            transaction.respond(respond(request, 481))
        return True

    def phone_arrived(self, account_id: int, phone: PhoneFlow) -> None:
        """A phone registered: it gets the calls that are held for its account."""
        for line in self._of_account(account_id):
            line.phone_arrived(phone)

    def stray_response(self, message: Message, flow: Flow) -> bool:
        """Take a response to a branch that was abandoned, or of before a restart, known by its signature.

        Where its call is over and forgotten, its phone is stopped. False: it is a real stray.
        """
        branch = without_loop_mark(message.branch or "")
        number = tokens.read_branch(branch, self._exchange.keys, message.call_id, message.cseq.number)
        if number is None or message.status <= 100:
            return False
        # A PBX may ring several of its users, phones of ours all, under one Call-ID.
        lines = sorted(self._of_dialog(message), key=lambda line: number in line.registrations)
        if not lines:
            return self._ghosts.lay(number, message, flow)
        lines[-1].take_back(number, message, flow)
        return True

    # Over a restart

    async def resume(self) -> int:
        """Take up the calls that rang when the server ended. Returns how many still ring."""
        for held in self._store.read(lambda tx: tx.calls.held()):
            try:
                self._resume(held)
            except (LookupError, SipSyntaxError, ValueError) as error:
                _log.error("held_call_unusable", call=held.call_id, reason=str(error))
                line = self._by_key.get(held.call_id)
                if line is not None:
                    line.feed(line.machine.cancel("", self._exchange.clock.monotonic()))
                await self._release(held.call_id)
        return len(self._ringing)

    async def _release(self, call_id: str) -> None:
        await self._store.transact(lambda tx: tx.calls.release(call_id))

    def _resume(self, held: HeldCall) -> None:
        account = self._store.read(lambda tx: tx.accounts.get(held.account_id))
        if account is None:
            raise LookupError("its account is gone")
        if held.call_id in self._by_key:
            return  # the PBX has sent its INVITE again already
        invite = parse(held.invite)
        at = self._exchange.clock.monotonic()
        policy = self._policy(account.app)
        machine = IncomingCall(invite, policy, at - (self._exchange.clock.now() - held.started_at) / 1000)
        line = self._open(
            held.call_id,
            account,
            self._exchange.transactions.adopt_server(invite, flow_from_json(held.flow)),
            machine,
            to_tag=held.to_tag,
            started_at=held.started_at,
        )
        line.resume_aftermath(held)
        for branch in held.branches["branches"]:
            flow = flow_from_json(branch["flow"])
            # A stream died with us; what its phone answers is known by the branch (`stray_response`).
            if branch["answers"] and flow.connection == 0:
                phone = PhoneFlow(
                    account_id=account.id,
                    registration_id=branch["registration"],
                    flow=flow,
                    contact_uri=branch["contact"],
                    path=tuple(branch["path"]),
                    instance=branch["instance"],
                    heard_at=at,
                    expires_at=at + policy.ring_timeout,
                )
                line.adopt(branch, phone, parse(branch["sent"].encode("latin-1")))
        line.feed([*machine.resume(held.branches, line.registrations, at), *machine.on_timer(at)])

    # For the API and the other services

    def is_held(self, registration_id: int) -> bool:
        """Whether a call still rings for, or waits for, this registration."""
        return any(line.machine.awaits(registration_id) for line in self._ringing)

    def call_of(self, registration: PushRegistration, call_id: str) -> CallRecord | None:
        """Return the call that this registration knows under `call_id`; known 24 h."""
        line = self._line_of(registration, call_id)
        if line is not None:
            return line.record
        records = self._store.read(lambda tx: tx.calls.of_account(registration.account_id, 1000))
        return next((r for r in records if self.call_id_for(registration, r) == call_id), None)

    def call_id_for(self, registration: PushRegistration, record: CallRecord) -> str:
        """Return the `call_id` under which this registration knows a call."""
        return registration_call_id(
            self._exchange.keys.lasting, record.sip_call_id, record.from_tag, registration.public_id
        )

    async def wait(self, registration: PushRegistration, call_id: str, seconds: float) -> CallRecord | None:
        """Return the call as soon as it changes, at the latest after `seconds`."""
        line = self._line_of(registration, call_id)
        if line is not None and seconds > 0 and not line.machine.state.is_over:
            changed = asyncio.Event()
            line.when_changed(changed.set)
            try:
                async with asyncio.timeout(seconds):
                    await changed.wait()
            except TimeoutError:
                pass
        return self.call_of(registration, call_id)

    def decline(self, registration: PushRegistration, call_id: str, *, everywhere: bool, status: int) -> bool:
        """The user declined. False: there is no such call, or it rings no more."""
        line = self._line_of(registration, call_id)
        if line is None or line.machine.state.is_over:
            return False
        now = self._exchange.clock.monotonic()
        line.feed(line.machine.decline(registration.id, everywhere=everywhere, status=status, now=now))
        return True

    def progress(self, registration: PushRegistration, call_id: str) -> bool:
        """The app says that it is awake and deals with the call. False: the call rings no more."""
        line = self._line_of(registration, call_id)
        if line is None or line.machine.state.is_over:
            return False
        line.progress(registration.id)
        return True

    async def known(
        self, registration: PushRegistration, *, call_id: str = "", push_ids: Collection[str] = ()
    ) -> None:
        """The app knows of a call, by its `call_id` or by receipts: its user is not told of it any more."""
        lines = self._of_account(registration.account_id)
        for line in lines:
            if self.call_id_for(registration, line.record) == call_id:
                line.knows(registration.id)
            elif {*line.push_ids(registration.id)} & {*push_ids}:
                line.shown(registration.id)
        record = self.call_of(registration, call_id) if call_id else None
        key = record.call_id if record is not None else ""
        if self._store.read(lambda tx: tx.outbox.of_registration(registration.id, PushType.MISSED_CALL)):
            await self._store.transact(
                lambda tx: withdraw_missed(tx, registration.id, call=key, push_ids=push_ids)
            )

    # Its own

    async def run(self) -> None:
        """Write stories, records and held calls, after the fact; forget what is finished."""
        while True:
            await self._work.wait()
            self._work.clear()
            fed, self._fed = self._fed, {}
            written = [_Written(line) for line in fed if line.has_news]
            if written:
                await self._store_all(written)
            for line in fed:
                if line.machine.is_finished and not line.has_news and line in self._lines:
                    self._forget(line)
            if len(self._lines) >= MANY:
                await asyncio.sleep(WRITE_REST_S)

    async def _store_all(self, written: list[_Written]) -> None:
        alarms = self._exchange.acoustics.unwritten
        try:
            await self._store.transact(partial(self._write, written, alarms))
            self._exchange.acoustics.written(alarms)
        except StoreUnavailableError as error:
            _log.error("call_not_stored", reason=str(error))
            for one in written:
                one.undo()
            await asyncio.sleep(RETRY_WRITE_S)
            for one in written:
                self._was_fed(one.line)
        except Exception:
            # What cannot be written must not keep the calls of all others from being written.
            _FAULTS.inc()
            _log.error("call_not_stored", calls=[one.record.call_id for one in written], exc_info=True)

    def _open(
        self,
        key: str,
        account: Account,
        transaction: ServerTransactionHandle,
        machine: IncomingCall,
        *,
        to_tag: str,
        started_at: int,
    ) -> Line:
        waits_ms = round(self._policy(account.app).wake_timeout * 1000)
        line = Line(
            self._exchange,
            key=key,
            account=account,
            transaction=transaction,
            machine=machine,
            to_tag=to_tag,
            wakeables=self._store.read(lambda tx: wakeables(tx, account)),
            started_at=started_at,
            expires_at=started_at + min(waits_ms, LONGEST_PUSH_MS),
            on_over=self._over,
            on_fed=self._was_fed,
        )
        self._lines[line] = self._ringing[line] = None
        self._by_key[key] = line
        self._by_account.setdefault(account.id, {})[line] = None
        self._by_sip_call_id.setdefault(line.invite.call_id, {})[line] = None
        self._by_transaction[id(transaction)] = line
        metrics.CALLS_HELD.set(len(self._ringing))
        return line

    def _was_fed(self, line: Line) -> None:
        self._fed[line] = None
        self._work.set()

    def _over(self, line: Line) -> None:
        self._ringing.pop(line, None)
        metrics.CALLS_HELD.set(len(self._ringing))

    def _forget(self, line: Line) -> None:
        del self._lines[line]
        if self._by_key[line.key] is line:
            del self._by_key[line.key]
        self._by_transaction.pop(id(line.transaction), None)
        _discard(self._by_account, line.account.id, line)
        _discard(self._by_sip_call_id, line.invite.call_id, line)

    def _of_account(self, account_id: int) -> list[Line]:
        """Return the calls of an account, the latest first."""
        return list(self._by_account.get(account_id, ()))[::-1]

    def _of_dialog(self, message: Message) -> list[Line]:
        return list(self._by_sip_call_id.get(message.call_id, ()))

    def _write(self, batch: list[_Written], alarms: Mapping[str, Alarm | None], tx: Transaction) -> None:
        write_alarms(tx, alarms)
        for one in batch:
            for row in one.rows:
                tx.stories.add(row)
            if self._by_key.get(one.line.key) is one.line:
                tx.calls.put(one.record)
                if one.held is not None:
                    tx.calls.hold(one.held)
                elif one.record.ended_at:
                    tx.calls.release(one.line.key)
            for missed in one.missed:
                tell_missed(tx, missed, one.record.account_id)
            if one.line.was_missed and one.record.state == CallState.ANSWERED:
                for registration_id in one.line.registrations:  # the answer crossed the CANCEL
                    withdraw_missed(tx, registration_id, call=one.record.call_id)
            for registration_id in one.uses:
                self._lives.use_in(tx, registration_id, "call", self._exchange.clock.now())

    def _line_of(self, registration: PushRegistration, call_id: str) -> Line | None:
        return next(
            (
                line
                for line in self._of_account(registration.account_id)
                if self.call_id_for(registration, line.record) == call_id
            ),
            None,
        )


class _Written:
    """What one call wants to have written, taken from it; `undo` gives it back."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.record = line.record
        self.rows, line.rows, line.is_dirty = line.rows, [], False
        self.uses, line.uses = line.uses, []
        self.missed, line.missed = line.missed, []
        self.held = line.held()

    def undo(self) -> None:
        """The store could not take it."""
        self.line.rows[:0] = self.rows
        self.line.uses[:0] = self.uses
        self.line.missed[:0] = self.missed
        self.line.is_dirty = True


K = TypeVar("K")


def _discard(index: dict[K, dict[Line, None]], name: K, line: Line) -> None:
    del index[name][line]
    if not index[name]:
        del index[name]

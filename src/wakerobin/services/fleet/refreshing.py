"""Keeping proven accounts bound: refreshes, looks between them, and what follows when they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from wakerobin import log
from wakerobin.core.binding import (
    FULL_CODE,
    ONE_CONTACT_CODE,
    ONE_CONTACT_REASON,
    Bound,
    ComeLater,
    Intent,
    KeptNonce,
    Looked,
    Losses,
    Outcome,
    Trouble,
    Unreachable,
    Unusable,
    found,
    look_in_s,
    lost,
    refresh_in_s,
    troubled,
)
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.values import Account, BindingState, Credentials, Flow
from wakerobin.ports.store import Transaction
from wakerobin.services.fleet.agenda import Agenda
from wakerobin.services.fleet.alarms import PbxAlarms
from wakerobin.services.fleet.cycle import Cycles, Ending, Errand
from wakerobin.services.fleet.hops import Hops
from wakerobin.services.fleet.keep_alive import KeepAlives
from wakerobin.services.fleet.recovering import Recovering
from wakerobin.services.fleet.registrars import Registrars
from wakerobin.services.fleet.rhythm import key
from wakerobin.services.fleet.schedule import NEVER, Roster
from wakerobin.services.fleet.surroundings import Surroundings
from wakerobin.services.fleet.turns import Urgency
from wakerobin.services.lives import Failure

_STORE_RETRY_S = 30.0
_MAKE_WAY_AGAIN_S = 10.0
_MOST_LEFTOVERS = 4

T = TypeVar("T")

_log = log.get("fleet")


class Refreshing:
    """Driven by the agenda's rows and by the endings of conversations.

    What is rare (trouble, losses, a Service-Route) is kept by account beside the roster; kept nonces, too.
    """

    def __init__(self, around: Surroundings, roster: Roster, registrars: Registrars, cycles: Cycles) -> None:
        self.troubles: dict[int, Trouble] = {}
        self.service_routes: dict[int, tuple[str, ...]] = {}
        self.hops = Hops(roster)
        self.keep_alives = KeepAlives(around, self.hops, cycles.addresses)
        self.recovering = Recovering(around, roster, self.hops, self.troubles, self.bind_now)
        self.agenda = Agenda(roster, around.clock, around.timers, self.ask)
        self.on_idle: Callable[[int], None] = lambda _account_id: None
        """Called with an account when no conversation of it is under way any more."""
        self._around = around
        self._roster = roster
        self._registrars = registrars
        registrars.on_row = self._turn
        self._cycles = cycles
        self._losses: dict[int, Losses] = {}
        self._kept: dict[int, tuple[KeptNonce, ...]] = {}
        self._old_contacts: dict[int, str] = {}
        self.aside: set[int] = set()
        """Accounts whose binding makes way for the app's own."""
        self.alarms = PbxAlarms(around)
        """What operators are told of PBXs."""
        self._once_more: set[int] = set()
        self._awaited: dict[int, asyncio.Future[None]] = {}

    def is_busy(self, account_id: int) -> bool:
        """Whether a conversation of this account is under way or waits for its turn."""
        row = self._roster.row(account_id)
        return row is not None and bool(self._roster.is_busy[row])

    def ask(self, row: int, urgency: Urgency = Urgency.ROUTINE) -> None:
        """Let a row have its conversation as soon as its registrar may be asked."""
        if self._roster.is_busy[row]:
            return
        self._roster.is_busy[row] = Roster.RECOVERS if urgency is Urgency.RECOVERY else 1
        self._roster.due[row] = NEVER
        self._registrars[self._roster.registrar[row]].ask(row, urgency)

    def bind_now(self, row: int, urgency: Urgency = Urgency.URGENT) -> None:
        """Let a row be bound out of turn."""
        self._roster.refresh[row] = 0
        self.ask(row, urgency)

    def follow(self, account_id: int) -> asyncio.Future[None]:
        """Do at once what the store says of an account: bind it, or make way. Done when that was tried."""
        row, done = self._roster.row(account_id), self._awaited.get(account_id)
        if done is None:
            done = asyncio.get_running_loop().create_future()
        if row is None:
            done.set_result(None)
            return done
        self._awaited[account_id] = done
        if self._roster.is_busy[row]:
            self._once_more.add(account_id)  # what is under way does not know of it
        else:
            self.bind_now(row)
        return done

    def lost_flow(self, flow: Flow) -> None:
        """Take the news that a connection is no more: who was bound over it is bound no longer."""
        self.recovering.lost(flow, self.agenda.now())

    def adopt(self, account: Account, ending: Ending, outcome: Bound) -> None:
        """Go on with a binding that the trial of its credentials has made."""
        registrar = self._registrars.of(account)
        row = self._roster.add(account.id, registrar.number)
        # Another Call-ID, but some registrars compare the numbers all the same.
        self._roster.cseq[row] = max(self._roster.cseq[row], ending.cseq)
        self._settle(row, account, ending, outcome)
        if self._is_seen_elsewhere(ending, outcome):
            self._old_contacts[account.id] = ending.contact
            self.bind_now(row)

    def take_in(self, account: Account) -> None:
        """Begin to keep an account bound of which only the store knows that it is proven."""
        self.bind_now(self._roster.add(account.id, self._registrars.of(account).number))

    def leave(self, account_id: int) -> int:
        """Keep an account bound no longer. Returns its last CSeq number. Not while it `is_busy`."""
        row = self._roster.row(account_id)
        if row is None:
            return 0
        cseq = self._roster.cseq[row]
        self._forget(row)
        return cseq

    def _turn(self, row: int) -> None:
        """Begin the conversation of a row: it is busy, so that it is still the account's that asked."""
        account_id = self._roster.account[row]
        try:
            account, credentials = self._around.store.read(_of_account(account_id))
        except StoreUnavailableError:
            self._idle(row)
            self.agenda.put_in(row, _STORE_RETRY_S)
            return
        if account is None or credentials is None or not account.proven:
            self._idle(row)
            self._forget(row)
            return
        registrar = self._registrars.of(account)
        self._roster.registrar[row] = registrar.number
        is_look = registrar.can_look and self.agenda.now() < self._roster.refresh[row]
        intent = Intent.LOOK if is_look else Intent.BIND
        errand = self._errand(row, account, credentials, intent)
        if account.state is BindingState.STEPPED_ASIDE:
            self._make_way(row, errand)
            return
        old_contact = self._old_contacts.pop(account_id, "")
        if old_contact:
            self._remove_then_bind(row, errand, old_contact)
        else:
            self._converse(row, errand)

    def _errand(self, row: int, account: Account, credentials: Credentials, intent: Intent) -> Errand:
        return Errand(
            account=account,
            credentials=credentials,
            intent=intent,
            registrar=self._registrars[self._roster.registrar[row]],
            last_cseq=self._roster.cseq[row],
            kept=self._kept.get(account.id, ()),
            urgency=Urgency.RECOVERY if self._roster.is_busy[row] == Roster.RECOVERS else Urgency.ROUTINE,
        )

    def _make_way(self, row: int, errand: Errand) -> None:
        """Remove our Contact, and ours alone, for as long as the app registers at the PBX itself."""
        account_id = errand.account.id
        self.aside.add(account_id)
        if not self._roster.bound_until[row]:  # an earlier run may have been stopped before it was removed
            self._roster.bound_until[row] = self.agenda.now() + errand.registrar.expires_s

        def removed(ending: Ending) -> None:
            self._roster.cseq[row] = ending.cseq
            is_open = isinstance(ending.outcome, ComeLater | Unreachable)
            if is_open and self._roster.bound_until[row] > self.agenda.now():
                self.agenda.put_in(row, _MAKE_WAY_AGAIN_S)
            else:
                self._roster.bound_until[row] = 0
                self._roster.hop[row] = Roster.NO_HOP
                _log.info("binding_stepped_aside", account=account_id)
            self._forget_news(account_id)
            self._idle(row)

        self._cycles.start(replace(errand, intent=Intent.REMOVE), removed)

    def _converse(self, row: int, errand: Errand) -> None:
        self._cycles.start(errand, lambda ending: self._ended(row, errand, ending))

    def _ended(self, row: int, errand: Errand, ending: Ending) -> None:
        self._roster.cseq[row] = ending.cseq
        outcome = ending.outcome
        if errand.urgency is Urgency.RECOVERY:
            self.recovering.learn_pace(errand, ending)
        if isinstance(outcome, Bound):
            if self._is_seen_elsewhere(ending, outcome):
                # The old Contact goes first: some PBXs allow one, others make one of both (rewrite).
                self._remove_then_bind(row, errand, ending.contact)
                return
            self._settle(row, errand.account, ending, outcome)
            if outcome.others or errand.account.reason_code == FULL_CODE:
                self._has_room(errand)
            if outcome.leftovers:
                self._remove_all(row, errand, outcome.leftovers[:_MOST_LEFTOVERS])
                return
        elif errand.intent is Intent.LOOK:
            if self._looked(row, errand, outcome):
                return
        else:
            self._failed(row, errand, ending)
        self._idle(row)

    def _is_seen_elsewhere(self, ending: Ending, outcome: Bound) -> bool:
        now_s = self._around.clock.monotonic()
        return ending.flow is not None and self._cycles.addresses.learn(ending.flow, outcome.seen, now_s)

    def _remove_then_bind(self, row: int, errand: Errand, contact: str) -> None:
        def bind(ending: Ending) -> None:
            self._roster.cseq[row] = ending.cseq
            errand.registrar.spend(errand.urgency)
            self._converse(row, replace(errand, last_cseq=ending.cseq, intent=Intent.BIND))

        last_cseq = self._roster.cseq[row]
        removal = replace(errand, intent=Intent.REMOVE, contact=contact, last_cseq=last_cseq)
        self._cycles.start(removal, bind)

    def _remove_all(self, row: int, errand: Errand, contacts: Sequence[str]) -> None:
        """Remove contacts of ours from an address that we had before, one after the other."""
        if not contacts:
            self._idle(row)
            return

        def removed(ending: Ending) -> None:
            self._roster.cseq[row] = ending.cseq
            self._remove_all(row, errand, contacts[1:])

        errand.registrar.spend(errand.urgency)
        last_cseq = self._roster.cseq[row]
        removal = replace(errand, intent=Intent.REMOVE, contact=contacts[0], last_cseq=last_cseq)
        self._cycles.start(removal, removed)

    def _settle(self, row: int, account: Account, ending: Ending, outcome: Bound) -> None:
        """Note a binding and when to refresh it."""
        assert ending.flow is not None
        assert ending.hop is not None
        registrar = self._registrars[self._roster.registrar[row]]
        self.aside.discard(account.id)
        registrar.bound(outcome, ending.expires_s)
        registrar.is_by_stream = ending.flow.transport.is_reliable
        now, wall_s = self.agenda.now(), self._around.wall_s()
        refresh_s = refresh_in_s(outcome.granted_s, account.id, wall_s, self._around.jitter())
        refresh = self._roster.refresh[row] = now + int(refresh_s)
        self._roster.bound_until[row] = now + outcome.granted_s
        self.hops.note(row, ending.hop, ending.flow)
        self.keep_alives.wake(ending.flow)
        if outcome.is_listed and registrar.can_look:
            self._put_look(row, account.id)
        else:
            self.agenda.put(row, refresh)
        _keep(self._kept, account.id, outcome.kept)
        _keep(self.service_routes, account.id, outcome.service_route)
        self._recovered(account)
        self._learn_realm(account, outcome)
        if back := registrar.take_unreachable():
            self.recovering.bring_back(
                other for other in back if other != row and self._roster.due[other] != NEVER
            )

    def _put_look(self, row: int, account_id: int) -> None:
        """Let the binding be looked at before its refresh, if the time for that has come."""
        refresh, now_s = self._roster.refresh[row], self._around.clock.monotonic()
        until_s = self.agenda.monotonic(refresh) - now_s
        losses = self._losses.get(account_id)
        is_wary = losses is not None and losses.is_wary(now_s)
        look_s = look_in_s(until_s, account_id, self._around.wall_s(), is_wary=is_wary)
        self.agenda.put(row, refresh if look_s is None else min(refresh, self.agenda.now() + int(look_s)))

    def _recovered(self, account: Account) -> None:
        trouble = self.troubles.pop(account.id, None)
        if trouble is not None:
            _log.info("binding_back", account=account.id)
        if account.state is not BindingState.REGISTERED:
            self._tell(account, BindingState.REGISTERED, "", "")

    def _learn_realm(self, account: Account, outcome: Bound) -> None:
        """Phones are challenged as the PBX challenges us: keep what it accepted last."""
        accepted = outcome.accepted
        if accepted is None or (accepted.realm, accepted.algorithm) == (account.realm, account.algorithm):
            return

        def work(tx: Transaction) -> None:
            present = tx.accounts.get(account.id)
            if present is not None and present.proven:
                tx.accounts.update(replace(present, realm=accepted.realm, algorithm=accepted.algorithm))

        self._around.start(self._write(work))

    async def _write(self, work: Callable[[Transaction], None]) -> None:
        await self._around.store.transact(work)

    def _looked(self, row: int, errand: Errand, outcome: Outcome) -> bool:
        """Take the outcome of a look; whether the binding is made again right now."""
        account = errand.account
        if isinstance(outcome, Unusable):
            errand.registrar.can_look = False
        self.agenda.put(row, self._roster.refresh[row])
        if not isinstance(outcome, Looked):
            return False  # the refresh will find out what is wrong
        _keep(self._kept, account.id, outcome.kept)
        losses = self._losses.get(account.id, Losses())
        if outcome.is_there:
            _keep_losses(self._losses, account.id, found(losses, outcome.others))
            if outcome.others:
                self._has_room(errand)
            self._put_look(row, account.id)
            return False
        losses, is_first = lost(losses, outcome.others, self._around.clock.monotonic())
        _keep_losses(self._losses, account.id, losses)
        self._roster.bound_until[row] = self.agenda.now()
        _log.info("binding_lost", account=account.id, others=outcome.others)
        if losses.is_one_contact:
            self.alarms.crowded(f"{errand.registrar.hop}", account.id)
            self._tell(account, BindingState.REGISTERED, ONE_CONTACT_CODE, ONE_CONTACT_REASON)
        if is_first:
            errand.registrar.spend()
            last_cseq, kept = self._roster.cseq[row], outcome.kept
            again = replace(errand, intent=Intent.BIND, last_cseq=last_cseq, kept=kept)
            self._converse(row, again)
        return is_first

    def _has_room(self, errand: Errand) -> None:
        """Take in that a PBX holds our Contact beside another one."""
        self.alarms.has_room(f"{errand.registrar.hop}", errand.account.id)
        if errand.account.reason_code == ONE_CONTACT_CODE:
            self._tell(errand.account, BindingState.REGISTERED, "", "")

    def _failed(self, row: int, errand: Errand, ending: Ending) -> None:
        account, now_s = errand.account, self._around.clock.monotonic()
        trouble, wait_s = troubled(
            self.troubles.get(account.id), ending.outcome, now_s, self._around.jitter()
        )
        self.troubles[account.id] = trouble
        self._kept.pop(account.id, None)
        self._roster.refresh[row] = 0
        self.agenda.put_in(row, wait_s)
        if isinstance(ending.outcome, Unreachable):
            errand.registrar.note_unreachable(row, ending.started_s)
        _log.warning("binding_failed", account=account.id, code=trouble.code, again_in_s=round(wait_s))
        if trouble.code == FULL_CODE:
            self.alarms.crowded(f"{errand.registrar.hop}", account.id)
        bound_until_s = self.agenda.monotonic(self._roster.bound_until[row])
        if trouble.is_worth_telling(now_s, bound_until_s, wait_s):
            self._tell_failure(account, trouble, errand)

    def _tell_failure(self, account: Account, trouble: Trouble, errand: Errand) -> None:
        """Tell of trouble that is news; each refusal is, because they are counted."""
        if trouble.state is BindingState.UNREACHABLE and trouble.code == account.reason_code:
            return
        failure = Failure(
            state=trouble.state,
            code=trouble.code,
            reason=trouble.reason,
            registrar=key(errand.registrar),
            accounts=self._roster.count_of(errand.registrar.number),
        )
        self._around.start(self._failure(account.id, failure))

    async def _failure(self, account_id: int, failure: Failure) -> None:
        await self._around.lives.binding_failed(account_id, failure)

    def _tell(self, account: Account, state: BindingState, code: str, reason: str) -> None:
        if (account.state, account.reason_code) != (state, code):
            self._around.start(self._news(account.id, state, code, reason))

    async def _news(self, account_id: int, state: BindingState, code: str, reason: str) -> None:
        await self._around.lives.binding_state(account_id, state, code, reason)

    def _idle(self, row: int) -> None:
        account_id = self._roster.account[row]
        self._roster.is_busy[row] = 0
        if account_id in self._once_more:
            self._once_more.discard(account_id)
            self.bind_now(row)
            return
        done = self._awaited.pop(account_id, None)
        if done is not None and not done.done():
            done.set_result(None)
        self.on_idle(account_id)

    def _forget(self, row: int) -> None:
        account_id = self._roster.account[row]
        registrar = self._registrars[self._roster.registrar[row]]
        registrar.unreachable.discard(row)
        self.alarms.has_room(f"{registrar.hop}", account_id)
        self._roster.remove(account_id)
        self.aside.discard(account_id)
        self._forget_news(account_id)
        self._old_contacts.pop(account_id, None)

    def _forget_news(self, account_id: int) -> None:
        """Forget what was learnt of a binding that is no more."""
        self.troubles.pop(account_id, None)
        self.service_routes.pop(account_id, None)
        self._losses.pop(account_id, None)
        self._kept.pop(account_id, None)


def _keep(kept: dict[int, tuple[T, ...]], account_id: int, values: tuple[T, ...]) -> None:
    """Keep what there is; most accounts have nothing of most things."""
    if values:
        kept[account_id] = values
    else:
        kept.pop(account_id, None)


def _keep_losses(kept: dict[int, Losses], account_id: int, losses: Losses) -> None:
    if losses == Losses():
        kept.pop(account_id, None)
    else:
        kept[account_id] = losses


def _of_account(account_id: int) -> Callable[[Transaction], tuple[Account | None, Credentials | None]]:
    return lambda tx: (tx.accounts.get(account_id), tx.accounts.credentials(account_id))

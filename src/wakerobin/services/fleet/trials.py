"""Trying credentials that wait for their proof: a REGISTER of their own that the PBX answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import assert_never

from wakerobin import log
from wakerobin.core.binding import (
    Accepted,
    Bound,
    ComeLater,
    Intent,
    Outcome,
    RealmUnknown,
    Refusal,
    Refused,
    Trouble,
    Unusable,
    troubled,
)
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.sip import digest
from wakerobin.core.values import Account, Algorithm, Credentials, RealmKey, Secret
from wakerobin.ports.clock import Timer
from wakerobin.ports.store import Transaction, Trial, Unregister
from wakerobin.services.fleet.budget import TooManyAtRegistrar, TooManyOfUser, Wait
from wakerobin.services.fleet.cycle import Cycles, Ending, Errand
from wakerobin.services.fleet.rations import Ration, Rations
from wakerobin.services.fleet.refreshing import Refreshing
from wakerobin.services.fleet.registrars import Registrar, Registrars
from wakerobin.services.fleet.surroundings import Surroundings
from wakerobin.services.fleet.turns import Urgency
from wakerobin.services.fleet.values import TrialResult, TrialVerdict
from wakerobin.services.lives import Proof, tried_at, way_of

_REFUSED = TrialResult(
    TrialVerdict.REFUSED,
    "credentials-refused",
    "The PBX does not accept these credentials, or it has no room for one more device of this extension.",
)
_UNCHALLENGED = TrialResult(
    TrialVerdict.UNCHALLENGED,
    "registrar-does-not-challenge",
    "The PBX asks for no password, so that nobody could tell whose account this is.",
)
_GONE = TrialResult(TrialVerdict.GONE)
_BUSY = "Too many wrong credentials were tried at this PBX; it would ban this server."
_TOO_MANY = "The credentials of this user were refused too often."

_MOST_REGISTRARS = 10_000
"""Enrolments may name any host that a pattern allows; each is remembered."""

_STORE_RETRY_S = 30.0

_log = log.get("fleet")


@dataclass(slots=True)
class _Running:
    """One trial, from the wish to its end, over all its attempts."""

    registration_id: int
    answer: asyncio.Future[TrialResult]
    trouble: Trouble | None = None
    timer: Timer | None = None
    ration: Ration | None = None
    """The grant of the attempt that is under way."""
    was_accepted: bool = False
    """Whether the PBX took the credentials: then the store may know it although it could not say so."""


class Trials:
    """Driven by the store's trials. Credentials that were answered for are forgotten here.

    `refreshing` takes over the binding that a successful trial has made.
    """

    def __init__(
        self, around: Surroundings, registrars: Registrars, cycles: Cycles, refreshing: Refreshing
    ) -> None:
        self._around = around
        self._registrars = registrars
        self._cycles = cycles
        self._refreshing = refreshing
        self._running: dict[int, _Running] = {}
        options = around.options.sip
        self._rations = Rations(options.unproven_rate, options.unproven_refusals)

    def look(self) -> None:
        """Begin what the store holds and nobody has begun."""
        for registration_id in self._around.store.read(lambda tx: tx.binding_work.trial_ids()):
            self.begin(registration_id)

    def begin(self, registration_id: int) -> asyncio.Future[TrialResult]:
        """Begin a trial, or join the one under way; the future gets its first answer."""
        running = self._running.get(registration_id)
        if running is None:
            answer: asyncio.Future[TrialResult] = asyncio.get_running_loop().create_future()
            running = self._running[registration_id] = _Running(registration_id, answer)
            if self._around.tasks is not None:
                self._attempt(running)
        # Whoever waits may lose patience; the others must not lose the answer by it.
        return asyncio.shield(running.answer) if not running.answer.done() else running.answer

    def foresee(self, account: Account, user: str) -> TrialResult | None:
        """Return the refusal that credentials would meet without the PBX being asked; None: try them."""
        registrar = self._registrars.known(account)
        if registrar is None:
            if len(self._registrars) < _MOST_REGISTRARS:
                return None
            return TrialResult(TrialVerdict.BUSY, "registrar-busy", "Too many PBXs are known already.", 600)
        now_s = self._around.clock.monotonic()
        exhausted = self._rations.exhausted(_addresses(registrar), user, now_s)
        return _exhausted(exhausted) if exhausted is not None else None

    def trouble(self, registration_id: int) -> Trouble | None:
        """Return what keeps the credentials of a registration from being tried; None: nothing known."""
        running = self._running.get(registration_id)
        return running.trouble if running is not None else None

    def resume(self) -> None:
        """Attempt what was begun before the fleet ran."""
        for running in tuple(self._running.values()):
            self._attempt(running)

    def stop(self) -> None:
        """Forget what waits; the store still has it."""
        for running in self._running.values():
            if running.timer is not None:
                running.timer.cancel()
            running.answer.cancel()
        self._running.clear()

    def _attempt(self, running: _Running) -> None:
        running.timer = None
        try:
            found = self._around.store.read(_trial_of(running.registration_id))
            kept = None if found else self._around.store.read(_proven_account(running.registration_id))
        except StoreUnavailableError:
            self._again(running, _STORE_RETRY_S)
            return
        if found is None:
            self._without_trial(running, kept)
            return
        trial, account = found
        registrar = self._registrars.of(account)
        if registrar.addresses:
            self._ration(running, trial, account, registrar)
        else:  # by its addresses guesses are counted, so that more names for one PBX bring no more of them
            registrar.ask(lambda: self._ration(running, trial, account, registrar), Urgency.URGENT)

    def _ration(self, running: _Running, trial: Trial, account: Account, registrar: Registrar) -> None:
        if trial.is_trusted:
            registrar.ask(lambda: self._send(running, trial, account, registrar))
            return
        user, now_s = trial.credentials.username, self._around.clock.monotonic()
        match self._rations.ask(_addresses(registrar), user, now_s):
            case Ration() as ration:
                running.ration = ration
                registrar.ask(lambda: self._send(running, trial, account, registrar), Urgency.URGENT)
            case Wait(seconds=seconds):
                self._again(running, seconds)
            case TooManyAtRegistrar() as busy:
                self._answer(running, _exhausted(busy))
                self._again(running, busy.seconds)
            case TooManyOfUser() as too_many:
                self._refuse(running, _exhausted(too_many))
            case never:
                assert_never(never)

    def _without_trial(self, running: _Running, proven: Account | None) -> None:
        """Take in that the store has no trial: it was dropped, or the proof was kept and we were not told."""
        if proven is None or not running.was_accepted:
            self._finish(running, _GONE)
            return
        self._refreshing.take_in(proven)
        self._finish(running, TrialResult(TrialVerdict.PROVEN))

    def _send(self, running: _Running, trial: Trial, account: Account, registrar: Registrar) -> None:
        errand = Errand(
            account=account,
            credentials=trial.credentials,
            intent=Intent.BIND,
            registrar=registrar,
            purpose=f"trial {trial.registration_id}",
        )
        self._cycles.start(errand, lambda ending: self._ended(running, errand, ending))

    def _ended(self, running: _Running, errand: Errand, ending: Ending) -> None:
        now_s = self._around.clock.monotonic()
        outcome = ending.outcome
        if running.ration is not None:
            is_refused = isinstance(outcome, Refused) and not _is_full(outcome)
            address = ending.flow.remote[0] if ending.flow is not None else errand.registrar.hop.host
            running.ration.settle(now_s, refused_at=address if is_refused else "")
            running.ration = None
        if isinstance(outcome, Bound):
            self._bound(running, errand, ending, outcome)
        elif isinstance(outcome, Refused | RealmUnknown) and not _is_full(outcome):
            self._refuse(running, _REFUSED)
        else:
            running.trouble, wait_s = troubled(running.trouble, outcome, now_s, self._around.jitter())
            code = "registrar-unusable" if isinstance(outcome, Unusable) else running.trouble.code
            retry_s = math.ceil(wait_s) if isinstance(outcome, ComeLater) else 0
            self._answer(
                running, TrialResult(TrialVerdict.UNREACHABLE, code, running.trouble.reason, retry_s)
            )
            self._again(running, wait_s)

    def _bound(self, running: _Running, errand: Errand, ending: Ending, outcome: Bound) -> None:
        app = self._around.options.apps.get(errand.account.app)
        if outcome.accepted is not None:
            proof = _proof(outcome.accepted, errand.account, outcome.granted_s)
        elif app is not None and app.trust_unchallenged:
            unasked = _unasked(errand.account, errand.credentials)
            proof = _proof(unasked, errand.account, outcome.granted_s)
        else:
            self._refuse(running, _UNCHALLENGED, also=_removal(errand, self._around.clock.now(), outcome))
            return
        self._around.start(self._prove(running, proof, errand, ending, outcome))

    async def _prove(
        self, running: _Running, proof: Proof, errand: Errand, ending: Ending, outcome: Bound
    ) -> None:
        registration_id, account_id = running.registration_id, errand.account.id
        running.was_accepted = True
        try:
            is_taken = await self._around.lives.proven(registration_id, proof)
        except StoreUnavailableError:
            self._again(running, _STORE_RETRY_S)
            raise
        account = self._around.store.read(lambda tx: tx.accounts.get(account_id))
        if not is_taken or account is None or not account.proven:
            # It ended meanwhile, or others have proven the account at another PBX: what the trial has left
            # goes, too. A trial that is still there is begun once more, where the account is now.
            removal = _removal(errand, self._around.clock.now(), outcome)
            await self._around.store.transact(removal)
            self._finish(running, _GONE)
            return
        _log.info("binding_made", account=account_id, expires_s=outcome.granted_s)
        self._refreshing.adopt(account, ending, outcome)
        self._finish(running, TrialResult(TrialVerdict.PROVEN))

    def _refuse(
        self,
        running: _Running,
        result: TrialResult,
        also: Callable[[Transaction], None] | None = None,
    ) -> None:
        self._around.start(self._write_refusal(running, result, also))

    async def _write_refusal(
        self,
        running: _Running,
        result: TrialResult,
        also: Callable[[Transaction], None] | None,
    ) -> None:
        try:
            await self._around.lives.refused(running.registration_id, result.code, result.reason)
            if also is not None:
                await self._around.store.transact(also)
        finally:
            self._finish(running, result)

    def _again(self, running: _Running, seconds: float) -> None:
        when = self._around.clock.monotonic() + seconds
        running.timer = self._around.timers.call_at(when, lambda: self._attempt(running))

    def _answer(self, running: _Running, result: TrialResult) -> None:
        if not running.answer.done():
            running.answer.set_result(result)

    def _finish(self, running: _Running, result: TrialResult) -> None:
        self._running.pop(running.registration_id, None)
        self._answer(running, result)


def _is_full(outcome: Outcome) -> bool:
    """Whether the password is right and only the place for another device is missing."""
    return isinstance(outcome, Refused) and outcome.why is Refusal.FULL


def _addresses(registrar: Registrar) -> Iterable[str]:
    """Return what a PBX bans us from, whatever names and ports enrolments have for it."""
    return {address for address, _ in registrar.addresses} or {registrar.hop.host}


def _exhausted(how: TooManyAtRegistrar | TooManyOfUser) -> TrialResult:
    seconds = math.ceil(how.seconds)
    if isinstance(how, TooManyAtRegistrar):
        return TrialResult(TrialVerdict.BUSY, "registrar-busy", _BUSY, seconds)
    return TrialResult(TrialVerdict.TOO_MANY_REFUSED, "too-many-refused-credentials", _TOO_MANY, seconds)


def _trial_of(registration_id: int) -> Callable[[Transaction], tuple[Trial, Account] | None]:
    def work(tx: Transaction) -> tuple[Trial, Account] | None:
        trial = tx.binding_work.trial(registration_id)
        if trial is None:
            return None
        account = tx.accounts.get(trial.account_id)
        return None if account is None else (trial, tried_at(account, trial))

    return work


def _proven_account(registration_id: int) -> Callable[[Transaction], Account | None]:
    def work(tx: Transaction) -> Account | None:
        registration = tx.registrations.get(registration_id)
        if registration is None or not registration.proven:
            return None
        account = tx.accounts.get(registration.account_id)
        return account if account is not None and account.proven else None

    return work


def _proof(accepted: Accepted, account: Account, granted_s: int) -> Proof:
    return Proof(accepted.keys, accepted.realm, accepted.algorithm, granted_s, way_of(account))


def _unasked(account: Account, credentials: Credentials) -> Accepted:
    """Return what is kept where the PBX never asks: phones are then challenged with the AOR's domain."""
    realm = account.aor.rpartition("@")[2]
    keys = credentials.keys
    if credentials.password is not None:
        password = credentials.password.reveal()
        keys = tuple(
            RealmKey(
                realm,
                algorithm,
                Secret(digest.ha1(digest.Algorithm(algorithm.value), credentials.username, realm, password)),
            )
            for algorithm in Algorithm
        )
    elif keys:
        return Accepted(keys[0].realm, keys[0].algorithm, keys)
    return Accepted(realm, Algorithm.MD5, keys)


def _removal(errand: Errand, now: int, outcome: Bound) -> Callable[[Transaction], None]:
    """Return the work that has a binding removed which no account needs."""

    def work(tx: Transaction) -> None:
        account = tx.accounts.get(errand.account.id)
        if account is not None and account.proven:
            return  # its own binding, with the same Contact
        tx.binding_work.add_unregister(
            Unregister(
                account=replace(errand.account, proven=False),
                credentials=errand.credentials,
                created_at=now,
                give_up_at=now + outcome.granted_s * 1000,
            )
        )

    return work

"""Removing our Contact at PBXs where it is no longer wanted, until they say so or have forgotten us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wakerobin import log
from wakerobin.core.binding import (
    ComeLater,
    Intent,
    Outcome,
    RealmUnknown,
    Refused,
    Removed,
    Trouble,
    Unreachable,
    troubled,
)
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.ports.clock import Timer
from wakerobin.ports.store import Transaction, Unregister
from wakerobin.services import story
from wakerobin.services.fleet.cycle import Cycles, Ending, Errand
from wakerobin.services.fleet.refreshing import Refreshing
from wakerobin.services.fleet.registrars import Registrars
from wakerobin.services.fleet.surroundings import Surroundings

_STORE_RETRY_S = 30.0

_log = log.get("fleet")


@dataclass(slots=True)
class _Work:
    row: Unregister
    last_cseq: int = 0
    trouble: Trouble | None = None
    timer: Timer | None = None
    waits_for_idle: bool = False


class Removals:
    """Driven by the store's un-REGISTER work: each row carries the credentials that it needs."""

    def __init__(
        self, around: Surroundings, registrars: Registrars, cycles: Cycles, refreshing: Refreshing
    ) -> None:
        self._around = around
        self._registrars = registrars
        self._cycles = cycles
        self._refreshing = refreshing
        self._works: dict[int, _Work] = {}

    def look(self) -> None:
        """Begin what the store holds and nobody has begun; drop what it does not hold any more."""
        rows = {row.id: row for row in self._around.store.read(lambda tx: tx.binding_work.unregisters())}
        for gone in self._works.keys() - rows.keys():
            self._drop(gone)
        for row_id in rows.keys() - self._works.keys():
            work = self._works[row_id] = _Work(rows[row_id])
            self._begin(work)

    def account_idle(self, account_id: int) -> None:
        """Go on with what waited for the end of a conversation of this account."""
        for work in tuple(self._works.values()):
            if work.waits_for_idle and work.row.account.id == account_id:
                self._begin(work)

    def stop(self) -> None:
        """Forget what waits; the store still has it."""
        for row_id in tuple(self._works):
            self._drop(row_id)

    def _begin(self, work: _Work) -> None:
        """Let no REGISTER of this account be under way: it could arrive after the removal."""
        account_id = work.row.account.id
        work.waits_for_idle = self._refreshing.is_busy(account_id)
        if work.waits_for_idle:
            return
        try:
            present = self._around.store.read(lambda tx: tx.accounts.get(account_id))
        except StoreUnavailableError:
            self._later(work, _STORE_RETRY_S, self._begin)
            return
        if present is None or not present.proven:
            work.last_cseq = max(work.last_cseq, self._refreshing.leave(account_id))
        self._attempt(work)

    def _attempt(self, work: _Work) -> None:
        work.timer = None
        if self._around.clock.now() >= work.row.give_up_at:
            self._settle(work, "the PBX did not answer until the binding ended by itself")
            return
        self._registrars.of(work.row.account).ask(lambda: self._send(work))

    def _send(self, work: _Work) -> None:
        if work.row.id not in self._works:
            return  # the account was enrolled again meanwhile
        errand = Errand(
            account=work.row.account,
            credentials=work.row.credentials,
            intent=Intent.REMOVE,
            registrar=self._registrars.of(work.row.account),
            last_cseq=work.last_cseq,
        )
        self._cycles.start(errand, lambda ending: self._ended(work, ending))

    def _ended(self, work: _Work, ending: Ending) -> None:
        work.last_cseq = ending.cseq
        if work.row.id not in self._works:
            return
        if not isinstance(ending.outcome, ComeLater | Unreachable):
            self._settle(work, "" if isinstance(ending.outcome, Removed) else _words(ending.outcome))
            return
        now_s, now = self._around.clock.monotonic(), self._around.clock.now()
        work.trouble, wait_s = troubled(work.trouble, ending.outcome, now_s, self._around.jitter())
        left_s = max(0.0, (work.row.give_up_at - now) / 1000)
        self._later(work, min(wait_s, left_s), self._attempt)

    def _settle(self, work: _Work, failure: str) -> None:
        _log.info("binding_removed", account=work.row.account.id, failure=failure)
        self._around.start(self._forget(work, failure))

    async def _forget(self, work: _Work, failure: str) -> None:
        try:
            await self._around.store.transact(_settled(work.row, self._around.clock.now(), failure))
        except StoreUnavailableError:
            # Asking the PBX once more harms nobody; a row that stays would be asked about at each start.
            self._later(work, _STORE_RETRY_S, self._attempt)
            raise

    def _later(self, work: _Work, seconds: float, step: Callable[[_Work], None]) -> None:
        when = self._around.clock.monotonic() + seconds
        work.timer = self._around.timers.call_at(when, lambda: step(work))

    def _drop(self, row_id: int) -> None:
        timer = self._works.pop(row_id).timer
        if timer is not None:
            timer.cancel()


def _settled(row: Unregister, now: int, failure: str) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        tx.binding_work.remove_unregister(row.id)
        if tx.registrations.get(row.registration_id) is None:
            return
        subject = story.of_registration(row.registration_id)
        if failure:
            story.tell(tx, subject, now, "unregister-failed", reason=failure)
        else:
            story.tell(tx, subject, now, "unregistered")

    return work


def _words(outcome: Outcome) -> str:
    """Return why a binding could not be removed, in words."""
    match outcome:
        case Refused(status=status):
            return f"the PBX answered {status}"
        case RealmUnknown():
            return "the PBX asked for a password of another realm"
        case _:
            return "the PBX gave an answer that means nothing"

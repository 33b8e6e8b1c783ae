"""Accounts that their PBX refuses, or that cannot reach it: for how long, and what follows (law 7).

The clock of a trouble runs only while the server does. A refusal of one account is that account's; where a
registrar refuses many, it is the registrar's, and no life is cut by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from wakerobin import log, metrics
from wakerobin.core.lifetime import Event, Recovered, Trouble, TroubleEnd
from wakerobin.core.values import BindingState, PushRegistration
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.store import Store, Transaction
from wakerobin.ports.upkeep import AccountTrouble
from wakerobin.services.lives.deciding import Deciding
from wakerobin.services.lives.downtime import outside

REFUSED = "refused"
UNREACHABLE = "unreachable"
LEAST_REFUSALS = 3
"""So many refusals end a life, spread over half of the limit at least."""
_TELLING_REFUSALS = 2
MANY = 10
"""Refused accounts of one registrar; with a fifth of its accounts they are the registrar's trouble."""
_SHARE = 5
_ALARM = "registrar-refuses:"
_LOOK_AGAIN = 600_000
_PARTS = 60  # of a limit, where that is short
_REFUSING = frozenset({BindingState.REFUSED, BindingState.CREDENTIALS_NEEDED})
_TOLD, _ENDED = 1, 2

_log = log.get("lives")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A refresh of a binding that failed, as the fleet reports it."""

    state: BindingState
    code: str
    reason: str
    registrar: str
    """Whom it was refused by, by a name that all of its accounts share."""
    accounts: int
    """How many accounts that registrar has here."""


class Troubles:
    """Written down with each failure, looked at when something follows."""

    def __init__(self, store: Store, deciding: Deciding, is_call_held: Callable[[int], bool]) -> None:
        self._store = store
        self._deciding = deciding
        self._is_call_held = is_call_held

    def note_in(self, tx: Transaction, account_id: int, failure: Failure, now: int) -> None:
        """Take in a failed refresh of a proven account."""
        account = tx.accounts.get(account_id)
        if account is None or not account.proven:
            return
        is_refused = failure.state in _REFUSING
        before = tx.troubles.get(account_id)
        limit = self._deciding.policies(account.app).unregistered_limit
        trouble = AccountTrouble(
            account_id=account_id,
            cause=REFUSED if is_refused else UNREACHABLE,
            code=failure.code,
            reason=failure.reason,
            registrar=failure.registrar,
            peers=failure.accounts,
            since_at=now,
            next_at=now + (limit // 2 if is_refused else limit),
        )
        if before is not None and (before.cause == trouble.cause or before.refusals):
            # What was refused once stays refused while the PBX cannot be asked; the clock of what only
            # could not be reached begins with the first refusal.
            trouble = replace(
                trouble,
                since_at=before.since_at,
                refusals=before.refusals,
                refused_at=before.refused_at,
                told=before.told,
                next_at=before.next_at if before.cause == trouble.cause else now,
            )
        if is_refused:
            trouble = replace(trouble, refusals=trouble.refusals + 1, refused_at=now)
        tx.troubles.put(trouble)

    def clear_in(self, tx: Transaction, account_id: int, now: int) -> None:
        """Take in that an account is bound again: who was told of the trouble is told of that."""
        if tx.troubles.get(account_id) is None:
            return
        tx.troubles.remove(account_id)
        self._say(tx, _proven(tx, account_id), Recovered(), now, frozenset())

    async def look(self, now: int, limit: int = 100) -> int:
        """See what follows from troubles that are due, in one transaction; returns how many there were."""
        due = self._store.read(lambda tx: self._due(tx, now, limit))
        if due:
            ids = [account_id for account_id, _ in due]
            held = frozenset(id_ for _, of_it in due for id_ in of_it if self._is_call_held(id_))
            await self._store.transact(lambda tx: self._look_in(tx, ids, now, held))
        return len(due)

    async def watch(self, now: int) -> None:
        """Tell the operator of registrars that refuse many; once a minute."""
        counts = self._store.read(lambda tx: tx.troubles.count())
        for cause in (REFUSED, UNREACHABLE):
            metrics.TROUBLES.labels(cause).set(counts.get(cause, 0))
        refusing, raised = self._store.read(_refusing)
        if refusing or raised:
            await self._store.transact(lambda tx: _raise(tx, now))
        for registrar, refused, accounts in refusing:
            if f"{_ALARM}{registrar}" not in raised:
                _log.error("registrar_refuses", registrar=registrar, refused=refused, accounts=accounts)

    def _due(self, tx: Transaction, now: int, limit: int) -> list[tuple[int, list[int]]]:
        rows = tx.troubles.due(now, limit)
        return [(row.account_id, [one.id for one in _proven(tx, row.account_id)]) for row in rows]

    def _look_in(self, tx: Transaction, ids: Iterable[int], now: int, held: frozenset[int]) -> None:
        for account_id in ids:
            trouble = tx.troubles.get(account_id)
            account = tx.accounts.get(account_id)
            if trouble is None or account is None or trouble.next_at is None or trouble.next_at > now:
                continue
            limit = self._deciding.policies(account.app).unregistered_limit
            told = self._followed(tx, trouble, limit, now, held)
            if tx.troubles.get(account_id) is not None:  # it goes with the binding
                tx.troubles.put(told)

    def _followed(
        self, tx: Transaction, trouble: AccountTrouble, limit: int, now: int, held: frozenset[int]
    ) -> AccountTrouble:
        """Do what follows, and return the trouble with the next moment to look at it."""
        ran = outside(self._deciding.downtime.known(tx, now), trouble.since_at, now)
        soon = now + max(1, min(_LOOK_AGAIN, limit // _PARTS))
        phones = _proven(tx, trouble.account_id)
        if trouble.cause == UNREACHABLE:
            if ran < limit:
                return replace(trouble, next_at=now + limit - ran)
            self._say(tx, phones, Trouble(UNREACHABLE, trouble.reason), now, held)
            return replace(trouble, told=max(trouble.told, _TOLD), next_at=None)
        if ran < limit // 2:
            return replace(trouble, next_at=now + limit // 2 - ran)
        if trouble.refusals < _TELLING_REFUSALS or _is_registrars(tx, trouble):
            return replace(trouble, next_at=soon)
        self._say(tx, phones, Trouble(REFUSED, trouble.reason), now, held)
        if ran < limit:
            return replace(trouble, told=max(trouble.told, _TOLD), next_at=now + limit - ran)
        if trouble.refusals < LEAST_REFUSALS or trouble.refused_at - trouble.since_at < limit // 2:
            return replace(trouble, told=max(trouble.told, _TOLD), next_at=soon)
        self._say(tx, phones, TroubleEnd(trouble.reason), now, held)
        # A life waits for its text to be settled, and for a call that is held.
        return replace(trouble, told=_ENDED, next_at=soon)

    def _say(
        self,
        tx: Transaction,
        phones: Iterable[PushRegistration],
        event: Event,
        now: int,
        held: frozenset[int],
    ) -> None:
        apply = self._deciding.apply(now, held)
        for phone in phones:
            apply(tx, phone, event)


def _proven(tx: Transaction, account_id: int) -> list[PushRegistration]:
    return [one for one in tx.registrations.of_account(account_id) if one.proven]


def _is_registrars(tx: Transaction, trouble: AccountTrouble) -> bool:
    return _is_many(tx.troubles.refused_at(trouble.registrar), trouble.peers)


def _is_many(refused: int, accounts: int) -> bool:
    return refused >= MANY and refused * _SHARE >= accounts


def _refusing(tx: Transaction) -> tuple[list[tuple[str, int, int]], set[str]]:
    refusing = [one for one in tx.troubles.registrars() if _is_many(one[1], one[2])]
    raised = {alarm.name for alarm in tx.alarms.all() if alarm.name.startswith(_ALARM)}
    return refusing, raised


def _raise(tx: Transaction, now: int) -> None:
    refusing, raised = _refusing(tx)
    for registrar, refused, accounts in refusing:
        name = f"{_ALARM}{registrar}"
        raised.discard(name)
        words = (
            f"{registrar} refuses {refused} of {accounts} accounts. So many are no wrong passwords: no life "
            "is cut by it. See whether it bans this server's address, or has changed its realm or users."
        )
        tx.alarms.put(Alarm(name, now, words))
    for name in raised:
        tx.alarms.clear(name)

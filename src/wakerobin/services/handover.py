"""Bindings that make way: an app in the foreground may register at its PBX itself, where that is allowed.

Our binding is removed then, and comes back when the app says so, or when it has said nothing for too long.
What an app said is stored, so that neither is lost by a restart. The life of its push registration goes on.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from wakerobin import log, metrics
from wakerobin.core.values import Account, BindingState, Life, PushRegistration
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.options import AppOptions
from wakerobin.ports.store import Store, Transaction
from wakerobin.services import story

ALTERNATE: Final = "alternate"

_PAGE = 500
_LOOK_EVERY_MS = 60_000
_STORE_RETRY_MS = 30_000
_MAKES_WAY = frozenset({BindingState.REGISTERED, BindingState.REGISTERING, BindingState.UNREACHABLE})
"""Where there is something to make way. What is refused stays so: coming back would ask the PBX again."""

_FAULTS = metrics.FAULTS.labels("handover")

_log = log.get("handover")


class Bindings(Protocol):
    """The part of the fleet that is needed."""

    def follow(self, account_id: int) -> asyncio.Future[None]:
        """Do at once what the store says of an account's binding; done when the PBX has been asked."""
        ...


class UsedLives(Protocol):
    """The part of the lives that is needed."""

    def use_in(self, tx: Transaction, registration_id: int, cause: str, now: int) -> Life | None:
        """Renew a living one by a use."""
        ...


class Handover:
    """`run` brings back what was forgotten. Times are those of `clock`, by which lives go, too."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        timers: Timers,
        lives: UsedLives,
        bindings: Bindings,
        apps: Mapping[str, AppOptions],
    ) -> None:
        self._store = store
        self._clock = clock
        self._timers = timers
        self._lives = lives
        self._bindings = bindings
        self._apps = apps
        self._due: list[tuple[int, int]] = []
        """When to look at whom: never too late, often too early, since every use puts it off."""
        self._awaited: set[int] = set()
        """Who is in there: once, however often an app says the same."""
        self._timer: Timer | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Bring back, until cancelled, the bindings of apps that have said nothing for too long."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._take_up()
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None
            if self._timer is not None:
                self._timer.cancel()

    async def step_aside(self, registration: PushRegistration, wait_s: float) -> bool:
        """Let the binding make way for the app's own. False: this app's never does, or it is not proven.

        It stays while another phone of the account needs it. Waits up to `wait_s` for the PBX. A use.
        """
        limit = self._limit(registration.app)
        now = self._clock.now()
        if not limit:
            return False
        account = await self._store.transact(lambda tx: self._step_aside_in(tx, registration.id, now))
        if account is None:
            return False
        self._look_at(now + limit, registration.id)
        if account.state is BindingState.STEPPED_ASIDE:
            await self._followed(account.id, wait_s)
        return True

    async def come_back(self, registration: PushRegistration, wait_s: float, cause: str) -> None:
        """Take the calls of an app over again: it leaves the foreground, or enrols. A use by this `cause`.

        Waits up to `wait_s` for the PBX.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> int:
            self._lives.use_in(tx, registration.id, cause, now)
            return _come_back_in(tx, registration.id, now, "app")

        account_id = await self._store.transact(work)
        if account_id:
            await self._followed(account_id, wait_s)

    def is_aside(self, registration: PushRegistration) -> bool:
        """Whether its app registers at the PBX itself, or its account's binding makes way."""

        def read(tx: Transaction) -> bool:
            account = tx.accounts.get(registration.account_id)
            is_away = account is not None and account.state is BindingState.STEPPED_ASIDE
            return is_away or bool(tx.stepped_aside.get(registration.id))

        return self._store.read(read)

    def proven(self, tx: Transaction, registration: PushRegistration, now: int) -> None:
        """Credentials of an app were proven, by a REGISTER that has bound the account: it is back."""
        _come_back_in(tx, registration.id, now, "app")

    def _step_aside_in(self, tx: Transaction, registration_id: int, now: int) -> Account | None:
        registration = tx.registrations.get(registration_id)
        account = tx.accounts.get(registration.account_id) if registration is not None else None
        life = self._lives.use_in(tx, registration_id, "foreground", now)
        if registration is None or account is None or life is None or life.ended is not None:
            return None
        if not registration.proven:
            return None
        if not tx.stepped_aside.get(registration_id):
            story.tell(tx, story.of_registration(registration_id), now, "stepped-aside")
        tx.stepped_aside.put(registration_id, now)
        if account.state in _MAKES_WAY and _is_needed_by_nobody(tx, account.id):
            account = _in_state(account, BindingState.STEPPED_ASIDE, now)
            tx.accounts.update(account)
            tx.troubles.remove(account.id)
        return account

    async def _followed(self, account_id: int, wait_s: float) -> None:
        done = self._bindings.follow(account_id)
        if wait_s > 0:
            await asyncio.wait([done], timeout=wait_s)

    def _limit(self, app: str) -> int:
        options = self._apps.get(app)
        return options.handover_limit if options is not None and options.handover == ALTERNATE else 0

    # What time brings

    def _take_up(self) -> None:
        after = 0
        while page := self._store.read(_page(after)):
            for registration_id, since_at in page:
                self._await(since_at, registration_id)
            after = page[-1][0]
        self._arm()

    def _look_at(self, at: int, registration_id: int) -> None:
        self._await(at, registration_id)
        self._arm()

    def _await(self, at: int, registration_id: int) -> None:
        if registration_id not in self._awaited:
            self._awaited.add(registration_id)
            heapq.heappush(self._due, (at, registration_id))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and self._tasks is not None:
            wait_ms = min(max(0, self._due[0][0] - self._clock.now()), _LOOK_EVERY_MS)
            when = self._clock.monotonic() + wait_ms / 1000
            self._timer = self._timers.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.now()
        due: set[int] = set()
        while self._due and self._due[0][0] <= now:
            due.add(heapq.heappop(self._due)[1])
        self._awaited -= due
        for registration_id in due:
            until = self._store.read(partial(self._until, registration_id))
            if until > now:
                self._await(until, registration_id)
            elif until and self._tasks is not None:
                self._tasks.create_task(self._bring_back(registration_id))
        self._arm()

    def _until(self, registration_id: int, tx: Transaction) -> int:
        """Return until when an app may stay aside without a word; 0: it does not any more."""
        since_at = tx.stepped_aside.get(registration_id)
        registration, life = tx.registrations.get(registration_id), tx.lives.get(registration_id)
        if not since_at or registration is None or life is None:
            return 0
        return max(since_at, life.renewed_at) + self._limit(registration.app)

    async def _bring_back(self, registration_id: int) -> None:
        now = self._clock.now()
        try:
            account_id = await self._store.transact(
                lambda tx: _come_back_in(tx, registration_id, now, "time")
            )
        except Exception as fault:
            # Whatever the reason is: without our binding nobody rings this phone.
            _FAULTS.inc()
            _log.error("not_brought_back", registration=registration_id, reason=repr(fault))
            self._look_at(now + _STORE_RETRY_MS, registration_id)
            return
        if account_id:
            self._bindings.follow(account_id)


def _come_back_in(tx: Transaction, registration_id: int, now: int, by: str) -> int:
    """Note that an app does not register at the PBX itself any more; return the account to bind, or 0."""
    if tx.stepped_aside.get(registration_id):
        tx.stepped_aside.remove(registration_id)
        story.tell(tx, story.of_registration(registration_id), now, "returned", by=by)
    registration = tx.registrations.get(registration_id)
    account = tx.accounts.get(registration.account_id) if registration is not None else None
    if account is None or account.state is not BindingState.STEPPED_ASIDE:
        return 0
    if not account.proven or _is_needed_by_nobody(tx, account.id):
        return 0
    tx.accounts.update(_in_state(account, BindingState.REGISTERING, now))
    return account.id


def _is_needed_by_nobody(tx: Transaction, account_id: int) -> bool:
    """Whether every phone of an account registers at the PBX itself."""
    phones = [one for one in tx.registrations.of_account(account_id) if one.proven]
    return all(tx.stepped_aside.get(one.id) for one in phones)


def _in_state(account: Account, state: BindingState, now: int) -> Account:
    return replace(account, state=state, reason_code="", reason="", state_since_at=now)


def _page(after: int) -> Callable[[Transaction], list[tuple[int, int]]]:
    return lambda tx: tx.stepped_aside.page(after, _PAGE)

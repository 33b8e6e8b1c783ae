"""The fleet: every account's binding at its PBX."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wakerobin import log, metrics
from wakerobin.core.binding import Trouble, resumed_in_s, resumed_wait_s
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.ids import Entropy
from wakerobin.core.values import Account, BindingState, Flow, Transport
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.options import Options
from wakerobin.ports.sip import Resolver, SipEndpoint, TransactionLayer
from wakerobin.ports.store import KeptAccount, Store, Transaction
from wakerobin.services.fleet import rhythm
from wakerobin.services.fleet.cycle import Cycles
from wakerobin.services.fleet.our_address import OurAddresses
from wakerobin.services.fleet.refreshing import Refreshing
from wakerobin.services.fleet.registrars import Registrar, Registrars
from wakerobin.services.fleet.removals import Removals
from wakerobin.services.fleet.schedule import Roster
from wakerobin.services.fleet.surroundings import BindingNews, Surroundings
from wakerobin.services.fleet.trials import Trials
from wakerobin.services.fleet.values import BindingStatus, TrialResult, Upstream
from wakerobin.services.fleet.ways import Ways

_PAGE = 400
_MINUTE = 60_000
_A_DAY = 24 * 60 * _MINUTE

_log = log.get("fleet")


@dataclass(eq=False)
class Fleet:
    """Keeps proven accounts bound, tries new credentials, removes what is not wanted any more.

    Driven by its own timers, by responses, and by commits that touch `bindings`, while `run` runs.
    """

    store: Store
    clock: Clock
    timers: Timers
    transactions: TransactionLayer
    endpoint: SipEndpoint
    resolver: Resolver
    options: Options
    lives: BindingNews
    entropy: Entropy
    server_secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        self._around = around = Surroundings(
            store=self.store,
            clock=self.clock,
            timers=self.timers,
            transactions=self.transactions,
            endpoint=self.endpoint,
            resolver=self.resolver,
            options=self.options,
            lives=self.lives,
            entropy=self.entropy,
            server_secret=self.server_secret,
        )
        self._roster = Roster()
        self._addresses = OurAddresses(self.endpoint, self.options.sip.towards, self.options.sip.contact_user)
        self._registrars = Registrars(around)
        cycles = Cycles(around, self._addresses)
        self._refreshing = Refreshing(around, self._roster, self._registrars, cycles)
        self._trials = Trials(around, self._registrars, cycles, self._refreshing)
        self._removals = Removals(around, self._registrars, cycles, self._refreshing)
        self._refreshing.on_idle = self._removals.account_idle
        self._ways = Ways(around, self._roster, self._registrars, self._addresses, self._refreshing)
        self._beat: Timer | None = None
        self.is_loaded = asyncio.Event()
        """Set when every account was read and `run` has begun its work."""
        self.store.on_commit(self._committed)

    def __len__(self) -> int:
        """Return how many accounts are kept bound."""
        return len(self._roster)

    async def run(self) -> None:
        """Work until cancelled. No account is left out, none costs a task or a timer."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._around.tasks = tasks
                await self._load()
                self._refreshing.agenda.start()
                self._trials.resume()
                self._each_minute()
                self.is_loaded.set()
                await asyncio.get_running_loop().create_future()
        finally:
            self._stop()

    def try_credentials(self, registration_id: int) -> asyncio.Future[TrialResult]:
        """Have the stored trial of a registration tried; the future gets the first answer to it."""
        return self._trials.begin(registration_id)

    def foresee(self, account: Account, user: str) -> TrialResult | None:
        """Return the refusal that credentials would meet without the PBX being asked; None: try them."""
        return self._trials.foresee(account, user)

    def refresh_now(self, account_id: int) -> None:
        """Bind an account out of turn, as soon as its PBX may be asked."""
        row = self._roster.row(account_id)
        if row is not None and self._around.tasks is not None:
            self._refreshing.bind_now(row)

    def take_in(self, account_id: int) -> None:
        """Begin to keep an account bound that was taken up again: a use has resumed its dormant life."""
        account = self.store.read(lambda tx: tx.accounts.get(account_id))
        if account is not None and account.proven and self._around.tasks is not None:
            self._refreshing.take_in(account)

    def follow(self, account_id: int) -> asyncio.Future[None]:
        """Do at once what the store says of an account's binding: keep it, or make way for the app's own.

        Done when the PBX has been asked, whatever it said: `status` tells.
        """
        if self._around.tasks is None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        return asyncio.shield(self._refreshing.follow(account_id))

    def status(self, account_id: int) -> BindingStatus:
        """Return where the binding of an account stands at this moment."""
        account = self.store.read(lambda tx: tx.accounts.get(account_id))
        if account is None:
            return BindingStatus(BindingState.UNPROVEN)
        trouble = self._refreshing.troubles.get(account_id)
        expires_at = self.granted_until(account_id) or 0
        if trouble is not None:
            return self._troubled(trouble, expires_at)
        if account.state is BindingState.STEPPED_ASIDE:
            return BindingStatus(account.state, account.state_since_at, expires_at=expires_at)
        row = self._roster.row(account_id)
        is_bound_once = row is not None and self._roster.bound_until[row] > 0
        state = account.state
        if is_bound_once:
            state = BindingState.REGISTERED if expires_at else BindingState.REGISTERING
        return BindingStatus(state, account.state_since_at, account.reason_code, account.reason, expires_at)

    def trial_status(self, registration_id: int) -> BindingStatus | None:
        """Return why credentials could not be proven yet that wait for it; None: nothing is known."""
        trouble = self._trials.trouble(registration_id)
        return self._troubled(trouble) if trouble is not None else None

    def _troubled(self, trouble: Trouble, expires_at: int = 0) -> BindingStatus:
        since_at = self.clock.now() - round((self.clock.monotonic() - trouble.since_s) * 1000)
        return BindingStatus(trouble.state, since_at, trouble.code, trouble.reason, expires_at)

    def granted_until(self, account_id: int) -> int | None:
        """Return until when the PBX granted the binding (epoch milliseconds); None if it is not bound."""
        row = self._roster.row(account_id)
        if row is None:
            return None
        left_s = self._refreshing.agenda.monotonic(self._roster.bound_until[row]) - self.clock.monotonic()
        return self.clock.now() + round(left_s * 1000) if left_s > 0 else None

    def called(self, account_id: int) -> None:
        """Note that somebody calls an account: it is among the first to come back when bindings are lost."""
        self._note_call(account_id, self.clock.now())

    def upstream(self, account_id: int) -> Upstream | None:
        """Return the way from us to an account's PBX; None where there is none."""
        return self._ways.upstream(account_id)

    def our_address(self, account_id: int) -> tuple[str, int, Transport] | None:
        """Return where, and how, an account's PBX reaches us; None as for `upstream`, which costs more."""
        return self._ways.our_address(account_id)

    def is_from_pbx(self, account: Account, flow: Flow) -> bool:
        """Whether a request for this account that came over this flow may ring its phones."""
        return self._ways.is_from_pbx(account, flow)

    def is_known(self, account: Account, flow: Flow) -> bool:
        """Whether this flow comes from an address of the account's PBX, whatever the policy is."""
        return self._ways.is_known(account, flow)

    def flow_closed(self, flow: Flow) -> None:
        """Take the news that a flow is no more: all who were bound over it come back, the called first."""
        if self._around.tasks is None:
            return
        self._refreshing.lost_flow(flow)

    async def _load(self) -> None:
        past = rhythm.read(self.store)
        self._addresses.remember(past.learnt)
        after = 0
        lost: list[int] = []
        while page := self.store.read(_page(after)):
            lost += self._take_up(page, past)
            called = self.store.read(_called(after, page[-1].id, self.clock.now() - _A_DAY))
            for account_id, at in called.items():
                self._note_call(account_id, at)
            after = page[-1].id
            await asyncio.sleep(0)
        self._refreshing.recovering.bring_back(lost)
        await self._refreshing.alarms.start(self._registrar_of)

    def _take_up(self, accounts: Sequence[KeptAccount], past: rhythm.Rhythm) -> list[int]:
        """Let accounts go on in their rhythm; return the rows of those that lost their binding meanwhile."""
        wall_s, lost = self._around.wall_s(), list[int]()
        granted: dict[Registrar, float] = {}
        for account in accounts:
            registrar = self._registrars.of(account)
            granted_s = granted.get(registrar)
            if granted_s is None:
                registrar.resolve_soon()
                registrar.is_by_stream |= rhythm.key(registrar) in past.by_stream
                granted_s = past.granted_s.get(rhythm.key(registrar), registrar.expires_s)
                granted[registrar] = granted_s
                if rate := past.recovery.get(rhythm.key(registrar)):
                    registrar.queue.recovery.remember(rate)
            row = self._roster.add(account.id, registrar.number)
            if account.state is BindingState.REGISTERED and registrar.is_by_stream:
                lost.append(row)  # its connection ended with the run before
                continue
            if account.state is BindingState.REGISTERED:
                wait_s = resumed_in_s(granted_s, account.id, wall_s, past.ran_until_s)
            else:
                wait_s = resumed_wait_s(account.state, self._around.jitter())
            self._refreshing.agenda.put_in(row, wait_s)
        return lost

    def _registrar_of(self, account_id: int) -> str:
        row = self._roster.row(account_id)
        return "" if row is None else f"{self._registrars[self._roster.registrar[row]].hop}"

    def _note_call(self, account_id: int, at: int) -> None:
        row = self._roster.row(account_id)
        if row is not None:
            self._roster.called[row] = at // _MINUTE

    def _committed(self, groups: frozenset[str]) -> None:
        if "bindings" in groups and self.is_loaded.is_set() and self._around.tasks is not None:
            self._look()

    def _look(self) -> None:
        try:
            self._trials.look()
            self._removals.look()
        except StoreUnavailableError as fault:
            _log.error("store_unavailable", reason=str(fault))

    def _each_minute(self) -> None:
        self._look()  # a commit whose success could not be told is noticed here
        self._around.start(self._write_rhythm())
        self._count_states()
        when = self.clock.monotonic() + rhythm.BEAT_S
        self._beat = self.timers.call_at(when, self._each_minute)

    async def _write_rhythm(self) -> None:
        noted = rhythm.note(self._registrars.all(), self._addresses.learnt(), self._around.wall_s())
        await rhythm.write(self.store, noted)

    def _count_states(self) -> None:
        counts = dict.fromkeys(BindingState, 0)
        for trouble in self._refreshing.troubles.values():
            counts[trouble.state] += 1
        counts[BindingState.STEPPED_ASIDE] = len(self._refreshing.aside)
        counts[BindingState.REGISTERED] = len(self._roster) - sum(counts.values())
        for state, count in counts.items():
            metrics.BINDINGS.labels(state.value).set(count)

    def _stop(self) -> None:
        self._around.tasks = None
        if self._beat is not None:
            self._beat.cancel()
        self._refreshing.agenda.stop()
        self._refreshing.keep_alives.stop()
        self._trials.stop()
        self._removals.stop()
        for registrar in self._registrars.all():
            registrar.stop()


def _called(after: int, until: int, since: int) -> Callable[[Transaction], dict[int, int]]:
    return lambda tx: tx.calls.last_called(after, until, since)


def _page(after: int) -> Callable[[Transaction], list[KeptAccount]]:
    return lambda tx: tx.accounts.kept(after, _PAGE)

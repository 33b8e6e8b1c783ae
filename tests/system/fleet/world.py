"""A server's fleet, a PBX and the network between them, all in memory under a clock moved by hand."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.values import (
    Account,
    BindingState,
    Credentials,
    Ended,
    PushRegistration,
    Secret,
)
from wakerobin.ports.options import AppOptions, LifetimeOptions, Options, SipOptions
from wakerobin.ports.store import Transaction, Trial
from wakerobin.services.dispatch.transactions import Transactions
from wakerobin.services.fleet import Fleet, TrialResult
from wakerobin.services.handover import Handover
from wakerobin.services.lives import Lives
from wakerobin.services.lives.context import policy_of
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.names import Names
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.wire import Wire, WireEndpoint

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

US = ("10.0.0.1", 5060)
PBX = ("10.0.0.9", 5060)
APP = "softphone"


def entropy(seed: str) -> Callable[[int], bytes]:
    """Return octets that differ from call to call and are the same in each run."""
    count = itertools.count()

    def give(octets: int) -> bytes:
        return hashlib.shake_128(f"{seed} {next(count)}".encode()).digest(octets)

    return give


@dataclass
class World:
    """`users` of the PBX have the password `pw-NAME`."""

    pbx: FakePbx
    options: Options
    clock: ManualClock = field(default_factory=ManualClock)
    wire: Wire = field(default_factory=Wire)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.names = Names(self.clock, {"pbx.test": [PBX[0]]})
        self.us: WireEndpoint = self.wire.endpoint(*US)
        self.there = self.wire.endpoint(*PBX)
        theirs = Transactions(self.there, self.clock, self.clock, entropy("pbx"), SipTimers())
        self.pbx.attach(theirs, self.there, self.clock)
        self.there.receiver = theirs
        self._entropy = entropy("us")
        self._runs = itertools.count(1)
        self.build()

    def build(self) -> None:
        """Make a server on the store as it is."""
        self.lives = Lives(
            self.store,
            self.clock,
            lambda _app: policy(),
            lambda _id: False,
            on_proven=lambda tx, registration, now: self.handover.proven(tx, registration, now),
        )
        self.transactions = Transactions(self.us, self.clock, self.clock, self._entropy, SipTimers())
        self.us.receiver = self.transactions
        self.fleet = Fleet(
            self.store,
            self.clock,
            self.clock,
            self.transactions,
            self.us,
            self.names,
            self.options,
            self.lives,
            self._entropy,
            b"the secret of this server",
        )
        self.handover = Handover(
            store=self.store,
            clock=self.lives.clock,
            timers=self.clock,
            lives=self.lives,
            bindings=self.fleet,
            apps=self.options.apps,
        )
        self.transactions.on_flow_closed = lambda flow, _reason: self.fleet.flow_closed(flow)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the fleet work."""
        tasks = [asyncio.create_task(work) for work in (self.fleet.run(), self.handover.run())]
        await self.clock.settle()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def restart(self) -> None:
        """Go on with what the store has; nothing else survives."""
        self.store = self.store.restarted()
        self.build()

    async def enrol(
        self,
        user: str = "alice",
        password: str = "",
        credentials: Credentials | None = None,
        **fields: Any,
    ) -> PushRegistration:
        """Write what an enrolment writes: account, push registration, life and trial."""
        offered = credentials or Credentials(user, password=Secret(password or f"pw-{user}"))
        if credentials is None and "auth_user" in fields:
            offered = replace(offered, username=fields["auth_user"])
        number = next(self._runs)
        return await self.store.transact(
            lambda tx: write_enrolment(
                tx, self.lives, f"sip:{user}@{self.pbx.domain}", number, self.clock.now(), offered, **fields
            )
        )

    async def prove(self, user: str = "alice", **fields: Any) -> Account:
        """Enrol with the right password and return the bound account."""
        registration = await self.enrol(user, **fields)
        result = await self.tried(registration)
        assert result.verdict == "proven", result
        return self.account(user)

    async def tried(self, registration: PushRegistration, within: int = 2 * MINUTE) -> TrialResult:
        """Have a registration's credentials tried and return the first answer."""
        answer = self.fleet.try_credentials(registration.id)
        await self.clock.run_until_true(answer.done, within=within)
        await self.clock.settle()
        return answer.result()

    async def end(self, registration_id: int) -> None:
        """Let the user delete a push registration."""
        await self.lives.end(registration_id, Ended.DELETED)
        await self.clock.settle()

    def account(self, user: str = "alice") -> Account:
        """Return an account as it is stored."""
        aor = f"sip:{user}@{self.pbx.domain}"
        return self.store.read(lambda tx: tx.accounts.by_aor(aor))[0]

    def credentials(self, user: str = "alice") -> Credentials | None:
        """Return what an account's challenges are answered with."""
        account_id = self.account(user).id
        return self.store.read(lambda tx: tx.accounts.credentials(account_id))

    def contacts(self, user: str = "alice") -> list[str]:
        """Return the URIs that the PBX would ring for a user."""
        return [contact.uri for contact in self.pbx.contacts(user)]

    def statuses(self, user: str = "alice") -> list[int]:
        """Return what the REGISTERs of a user got, in order."""
        return [seen.status for seen in self.pbx.registrar.seen if seen.user == user]

    def forget_seen(self) -> None:
        """Count REGISTERs from now on."""
        self.pbx.registrar.seen.clear()

    async def run_for(self, milliseconds: int) -> None:
        """Let time pass."""
        await self.clock.run_until(self.clock.now() + milliseconds)

    async def until(self, condition: Callable[[], bool], within: int) -> None:
        """Let time pass until something is so."""
        await self.clock.run_until_true(condition, within=within)


def policy() -> LifetimePolicy:
    """The lifetime of push registrations by default: no test here waits for its end."""
    return policy_of(LifetimeOptions())


def write_enrolment(
    tx: Transaction,
    lives: Lives,
    aor: str,
    number: int,
    now: int,
    credentials: Credentials,
    **fields: Any,
) -> PushRegistration:
    """Write account, push registration, life and trial; `fields` are of the account."""
    known = tx.accounts.by_aor(aor)
    account = known[0] if known else tx.accounts.add(new_account(aor, now))
    if not account.proven:
        account = replace(account, contact_user=f"random{number}", **fields)
        tx.accounts.update(account)
    registration = tx.registrations.add(
        PushRegistration(
            public_id=f"pr_{number}",
            account_id=account.id,
            app=APP,
            installation=f"installation {number}",
            sip_instance=f"urn:uuid:{number}",
            secret_hash=b"",
            lifetime=policy().lifetime,
            created_at=now,
        )
    )
    lives.begin_in(tx, registration, now)
    tx.binding_work.put_trial(
        Trial(
            registration_id=registration.id,
            account_id=account.id,
            credentials=credentials,
            started_at=now,
        )
    )
    return registration


def new_account(aor: str, now: int) -> Account:
    """An account as an enrolment makes it."""
    user = aor.removeprefix("sip:").partition("@")[0]
    return Account(
        slot=0,
        app=APP,
        aor=aor,
        auth_user=user,
        registrar="",
        contact_user="",
        instance=f"urn:uuid:00000000-0000-8000-8000-{user.encode().hex():0>12.12}",
        state=BindingState.UNPROVEN,
        created_at=now,
    )


def options(app: AppOptions | None = None, **sip: Any) -> Options:
    """The configuration with these values of `[sip]`."""
    return Options(sip=SipOptions(**sip), apps={APP: app or AppOptions()})


def world(*users: str, app: AppOptions | None = None, **sip: Any) -> World:
    """A world whose PBX has these users, alice at least."""
    names = users or ("alice",)
    pbx = FakePbx({user: f"pw-{user}" for user in names}, entropy=entropy("nonces"))
    return World(pbx, options(app, **sip))

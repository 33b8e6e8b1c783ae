"""A server's lives on a clock moved by hand: the real service over a store, a courier that does as told.

The courier here has the duties of the real one and no sockets: it asks whether a row is still wanted,
"sends" it, and settles it in the transaction that removes the row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from wakerobin.core.delivery import is_lapsed
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.pushes import Accepted, Lane, Outcome, PushType, TargetGone
from wakerobin.core.values import (
    Account,
    Algorithm,
    BindingState,
    Credentials,
    Duration,
    Life,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    RealmKey,
    Secret,
)
from wakerobin.ports.store import OutboxRow, Store, Transaction, Trial, Unregister
from wakerobin.services.lives import Lives
from wakerobin.testing.clock import START, ManualClock

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
END = START + 7 * DAY

HA1 = Secret("939e7578ed9e3c518a452acee763bce9")
KEYS = (RealmKey("pbx", Algorithm.MD5, HA1),)
CALL, NOTICE = frozenset({Purpose.CALL}), frozenset({Purpose.NOTICE})


@dataclass(frozen=True, slots=True)
class Sent:
    """One try of a push: when, what, to which token."""

    at: int
    kind: PushType
    generation: int
    step: int
    token: str

    @property
    def key(self) -> tuple[PushType, int, str]:
        """What stays the same when it is sent again."""
        return self.kind, self.step, self.token


def accept(_row: OutboxRow, _target: PushTarget) -> Outcome | None:
    return Accepted()


@dataclass
class World:
    """What survives a restart is the store, the clock, and what the push service saw."""

    store: Store
    clock: ManualClock = field(default_factory=ManualClock)
    policy: LifetimePolicy = field(default_factory=LifetimePolicy)
    sent: list[Sent] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    granted: dict[int, int] = field(default_factory=dict)
    answer: Callable[[OutboxRow, PushTarget], Outcome | None] = accept
    """What the push service says to a push; None: nothing, the row stays."""
    apps: tuple[str, ...] = ()
    """Apps whose policy is watched for changes."""
    resumed: list[int] = field(default_factory=list)
    """Accounts that need their binding again."""

    def __post_init__(self) -> None:
        self.lives = self._start(self.store)

    def restart(self, store: Store) -> None:
        """Go on as another run of the server."""
        self.store = store
        self.lives = self._start(store)

    def _start(self, store: Store) -> Lives:
        return Lives(
            store,
            self.clock,
            lambda _app: self.policy,
            lambda registration_id: registration_id in self.held,
            granted_until=self.granted.get,
            apps=self.apps,
            on_resumed=self.resumed.append,
        )

    async def enrol(
        self,
        name: str = "phone",
        *,
        account: Account | None = None,
        tokens: tuple[tuple[str, frozenset[Purpose]], ...] = (("voip", CALL), ("alert", NOTICE)),
        proven: bool = True,
        capabilities: dict[str, bool] | None = None,
    ) -> PushRegistration:
        """Store what an enrolment stores: account, registration, targets and a life."""
        now = self.clock.now()

        def work(tx: Transaction) -> PushRegistration:
            owner = account or tx.accounts.add(
                Account(
                    slot=17,
                    app="softphone",
                    aor=f"sip:{name}@pbx.example",
                    auth_user=name,
                    registrar="pbx.example",
                    contact_user=f"contact-{name}",
                    instance=f"urn:uuid:{name}",
                    proven=proven,
                    realm="pbx" if proven else "",
                    state=BindingState.REGISTERED if proven else BindingState.UNPROVEN,
                    created_at=now,
                )
            )
            if proven and account is None:
                tx.accounts.set_credentials(owner.id, Credentials(name, keys=KEYS))
            registration = tx.registrations.add(
                PushRegistration(
                    public_id=f"pr_{name}",
                    account_id=owner.id,
                    app="softphone",
                    installation=f"installation-{name}",
                    sip_instance=f"urn:uuid:installation-{name}",
                    secret_hash=b"hash",
                    proven=proven,
                    lifetime=self.policy.lifetime,
                    capabilities=capabilities or {},
                    created_at=now,
                )
            )
            for token, purposes in tokens:
                tx.targets.add(
                    PushTarget(
                        registration_id=registration.id,
                        provider=Provider.APNS,
                        purposes=purposes,
                        token=Secret(f"{token}-{name}"),
                        reported_at=now,
                    )
                )
            self.lives.begin_in(tx, registration, now)
            return registration

        return await self.store.transact(work)

    async def run_until(self, at: int) -> None:
        """Let time pass: fire lives when they are due, carry pushes when they may be tried."""
        while True:
            moments = [m for m in (self._next_due(), self._next_push()) if m is not None and m <= at]
            if not moments:
                break
            self.clock.advance(max(0, min(moments) - self.clock.now()))
            await self.lives.fire(self.clock.now())
            await self.carry()
        self.clock.advance(max(0, at - self.clock.now()))

    async def carry(self) -> None:
        """Try everything in the outbox once."""
        for row in self.store.read(self._due):
            await self._carry(row)

    def _due(self, tx: Transaction) -> list[OutboxRow]:
        return [row for lane in Lane for row in tx.outbox.due(lane, self.clock.now(), 1000)]

    async def _carry(self, row: OutboxRow) -> None:
        now = self.clock.now()
        wanted = self.store.read(lambda tx: self.lives.wanted(tx, row, now))
        row = replace(row, deadline_at=wanted.deadline_at if wanted else 0)
        targets = [one for one in self.targets(row.registration_id) if Purpose.NOTICE in one.purposes]
        if not wanted or is_lapsed(row, now) or not targets:
            await self.store.transact(lambda tx: tx.outbox.remove(row.id))
            return
        results = []
        for target in targets:
            outcome = self.answer(row, target)
            if outcome is None:
                await self.store.transact(
                    lambda tx: tx.outbox.postpone(row.id, now + 10 * MINUTE, row.attempts + 1)
                )
                return
            self.sent.append(Sent(now, row.kind, row.generation, row.step, target.token.reveal()))
            results.append((target, outcome))
        await self.lives.push_settled(row, results, lambda tx: tx.outbox.remove(row.id))

    async def gone(self, target: PushTarget) -> None:
        """Let the push service say for sure that a target is no more."""
        await self.lives.target_gone(target, TargetGone("Unregistered", gone_at=self.clock.now()))

    def life(self, registration: PushRegistration) -> Life:
        life = self.store.read(lambda tx: tx.lives.get(registration.id))
        assert life is not None
        return life

    def targets(self, registration_id: int) -> list[PushTarget]:
        return self.store.read(lambda tx: tx.targets.of_registration(registration_id))

    def account(self, registration: PushRegistration) -> Account:
        account = self.store.read(lambda tx: tx.accounts.get(registration.account_id))
        assert account is not None
        return account

    def credentials(self, registration: PushRegistration) -> Credentials | None:
        return self.store.read(lambda tx: tx.accounts.credentials(registration.account_id))

    def unregisters(self) -> list[Unregister]:
        return self.store.read(lambda tx: tx.binding_work.unregisters())

    def story(self, registration: PushRegistration) -> list[str]:
        subject = f"registration:{registration.id}"
        return [row.event for row in self.store.read(lambda tx: tx.stories.of(subject))]

    def hours_before(self, end: int, kind: PushType) -> list[float]:
        """How long before a moment pushes of a kind were sent."""
        return [(end - sent.at) / HOUR for sent in self.sent if sent.kind is kind]

    def _next_due(self) -> int | None:
        return self.store.read(lambda tx: tx.lives.next_due())

    def _next_push(self) -> int | None:
        return self.store.read(lambda tx: tx.outbox.next_due())


async def put_trial(world: World, phone: PushRegistration, password: str = "correct horse") -> None:
    credentials = Credentials("alice", password=Secret(password))
    trial = Trial(
        registration_id=phone.id,
        account_id=phone.account_id,
        credentials=credentials,
        started_at=world.clock.now(),
    )
    await world.store.transact(lambda tx: tx.binding_work.put_trial(trial))


def short_lives() -> LifetimePolicy:
    """A policy whose whole life passes in a minute."""
    return replace(
        LifetimePolicy(),
        lifetime=Duration(60 * SECOND),
        renewal_from=Duration(24 * SECOND),
        renewal_every=Duration(4 * SECOND),
        warnings=(Duration(20 * SECOND), Duration(8 * SECOND)),
    )

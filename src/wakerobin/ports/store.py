"""The store: one way to write, one way to read, and the tables behind it as small protocols.

`work` functions are synchronous, read and write through the transaction only, and may be run again after
a failure: they touch nothing else. All ids are given out by the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from wakerobin.core.pushes import Lane, PushType
from wakerobin.core.values import (
    Account,
    BindingState,
    Credentials,
    Life,
    Platform,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    Secret,
    TargetKind,
    Transport,
    Way,
)
from wakerobin.ports.alarms import Alarms
from wakerobin.ports.guests import Guests
from wakerobin.ports.messages import Mailboxes, Messages, SentMessages
from wakerobin.ports.upkeep import HeldUses, Receipts, SteppedAside, Tallies, Troubles

T = TypeVar("T")

MOST_COMPANIONS = 8
"""So many accounts are named in one push beside the first: all that a payload of 4 KiB has room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A push that was decided and is not settled. Unique by (registration, generation, kind, step)."""

    id: int = 0
    slot: int
    registration_id: int
    generation: int
    kind: PushType
    step: int
    not_before: int
    """When it may be tried next."""
    deadline_at: int
    """After that nobody wants it."""
    attempts: int = 0
    payload: dict[str, Any] = field(default_factory=dict)
    """What the sender needs beside the rows it reads itself (e.g. the end that a warning announces)."""
    app: str = field(default="", compare=False)
    """The app of its registration: filled in by the store, unless it is known together with `provider`."""
    provider: str = field(default="", compare=False)
    """That of all notice targets of its registration, empty where it is not one: filled in by the store."""

    def __hash__(self) -> int:
        return hash((self.registration_id, self.generation, self.kind, self.step))


class Queue(NamedTuple):
    """Rows of the outbox that wait for the same push service."""

    lane: Lane
    app: str
    provider: str
    """As the rows were added; empty where their targets are not of one provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A life with what decides about it beside its record; no secret is opened for it."""

    life: Life
    account_id: int
    app: str
    proven: bool
    capabilities: Mapping[str, bool]
    kinds: tuple[TargetKind, ...]
    platform: Platform = Platform.OTHER
    time_zone: str = ""
    installation: str = ""
    is_registered: bool = True
    """The account has a binding at its PBX, as far as we know."""
    is_alone: bool = False
    """Its installation has no other push registration, ended ones included."""

    def __hash__(self) -> int:
        return hash(self.life)


@dataclass(frozen=True, slots=True)
class Callee:
    """A living, proven push registration with its targets for calls: whom a call to its account can wake."""

    registration: PushRegistration
    life: Life
    targets: tuple[PushTarget, ...]

    def __hash__(self) -> int:
        return hash(self.life)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryRow:
    """One event in words: what happened to a call or a registration, and when."""

    subject: str
    """`registration:<id>` or `call:<call_id>`."""
    at: int
    event: str
    """A constant name, e.g. `renewed`."""
    details: dict[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.subject, self.at, self.event))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Credentials that wait for their proof: a REGISTER of their own that the PBX answers 2xx."""

    registration_id: int
    account_id: int
    credentials: Credentials
    way: Way | None = None
    """Where they are tried while nobody has proven the account; None: where the account is."""
    is_trusted: bool = False
    """The operator brought them: they are no guesses of a stranger, and not rationed as such."""
    started_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregister:
    """Our Contact must be removed at a PBX; carries its own copy of all that it needs (law 4)."""

    id: int = 0
    account: Account
    """As it was at the end, with the Contact user that is to be removed."""
    credentials: Credentials
    registration_id: int = 0
    """Whose end it belongs to: its story tells what became of it. 0 for nobody's."""
    created_at: int
    give_up_at: int
    """The end of the granted expiry: after that the PBX has forgotten us anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCall:
    """An INVITE whose call push has left, so that a restart takes it up again (sip.md 10)."""

    call_id: str
    """Ours, a UUID."""
    account_id: int
    invite: bytes
    """The INVITE as received."""
    flow: str
    """Where it came from, as JSON of a Flow."""
    to_tag: str
    """Of our own 180, 480, 487 and 200 to CANCEL."""
    branches: dict[str, Any] = field(default_factory=dict)
    """What the call machine needs to go on: its branches and whom it awaits."""
    started_at: int
    expires_at: int

    def __hash__(self) -> int:
        return hash(self.call_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """A call as the API shows it; kept 24 h and more by its end."""

    call_id: str
    """Ours, a UUID; the API derives one for each registration from the fields below."""
    sip_call_id: str
    from_tag: str = ""
    account_id: int
    state: str
    answered_by: int = 0
    """The registration that answered or declined; 0 for none, or a phone without one."""
    caller: dict[str, str]
    """`uri`, `number`, `name`."""
    started_at: int
    expires_at: int
    ended_at: int = 0
    reason: str = ""

    def __hash__(self) -> int:
        return hash(self.call_id)


class KeptAccount(NamedTuple):
    """What the fleet needs of an account that is kept bound, and no more: a start reads all of them."""

    id: int
    state: BindingState
    aor: str
    registrar: str
    outbound_proxy: str
    transport: Transport | None


class Accounts(Protocol):
    """Accounts and, sealed by the vault, their credentials."""

    def get(self, account_id: int) -> Account | None: ...
    def by_aor(self, aor: str) -> list[Account]:
        """Return the accounts of an AOR, one for each app at most."""
        ...

    def by_user(self, user: str, limit: int) -> list[Account]:
        """Return accounts whose AOR has this user, whatever its domain."""
        ...

    def by_contact_user(self, user: str) -> Account | None: ...
    def add(self, account: Account) -> Account:
        """Store a new account and return it with its id."""
        ...

    def update(self, account: Account) -> None: ...
    def remove(self, account_id: int) -> None:
        """Remove the account with its credentials. Its registrations must be gone."""
        ...

    def page(self, after: int, limit: int) -> list[Account]:
        """Return accounts with id > `after`, in order of id."""
        ...

    def kept(self, after: int, limit: int) -> list[KeptAccount]:
        """Return proven accounts with id > `after`, in order of id."""
        ...

    def credentials(self, account_id: int) -> Credentials | None: ...
    def set_credentials(self, account_id: int, credentials: Credentials | None) -> None:
        """Store, replace or erase what answers the PBX's challenges."""
        ...


class Registrations(Protocol):
    """Push registrations. Ended ones stay as tombstones for 30 days."""

    def get(self, registration_id: int) -> PushRegistration | None: ...
    def by_public_id(self, public_id: str) -> PushRegistration | None: ...
    def by_installation(self, account_id: int, installation: str) -> list[PushRegistration]: ...
    def of_account(self, account_id: int) -> list[PushRegistration]:
        """Return all of an account whose life has not ended, proven or not."""
        ...

    def callees(self, account_id: int) -> list[Callee]:
        """Return whom a call to an account can wake, by one statement: the call path reads nothing else."""
        ...

    def of_installation(self, app: str, installation: str) -> list[PushRegistration]:
        """Return all of one installation of an app, whatever the account, whose life has not ended."""
        ...

    def dormant(self, account_id: int) -> list[PushRegistration]:
        """Return those of an account that have expired and can still be resumed."""
        ...

    def by_sip_instance(self, account_id: int, sip_instance: str) -> PushRegistration | None:
        """Return the one that a REGISTER with this `+sip.instance` means.

        Living before ended, proven before unproven, the newest before the others.
        """
        ...

    def unproven(self, before: int, waiting_from: int, limit: int) -> list[PushRegistration]:
        """Return registrations made before that and still not proven, the oldest first.

        Those are left out that wait for the first proof of their account, by a trial that began after
        `waiting_from`.
        """
        ...

    def add(self, registration: PushRegistration) -> PushRegistration: ...
    def update(self, registration: PushRegistration) -> None: ...
    def remove(self, registration_id: int) -> None:
        """Remove the row for good, with its targets, life, outbox rows and trial."""
        ...

    def page(self, after: int, limit: int) -> list[PushRegistration]: ...


class Targets(Protocol):
    """Push targets, tokens sealed by the vault; a keyed hash of the token makes them findable."""

    def of_registration(self, registration_id: int, purpose: Purpose | None = None) -> list[PushTarget]:
        """Return its targets in the order of their ids; with a `purpose` those that may be used for it."""
        ...

    def with_token(self, provider: Provider, token: Secret) -> list[PushTarget]:
        """Return the targets with this token, whosever they are."""
        ...

    def add(self, target: PushTarget) -> PushTarget: ...
    def update(self, target: PushTarget) -> None: ...
    def note_accepted(self, target_id: int, at: int, environment: str = "") -> None:
        """Note that a push to it was accepted: whatever was suspected of it is settled.

        `environment` is the one that accepted it, where that was found out; empty changes nothing.
        """
        ...

    def remove(self, target_id: int) -> None: ...


class Lives(Protocol):
    """The hot table."""

    def get(self, registration_id: int) -> Life | None: ...
    def add(self, life: Life) -> None: ...
    def update(self, life: Life) -> None: ...
    def climb(self, lives: Sequence[Life]) -> None:
        """Write how far many lives are on their ladders, in a third of the time that replacing them takes.

        That is `step`, `next_at`, `warning_tried_at` and `warning_settled`; nothing else of them is written.
        """
        ...

    def due(self, now: int, limit: int) -> list[int]:
        """Return the ids of lives with `next_at` ≤ now, the longest due first."""
        ...

    def standings(self, ids: Sequence[int]) -> list[Standing]:
        """Return lives with what decides about them, in this order; those that are gone are left out."""
        ...

    def next_due(self) -> int | None:
        """Return the smallest `next_at`."""
        ...

    def ended(self, before: int, limit: int) -> list[Life]:
        """Return lives that ended for good before that (tombstones), the oldest first; no dormant ones."""
        ...

    def count(self) -> dict[str, int]:
        """Return how many lives there are: `living` and by reason of their end."""
        ...


class Outbox(Protocol):
    """Pushes that were decided and wait for their settlement."""

    def add(self, row: OutboxRow) -> bool:
        """Add it. False: this (registration, generation, kind, step) was decided before; nothing changes."""
        ...

    def add_all(self, rows: Sequence[OutboxRow]) -> None:
        """Add many at once, in a fraction of the time; those that were decided before change nothing."""
        ...

    def queues(self) -> list[Queue]:
        """Return each queue of which a row is there, due or not."""
        ...

    def due(self, of: Lane | Queue, now: int, limit: int) -> list[OutboxRow]:
        """Return rows with `not_before` ≤ now and no lease, the earliest deadline first."""
        ...

    def of_registration(self, registration_id: int, kind: PushType) -> list[OutboxRow]:
        """Return the rows of a kind for one registration, by generation."""
        ...

    def companions(self, row: OutboxRow, now: int, until: int) -> list[OutboxRow]:
        """Return rows of the same kind for other accounts of the same installation of the app.

        Those with `not_before` ≤ until and no lease at `now`; a few at most, the oldest first.
        """
        ...

    def lease(self, row_id: int, until: int) -> None:
        """Hide a row from `due` until then: it is being sent. Leases of an earlier run do not count."""
        ...

    def postpone(
        self, row_id: int, not_before: int, attempts: int, payload: dict[str, Any] | None = None
    ) -> None:
        """Try it again later, without its lease; a `payload` replaces the one it has."""
        ...

    def remove(self, row_id: int) -> None: ...
    def void(self, registration_id: int, below_generation: int) -> int:
        """Remove rows of older generations that are about the life; returns how many.

        Those of `core.pushes.OUTLIVES_USE` stay: a use does not make them untrue.
        """
        ...

    def next_due(self) -> int | None:
        """Return when the next row may be tried; a leased one not before its lease is over."""
        ...


class Stories(Protocol):
    """Timelines."""

    def add(self, row: StoryRow) -> None: ...
    def of(self, subject: str, limit: int = 500) -> list[StoryRow]:
        """Return the last `limit` events of a subject, oldest first."""
        ...

    def forget(self, before: int, limit: int) -> int:
        """Remove up to `limit` events older than that, the oldest first; returns how many."""
        ...

    def erase(self, subject: str) -> int:
        """Remove all events of a subject; returns how many."""
        ...


class BindingWork(Protocol):
    """Trials and un-REGISTERs: work for the fleet."""

    def trial(self, registration_id: int) -> Trial | None: ...
    def trials(self) -> list[Trial]: ...
    def trial_ids(self) -> list[int]:
        """Return whose trials there are, by registration, the oldest first; no secret is opened."""
        ...

    def put_trial(self, trial: Trial) -> None: ...
    def remove_trial(self, registration_id: int) -> None: ...
    def forget_trials(self, until: int) -> int:
        """Remove trials that began then or before; returns how many."""
        ...

    def add_unregister(self, work: Unregister) -> Unregister: ...
    def unregisters(self) -> list[Unregister]: ...
    def remove_unregister(self, work_id: int) -> None: ...
    def drop_unregisters(self, account_id: int, contact_user: str) -> int:
        """Remove the un-REGISTERs of an account whose Contact is in use again; returns how many."""
        ...


class Calls(Protocol):
    """Held calls and the record of ended ones."""

    def hold(self, call: HeldCall) -> None:
        """Store or replace a held call."""
        ...

    def release(self, call_id: str) -> None: ...
    def held(self) -> list[HeldCall]: ...
    def put(self, record: CallRecord) -> None:
        """Store or replace a record."""
        ...

    def get(self, call_id: str) -> CallRecord | None: ...
    def of_account(self, account_id: int, limit: int) -> list[CallRecord]:
        """Return records, newest first; account 0 means all."""
        ...

    def last_called(self, after: int, until: int, since: int) -> dict[int, int]:
        """Return when accounts with after < id ≤ until were called last, of those that were since then."""
        ...

    def forget(self, before: int, limit: int) -> int:
        """Remove up to `limit` records that ended before that, or expired before it unended; how many."""
        ...


class Kept(Protocol):
    """A few small things that outlive a restart, sealed by the vault: the server's secret, APNs tokens."""

    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, value: bytes) -> None: ...


class Transaction(Protocol):
    """One table group each. Valid only inside the work function that received it."""

    @property
    def accounts(self) -> Accounts: ...
    @property
    def registrations(self) -> Registrations: ...
    @property
    def targets(self) -> Targets: ...
    @property
    def lives(self) -> Lives: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def stories(self) -> Stories: ...
    @property
    def binding_work(self) -> BindingWork: ...
    @property
    def calls(self) -> Calls: ...
    @property
    def kept(self) -> Kept: ...
    @property
    def troubles(self) -> Troubles: ...
    @property
    def held_uses(self) -> HeldUses: ...
    @property
    def stepped_aside(self) -> SteppedAside: ...
    @property
    def receipts(self) -> Receipts: ...
    @property
    def tallies(self) -> Tallies: ...
    @property
    def alarms(self) -> Alarms: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def mailboxes(self) -> Mailboxes: ...
    @property
    def sent_messages(self) -> SentMessages: ...
    @property
    def guests(self) -> Guests: ...


class Store(Protocol):
    """Durable state. One per server."""

    def transact(self, work: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run `work` in a transaction of its own; the result comes after COMMIT.

        Raises what `work` raised (and keeps nothing of it), or StoreUnavailableError.
        """
        ...

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run a read at once, on the caller's thread, on a read-only connection. Writing raises."""
        ...

    def on_commit(self, callback: Callable[[frozenset[str]], None]) -> None:
        """Call back on the event loop after each COMMIT with what it wrote: `outbox`, `bindings`, `lives`."""
        ...

    async def close(self) -> None:
        """Finish what was begun, checkpoint, and close."""
        ...

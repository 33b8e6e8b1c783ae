"""Takes enrolments: an account and a push registration that wait for their proof, or have it already."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from wakerobin import log
from wakerobin.core.ids import Entropy, keyed_hash, same, token, uuid_from
from wakerobin.core.sip import digest
from wakerobin.core.values import (
    SLOTS,
    Account,
    BindingState,
    Credentials,
    Duration,
    PushRegistration,
    PushTarget,
    Secret,
    Transport,
)
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import AppOptions
from wakerobin.ports.store import Store, Transaction, Trial
from wakerobin.services import story
from wakerobin.services.enrolment import admission
from wakerobin.services.enrolment.access import secret_hash
from wakerobin.services.enrolment.guesses import Guesses
from wakerobin.services.enrolment.requests import (
    Enrolled,
    EnrolRequest,
    PatchRequest,
    Refusal,
    TargetRequest,
)
from wakerobin.services.fleet import Fleet
from wakerobin.services.fleet.values import TrialResult, TrialVerdict
from wakerobin.services.lives import Lives

_log = log.get("enrolment")

OLD_SECRET_MS = 7 * 24 * 3_600_000
"""How long the old secret of a repeated enrolment works while the new one was not used."""

_REFUSALS = {
    TrialVerdict.REFUSED: "credentials-refused",
    TrialVerdict.UNCHALLENGED: "registrar-does-not-challenge",
    TrialVerdict.BUSY: "registrar-busy",
    TrialVerdict.TOO_MANY_REFUSED: "too-many-refused-credentials",
}


class Enrolment:
    """Nothing here waits for the PBX but `enrol` and `patch`, and they no longer than they are asked to."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        key: bytes,
        fleet: Fleet,
        lives: Lives,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._key = key
        self._fleet = fleet
        self._lives = lives
        self._guesses = Guesses()

    async def enrol(self, app: AppOptions, request: EnrolRequest, wait_s: float) -> Enrolled | Refusal:
        """Enrol, and wait up to `wait_s` for what the PBX says. Refused in time: nothing is kept."""
        aor = admission.normal_aor(request.aor)
        registrar = admission.normal_registrar(request.registrar)
        transport = admission.transport_of(request.transport)
        for value in (aor, registrar, transport):
            if isinstance(value, Refusal):
                return value
        assert isinstance(aor, str)
        assert isinstance(registrar, str)
        assert isinstance(transport, Transport)
        refusal = admission.refusal_of_registrar(
            app, request, aor, registrar
        ) or admission.refusal_of_targets(app, request.targets)
        if refusal is not None:
            return refusal
        secret = Secret(f"wrs_{token(self._entropy, 32)}")
        fresh = self._fresh_account(request, aor, registrar, transport)
        lifetime = admission.lifetime_of(app, request.lifetime_s)
        may_compare = self._may_compare(fresh)
        stored = await self._store.transact(
            lambda tx: self._store_enrolment(tx, request, fresh, secret, lifetime, may_compare)
        )
        if isinstance(stored, Refusal) or stored.registration.proven:
            return stored
        if stored.account.proven and may_compare:
            self._guesses.was_wrong(stored.account.id, self._clock.monotonic())
        return await self._await_proof(stored, wait_s)

    async def patch(
        self,
        app: AppOptions,
        registration: PushRegistration,
        request: PatchRequest,
        wait_s: float,
        *,
        cause: str = "changed",
    ) -> Refusal | None:
        """Change a registration; new credentials replace the old only when the PBX has accepted them.

        `cause` is what its life is told of the use that this is.
        """
        if request.targets is not None:
            refusal = admission.refusal_of_targets(app, request.targets)
            if refusal is not None:
                return refusal
        await self._store.transact(lambda tx: self._store_patch(tx, app, registration.id, request, cause))
        if request.password is None and not request.keys:
            return None
        result = await self._result(registration.id, wait_s)
        return _refusal(result) if result is not None else None

    def set_targets(
        self, tx: Transaction, registration_id: int, wanted: tuple[TargetRequest, ...], now: int
    ) -> None:
        """Replace the list of targets; a token that is reported again keeps its row and its history."""
        known = {(t.provider, t.token): t for t in tx.targets.of_registration(registration_id)}
        for target in wanted:
            row = known.pop((target.provider, target.token), None)
            if row is None:
                tx.targets.add(
                    PushTarget(
                        registration_id=registration_id,
                        provider=target.provider,
                        purposes=target.purposes,
                        token=target.token,
                        topic=target.topic,
                        environment=target.environment,
                        reported_at=now,
                    )
                )
            else:
                tx.targets.update(
                    replace(
                        row,
                        purposes=target.purposes,
                        topic=target.topic,
                        environment=target.environment,
                        reported_at=now,
                        refused_at=0,
                    )
                )
        for gone in known.values():
            tx.targets.remove(gone.id)

    # Inside the transaction

    def _store_enrolment(
        self,
        tx: Transaction,
        request: EnrolRequest,
        fresh: Account,
        secret: Secret,
        lifetime: Duration,
        may_compare: bool,  # noqa: FBT001 - private, and beside five others that have no name either
    ) -> Enrolled | Refusal:
        now = self._clock.now()
        account = self._account(tx, fresh)
        if isinstance(account, Refusal):
            return account
        credentials = Credentials(account.auth_user, request.password, request.keys)
        if fresh.auth_user:
            credentials = replace(credentials, username=fresh.auth_user)
        is_proven = account.proven and may_compare
        is_proven = is_proven and _equal(credentials, tx.accounts.credentials(account.id), account)
        registration = self._repeated(tx, account, request) if is_proven else None
        is_new = registration is None
        if registration is None:
            registration = self._add(tx, account, request, secret, lifetime, proven=is_proven)
        else:
            registration = self._renew_enrolment(tx, registration, request, secret, lifetime)
        self.set_targets(tx, registration.id, request.targets, now)
        if is_proven:
            story.tell(tx, story.of_registration(registration.id), now, "proven", realm=account.realm)
        else:
            tx.binding_work.put_trial(
                Trial(
                    registration_id=registration.id,
                    account_id=account.id,
                    credentials=credentials,
                    started_at=now,
                )
            )
        return Enrolled(registration, account, secret, is_new)

    def _account(self, tx: Transaction, fresh: Account) -> Account | Refusal:
        """Return the account to attach to: a new one, the living one, or one that begins again."""
        known = tx.accounts.by_aor(fresh.aor)
        if any(admission.conflicts(account, fresh.registrar) and _is_held(tx, account) for account in known):
            return Refusal("aor-conflict", "this address is held at another registrar here")
        account = next((one for one in known if one.app == fresh.app), None)
        if account is None:
            account = tx.accounts.add(fresh)
        elif not _is_held(tx, account):
            # A new Contact user part: a late un-REGISTER of the last life cannot remove the new binding.
            tx.binding_work.drop_unregisters(account.id)
            account = replace(fresh, id=account.id, slot=account.slot, created_at=account.created_at)
            tx.accounts.update(account)
        return account

    def _repeated(self, tx: Transaction, account: Account, request: EnrolRequest) -> PushRegistration | None:
        for registration in tx.registrations.by_installation(account.id, request.installation_id):
            life = tx.lives.get(registration.id)
            if registration.proven and life is not None and life.ended is None:
                return registration
        return None

    def _add(
        self,
        tx: Transaction,
        account: Account,
        request: EnrolRequest,
        secret: Secret,
        lifetime: Duration,
        *,
        proven: bool,
    ) -> PushRegistration:
        now = self._clock.now()
        registration = tx.registrations.add(
            PushRegistration(
                public_id=f"pr_{token(self._entropy, 12)}",
                account_id=account.id,
                app=account.app,
                installation=request.installation_id,
                sip_instance=self.sip_instance(request.installation_id),
                secret_hash=secret_hash(self._key, secret.reveal()),
                proven=proven,
                platform=request.platform,
                locale=request.locale,
                time_zone=request.time_zone,
                display_name=request.display_name,
                lifetime=lifetime,
                capabilities=dict(request.capabilities),
                created_at=now,
            )
        )
        self._lives.begin_in(tx, registration, now)
        story.tell(
            tx,
            story.of_registration(registration.id),
            now,
            "enrolled",
            platform=str(request.platform),
        )
        return registration

    def _renew_enrolment(
        self,
        tx: Transaction,
        registration: PushRegistration,
        request: EnrolRequest,
        secret: Secret,
        lifetime: Duration,
    ) -> PushRegistration:
        now = self._clock.now()
        renewed = replace(
            registration,
            secret_hash=secret_hash(self._key, secret.reveal()),
            previous_secret_hash=registration.secret_hash,
            previous_secret_until=now + OLD_SECRET_MS,
            platform=request.platform,
            locale=request.locale,
            time_zone=request.time_zone,
            display_name=request.display_name,
            lifetime=lifetime,
            capabilities=dict(request.capabilities),
        )
        tx.registrations.update(renewed)
        self._lives.use_in(tx, renewed.id, "enrolled", now)
        return renewed

    def _store_patch(
        self, tx: Transaction, app: AppOptions, registration_id: int, request: PatchRequest, cause: str
    ) -> None:
        now = self._clock.now()
        registration = tx.registrations.get(registration_id)
        life = tx.lives.get(registration_id)
        if registration is None or life is None or life.ended is not None:
            return  # it ended meanwhile; whoever asked reads that
        changes = {
            name: value
            for name in ("display_name", "locale", "time_zone", "capabilities")
            if (value := getattr(request, name)) is not None
        }
        if request.lifetime_s is not None:
            changes["lifetime"] = admission.lifetime_of(app, request.lifetime_s)
        if changes:
            tx.registrations.update(replace(registration, **changes))
        if request.targets is not None:
            self.set_targets(tx, registration_id, request.targets, now)
        if request.password is not None or request.keys:
            account = tx.accounts.get(registration.account_id)
            assert account is not None
            username = request.auth_user or account.auth_user
            tx.binding_work.put_trial(
                Trial(
                    registration_id=registration_id,
                    account_id=account.id,
                    credentials=Credentials(username, request.password, request.keys),
                    started_at=now,
                )
            )
        self._lives.use_in(tx, registration_id, cause, now)

    # Around it

    def _may_compare(self, fresh: Account) -> bool:
        known = self._store.read(lambda tx: tx.accounts.by_aor(fresh.aor))
        account_id = next((one.id for one in known if one.app == fresh.app), 0)
        return self._guesses.may_compare(account_id, self._clock.monotonic())

    async def _await_proof(self, enrolled: Enrolled, wait_s: float) -> Enrolled | Refusal:
        result = await self._result(enrolled.registration.id, wait_s)
        refusal = _refusal(result) if result is not None else None
        if refusal is not None:
            await self._lives.forget(enrolled.registration.id)
            return refusal
        if result is not None and result.verdict is TrialVerdict.PROVEN:
            registration = replace(enrolled.registration, proven=True)
            account = self._store.read(lambda tx: tx.accounts.get(enrolled.account.id))
            return replace(enrolled, registration=registration, account=account or enrolled.account)
        return enrolled

    async def _result(self, registration_id: int, wait_s: float) -> TrialResult | None:
        first = self._fleet.try_credentials(registration_id)
        if wait_s <= 0:
            return None
        done, _ = await asyncio.wait([first], timeout=wait_s)
        # The fleet that stops forgets who waits; the trial is in the store and goes on after the start.
        return first.result() if done and not first.cancelled() else None

    def sip_instance(self, installation_id: str) -> str:
        """Return the `+sip.instance` of an installation: a keyed hash, as its id never goes to a PBX."""
        return f"urn:uuid:{uuid_from(keyed_hash(self._key, 'sip-instance', installation_id))}"

    def _fresh_account(
        self, request: EnrolRequest, aor: str, registrar: str, transport: Transport
    ) -> Account:
        now = self._clock.now()
        user = aor.removeprefix("sip:").rpartition("@")[0]
        return Account(
            slot=int.from_bytes(keyed_hash(b"slot", request.app, aor, size=8), "big") % SLOTS,
            app=request.app,
            aor=aor,
            auth_user=request.auth_user or user,
            registrar=registrar,
            outbound_proxy=request.outbound_proxy,
            transport=transport,
            contact_user=token(self._entropy, 16),
            instance=f"urn:uuid:{uuid_from(self._entropy(16))}",
            state=BindingState.UNPROVEN,
            state_since_at=now,
            created_at=now,
        )


def _is_held(tx: Transaction, account: Account) -> bool:
    """Whether somebody has the account now: living registrations, proven or waiting for it."""
    return bool(tx.registrations.of_account(account.id))


def _equal(offered: Credentials, kept: Credentials | None, account: Account) -> bool:
    """Whether offered credentials are the proven ones: the HA1 of the same realm and algorithm."""
    if kept is None or offered.username != kept.username:
        return False
    known = kept.key(account.realm, account.algorithm)
    if known is None:
        return False
    if offered.password is not None:
        algorithm = digest.Algorithm[account.algorithm.name]
        given = digest.ha1(algorithm, offered.username, account.realm, offered.password.reveal())
    else:
        key = offered.key(account.realm, account.algorithm)
        given = key.reveal() if key is not None else ""
    return same(known.reveal(), given)


def _refusal(result: TrialResult) -> Refusal | None:
    problem = _REFUSALS.get(result.verdict)
    if problem is None:
        return None
    return Refusal(problem, result.reason, retry_after_s=result.retry_after_s)

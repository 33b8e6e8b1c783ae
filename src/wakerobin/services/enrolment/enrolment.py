"""Takes enrolments: an account and a push registration that wait for their proof, or have it already."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace

from wakerobin import log
from wakerobin.core.ids import Entropy, same, token
from wakerobin.core.sip import digest
from wakerobin.core.values import (
    Account,
    BindingState,
    Credentials,
    Duration,
    PushRegistration,
    Secret,
)
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import AppOptions
from wakerobin.ports.sip import Resolver
from wakerobin.ports.store import Store, Transaction, Trial
from wakerobin.services import story
from wakerobin.services.enrolment import admission
from wakerobin.services.enrolment.access import secret_hash
from wakerobin.services.enrolment.claims import Claims
from wakerobin.services.enrolment.guesses import Guesses
from wakerobin.services.enrolment.making import Maker, taken_up
from wakerobin.services.enrolment.offers import Offer
from wakerobin.services.enrolment.requests import (
    Enrolled,
    EnrolRequest,
    PatchRequest,
    Refusal,
)
from wakerobin.services.enrolment.targets import set_targets
from wakerobin.services.enrolment.usability import EndpointRefusal, refusal_of_targets
from wakerobin.services.fleet import Fleet
from wakerobin.services.fleet.values import TrialResult, TrialVerdict
from wakerobin.services.lives import Lives, tried_at, way_of

_log = log.get("enrolment")

PAYLOAD_KEY_OCTETS = 32

OLD_SECRET_MS = 7 * 24 * 3_600_000
"""How long the old secret of a repeated enrolment works while the new one was not used."""

MOST_WAITING_OF_ACCOUNT = 10
MOST_WAITING = 10_000
"""How many registrations may wait for their proof, of one account and altogether."""

FLOOD_RETRY_S = 15 * 60
"""After that those that were refused are erased."""

_CHANGED = ("display_name", "locale", "time_zone", "os_version", "app_version", "capabilities")
"""What a patch changes as it is said."""

_REFUSALS = {
    TrialVerdict.REFUSED: "credentials-refused",
    TrialVerdict.UNCHALLENGED: "registrar-does-not-challenge",
    TrialVerdict.BUSY: "registrar-busy",
    TrialVerdict.TOO_MANY_REFUSED: "too-many-refused-credentials",
}


class Enrolment:
    """Nothing here waits for the PBX but `enrol` and `patch`, and they no longer than they are asked to."""

    def __init__(  # noqa: PLR0913 - what it stands on; all of it named
        self,
        *,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        key: bytes,
        fleet: Fleet,
        lives: Lives,
        resolver: Resolver,
        endpoint_refusal: EndpointRefusal,
    ) -> None:
        """`endpoint_refusal` says why the endpoint of a subscription may not be pushed to."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._key = key
        self._fleet = fleet
        self._lives = lives
        self._resolver = resolver
        self._maker = Maker(clock=clock, entropy=entropy, key=key, lives=lives)
        self._guesses = Guesses()
        self._endpoint_refusal = endpoint_refusal
        self._claims = Claims(key, lives)

    async def enrol(self, app: AppOptions, request: EnrolRequest, wait_s: float) -> Enrolled | Refusal:
        """Enrol, and wait up to `wait_s` for what the PBX says. Refused in time: nothing is kept."""
        named = admission.named(request)
        if isinstance(named, Refusal):
            return named
        refusal = await self._refusal_of_registrar(app, request, named) or refusal_of_targets(
            app, request.targets, self._endpoint_refusal
        )
        if refusal is not None:
            return refusal
        fresh = self._maker.account(request, named)
        with self._offer(request, fresh, admission.lifetime_of(app, request.lifetime_s)) as offer:
            if app.push_privacy == "encrypted":
                offer.payload_key = Secret(token(self._entropy, PAYLOAD_KEY_OCTETS))
            stored = await self._store.transact(lambda tx: self._store_enrolment(tx, offer))
        if isinstance(stored, Refusal) or stored.registration.proven:
            return stored
        return await self._await_proof(stored, wait_s)

    async def _refusal_of_registrar(
        self, app: AppOptions, request: EnrolRequest, named: admission.Named
    ) -> Refusal | None:
        refusal = admission.refusal_of_registrar(app, request, named.aor, named.registrar)
        if refusal is None or refusal.problem != "registrar-not-allowed":
            return refusal
        domain = admission.asked_of_dns(app, named)
        if domain is None:
            return refusal
        said = await self._resolver.locate(domain)
        return admission.refusal_of_registrar(app, request, named.aor, named.registrar, said)

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
            refusal = refusal_of_targets(app, request.targets, self._endpoint_refusal)
            if refusal is not None:
                return refusal
        has_credentials = request.password is not None or bool(request.keys)
        if has_credentials and (refusal := self._foreseen(registration, request)) is not None:
            return refusal
        await self._store.transact(lambda tx: self._store_patch(tx, app, registration.id, request, cause))
        if not has_credentials:
            return None
        result = await self._result(registration.id, wait_s)
        return _refusal(result) if result is not None else None

    async def verify(self, registration: PushRegistration, nonce: str) -> bool:
        """Take back the nonce of a `verify` push: its token is this installation's. False: it is none."""
        now = self._clock.now()
        return await self._store.transact(lambda tx: self._claims.prove(tx, registration, nonce, now))

    # Inside the transaction

    def proven(self, tx: Transaction, registration: PushRegistration, now: int) -> None:
        """The credentials of a registration were proven: its tokens count from now on."""
        self._claims.look(tx, registration, now)

    def _store_enrolment(self, tx: Transaction, offer: Offer) -> Enrolled | Refusal:
        now, request, fresh = self._clock.now(), offer.request, offer.account
        known = tx.accounts.by_aor(fresh.aor)
        if any(admission.conflicts(account, fresh.registrar) for account in known):
            return Refusal("aor-conflict", "this address is held at another registrar here")
        account = next((one for one in known if one.app == fresh.app), None)
        credentials = offer.credentials_for(account)
        is_proven = offer.may_compare and account is not None and _is_proven(tx, account, credentials)
        offer.was_wrong = offer.may_compare and not is_proven
        if not is_proven and (refusal := offer.foreseen or _refusal_of_flood(tx, account)) is not None:
            return refusal
        account = taken_up(tx, account, fresh)
        registration = self._repeated(tx, account, request) if is_proven else None
        is_new = registration is None
        if registration is None:
            registration = self._maker.registration(
                tx, account, request, offer.secret, offer.lifetime, proven=is_proven
            )
        else:
            registration = self._renew_enrolment(tx, registration, offer)
        if offer.payload_key and not registration.payload_key:
            # One that it has stays: this answer may get lost, and its pushes are to be read all the same.
            registration = replace(registration, payload_key=offer.payload_key)
            tx.registrations.update(registration)
        set_targets(tx, registration.id, request.targets, now)
        if is_proven:
            self._claims.look(tx, registration, now)
            story.tell(tx, story.of_registration(registration.id), now, "proven", realm=account.realm)
        else:
            tx.binding_work.put_trial(
                Trial(
                    registration_id=registration.id,
                    account_id=account.id,
                    credentials=credentials,
                    way=way_of(fresh),
                    started_at=now,
                )
            )
        return Enrolled(registration, account, offer.secret, is_new)

    def _repeated(self, tx: Transaction, account: Account, request: EnrolRequest) -> PushRegistration | None:
        for registration in tx.registrations.by_installation(account.id, request.installation_id):
            life = tx.lives.get(registration.id)
            if registration.proven and life is not None and life.ended is None:
                return registration
        return None

    def _renew_enrolment(
        self, tx: Transaction, registration: PushRegistration, offer: Offer
    ) -> PushRegistration:
        now, request = self._clock.now(), offer.request
        previous, until = registration.secret_hash, now + OLD_SECRET_MS
        if registration.previous_secret_hash and now < registration.previous_secret_until:
            # The secret of before this one was never used, so its answer may have got lost: the app still
            # has the older one.
            previous, until = registration.previous_secret_hash, registration.previous_secret_until
        renewed = replace(
            registration,
            secret_hash=secret_hash(self._key, offer.secret.reveal()),
            previous_secret_hash=previous,
            previous_secret_until=until,
            platform=request.platform,
            locale=request.locale,
            time_zone=request.time_zone,
            os_version=request.os_version,
            app_version=request.app_version,
            display_name=request.display_name,
            lifetime=offer.lifetime,
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
        changes = {name: value for name in _CHANGED if (value := getattr(request, name)) is not None}
        if request.lifetime_s is not None:
            changes["lifetime"] = admission.lifetime_of(app, request.lifetime_s)
        if changes:
            tx.registrations.update(replace(registration, **changes))
        if request.targets is not None:
            set_targets(tx, registration_id, request.targets, now)
            if registration.proven:
                self._claims.look(tx, registration, now)
        if request.password is not None or request.keys:
            account = tx.accounts.get(registration.account_id)
            assert account is not None
            username = request.auth_user or account.auth_user
            waiting = tx.binding_work.trial(registration_id)
            tx.binding_work.put_trial(
                Trial(
                    registration_id=registration_id,
                    account_id=account.id,
                    credentials=Credentials(username, request.password, request.keys),
                    way=waiting.way if waiting is not None else None,
                    started_at=now,
                )
            )
        self._lives.use_in(tx, registration_id, cause, now)

    # Around it

    @contextlib.contextmanager
    def _offer(self, request: EnrolRequest, fresh: Account, lifetime: Duration) -> Iterator[Offer]:
        """Make an offer of an enrolment; while it is looked at, its guess is counted as a wrong one."""
        secret = Secret(f"wrs_{token(self._entropy, 32)}")
        offer = Offer(request=request, account=fresh, secret=secret, lifetime=lifetime)
        known = self._store.read(lambda tx: tx.accounts.by_aor(fresh.aor))
        mine = next((one for one in known if one.app == fresh.app and one.proven), None)
        result = self._fleet.foresee(mine or fresh, offer.credentials_for(mine).username)
        offer.foreseen = _refusal(result) if result is not None else None
        if mine is None:
            yield offer
            return
        same_phone = self._store.read(lambda tx: self._repeated(tx, mine, request))
        who = (mine.id, request.installation_id if same_phone is not None else "")
        offer.may_compare = self._guesses.begin(who, self._clock.monotonic())
        try:
            yield offer
        finally:
            if offer.may_compare:
                self._guesses.end(who, self._clock.monotonic(), is_wrong=offer.was_wrong)

    def _foreseen(self, registration: PushRegistration, request: PatchRequest) -> Refusal | None:
        account, trial = self._store.read(
            lambda tx: (tx.accounts.get(registration.account_id), tx.binding_work.trial(registration.id))
        )
        if account is None:
            return None
        user = request.auth_user or account.auth_user
        result = self._fleet.foresee(tried_at(account, trial), user)
        return _refusal(result) if result is not None else None

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


def _refusal_of_flood(tx: Transaction, account: Account | None) -> Refusal | None:
    """Return why no more may wait for their proof: anybody can enrol with any password."""
    waiting = [one for one in tx.registrations.of_account(account.id) if not one.proven] if account else []
    if len(waiting) >= MOST_WAITING_OF_ACCOUNT or len(tx.binding_work.trial_ids()) >= MOST_WAITING:
        reason = "too many enrolments wait for their proof"
        return Refusal("registrar-busy", reason, retry_after_s=FLOOD_RETRY_S)
    return None


def _is_proven(tx: Transaction, account: Account, offered: Credentials) -> bool:
    """Whether offered credentials are those that the account's PBX accepts, as far as is known."""
    is_accepted = account.state not in (BindingState.REFUSED, BindingState.CREDENTIALS_NEEDED)
    return account.proven and is_accepted and _equal(offered, tx.accounts.credentials(account.id), account)


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

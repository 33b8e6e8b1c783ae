"""Takes in accounts that the operator brings from elsewhere, each with a phone to wake.

What the operator says is believed as far as an operator can be: any PBX, no budget for guesses. The PBX
still has to accept the credentials before a call wakes the phone, so a wrong line harms nobody.
"""

from __future__ import annotations

import base64
import enum
from dataclasses import dataclass, replace

from wakerobin.core.ids import Entropy, keyed_hash, token
from wakerobin.core.values import Account, BindingState, Credentials, PushRegistration, Secret
from wakerobin.ports.clock import Clock
from wakerobin.ports.options import AppOptions
from wakerobin.ports.store import Store, Transaction, Trial
from wakerobin.services.enrolment import admission
from wakerobin.services.enrolment.making import Maker, taken_up
from wakerobin.services.enrolment.requests import EnrolRequest, Refusal
from wakerobin.services.enrolment.targets import set_targets
from wakerobin.services.enrolment.usability import refusal_of_targets
from wakerobin.services.lives import Lives, way_of

SPREAD = 4
"""Imported lives end in the last quarter of their lifetime, each at a time of its own: nobody has used them,
and so many that ended together would all be renewed and warned in the same minute."""


class Import(enum.StrEnum):
    """What became of a line."""

    IMPORTED = "imported"
    WAITING = "waiting"
    """It was imported before; its PBX has not answered yet."""
    KNOWN = "known"
    """It was imported before, or its app has enrolled."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one line, and why where it was refused."""

    result: Import
    reason: str = ""


class Importing:
    """Needs nothing that runs: what it stores is tried by the fleet when there is one."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        key: bytes,
        lives: Lives,
        apps: dict[str, AppOptions],
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._key = key
        self._lives = lives
        self._apps = apps
        self._maker = Maker(clock=clock, entropy=entropy, key=key, lives=lives)

    async def take(self, requests: list[EnrolRequest]) -> list[Imported]:
        """Take in some lines in one transaction; each that was taken before stays as it is."""
        ready = [self._prepared(request) for request in requests]
        return await self._store.transact(lambda tx: [self._line(tx, one) for one in ready])

    def _prepared(self, request: EnrolRequest) -> tuple[EnrolRequest, Account] | Imported:
        app = self._apps.get(request.app)
        if app is None:
            return Imported(Import.REFUSED, f"there is no app {request.app!r} in the configuration")
        named = admission.named(request)
        if isinstance(named, Refusal):
            return _refused(named)
        unusable = refusal_of_targets(app, request.targets, lambda _endpoint: "")
        if unusable is not None:
            return _refused(unusable)
        if not request.installation_id:
            # The same line has the same id, so that a file can be taken in again.
            first = request.targets[0].token.reveal()
            digest = keyed_hash(self._key, "imported", request.app, named.aor, first)
            made = base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")
            request = replace(request, installation_id=made)
        return request, self._maker.account(request, named)

    def _line(self, tx: Transaction, ready: tuple[EnrolRequest, Account] | Imported) -> Imported:
        if isinstance(ready, Imported):
            return ready
        request, fresh = ready
        known = tx.accounts.by_aor(fresh.aor)
        if any(admission.conflicts(account, fresh.registrar) for account in known):
            return Imported(Import.REFUSED, "this address is held at another registrar here")
        account = next((one for one in known if one.app == fresh.app), None)
        if account is not None and (before := self._before(tx, account, request)) is not None:
            return before
        account = taken_up(tx, account, fresh)
        lifetime = admission.lifetime_of(self._apps[request.app], request.lifetime_s)
        secret = Secret(f"wrs_{token(self._entropy, 32)}")
        registration = self._maker.registration(tx, account, request, secret, lifetime, proven=False)
        self._spread(tx, registration)
        now = self._clock.now()
        set_targets(tx, registration.id, request.targets, now)
        tx.binding_work.put_trial(
            Trial(
                registration_id=registration.id,
                account_id=account.id,
                credentials=Credentials(fresh.auth_user, request.password, request.keys),
                way=way_of(fresh),
                is_trusted=True,
                started_at=now,
            )
        )
        return Imported(Import.IMPORTED)

    def _before(self, tx: Transaction, account: Account, request: EnrolRequest) -> Imported | None:
        for registration in tx.registrations.by_installation(account.id, request.installation_id):
            life = tx.lives.get(registration.id)
            if life is None or life.ended is not None:
                continue
            if registration.proven:
                return Imported(Import.KNOWN)
            if tx.binding_work.trial(registration.id) is not None:
                return Imported(Import.WAITING)
            said = account.reason if account.state is BindingState.REFUSED else ""
            reason = said.rstrip(".") or "the PBX refused the credentials"
            return Imported(Import.REFUSED, f"{reason}; once mended, it can be taken in 15 minutes later")
        return None

    def _spread(self, tx: Transaction, registration: PushRegistration) -> None:
        life = tx.lives.get(registration.id)
        assert life is not None
        share = int.from_bytes(self._entropy(4), "big") / 2**32
        earlier = round(life.lifetime / SPREAD * share)
        next_at = life.next_at - earlier if life.next_at is not None else None
        tx.lives.update(replace(life, expires_at=life.expires_at - earlier, next_at=next_at))


def _refused(refusal: Refusal) -> Imported:
    where = refusal.pointer.strip("/").replace("/", " ")
    return Imported(Import.REFUSED, f"{where}: {refusal.detail}" if where else refusal.detail)

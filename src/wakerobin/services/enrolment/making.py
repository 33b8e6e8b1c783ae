"""Makes the rows of an enrolment: the account, the push registration, and the beginning of its life."""

from __future__ import annotations

from dataclasses import replace

from wakerobin.core.ids import Entropy, keyed_hash, token, uuid_from
from wakerobin.core.values import (
    SLOTS,
    Account,
    BindingState,
    Duration,
    PushRegistration,
    Secret,
)
from wakerobin.ports.clock import Clock
from wakerobin.ports.store import Transaction
from wakerobin.services import story
from wakerobin.services.enrolment.access import secret_hash
from wakerobin.services.enrolment.admission import Named
from wakerobin.services.enrolment.requests import EnrolRequest
from wakerobin.services.lives import Lives


class Maker:
    """`key` is the server's secret: what must not be guessed is derived from it."""

    def __init__(self, *, clock: Clock, entropy: Entropy, key: bytes, lives: Lives) -> None:
        self._clock = clock
        self._entropy = entropy
        self._key = key
        self._lives = lives

    def sip_instance(self, installation_id: str) -> str:
        """Return the `+sip.instance` of an installation: a keyed hash, as its id never goes to a PBX."""
        return f"urn:uuid:{uuid_from(keyed_hash(self._key, 'sip-instance', installation_id))}"

    def account(self, request: EnrolRequest, named: Named) -> Account:
        """Return the account that a request describes, not yet stored."""
        now = self._clock.now()
        user = named.aor.removeprefix("sip:").rpartition("@")[0]
        return Account(
            slot=int.from_bytes(keyed_hash(b"slot", request.app, named.aor, size=8), "big") % SLOTS,
            app=request.app,
            aor=named.aor,
            auth_user=request.auth_user or user,
            registrar=named.registrar,
            outbound_proxy=request.outbound_proxy,
            transport=named.transport,
            contact_user=token(self._entropy, 16),
            instance=f"urn:uuid:{uuid_from(self._entropy(16))}",
            state=BindingState.UNPROVEN,
            state_since_at=now,
            created_at=now,
        )

    def registration(
        self,
        tx: Transaction,
        account: Account,
        request: EnrolRequest,
        secret: Secret,
        lifetime: Duration,
        *,
        proven: bool,
    ) -> PushRegistration:
        """Store a push registration of an account with the beginning of its life and story."""
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
                os_version=request.os_version,
                app_version=request.app_version,
                display_name=request.display_name,
                lifetime=lifetime,
                capabilities=dict(request.capabilities),
                created_at=now,
            )
        )
        self._lives.begin_in(tx, registration, now)
        subject = story.of_registration(registration.id)
        story.tell(tx, subject, now, "enrolled", platform=str(request.platform))
        return registration


def taken_up(tx: Transaction, account: Account | None, fresh: Account) -> Account:
    """Return the account to attach to: a new one, the living one, or one that begins again."""
    if account is None:
        return tx.accounts.add(fresh)
    if tx.registrations.of_account(account.id):
        return account
    # A new Contact user part: a late un-REGISTER of the last life cannot remove the new binding.
    if tx.registrations.dormant(account.id):
        # Where its PBX is stays as it was proven: it has credentials, and anybody can enrol.
        account = replace(account, contact_user=fresh.contact_user)
    else:
        account = replace(fresh, id=account.id, slot=account.slot, created_at=account.created_at)
    tx.accounts.update(account)
    return account

"""Accounts that are enrolled already: written into a store as enrolment and proof would leave them."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from dataclasses import dataclass, field
from functools import partial

from bench.kamailio import PASSWORD, REALM
from wakerobin.core.lifetime import LifetimePolicy, begin
from wakerobin.core.values import (
    SLOTS,
    Account,
    Algorithm,
    BindingState,
    Credentials,
    Duration,
    Platform,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    RealmKey,
    Secret,
)
from wakerobin.ports.store import Store, Transaction
from wakerobin.services.enrolment.access import secret_hash

APP = "softphone"
_AT_ONCE = 20  # a savepoint of many rows is slow in itself
_TOGETHER = 50


def now_ms() -> int:
    """Return the wall clock as the server reads it."""
    return time.time_ns() // 1_000_000


def user(number: int) -> str:
    """Return the user part of an account's AOR at the PBX."""
    return f"u{number}"


def contact_user(number: int) -> str:
    """Return the user part of our Contact for an account."""
    return hashlib.blake2b(f"contact {number}".encode(), digest_size=16).hexdigest()


def secret(number: int) -> str:
    """Return the secret of an account's push registration."""
    return f"wrs_{number:032}"


def public_id(number: int) -> str:
    """Return the id of an account's push registration in the API."""
    return f"pr_{number:016}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """`count` accounts with a push registration each."""

    count: int
    registrar: str
    """`ip:port`."""
    key: bytes
    """The server's secret."""
    policy: LifetimePolicy = field(default_factory=LifetimePolicy)
    capabilities: dict[str, bool] = field(default_factory=dict)
    bound: int | None = None
    """So many accounts, the first ones, are kept bound at the PBX; None: all."""

    def __hash__(self) -> int:
        return hash((self.count, self.registrar))

    async def fill(self, store: Store) -> list[int]:
        """Store them; the ids of their push registrations, in order."""
        ids: list[int] = []
        for first in range(0, self.count, _AT_ONCE * _TOGETHER):
            last = min(first + _AT_ONCE * _TOGETHER, self.count)
            slices = [range(n, min(n + _AT_ONCE, last)) for n in range(first, last, _AT_ONCE)]
            works = [store.transact(partial(self._add_all, one)) for one in slices]
            for added in await asyncio.gather(*works):
                ids += added
        return ids

    def _add_all(self, numbers: range, tx: Transaction) -> list[int]:
        return [self._add(tx, number) for number in numbers]

    def _add(self, tx: Transaction, number: int) -> int:
        now = now_ms()
        account = tx.accounts.add(self._account(number, now))
        ha1 = hashlib.md5(f"{user(number)}:{REALM}:{PASSWORD}".encode()).hexdigest()
        keys = (RealmKey(REALM, Algorithm.MD5, Secret(ha1)),)
        tx.accounts.set_credentials(account.id, Credentials(user(number), keys=keys))
        registration = tx.registrations.add(self._registration(number, account, now))
        for purpose in Purpose:
            tx.targets.add(
                PushTarget(
                    registration_id=registration.id,
                    provider=Provider.APNS,
                    purposes=frozenset({purpose}),
                    token=Secret(hashlib.sha256(f"{purpose} {number}".encode()).hexdigest()),
                    reported_at=now,
                    accepted_at=now,
                )
            )
        tx.lives.add(begin(registration.id, account.slot, registration.lifetime, now, self.policy))
        return registration.id

    def _account(self, number: int, now: int) -> Account:
        is_bound = self.bound is None or number < self.bound
        return Account(
            slot=number % SLOTS,
            app=APP,
            aor=f"sip:{user(number)}@{REALM}",
            auth_user=user(number),
            registrar=self.registrar,
            contact_user=contact_user(number),
            instance=f"urn:uuid:{uuid.UUID(int=number + 1)}",
            proven=is_bound,
            realm=REALM,
            algorithm=Algorithm.MD5,
            state=BindingState.REGISTERED if is_bound else BindingState.UNPROVEN,
            state_since_at=now,
            created_at=now,
        )

    def _registration(self, number: int, account: Account, now: int) -> PushRegistration:
        return PushRegistration(
            public_id=public_id(number),
            account_id=account.id,
            app=APP,
            installation=f"installation-{number:012}",
            sip_instance=f"urn:uuid:{uuid.UUID(int=(1 << 96) + number)}",
            secret_hash=secret_hash(self.key, secret(number)),
            proven=True,
            platform=Platform.IOS,
            lifetime=Duration(self.policy.lifetime),
            capabilities=self.capabilities,
            created_at=now,
        )

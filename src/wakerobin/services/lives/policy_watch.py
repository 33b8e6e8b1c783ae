"""A policy that changed while lives go on (law 9): found at the start, taken into all lives in slices."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from wakerobin import log
from wakerobin.core.lifetime import LifetimePolicy, PolicyChanged
from wakerobin.core.values import PushRegistration
from wakerobin.ports.store import Store, Transaction
from wakerobin.services.lives.deciding import Deciding

_NAME = "lives-policies"
_RANGE = 2**31

_log = log.get("lives")


class PolicyWatch:
    """`apps` are those of the configuration. What is under way outlives a restart."""

    def __init__(self, store: Store, deciding: Deciding, apps: Collection[str]) -> None:
        self._store = store
        self._deciding = deciding
        self._apps = apps
        self._is_busy = False

    async def start(self) -> None:
        """Find out which policies are others than before."""
        kept = await self._store.transact(self._opened)
        self._is_busy = bool(kept["changing"])
        if self._is_busy:
            _log.info("policy_changed", apps=sorted(kept["changing"]))

    async def turn(self, limit: int) -> bool:
        """Take a changed policy into up to `limit` push registrations; False: none is left."""
        if self._is_busy:
            self._is_busy = await self._store.transact(lambda tx: self._slice(tx, limit))
        return self._is_busy

    def _opened(self, tx: Transaction) -> dict[str, Any]:
        kept = _read(tx)
        for app in self._apps:
            policy = self._deciding.policies(app)
            now = {"policy": _fingerprint(policy), "lifetime": int(policy.lifetime)}
            before = kept["apps"].get(app)
            if before is not None and before["policy"] != now["policy"]:
                # One that was under way begins anew, with the newest policy: some have the one between.
                were = kept["changing"].get(app, {}).get("lifetimes", [])
                kept["changing"][app] = {"after": 0, "lifetimes": [*were, before["lifetime"]]}
            kept["apps"][app] = now
        tx.kept.put(_NAME, json.dumps(kept).encode())
        return kept

    def _slice(self, tx: Transaction, limit: int) -> bool:
        kept = _read(tx)
        if not kept["changing"]:
            return False
        app, place = next(iter(kept["changing"].items()))
        page = tx.registrations.page(place["after"], limit)
        for registration in page:
            if registration.app == app:
                self._take_in(tx, registration, place["lifetimes"])
        if len(page) < limit:
            del kept["changing"][app]
        else:
            place["after"] = page[-1].id
        tx.kept.put(_NAME, json.dumps(kept).encode())
        return bool(kept["changing"])

    def _take_in(self, tx: Transaction, registration: PushRegistration, before: Collection[int]) -> None:
        life = tx.lives.get(registration.id)
        if life is None or life.ended is not None:
            return
        policy = self._deciding.policies(registration.app)
        # A lifetime that the app asked for is its own, within the new bounds; all others follow the policy.
        follows = registration.lifetime in before
        lifetime = policy.lifetime if follows else policy.clamped(registration.lifetime)
        if lifetime != registration.lifetime:
            tx.registrations.update(replace(registration, lifetime=lifetime))
        jitter = int.from_bytes(self._deciding.entropy(4), "big") / _RANGE - 1
        apply = self._deciding.apply(self._deciding.clock.now())
        apply(tx, registration, PolicyChanged(jitter, lifetime))


def _fingerprint(policy: LifetimePolicy) -> str:
    return hashlib.sha256(repr(policy).encode()).hexdigest()


def _read(tx: Transaction) -> dict[str, Any]:
    kept = tx.kept.get(_NAME)
    if kept is None:
        return {"apps": {}, "changing": {}}
    value: dict[str, Any] = json.loads(kept)
    return value

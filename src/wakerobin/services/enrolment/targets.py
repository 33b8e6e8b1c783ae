"""The push targets of a registration, as its app reports them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from wakerobin.core.values import PushTarget
from wakerobin.ports.store import Transaction
from wakerobin.services.enrolment.requests import TargetRequest


def set_targets(tx: Transaction, registration_id: int, wanted: Iterable[TargetRequest], now: int) -> None:
    """Replace the list of targets; a token that is reported again keeps its row and its history."""
    known = {(t.provider, t.token): t for t in tx.targets.of_registration(registration_id)}
    for target in wanted:
        row = known.pop((target.provider, target.token), None)
        reported = PushTarget(
            registration_id=registration_id,
            provider=target.provider,
            purposes=target.purposes,
            token=target.token,
            topic=target.topic,
            environment=target.environment,
            token_kind=target.token_kind,
            p256dh=target.p256dh,
            auth=target.auth,
            reported_at=now,
        )
        if row is None:
            tx.targets.add(reported)
        else:
            # Where the app does not say which environment a token is of, what was found out about it stays.
            environment = target.environment or row.environment
            tx.targets.update(
                replace(
                    reported,
                    id=row.id,
                    environment=environment,
                    accepted_at=row.accepted_at,
                    claimed_at=row.claimed_at,
                )
            )
    for gone in known.values():
        tx.targets.remove(gone.id)

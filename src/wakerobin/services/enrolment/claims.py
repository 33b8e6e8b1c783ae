"""A token that two installations report: claimed by the second, and its own once it has proven to hold it.

Anybody can report a token that he has seen, so reporting takes nothing from whoever has it: both keep it. The
claimer is sent a nonce to that very token; returning it within a day, it gets every token that both have.
A subscription of Web Push proves itself: only its browser or app knows its authentication secret.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from wakerobin.core.ids import keyed_hash, same
from wakerobin.core.pushes import PushType
from wakerobin.core.values import SILENCE, Purpose, PushRegistration, PushTarget, Silence
from wakerobin.ports.store import OutboxRow, Transaction
from wakerobin.services import story
from wakerobin.services.lives import Lives

NONCE_MS: Final = 24 * 3_600_000
"""How long a nonce is good, and how long it is until the next is sent."""


class Claims:
    """`key` is the server's secret: a nonce is derived, so that none is stored."""

    def __init__(self, key: bytes, lives: Lives) -> None:
        self._key = key
        self._lives = lives

    def look(self, tx: Transaction, registration: PushRegistration, now: int) -> None:
        """See whether others have tokens of a proven registration, and ask for the proof."""
        for target in tx.targets.of_registration(registration.id):
            rivals = list(_rivals(tx, registration, target))
            if not rivals:
                continue
            if target.auth and all(_is_same_subscription(target, rival) for rival in rivals):
                self._take(tx, registration, target, now)
            elif _can_be_asked(target) and now - target.claimed_at >= NONCE_MS:
                self._ask(tx, registration, replace(target, claimed_at=now), now)

    def prove(self, tx: Transaction, registration: PushRegistration, nonce: str, now: int) -> bool:
        """Take a nonce back. False: it is none of the last day. A second time it changes nothing."""
        for target in tx.targets.of_registration(registration.id):
            is_open = target.claimed_at > now - NONCE_MS
            if same(self._nonce(registration, target), nonce) and is_open:
                self._take(tx, registration, target, now)
                return True
        return False

    def _ask(self, tx: Transaction, registration: PushRegistration, target: PushTarget, now: int) -> None:
        life = tx.lives.get(registration.id)
        assert life is not None
        tx.targets.update(target)
        tx.outbox.add(
            OutboxRow(
                slot=life.slot,
                registration_id=registration.id,
                generation=life.generation,
                kind=PushType.VERIFY,
                step=target.id,
                not_before=now,
                deadline_at=now + NONCE_MS,
                payload={"nonce": self._nonce(registration, target), "target": target.id},
            )
        )
        story.tell(tx, story.of_registration(registration.id), now, "target-claimed")

    def _take(self, tx: Transaction, registration: PushRegistration, target: PushTarget, now: int) -> None:
        """Take a token from all others, and from those installations every other token that both have.

        The tokens of one phone come together, and a token that rings cannot be asked silently.
        """
        losers = {rival.installation for rival in _rivals_of(tx, registration, target)}
        for mine in tx.targets.of_registration(registration.id):
            for rival in list(_rivals(tx, registration, mine)):
                loser = tx.registrations.get(rival.registration_id)
                if loser is not None and loser.installation in losers:
                    self._lives.target_taken_in(tx, rival, now)

    def _nonce(self, registration: PushRegistration, target: PushTarget) -> str:
        asked = (registration.public_id, str(target.id), str(target.claimed_at))
        nonce = keyed_hash(self._key, "verify", *asked)
        return base64.urlsafe_b64encode(nonce).rstrip(b"=").decode()


def _rivals(tx: Transaction, registration: PushRegistration, target: PushTarget) -> Iterator[PushTarget]:
    """Yield the same token with other installations of the app."""
    for other in tx.targets.with_token(target.provider, target.token):
        owner = tx.registrations.get(other.registration_id)
        if owner is None or owner.app != registration.app or owner.installation == registration.installation:
            continue
        if owner.proven:
            yield other


def _rivals_of(
    tx: Transaction, registration: PushRegistration, target: PushTarget
) -> Iterator[PushRegistration]:
    for rival in _rivals(tx, registration, target):
        owner = tx.registrations.get(rival.registration_id)
        if owner is not None:
            yield owner


def _is_same_subscription(one: PushTarget, other: PushTarget) -> bool:
    """Whether two that name one endpoint know its keys alike: only its browser and we do."""
    return same(one.auth.reveal(), other.auth.reveal()) and same(one.p256dh, other.p256dh)


def _can_be_asked(target: PushTarget) -> bool:
    """Whether a nonce can reach the app: silently, and not by a token that has to ring."""
    return SILENCE[target.provider] is Silence.ALLOWED and Purpose.NOTICE in target.purposes

"""Which registrations a call may wake, and the pushes that do it."""

from __future__ import annotations

from dataclasses import dataclass

from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.lifetime import LifetimePolicy, stage
from wakerobin.core.pushes import CallDetails, PayloadHead, PushMessage, call_message
from wakerobin.core.sip.message import Message
from wakerobin.core.story import readable
from wakerobin.core.values import Life, Purpose, PushRegistration, PushTarget
from wakerobin.ports.store import Transaction
from wakerobin.services.switchboard.incoming import caller_of, has_video, registration_call_id


@dataclass(frozen=True, slots=True)
class Wakeable:
    """A living, proven push registration with the targets that a call push goes to."""

    registration: PushRegistration
    life: Life
    targets: tuple[PushTarget, ...]


def wakeables(tx: Transaction, account_id: int) -> list[Wakeable]:
    """Return whom a call to this account wakes."""
    found = []
    for registration in tx.registrations.of_account(account_id):
        life = tx.lives.get(registration.id)
        if not registration.proven or life is None or life.ended is not None:
            continue
        targets = [t for t in tx.targets.of_registration(registration.id) if Purpose.CALL in t.purposes]
        if targets:
            found.append(Wakeable(registration, life, tuple(targets)))
    return found


def call_details(secret: bytes, invite: Message, registration: PushRegistration, api: str) -> CallDetails:
    """Return what this registration is told of a call; `api` is the URL under which apps reach the API."""
    return CallDetails(
        call_id=registration_call_id(secret, invite.call_id, invite.from_tag or "", registration.public_id),
        sip_call_id=readable(invite.call_id),
        caller=caller_of(invite),
        has_video=has_video(invite),
        api=api,
    )


def call_pushes(
    secret: bytes,
    details: CallDetails,
    wakeable: Wakeable,
    policy: LifetimePolicy,
    sent_at: int,
    expires_at: int,
) -> list[PushMessage]:
    """Return one push for each call target; ids are derived, so that a repeated INVITE pushes nothing new."""
    registration, life = wakeable.registration, wakeable.life
    messages = []
    for target in wakeable.targets:
        head = PayloadHead(
            id=uuid_from(keyed_hash(secret, "call-push", details.call_id, str(target.id))),
            registration=registration.public_id,
            generation=life.generation,
            sent_at=sent_at,
            expires_at=expires_at,
            stage=stage(life, policy),
            life_expires_at=life.expires_at,
        )
        messages.append(call_message(registration.app, target, head, details))
    return messages

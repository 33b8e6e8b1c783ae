"""What a row of the outbox says to the phone: addressee, text, payload, expiration and collapse key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.pushes import PayloadHead, PushMessage, PushType, notice_payload
from wakerobin.core.values import SILENCE, Purpose, PushRegistration, PushTarget, Silence
from wakerobin.ports.store import OutboxRow
from wakerobin.ports.texts import Texts
from wakerobin.services.lives import Wanted

# Whatever is shown about a life replaces what was shown about it before; missed calls count up by
# themselves; a renewal shows nothing.
_COLLAPSE_KEYS: Final[dict[PushType, str]] = {
    PushType.EXPIRY_WARNING: "life",
    PushType.EXPIRED: "life",
    PushType.TARGETS_NEEDED: "life",
    PushType.CREDENTIALS_NEEDED: "life",
    PushType.MISSED_CALL: "missed",
    PushType.RENEW: "life",
}


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom a row is for, as read right before it is sent."""

    registration: PushRegistration
    name: str
    """What the account is called towards its user."""
    wanted: Wanted
    targets: tuple[PushTarget, ...]
    """Those that are not settled yet."""


def targets_for(kind: PushType, targets: list[PushTarget]) -> tuple[PushTarget, ...]:
    """Choose the targets of a push that is no call: never a VoIP token, which has to ring."""
    shown = (target for target in targets if Purpose.NOTICE in target.purposes)
    if kind is not PushType.RENEW:
        return tuple(shown)
    return tuple(target for target in shown if SILENCE[target.provider] is Silence.ALLOWED)


def message_for(
    row: OutboxRow, addressee: Addressee, target: PushTarget, texts: Texts, now: int
) -> PushMessage:
    """Build the push of a row for one target. Its id is the same for every attempt."""
    registration, life = addressee.registration, addressee.wanted.life
    expires_at = _announced_end(row, now) or row.deadline_at
    # A push that no push service may store (0) still means something to the phone until the end.
    head = PayloadHead(
        id=push_id(registration, row.generation, row.kind, row.step, target),
        registration=registration.public_id,
        generation=row.generation,
        sent_at=now,
        expires_at=expires_at or life.expires_at,
        stage=addressee.wanted.stage,
        life_expires_at=max(life.expires_at, _announced_end(row, now)),
    )
    count = int(row.payload.get("count", 0))
    text = texts.text(row.kind, registration.locale, registration.app, _values(row, addressee))
    return PushMessage(
        type=row.kind,
        id=head.id,
        target=target,
        app=registration.app,
        title=text.title,
        text=text.body,
        loc_keys=text.loc_keys,
        payload=notice_payload(row.kind, head, count=count),
        expires_at=expires_at,
        collapse_key=_COLLAPSE_KEYS.get(row.kind, ""),
    )


def _announced_end(row: OutboxRow, now: int) -> int:
    """Return the end that a warning announces, 0 for what is none: an overdue life waits for its warning.

    The warning is of no use after it, whenever we give up delivering it.
    """
    if "announced_at" not in row.payload:
        return 0
    return max(int(row.payload["announced_at"]), now + int(row.payload.get("lead", 0)))


def push_id(
    registration: PushRegistration, generation: int, kind: PushType, step: int, target: PushTarget
) -> str:
    """Return the id of a push that is no call; receipts name it."""
    decision = (str(generation), kind.value, str(step), str(target.id))
    return uuid_from(keyed_hash(registration.public_id.encode()[:64], *decision))


def _values(row: OutboxRow, addressee: Addressee) -> dict[str, str]:
    said = {name: str(value) for name, value in row.payload.items() if name in ("caller", "count")}
    return {"account": addressee.name, **said}

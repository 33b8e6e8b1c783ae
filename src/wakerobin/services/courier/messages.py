"""What a row of the outbox says to the phone: addressee, text, payload, expiration and collapse key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.pushes import OUTLIVES_USE, PayloadHead, PushMessage, PushType, notice_payload, variant_of
from wakerobin.core.values import SILENCE, Provider, Purpose, PushRegistration, PushTarget, Silence
from wakerobin.ports.store import OutboxRow
from wakerobin.ports.texts import Texts
from wakerobin.services.lives import Wanted

# Whatever is shown about a life replaces what was shown about it before; missed calls count up by
# themselves, and each message is one of its own; a renewal shows nothing.
_COLLAPSE_KEYS: Final[dict[PushType, str]] = {
    PushType.EXPIRY_WARNING: "life",
    PushType.EXPIRED: "life",
    PushType.TARGETS_NEEDED: "life",
    PushType.CREDENTIALS_NEEDED: "life",
    PushType.REGISTRATION_TROUBLE: "life",
    PushType.REGISTRATION_TROUBLE_OVER: "life",
    PushType.STILL_REACHABLE: "life",
    PushType.MISSED_CALL: "missed",
    PushType.MWI: "mwi",
    PushType.RENEW: "life",
}
TOGETHER: Final = frozenset(_COLLAPSE_KEYS) - OUTLIVES_USE
"""What goes out once for all accounts of an installation: it would replace itself in any case."""

_SILENT: Final = frozenset((PushType.RENEW, PushType.VERIFY))
_CAPABILITY_OF: Final = {PushType.MESSAGE: "messages", PushType.MWI: "voicemail"}
"""What an app may say that it can do nothing with, and is then not told of."""
_OF_CALLS: Final = frozenset((PushType.TEST, PushType.CALL_OVER))
"""What goes where calls go; everything else never goes to a token that has to ring."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom a row is for, as read right before it is sent."""

    registration: PushRegistration
    name: str
    """What the account is called towards its user."""
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Companion:
    """One of the rows for which a push stands, and its target: the same token in its own registration."""

    row: OutboxRow
    addressee: Addressee
    target: PushTarget


def purpose_of(kind: PushType) -> Purpose:
    """Return what a target must be good for to get such a push."""
    return Purpose.CALL if kind in _OF_CALLS else Purpose.NOTICE


def targets_for(
    kind: PushType, targets: list[PushTarget], capabilities: Mapping[str, bool] = {}
) -> tuple[PushTarget, ...]:
    """Choose the targets of a push that is no call, where it can work and does no harm.

    Never a VoIP token, which has to ring; nothing silent where silence is punished or is not allowed to
    run; nothing to be shown where the phone shows nothing.
    """
    purpose = purpose_of(kind)
    found = tuple(target for target in targets if purpose in target.purposes)
    if kind in _OF_CALLS:
        return found
    if capabilities.get(_CAPABILITY_OF.get(kind, "")) is False:
        return ()
    if kind not in _SILENT:
        return () if capabilities.get("notifications") is False else found
    found = tuple(target for target in found if SILENCE[target.provider] is Silence.ALLOWED)
    if kind is PushType.RENEW and capabilities.get("background_refresh") is False:
        return tuple(target for target in found if target.provider is not Provider.APNS)
    return found


def message_for(
    row: OutboxRow,
    addressee: Addressee,
    target: PushTarget,
    texts: Texts,
    now: int,
    others: Sequence[Companion] = (),
) -> PushMessage:
    """Build the push of a row for one target. Its id is the same for every attempt.

    `others`: the rows that it stands for beside its own.
    """
    registration = addressee.registration
    expires_at = max(_of_use_until(one.row, now) for one in (Companion(row, addressee, target), *others))
    head = _head(Companion(row, addressee, target), now)
    text = texts.text(
        row.kind,
        registration.locale,
        registration.app,
        _values(row, addressee),
        variant=_variant((Companion(row, addressee, target), *others)),
        accounts=(addressee.name, *(one.addressee.name for one in others)) if others else (),
    )
    payload = notice_payload(row.kind, head, row.payload)
    if others:
        payload["also"] = [_also(one, now) for one in others]
    return PushMessage(
        type=row.kind,
        id=head.id,
        target=target,
        app=registration.app,
        title=text.title,
        text=text.body,
        loc_keys=text.loc_keys,
        generic=text.generic,
        payload=payload,
        expires_at=expires_at,
        collapse_key=_COLLAPSE_KEYS.get(row.kind, ""),
        is_mutable=_is_mutable(row, addressee, target),
        is_quiet=row.payload.get("is_quiet") is True,
        badge=int(row.payload.get("new", 0)) if row.kind is PushType.MWI else None,
        payload_key=registration.payload_key,
    )


def _variant(rows: Sequence[Companion]) -> str:
    """Return the variant of a text that is true for all: what is not plain for one is plain for none."""
    found = (variant_of(one.row.kind, one.row.payload, one.addressee.wanted.stage) for one in rows)
    return next((variant for variant in found if variant), "")


def _head(one: Companion, now: int) -> PayloadHead:
    row, registration, life = one.row, one.addressee.registration, one.addressee.wanted.life
    # A push that no push service may store (0) still means something to the phone until the end.
    return PayloadHead(
        id=push_id(registration, row.generation, row.kind, row.step, one.target),
        registration=registration.public_id,
        # What a use does not make untrue must not look to an app as if it were of before it.
        generation=life.generation if row.kind in OUTLIVES_USE else row.generation,
        sent_at=now,
        expires_at=_of_use_until(row, now) or life.expires_at,
        stage=one.addressee.wanted.stage,
        life_expires_at=max(life.expires_at, _announced_end(row, now)),
    )


def _also(one: Companion, now: int) -> dict[str, Any]:
    """Return what a payload says of another account: enough to renew it and to receipt its push."""
    said = notice_payload(one.row.kind, _head(one, now))
    return {name: said[name] for name in ("id", "registration", "generation", "life")}


def _is_mutable(row: OutboxRow, addressee: Addressee, target: PushTarget) -> bool:
    """Whether an extension of the app may renew before the text is shown: at the first warning (life.md)."""
    return (
        row.kind is PushType.EXPIRY_WARNING
        and target.provider is Provider.APNS
        and addressee.registration.capabilities.get("service_extension") is True
        and not addressee.wanted.life.warned_at
    )


def _of_use_until(row: OutboxRow, now: int) -> int:
    return _announced_end(row, now) or row.deadline_at


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

"""Which registrations a call may wake, and the pushes that do it, and that take it back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.lifetime import LifetimePolicy, stage
from wakerobin.core.pushes import (
    CallDetails,
    PayloadHead,
    PushMessage,
    PushType,
    call_message,
    call_over_message,
)
from wakerobin.core.sip.message import Message
from wakerobin.core.story import readable
from wakerobin.core.values import Account, Life, Provider, PushRegistration, PushTarget
from wakerobin.ports.store import Transaction
from wakerobin.ports.texts import Text, Texts
from wakerobin.services.callers import caller_of, shown_name
from wakerobin.services.switchboard.incoming import has_video, registration_call_id

ELSEWHERE = "answered-elsewhere"
"""The API's word for a call that somebody took at another phone."""

CALL_OVER_MS = 30_000
"""How long the news that a call is over is of use."""

_NO_TEXT = Text("", "")


@dataclass(frozen=True, slots=True)
class Wakeable:
    """A living, proven push registration with the targets that a call push goes to."""

    registration: PushRegistration
    life: Life
    targets: tuple[PushTarget, ...]
    name: str
    """What the account is called towards its user."""


def wakeables(tx: Transaction, account: Account) -> list[Wakeable]:
    """Return whom a call to this account wakes."""
    name = account.aor.removeprefix("sip:")
    return [
        Wakeable(one.registration, one.life, one.targets, one.registration.display_name or name)
        for one in tx.registrations.callees(account.id)
    ]


def call_details(secret: bytes, invite: Message, registration: PushRegistration, api: str) -> CallDetails:
    """Return what this registration is told of a call; `api` is the URL under which apps reach the API."""
    return CallDetails(
        call_id=registration_call_id(secret, invite.call_id, invite.from_tag or "", registration.public_id),
        sip_call_id=readable(invite.call_id),
        caller=caller_of(invite),
        has_video=has_video(invite),
        api=api,
    )


class CallWords:
    """Words for the pushes of calls. They cost more than all the rest of a push, and Apple takes none."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def text(self, type_: PushType, wakeable: Wakeable, call: CallDetails, variant: str = "") -> Text:
        """Return what the user reads where the system shows calls as notifications."""
        if all(target.provider is Provider.APNS for target in wakeable.targets):
            return _NO_TEXT
        registration = wakeable.registration
        values = {"account": wakeable.name, "caller": shown_name(call.caller)}
        return self._texts.text(type_, registration.locale, registration.app, values, variant=variant)


def call_push_id(secret: bytes, call_id: str, target: PushTarget) -> str:
    """Return the id of a call push: derived, so that a repeated INVITE pushes nothing new."""
    return uuid_from(keyed_hash(secret, "call-push", call_id, str(target.id)))


def call_pushes(
    secret: bytes,
    details: CallDetails,
    wakeable: Wakeable,
    text: Text,
    policy: LifetimePolicy,
    times: tuple[int, int],
) -> list[PushMessage]:
    """Return one push for each call target.

    `times`: when they are sent, and until when they are of use.
    """
    messages = []
    for target in wakeable.targets:
        id_ = call_push_id(secret, details.call_id, target)
        head = _head(id_, wakeable, policy, times)
        message = call_message(wakeable.registration.app, target, head, details)
        messages.append(_worded(message, wakeable, text))
    return messages


def call_over_pushes(  # noqa: PLR0913 - what such a push is made of
    secret: bytes,
    details: CallDetails,
    wakeable: Wakeable,
    text: Text,
    policy: LifetimePolicy,
    *,
    taken_by: Collection[int],
    state: str,
    now: int,
) -> list[PushMessage]:
    """Return the pushes that take a call back from the targets (by id) whose call push was accepted."""
    messages = []
    for target in wakeable.targets:
        if target.id not in taken_by or not can_be_told(target, state):
            continue
        id_ = uuid_from(keyed_hash(secret, "call-over-push", details.call_id, str(target.id)))
        head = _head(id_, wakeable, policy, (now, now + CALL_OVER_MS))
        message = call_over_message(wakeable.registration.app, target, head, details, state)
        messages.append(_worded(message, wakeable, text))
    return messages


def can_be_told(target: PushTarget, state: str) -> bool:
    """Whether a push can tell a phone that a call is over."""
    if target.provider is Provider.APNS:
        return False  # a VoIP push would have to ring it once more; the app learns it from the API
    return target.provider is not Provider.ACROBITS or state == ELSEWHERE  # it has words for that alone


def _head(id_: str, wakeable: Wakeable, policy: LifetimePolicy, times: tuple[int, int]) -> PayloadHead:
    sent_at, expires_at = times
    return PayloadHead(
        id=id_,
        registration=wakeable.registration.public_id,
        generation=wakeable.life.generation,
        sent_at=sent_at,
        expires_at=expires_at,
        stage=stage(wakeable.life, policy, zone=wakeable.registration.time_zone),
        life_expires_at=wakeable.life.expires_at,
    )


def _worded(message: PushMessage, wakeable: Wakeable, text: Text) -> PushMessage:
    return replace(
        message,
        title=text.title,
        text=text.body,
        loc_keys=text.loc_keys,
        generic=text.generic,
        payload_key=wakeable.registration.payload_key,
    )

"""What is sent through a push service, and how one try of it can end (words of APNs, FCM, RFC 8030).

The payload is one JSON object, the same for every provider; its times are integer Unix seconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wakerobin.core.values import NO_SECRET, PushTarget, Secret


class PushType(enum.StrEnum):
    """The `type` of a payload; the list of the API."""

    CALL = "call"
    CALL_OVER = "call-over"
    MISSED_CALL = "missed-call"
    RENEW = "renew"
    EXPIRY_WARNING = "expiry-warning"
    EXPIRED = "expired"
    REGISTRATION_TROUBLE = "registration-trouble"
    REGISTRATION_TROUBLE_OVER = "registration-trouble-over"
    CREDENTIALS_NEEDED = "credentials-needed"
    TARGETS_NEEDED = "targets-needed"
    STILL_REACHABLE = "still-reachable"
    """A quiet note to a phone whose system would put an unused app to sleep."""
    VERIFY = "verify"
    """Carries a nonce: whoever returns it holds the token."""
    TEST = "test"


PAYLOAD_VERSION = 1
"""`v` of every payload: what an app needs to know before it reads on."""


class Lane(enum.StrEnum):
    """What may wait for what: calls wait for nothing and have connections of their own."""

    CALLS = "calls"
    NOTICES = "notices"
    WARNINGS = "warnings"
    RENEWALS = "renewals"


LANES: dict[PushType, Lane] = {
    PushType.CALL: Lane.CALLS,
    PushType.CALL_OVER: Lane.CALLS,
    PushType.TEST: Lane.CALLS,
    PushType.MISSED_CALL: Lane.NOTICES,
    PushType.EXPIRED: Lane.NOTICES,
    PushType.STILL_REACHABLE: Lane.NOTICES,
    PushType.VERIFY: Lane.NOTICES,
    PushType.EXPIRY_WARNING: Lane.WARNINGS,
    PushType.REGISTRATION_TROUBLE: Lane.WARNINGS,
    PushType.REGISTRATION_TROUBLE_OVER: Lane.WARNINGS,
    PushType.CREDENTIALS_NEEDED: Lane.WARNINGS,
    PushType.TARGETS_NEEDED: Lane.WARNINGS,
    PushType.RENEW: Lane.RENEWALS,
}


@dataclass(frozen=True, slots=True)
class LocKeys:
    """The app's own words: keys of its string table, and what fills their texts, in their order."""

    title_key: str
    title_args: tuple[str, ...]
    body_key: str
    body_args: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushMessage:
    """One push to one target: what it says, until when it is of use, and its key at the provider."""

    type: PushType
    id: str
    """A lower-case UUID, the same on each attempt (`apns-id`)."""
    target: PushTarget
    app: str
    title: str = ""
    text: str = ""
    """What the user reads; empty for silent pushes."""
    loc_keys: LocKeys | None = None
    """What goes out instead of title and text where the push service knows such keys."""
    payload: dict[str, Any] = field(default_factory=dict)
    """The JSON object of api.md "Payload", the same for every provider."""
    expires_at: int
    """Epoch milliseconds after which nobody wants it; 0: one attempt, never stored."""
    collapse_key: str = ""
    """At most 64 bytes; a newer push with the same key replaces this one."""
    is_mutable: bool = False
    """The app has an extension that may renew before the text is shown (`mutable-content`)."""
    payload_key: Secret = NO_SECRET
    """Of its push registration: what the payload is encrypted with where the app wants that."""

    def __hash__(self) -> int:
        return hash((self.id, self.target.id))

    @property
    def lane(self) -> Lane:
        """The lane in which it travels."""
        return LANES[self.type]


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadHead:
    """What every payload says: which push, about which push registration, and how its life stands."""

    id: str
    """A lower-case UUID, the same on each attempt."""
    registration: str
    """The public id, `pr_…`."""
    generation: int
    sent_at: int
    expires_at: int
    """Epoch milliseconds until which this push is of use."""
    stage: str
    life_expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetails:
    """What a call's payload says beside its head."""

    call_id: str
    """A UUID, fit for CallKit."""
    sip_call_id: str
    caller: dict[str, str]
    """`uri`, `number`, `name`."""
    has_video: bool = False
    api: str = ""
    """The URL under which the app finds the API; empty where none is public."""

    def __hash__(self) -> int:
        return hash(self.call_id)


def notice_payload(type_: PushType, head: PayloadHead, *, count: int = 0) -> dict[str, Any]:
    """Return the payload of every push that is not a call; `count` belongs to missed calls only."""
    payload = _head(type_, head)
    if type_ is PushType.MISSED_CALL:
        payload["count"] = count
    return payload


def call_payload(head: PayloadHead, call: CallDetails) -> dict[str, Any]:
    """Return the payload of a call push."""
    caller = {name: call.caller.get(name, "") for name in ("uri", "number", "name")}
    return _head(PushType.CALL, head) | {
        "call_id": call.call_id,
        "sip_call_id": call.sip_call_id,
        "caller": caller,
        "has_video": call.has_video,
        "api": call.api,
    }


def call_message(app: str, target: PushTarget, head: PayloadHead, call: CallDetails) -> PushMessage:
    """Return the push that wakes a phone: no text and no collapse key, worth nothing after the call."""
    return PushMessage(
        type=PushType.CALL,
        id=head.id,
        target=target,
        app=app,
        payload=call_payload(head, call),
        expires_at=head.expires_at,
    )


def _head(type_: PushType, head: PayloadHead) -> dict[str, Any]:
    return {
        "v": PAYLOAD_VERSION,
        "type": type_.value,
        "id": head.id,
        "registration": head.registration,
        "generation": head.generation,
        "sent_at": head.sent_at // 1000,
        "expires_at": head.expires_at // 1000,
        "life": {"stage": head.stage, "expires_at": head.life_expires_at // 1000},
    }


@dataclass(frozen=True, slots=True)
class Accepted:
    """The push service took it. Accepted is not shown."""

    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class TargetGone:
    """The target is no more. The only outcome that may end a push registration.

    `certain` is False for verdicts that may also mean that *we* are misconfigured (law 5, suspect).
    `gone_at`: epoch milliseconds at which the provider says it ended; 0 where it does not say.
    """

    reason: str
    certain: bool = True
    gone_at: int = 0


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many: try again after `retry_after` milliseconds (0: the caller's back-off)."""

    reason: str
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The push service could not be asked or could not serve; the push may be tried again.

    `processed`: None where nobody can know whether it was delivered, False where it certainly was not.
    """

    reason: str
    retry_after: int = 0
    processed: bool | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """This push is refused for good. `ours`: our credential, topic or environment is wrong."""

    reason: str
    ours: bool = False


Outcome: TypeAlias = Accepted | TargetGone | Throttled | Unavailable | Rejected

"""What is sent through a push service, and how one try of it can end (words of APNs, FCM, RFC 8030).

The payload is one JSON object, the same for every provider; its times are integer Unix seconds.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from wakerobin.core.values import NO_SECRET, PushTarget, Secret


class PushType(enum.StrEnum):
    """The `type` of a payload; the list of the API."""

    CALL = "call"
    CALL_OVER = "call-over"
    MISSED_CALL = "missed-call"
    MESSAGE = "message"
    MWI = "mwi"
    """What waits in the mailbox has changed (RFC 3842)."""
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
    PushType.MESSAGE: Lane.NOTICES,
    PushType.MWI: Lane.NOTICES,
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


@dataclass(frozen=True, slots=True)
class Wording:
    """What a notification says."""

    title: str
    text: str
    loc_keys: LocKeys | None = None


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
    generic: Wording | None = None
    """The same without any name, for an app whose push services are not to read names."""
    payload: dict[str, Any] = field(default_factory=dict)
    """The JSON object of api.md "Payload", the same for every provider."""
    expires_at: int
    """Epoch milliseconds after which nobody wants it; 0: one attempt, never stored."""
    collapse_key: str = ""
    """At most 64 bytes; a newer push with the same key replaces this one."""
    is_mutable: bool = False
    """The app has an extension that may renew before the text is shown (`mutable-content`)."""
    is_quiet: bool = False
    """It takes something back that is shown: nobody has to look now."""
    badge: int | None = None
    """The number on the app's icon, where the push is about such a number."""
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


OUTLIVES_USE: frozenset[PushType] = frozenset(
    {PushType.MISSED_CALL, PushType.MESSAGE, PushType.MWI, PushType.VERIFY}
)
"""What is not about the life, so that a use of the app does not make it untrue."""

_DETAILS: dict[PushType, tuple[str, ...]] = {
    PushType.MISSED_CALL: ("count",),
    PushType.MESSAGE: ("message_id", "from"),
    PushType.MWI: ("waiting", "new", "old"),
    PushType.VERIFY: ("nonce",),
    PushType.TEST: ("test",),
    PushType.REGISTRATION_TROUBLE: ("cause", "ended"),
}
"""What the payload of a type says beside its head."""


def notice_payload(type_: PushType, head: PayloadHead, details: Mapping[str, Any] = {}) -> dict[str, Any]:
    """Return the payload of every push that is not a call; of the details, what belongs to its type."""
    said = {name: details[name] for name in _DETAILS.get(type_, ()) if name in details}
    return _head(type_, head) | said


def variant_of(type_: PushType, details: Mapping[str, Any], stage: str) -> str:
    """Return which of a type's texts is true; empty for the plain one. `details` are of its decision."""
    match type_:
        case PushType.EXPIRY_WARNING:
            return "unregistered" if details.get("registered") is False else ""
        case PushType.REGISTRATION_TROUBLE:
            return "ended" if details.get("ended") else str(details.get("cause", "")).replace("refused", "")
        case PushType.MISSED_CALL | PushType.MESSAGE:
            return "warned" if stage == "warned" else ""
        case PushType.MWI:
            if not details.get("waiting"):
                return "none"
            return "" if details.get("new") else "uncounted"
        case _:
            return ""


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


def call_over_message(
    app: str, target: PushTarget, head: PayloadHead, call: CallDetails, state: str
) -> PushMessage:
    """Return the push that says that a call rings no more; `state` is the API's word for how it ended."""
    payload = _head(PushType.CALL_OVER, head) | {
        "call_id": call.call_id,
        "sip_call_id": call.sip_call_id,
        "state": state,
    }
    return PushMessage(
        type=PushType.CALL_OVER,
        id=head.id,
        target=target,
        app=app,
        payload=payload,
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
    environment: str = ""
    """Of a push service with two, the one that knows the target (`PushTarget.environment`), where that was
    found out with this push; then it is to be remembered."""


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

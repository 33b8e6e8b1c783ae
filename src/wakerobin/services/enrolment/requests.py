"""What an app asks for, checked for shape already, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass, field

from wakerobin.core.values import (
    NO_SECRET,
    Account,
    Platform,
    Provider,
    Purpose,
    PushRegistration,
    RealmKey,
    Secret,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRequest:
    """One push target as the app reports it."""

    provider: Provider
    purposes: frozenset[Purpose]
    token: Secret
    """Of a subscription of Web Push or UnifiedPush its endpoint."""
    topic: str = ""
    environment: str = ""
    token_kind: str = ""
    p256dh: str = ""
    auth: Secret = NO_SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolRequest:
    """`POST /v1/push-registrations`."""

    app: str
    aor: str
    auth_user: str = ""
    display_name: str = ""
    password: Secret | None = None
    keys: tuple[RealmKey, ...] = ()
    registrar: str = ""
    outbound_proxy: str = ""
    transport: str = ""
    targets: tuple[TargetRequest, ...]
    installation_id: str
    platform: Platform = Platform.OTHER
    locale: str = ""
    time_zone: str = ""
    os_version: str = ""
    app_version: str = ""
    capabilities: dict[str, bool] = field(default_factory=dict)
    lifetime_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRequest:
    """`PATCH /v1/push-registrations/{id}`; None leaves a field as it is."""

    display_name: str | None = None
    password: Secret | None = None
    keys: tuple[RealmKey, ...] = ()
    auth_user: str | None = None
    targets: tuple[TargetRequest, ...] | None = None
    locale: str | None = None
    time_zone: str | None = None
    os_version: str | None = None
    app_version: str | None = None
    capabilities: dict[str, bool] | None = None
    lifetime_s: int | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The registration is there. `secret` is told once; `is_new` is False for a repeated enrolment."""

    registration: PushRegistration
    account: Account
    secret: Secret
    is_new: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem of the API by its name; `detail` says what to do and repeats no input."""

    problem: str
    detail: str = ""
    pointer: str = ""
    retry_after_s: int = 0

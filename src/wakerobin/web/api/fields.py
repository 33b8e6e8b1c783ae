"""What apps send, field by field. Unknown fields are errors; limits are far above what is in use."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    StrictInt,
    StringConstraints,
    model_validator,
)

from wakerobin.core.values import NO_SECRET, Algorithm, Platform, Provider, Purpose, RealmKey, Secret
from wakerobin.services.enrolment import EnrolRequest, TargetRequest
from wakerobin.services.selftest import LONGEST_DELAY_S

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Text = Annotated[str, StringConstraints(max_length=255, pattern=_PRINTABLE)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_PRINTABLE)]
Version = Annotated[str, StringConstraints(max_length=64, pattern=_PRINTABLE)]
Locale = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$")]
TimeZone = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$")]
InstallationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{22}$")]
LifetimeSeconds = Annotated[StrictInt, Field(ge=1, le=34_560_000)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=255)]
Token = Annotated[SecretStr, Field(min_length=1, max_length=4096)]

ContentType = Annotated[
    str,
    StringConstraints(
        max_length=255,
        pattern=r"^[A-Za-z0-9.+_-]+/[A-Za-z0-9.+_-]+( *; *[A-Za-z0-9_-]+=[A-Za-z0-9._-]+)*$",
    ),
]
MessageId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]

Endpoint = Annotated[SecretStr, Field(min_length=1, max_length=1000)]
SubscriptionKey = Annotated[SecretStr, Field(min_length=1, max_length=128)]

_TOKEN_KINDS = {"fid": "fid"}  # a registration token, which is what most are, is of no kind
_SUBSCRIPTIONS = frozenset({Provider.WEBPUSH, Provider.UNIFIEDPUSH})

_HA1_LENGTHS = {Algorithm.MD5: 32, Algorithm.SHA_256: 64}


class Fields(BaseModel):
    """A JSON object that has only the fields that are named."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Ha1(Fields):
    """H(username:realm:password), for an app that keeps no password."""

    realm: Name
    algorithm: Algorithm
    value: Annotated[
        SecretStr,
        Field(min_length=32, max_length=64, json_schema_extra={"pattern": r"^([0-9a-fA-F]{32}){1,2}$"}),
    ]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        value = self.value.get_secret_value()
        if len(value) != _HA1_LENGTHS[self.algorithm] or not set(value.lower()) <= set("0123456789abcdef"):
            raise ValueError("value must be the hexadecimal hash of its algorithm")
        return self


class CredentialFields(Fields):
    """Exactly one of a password or its hashes."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [one], "properties": {one: {"not": {"type": "null"}}}}
                for one in ("password", "ha1")
            ]
        }
    )

    password: Password | None = None
    ha1: Annotated[list[Ha1], Field(min_length=1, max_length=8)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.password is None) is (self.ha1 is None):
            raise ValueError("must have either password or ha1")
        return self

    def secret(self) -> Secret | None:
        """Return the password, if that is what was sent."""
        return Secret(self.password.get_secret_value()) if self.password is not None else None

    def keys(self) -> tuple[RealmKey, ...]:
        """Return the hashes, if they are what was sent."""
        return tuple(
            RealmKey(one.realm, one.algorithm, Secret(one.value.get_secret_value().lower()))
            for one in self.ha1 or ()
        )


class TargetFields(Fields):
    """One push target of the installation; iOS has a token for calls and one for notices.

    A subscription of Web Push or UnifiedPush has `endpoint`, `p256dh` and `auth`; every other one a `token`.
    """

    provider: Provider
    purposes: Annotated[list[Purpose], Field(min_length=1, max_length=2)]
    token: Token | None = None
    token_kind: Literal["token", "fid"] | None = None
    topic: Text | None = None
    environment: Literal["production", "sandbox"] | None = None
    endpoint: Endpoint | None = None
    p256dh: SubscriptionKey | None = None
    auth: SubscriptionKey | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        subscription = (self.endpoint, self.p256dh, self.auth)
        if self.provider in _SUBSCRIPTIONS:
            if None in subscription or self.token is not None:
                raise ValueError("must have endpoint, p256dh and auth, and no token")
        elif self.token is None or any(one is not None for one in subscription):
            raise ValueError("must have a token, and no endpoint, p256dh or auth")
        if self.token_kind is not None and self.provider is not Provider.FCM:
            raise ValueError("token_kind is of fcm alone")
        return self

    def request(self) -> TargetRequest:
        """Return it as the services know it."""
        token = self.token or self.endpoint
        assert token is not None
        return TargetRequest(
            provider=self.provider,
            purposes=frozenset(self.purposes),
            token=Secret(token.get_secret_value()),
            topic=self.topic or "",
            environment=self.environment or "",
            token_kind=_TOKEN_KINDS.get(self.token_kind or "", ""),
            p256dh=self.p256dh.get_secret_value() if self.p256dh is not None else "",
            auth=Secret(self.auth.get_secret_value()) if self.auth is not None else NO_SECRET,
        )


Targets = Annotated[list[TargetFields], Field(min_length=1, max_length=4)]


class Capabilities(Fields):
    """What the system allows the app; what is not said is taken as allowed."""

    notifications: StrictBool | None = None
    background_refresh: StrictBool | None = None
    low_power: StrictBool | None = None
    service_extension: StrictBool | None = None
    messages: StrictBool | None = Field(
        default=None, description="`false`: the app can show no text messages, so no push tells of them."
    )
    voicemail: StrictBool | None = Field(
        default=None, description="`false`: no push tells what waits in the mailbox."
    )

    def given(self) -> dict[str, bool]:
        """Return those that were said."""
        return {name: value for name, value in self if value is not None}


class EnrolFields(Fields):
    """`POST /v1/push-registrations`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "app": "softphone",
                    "aor": "sip:anna@pbx.example",
                    "credentials": {"password": "correct horse battery staple"},
                    "targets": [
                        {"provider": "apns", "purposes": ["call"], "token": "a1" * 32},
                        {"provider": "apns", "purposes": ["notice"], "token": "b2" * 32},
                    ],
                    "installation_id": "kU3b8R7l0cYbq1m2n3o4pQ",
                    "platform": "ios",
                    "locale": "en-GB",
                    "time_zone": "Europe/London",
                }
            ]
        }
    )

    app: Name
    aor: Name
    auth_user: Text | None = None
    display_name: Text | None = None
    credentials: CredentialFields
    registrar: Text | None = None
    outbound_proxy: Text | None = None
    transport: Literal["udp", "tcp", "tls"] | None = None
    targets: Targets
    installation_id: InstallationId
    platform: Platform
    os_version: Version | None = None
    app_version: Version | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    capabilities: Capabilities | None = None
    lifetime_s: LifetimeSeconds | None = None

    def request(self) -> EnrolRequest:
        """Return it as the services know it."""
        return EnrolRequest(
            app=self.app,
            aor=self.aor,
            auth_user=self.auth_user or "",
            display_name=self.display_name or "",
            password=self.credentials.secret(),
            keys=self.credentials.keys(),
            registrar=self.registrar or "",
            outbound_proxy=self.outbound_proxy or "",
            transport=self.transport or "",
            targets=tuple(target.request() for target in self.targets),
            installation_id=self.installation_id,
            platform=self.platform,
            locale=self.locale or "",
            time_zone=self.time_zone or "",
            os_version=self.os_version or "",
            app_version=self.app_version or "",
            capabilities=self.capabilities.given() if self.capabilities else {},
            lifetime_s=self.lifetime_s,
        )


Cause = Literal[
    "opened",
    "foreground",
    "renewal-push",
    "tapped-warning",
    "tapped-notice",
    "warning-extension",
    "service-worker",
    "call",
    "other",
]


class RenewFields(Fields):
    """`POST …/renew`. `targets` replaces the list; `capabilities` changes those that are named."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cause": "opened"}]})

    cause: Cause
    targets: Targets | None = None
    capabilities: Capabilities | None = None


class PatchFields(Fields):
    """`PATCH`, a JSON Merge Patch (RFC 7396): null takes a text or a capability back to its default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"display_name": "Anna", "locale": "de"}]})

    display_name: Text | None = None
    auth_user: Text | None = None
    credentials: CredentialFields | None = None
    targets: Targets | None = None
    os_version: Version | None = None
    app_version: Version | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    capabilities: Capabilities | None = None
    lifetime_s: LifetimeSeconds | None = None

    @model_validator(mode="after")
    def _keeps_what_it_needs(self) -> Self:
        for name in ("credentials", "targets"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be taken away")
        if self.auth_user is not None and self.credentials is None:
            raise ValueError("auth_user changes together with credentials only")
        return self


class TestFields(Fields):
    """`POST …/test`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"delay_s": 10}]})

    delay_s: Annotated[StrictInt, Field(ge=0, le=LONGEST_DELAY_S)] = 0


class VerifyFields(Fields):
    """`POST …/verify`."""

    nonce: Annotated[SecretStr, Field(min_length=1, max_length=64)]


class ReceiptFields(Fields):
    """What became of one push on the phone."""

    push_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F-]{36}$")]
    kind: Literal["received", "shown", "suppressed-renewed", "not-permitted", "tapped"]
    received_at: Annotated[StrictInt, Field(ge=0, le=1 << 40)]
    original_priority: Version | None = None
    delivered_priority: Version | None = None


Receipts = Annotated[list[ReceiptFields], Field(min_length=1, max_length=50)]


class DeclineFields(Fields):
    """`POST …/decline`. Without a scope the app's own setting decides."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"scope": "all", "reason": "declined"}]})

    scope: Literal["this", "all"] | None = None
    reason: Literal["declined", "busy"] = "declined"


class SendFields(Fields):
    """`POST …/messages`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"to": "sip:ben@pbx.example", "body": "On my way", "message_id": "42"}]
        }
    )

    to: Name = Field(description="A `sip:` URI, or a number or name of the account's own domain.")
    body: str = Field(max_length=16_384)
    content_type: ContentType | None = Field(default=None, description="By default plain text in UTF-8.")
    message_id: MessageId | None = Field(
        default=None, description="The app's own name for it: handed over again, it is not sent again."
    )

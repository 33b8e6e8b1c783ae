"""The nouns of Wakerobin: frozen values that rooms hand to each other.

Times are integer epoch milliseconds and end in `_at`; durations are integer milliseconds (`Duration`).
Ids of rows are positive integers that the store gives out; 0 means "not stored yet".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NewType

Duration = NewType("Duration", int)
"""Milliseconds. In the configuration written as `250ms`, `5s`, `30m`, `12h` or `7d`."""

SLOTS = 4096
"""Fixed partitions of the accounts; `slot` = hash(app, aor) & 4095, never changes."""


class Secret:
    """Text that must not be seen: its `repr` and `str` hide it, only `reveal()` gives it out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Whoever calls this answers for where it goes."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


NO_SECRET = Secret("")


class Transport(enum.StrEnum):
    """How SIP travels (RFC 3261 section 18, RFC 7118)."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    WS = "ws"
    WSS = "wss"

    @property
    def is_reliable(self) -> bool:
        """Whether the transport itself delivers or fails: then nothing is retransmitted."""
        return self is not Transport.UDP

    @property
    def default_port(self) -> int:
        """Where it is spoken unless somebody says otherwise (RFC 3261 19.1.2, RFC 7118 section 5)."""
        return _DEFAULT_PORTS.get(self, 5060)

    @property
    def is_secure(self) -> bool:
        """Whether nobody on the way can read it."""
        return self in (Transport.TLS, Transport.WSS)

    @property
    def is_websocket(self) -> bool:
        """Whether it comes in WebSocket messages."""
        return self in (Transport.WS, Transport.WSS)


_DEFAULT_PORTS = {Transport.TLS: 5061, Transport.WS: 80, Transport.WSS: 443}


@dataclass(frozen=True, slots=True)
class Flow:
    """One way to reach a peer (RFC 5626): transport, both ends, and for streams the connection."""

    transport: Transport
    local: tuple[str, int]
    remote: tuple[str, int]
    connection: int = 0
    """0 for UDP; else a number that is never used twice in a run of the server."""

    def __str__(self) -> str:
        host, port = self.remote
        return f"{self.transport}:[{host}]:{port}" if ":" in host else f"{self.transport}:{host}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneFlow:
    """A live path to a phone, made by its REGISTER to us. `heard_at`, `expires_at`: monotonic seconds."""

    account_id: int
    registration_id: int = 0
    """The push registration of this installation; 0 for a client that has none."""
    flow: Flow
    contact_uri: str
    """The Contact that it gave, to the letter: some clients know themselves by it only."""
    path: tuple[str, ...] = ()
    """RFC 3327: Route values towards it, if an edge stands in front of us."""
    instance: str = ""
    heard_at: float
    expires_at: float

    @property
    def installation(self) -> str:
        """What stays the same when the phone comes back on another flow."""
        return f"r{self.registration_id}" if self.registration_id else self.instance or self.contact_uri


class Algorithm(enum.StrEnum):
    """The digest algorithms that are kept and answered (RFC 8760)."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"


@dataclass(frozen=True, slots=True)
class RealmKey:
    """One HA1, hex: acts as this user in this realm, and nowhere else (RFC 7616 section 3.4.2)."""

    realm: str
    algorithm: Algorithm
    ha1: Secret


@dataclass(frozen=True, slots=True)
class Credentials:
    """What answers the PBX's challenges: a password that still waits for its proof, or HA1s."""

    username: str
    password: Secret | None = None
    keys: tuple[RealmKey, ...] = ()

    def key(self, realm: str, algorithm: Algorithm) -> Secret | None:
        """Return the HA1 kept for a realm and algorithm, if any."""
        return next((k.ha1 for k in self.keys if (k.realm, k.algorithm) == (realm, algorithm)), None)


class BindingState(enum.StrEnum):
    """Where the binding of an account at its PBX stands; the words of the API."""

    UNPROVEN = "unproven"
    REGISTERING = "registering"
    REGISTERED = "registered"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CREDENTIALS_NEEDED = "credentials-needed"
    STEPPED_ASIDE = "stepped-aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the PBX of an account is reached, as an enrolment names it."""

    registrar: str = ""
    """`host[:port]`, or empty for the domain of the AOR."""
    outbound_proxy: str = ""
    """A SIP URI, or empty."""
    transport: Transport | None = None
    """None: what DNS says (RFC 3263)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An address-of-record at a PBX that we keep registered. Unique by (app, aor)."""

    id: int = 0
    slot: int
    app: str
    aor: str
    """`sip:user@domain`, normalised."""
    auth_user: str
    registrar: str
    """`host[:port]`, or empty for the domain of the AOR."""
    outbound_proxy: str = ""
    """A SIP URI, or empty."""
    transport: Transport | None = None
    """None: what DNS says (RFC 3263)."""
    contact_user: str
    """The random user part of our Contact at the PBX: who knows it can ring the phone."""
    instance: str
    """`urn:uuid:…` of our `+sip.instance` towards the PBX."""
    proven: bool = False
    """Whether the PBX has answered a challenged REGISTER with 2xx."""
    realm: str = ""
    """The realm that the registrar asked last and accepted; empty before the proof."""
    algorithm: Algorithm = Algorithm.MD5
    """The algorithm with which our own binding was last accepted."""
    state: BindingState = BindingState.UNPROVEN
    """Stored only where it changes for longer than a refresh: trouble, recovery, the first proof."""
    reason_code: str = ""
    reason: str = ""
    state_since_at: int = 0
    created_at: int


class Platform(enum.StrEnum):
    """What the app runs on."""

    IOS = "ios"
    ANDROID = "android"
    WEB = "web"
    DESKTOP = "desktop"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRegistration:
    """One installation's wish to be woken for one account."""

    id: int = 0
    public_id: str
    """`pr_…`, the id of the API."""
    account_id: int
    app: str
    installation: str
    """The installation id that the app made; never sent to a PBX."""
    sip_instance: str
    """`urn:uuid:…` by which a REGISTER of this installation is recognised (a keyed hash)."""
    secret_hash: bytes
    previous_secret_hash: bytes = b""
    previous_secret_until: int = 0
    """The old secret works until the new one is first used, at most until then."""
    proven: bool = False
    """Whether its own credentials were proven. Before that: no push, no call, erased after 15 minutes."""
    platform: Platform = Platform.OTHER
    locale: str = ""
    time_zone: str = ""
    display_name: str = ""
    lifetime: Duration
    """Of this registration, clamped to the policy of its app."""
    capabilities: dict[str, bool] = field(default_factory=dict)
    os_version: str = ""
    app_version: str = ""
    payload_key: Secret = NO_SECRET
    """Base64url of 32 octets: what payloads are encrypted with where the app wants that; else empty."""
    created_at: int

    def __hash__(self) -> int:
        return hash((self.id, self.public_id))


class Provider(enum.StrEnum):
    """A push service. The names of the API."""

    APNS = "apns"
    FCM = "fcm"
    WEBPUSH = "webpush"
    """A browser's (RFC 8030)."""
    UNIFIEDPUSH = "unifiedpush"
    """The protocol of browsers, but to an app that may stay silent."""
    WEBHOOK = "webhook"
    ACROBITS = "acrobits"


class Silence(enum.Enum):
    """Whether a kind of target may get a push that shows nothing."""

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"
    """Nobody says; treated as forbidden."""


SILENCE: dict[Provider, Silence] = {
    Provider.APNS: Silence.ALLOWED,  # background pushes, rationed by Apple
    Provider.FCM: Silence.ALLOWED,  # of normal priority
    Provider.WEBPUSH: Silence.FORBIDDEN,  # WebKit revokes a subscription after three
    Provider.UNIFIEDPUSH: Silence.ALLOWED,
    Provider.WEBHOOK: Silence.ALLOWED,  # a server, which shows nothing by itself
    Provider.ACROBITS: Silence.UNKNOWN,  # its interface has no verb for it
}
"""Whether it may, for every kind of target: the one table of it."""


class Purpose(enum.StrEnum):
    """What a target may be used for; iOS has a token for each."""

    CALL = "call"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushTarget:
    """Where pushes of a registration go. Unique by (app, provider, token, registration)."""

    id: int = 0
    registration_id: int
    provider: Provider
    purposes: frozenset[Purpose]
    token: Secret
    topic: str = ""
    """Empty: the app's topic. For APNs the bundle id, without `.voip`."""
    environment: str = ""
    """APNs: `production` or `sandbox`; empty: the app's."""
    token_kind: str = ""
    """FCM: `fid` for a Firebase installation id; empty: a registration token. Web Push: `bare` for an
    endpoint that came without keys (RFC 8599) and gets empty pushes."""
    p256dh: str = ""
    """Web Push and UnifiedPush: the public key of the subscription, base64url (RFC 8291); the token is the
    endpoint."""
    auth: Secret = NO_SECRET
    """Web Push and UnifiedPush: the authentication secret of the subscription, base64url (RFC 8291)."""
    reported_at: int
    """When the app reported this token last."""
    accepted_at: int = 0
    """When a push service accepted a push to it last; 0 for never."""
    refused_at: int = 0
    """First refusal of a suspect verdict that has not been settled (life.md law 5); 0 for none."""
    claimed_at: int = 0
    """When it was asked whether it is this installation's, since another one has it too; 0 for never."""


@dataclass(frozen=True, slots=True)
class TargetKind:
    """What a push target can do, without where it is."""

    provider: Provider
    purposes: frozenset[Purpose]


class Ended(enum.StrEnum):
    """Why a push registration's life is over."""

    EXPIRED = "expired"
    DELETED = "deleted"
    TARGETS_GONE = "targets-gone"
    REFUSED = "refused"
    DORMANT = "dormant"
    """Expired, but its credentials are kept for a while: one use resumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """The narrow, hot record of one push registration's life; `step` counts along the plan."""

    id: int
    """The id of its push registration."""
    slot: int
    expires_at: int
    next_at: int | None
    """A lower bound of the next moment at which anything can be due; None after the end, save while the
    binding of a life whose targets are gone waits for the guard (life.md law 5)."""
    generation: int = 1
    step: int = 0
    """How many entries of the plan were decided, and what came after them (core.lifetime.machine); only
    grows inside a generation."""
    lifetime: Duration
    renewed_at: int
    """The last use."""
    renewal_sent_at: int = 0
    """When a renewal push of this generation was first handed over (accepted); 0 for never."""
    warning_tried_at: int = 0
    """When the last warning was first decided; 0 for not yet."""
    warned_at: int = 0
    """When a warning of this generation was last accepted by a push service; 0 for never."""
    warning_settled: bool = False
    """The last warning was accepted, finally refused, or cannot be shown (law 3)."""
    ended: Ended | None = None
    ended_at: int = 0
    opened_at: int = 0
    """The last use by a person; 0 where that is not known."""
    noted_at: int = 0
    """When an Android phone that nobody opens was last shown that it is still reachable; 0 for never."""
    trouble_generation: int = 0
    """The generation in which the user was last told that the PBX is in the way (law 7); 0 for none."""
    trouble_told_at: int = 0
    """When that was decided; 0 where no trouble was told of, or it was told that it is over."""
    trouble_settled: bool = False
    """That text was accepted by a push service, or refused for good."""
    trouble_cause: str = ""
    """What it told of, `refused` or `unreachable`; empty as `trouble_told_at` is 0."""
    habits: str = ""
    """How this phone answered renewal pushes before, encoded (`core.lifetime.Habits`); empty: unknown."""

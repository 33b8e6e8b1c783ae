"""Every option, once: key in `wakerobin.toml`, `WAKEROBIN_…` in the environment, and a row in the docs.

`settings` fills these records; nobody else reads files or the environment. Durations are milliseconds
here and text such as `7d` in the configuration. `field(metadata={"help": …})` is the sentence of the docs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wakerobin.core.values import Duration, Secret

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def _option(default: Any, help_: str) -> Any:
    return field(default=default, metadata={"help": help_})


def _table(factory: Any, help_: str) -> Any:
    return field(default_factory=factory, metadata={"help": help_})


def _duration(milliseconds: int, help_: str) -> Any:
    return field(default=Duration(milliseconds), metadata={"help": help_})


@dataclass(frozen=True, slots=True, kw_only=True)
class SipOptions:
    """`[sip]`: where SIP is spoken and its limits."""

    listen: tuple[str, ...] = _option(
        ("udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"),
        "Listeners, `transport:address:port`; also `tls:`, `ws:` and `wss:`.",
    )
    tls_cert: str = _option("", "Certificate chain (PEM) that phones see; taken anew when the file changes.")
    tls_key: str = _option("", "Its key (PEM).")
    tls_ca_file: str = _option("", "CA file (PEM) that PBXs are verified by; empty: the system's.")
    tls_client_cert: str = _option("", "Certificate (PEM) to show PBXs that ask for one.")
    tls_client_key: str = _option("", "Its key (PEM), where it is in a file of its own.")
    public: str = _option(
        "", "Name or address under which phones reach this server. Empty: the local address."
    )
    towards: dict[str, str] = _table(
        dict,
        'Our address as seen from a network, `{"192.168.1.0/24" = "192.168.1.9"}`; '
        "by default the local address of the route.",
    )
    dns: tuple[str, ...] = _option(
        (),
        "Name servers, `address` or `address:port`, in place of the system's; /etc/hosts counts, too.",
    )
    contact_user: dict[str, str] = _table(
        dict,
        'PBXs that want the user of the AOR in our Contact, `{"*.provider.example" = "aor"}`; all others get '
        "a secret one (docs/pbx.md).",
    )
    allow_private: tuple[str, ...] = _option(
        (), "Private networks that may be PBXs or push hosts, e.g. `192.168.1.0/24`."
    )
    wake_timeout: Duration = _duration(30 * SECOND, "How long a call waits for a phone to wake.")
    ring_timeout: Duration = _duration(120 * SECOND, "How long a phone may ring.")
    ringback: str = _option(
        "pushed",
        "When the caller hears ringing: `immediate`, `pushed` (a push was accepted) or `device`.",
    )
    live_flow: Duration = _duration(
        15 * SECOND, "A flow that brought something this recently needs no push beside the INVITE."
    )
    live_flow_answer: Duration = _duration(
        1 * SECOND, "How long such a flow has to answer before its phone is pushed too."
    )
    phone_expires_min: Duration = _duration(60 * SECOND, "Shortest expiry granted to phones.")
    phone_expires_max: Duration = _duration(3600 * SECOND, "Longest expiry granted to phones.")
    register_expires: Duration = _duration(600 * SECOND, "The expiry asked of PBXs.")
    register_rate: float = _option(50.0, "REGISTERs a second to one registrar, at most.")
    register_burst: int = _option(50, "REGISTERs to one registrar that may go at once.")
    recovery_rate: float = _option(
        0.0,
        "REGISTERs a second to a registrar that has lost many bindings at once, to begin with; it is then "
        "found out from its answers. 0: four times `register_rate`.",
    )
    pbx_connections: int = _option(
        4, "Connections to one PBX over TCP or TLS that its accounts share: a reset takes one of them."
    )
    unproven_rate: float = _option(
        1.0, "REGISTERs with unproven credentials a second to one registrar, at most."
    )
    unproven_refusals: int = _option(
        4, "Refused enrolments per registrar in ten minutes; beyond it enrolments wait."
    )
    call_sources: tuple[str, ...] = _option(
        (), "Networks beside the PBX's own addresses that may ring phones."
    )
    call_sources_policy: str = _option(
        "learn", "`learn`: accept calls from elsewhere and show the address; `strict`: refuse them."
    )
    message_size: int = _option(
        49_152, "The largest text message that is taken, octets; no body of any kind may be larger than that."
    )
    t1: Duration = _duration(500, "RFC 3261 T1. Change it in tests only.")
    max_breadth: int = _option(60, "RFC 5393 Max-Breadth.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """`[limits]`: what SIP may cost (docs/hardening.md). A source is an IPv4 address or an IPv6 /64."""

    connections: int = _option(20_000, "SIP connections at a time; beyond it the oldest unproven one goes.")
    connections_per_source: int = _option(2_000, "Of one source.")
    unproven_per_source: int = _option(
        200, "Of one source, those over which no phone has shown its password yet."
    )
    handshakes: int = _option(500, "TLS handshakes under way at a time; beyond it the oldest goes.")
    handshake_time: Duration = _duration(10 * SECOND, "How long a TLS handshake may take.")
    first_message_time: Duration = _duration(
        30 * SECOND, "How soon a connection must have brought a whole message."
    )
    unproven_time: Duration = _duration(
        60 * SECOND, "How soon a phone must have shown its password over its connection."
    )
    idle_time: Duration = _duration(
        0, "How long a connection may bring nothing; 0: a little longer than `sip.phone_expires_max`."
    )
    unread: int = _option(256 * 1024, "Octets that may wait for a peer that does not read.")
    source_rate: float = _option(
        100.0, "Messages a second of one source, of what is unproven; connections count."
    )
    source_burst: int = _option(250, "…and how many may come at once.")
    strangers_rate: float = _option(
        1_000.0, "Messages a second of all sources together at which no phone has ever proved itself."
    )
    phone_rate: float = _option(20.0, "Requests a second over the flow of a phone that has proved itself.")
    phone_burst: int = _option(200, "…and how many may come at once.")
    pbx_rate: float = _option(10_000.0, "Requests a second of one address of a PBX.")
    ban: Duration = _duration(
        5 * MINUTE,
        "How long a source is shut out that sends garbage or guesses passwords; 0: not at all. Over UDP, "
        "where a source can be forged, 30s at most.",
    )
    trusted: tuple[str, ...] = _option(
        (), "Networks of proxies and edges of your own, which bring many phones: treated like a PBX."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """`[http]`: the app's API."""

    listen: str = _option("127.0.0.1:8088", "`address:port` of the API; empty turns it off.")
    public_url: str = _option(
        "", "URL under which apps reach the API; call pushes carry it, so that an app need not know it."
    )
    tls_cert: str = _option("", "Certificate file (PEM) of the API.")
    tls_key: str = _option("", "Key file (PEM) of the API.")
    trusted_proxies: tuple[str, ...] = _option(
        (),
        "Networks of TLS proxies; their X-Forwarded-For is believed, and X-Forwarded-Proto must be `https`.",
    )
    hosts: tuple[str, ...] = _option((), "Host names that are answered; empty answers all.")
    enrolments_per_hour: int = _option(60, "Enrolments from one address (IPv6: /64) an hour.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """`[store]`: where state lives."""

    url: str = _option("sqlite:wakerobin.db", "`sqlite:FILE`, relative to the data folder.")
    data_dir: str = _option("", "The data folder; empty: the platform's.")
    key_file: str = _option(
        "", "The vault's key, outside the data folder; empty: in the configuration folder."
    )
    max_pages: int = _option(0, "Limit of the database file in pages (0: none).")


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeOptions:
    """`[apps.NAME.lifetime]`: the life of a push registration (docs/life.md)."""

    lifetime: Duration = _duration(7 * DAY, "From the last use of the app.")
    renewal_from: Duration = _duration(24 * HOUR, "Silent renewals start this long before the end.")
    renewal_every: Duration = _duration(1 * HOUR, "…and repeat this often until one works.")
    warnings: tuple[Duration, ...] = _option(
        (Duration(12 * HOUR), Duration(1 * HOUR)), "Visible warnings this long before the end."
    )
    grace_limit: Duration = _duration(48 * HOUR, "How long a life waits for its last warning to be settled.")
    renewal: str = _option(
        "adaptive",
        "When silent renewals are tried: `adaptive` (by what this phone answered before) or `ladder` "
        "(`renewal_from`, `renewal_every` for every phone alike).",
    )
    lifetime_min: Duration = _duration(1 * HOUR, "The shortest lifetime that an enrolment may ask for.")
    lifetime_max: Duration = _duration(400 * DAY, "The longest lifetime that an enrolment may ask for.")
    unregistered_limit: Duration = _duration(
        12 * HOUR, "A life ends early when its PBX refuses the account for this long."
    )
    quiet_hours: str = _option(
        "",
        "The user's night, `22:00-07:00` in their time zone: a warning that would fall into it comes "
        "earlier. Empty: none.",
    )
    at_end: str = _option(
        "forget",
        "What the end leaves: `forget` nothing, or `dormant` the credentials, so that one use resumes.",
    )
    dormant_for: Duration = _duration(90 * DAY, "How long a dormant registration can be resumed.")
    monthly_note: bool = _option(
        False,
        "Show an Android phone that was renewed only silently for 60 days a quiet note once a month, so that "
        "its system does not put the app to sleep.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApnsOptions:
    """`[apps.NAME.apns]`: Apple's push service, by a key (`key_file`) or by a certificate (`cert_file`)."""

    key_file: str = _option("", "The .p8 key from Apple's developer site.")
    key_id: str = _option("", "Its key id, ten characters.")
    team_id: str = _option("", "The team id, ten characters.")
    cert_file: str = _option("", "Instead of a key: the app's push certificate, .p12 or PEM.")
    cert_key_file: str = _option("", "Its private key (PEM), where `cert_file` does not contain it.")
    cert_password: Secret = _option(Secret(""), "What `cert_file` or `cert_key_file` is locked with.")
    topic: str = _option("", "The bundle id of the app.")
    url: str = _option(
        "https://api.push.apple.com",
        "Where pushes go; of Apple's two environments the other is asked where this does not know a device.",
    )
    ca_file: str = _option("", "CA file for `url`; empty: the system's.")
    keep_alive: Duration = _duration(
        5 * MINUTE, "A connection that was quiet for so long is asked for a sign of life."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FcmOptions:
    """`[apps.NAME.fcm]`: Google's push service, HTTP v1."""

    service_account_file: str = _option("", "The service account's key (JSON) from the Firebase console.")
    url: str = _option("https://fcm.googleapis.com", "Where pushes go.")
    token_url: str = _option("", "Where access tokens come from; empty: what the key file says.")
    ca_file: str = _option("", "CA file for both; empty: the system's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebPushOptions:
    """`[apps.NAME.webpush]`: browsers and UnifiedPush, by the app's VAPID key (RFC 8292)."""

    vapid_key_file: str = _option("", "The private key (PEM, P-256) that subscriptions are bound to.")
    subject: str = _option("", "Whom push services may ask about it, `mailto:` or `https:`.")
    page: str = _option(
        "", "What a tap on a notification opens in a browser; empty: the scope of the service worker."
    )
    hosts: tuple[str, ...] = _option(
        (),
        "Push services of your own, `host` or `host:port`; all others must be public and on port 443.",
    )
    ca_file: str = _option("", "CA file for push services; empty: the system's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """`[apps.NAME.webhook]`: a server of yours that does the pushing (Standard Webhooks)."""

    url: str = _option("", "Where pushes are posted to.")
    secrets: tuple[Secret, ...] = _option(
        (), "Signing secrets, `whsec_…`; each signs, so that one can be replaced without a gap."
    )
    ca_file: str = _option("", "CA file for `url`; empty: the system's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrobitsOptions:
    """`[apps.NAME.acrobits]`: the push interface of the Acrobits app family."""

    url: str = _option("https://pnm.cloudsoftphone.com/pnm2/send", "Where pushes are posted to.")
    ca_file: str = _option("", "CA file for `url`; empty: the system's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppOptions:
    """`[apps.NAME]`: one product."""

    enrolment_key: Secret = _option(Secret(""), "In every copy of the app; it is no secret.")
    registrars: tuple[str, ...] = _option(
        (), "Domains and hosts that may be enrolled, `*.pbx.example`; empty refuses all."
    )
    plain_8599: bool = _option(
        False,
        "Serve phones that never enrolled and speak RFC 8599, at the PBXs of `registrars`, with this app's "
        "push services (docs/rfc8599.md).",
    )
    trust_unchallenged: bool = _option(False, "Take a 2xx without a challenge as proof of the credentials.")
    handover: str = _option(
        "always",
        "`always`: this server keeps every account registered; `alternate`: an app in the foreground may "
        "register at the PBX itself meanwhile (docs/handover.md).",
    )
    handover_limit: Duration = _duration(
        15 * MINUTE, "With `alternate`: after so long without a word from the app its binding is ours again."
    )
    decline: str = _option("all", "What a decline stops: `all` phones or `this-phone`.")
    decline_code: int = _option(486, "What the PBX is told when the user declines.")
    refer_push: bool = _option(
        False,
        "Wake sleeping phones for a REFER of the PBX (click to dial) as if for a call; it waits 20 s for "
        "them.",
    )
    texts: str = _option(
        "",
        "A folder of texts that go before the shipped ones, or `loc-keys`: the app has its own "
        "(docs/texts.md).",
    )
    push_privacy: str = _option(
        "full",
        "What push services see of a call or notice: `full`, `none` (only that there is one) or `encrypted` "
        "(the app has the key).",
    )
    mwi: str = _option(
        "unsolicited",
        "The mailbox: `unsolicited` (the PBX tells of it by itself), `subscribe` (it has to be asked), or "
        "`off` (nothing is pushed of it).",
    )
    messages_kept: Duration = _duration(14 * DAY, "How long a text message waits for a phone or its app.")
    lifetime: LifetimeOptions = _table(LifetimeOptions, "See [apps.NAME.lifetime].")
    apns: ApnsOptions | None = _option(None, "See [apps.NAME.apns].")
    fcm: FcmOptions | None = _option(None, "See [apps.NAME.fcm].")
    webpush: WebPushOptions | None = _option(None, "See [apps.NAME.webpush].")
    webhook: WebhookOptions | None = _option(None, "See [apps.NAME.webhook].")
    acrobits: AcrobitsOptions | None = _option(None, "See [apps.NAME.acrobits].")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOptions:
    """`[clock]`: what is believed of the machine's clock."""

    step_limit: Duration = _duration(
        5 * MINUTE,
        "A wall clock that steps further than that ends and warns nobody until it is confirmed.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """`[push]`: how fast pushes go to one push service of one app; calls are neither counted nor slowed."""

    rate: float = _option(1000.0, "Pushes a second.")
    ramp: Duration = _duration(
        60 * SECOND, "How long after a start, or an outage of the push service, it takes to reach `rate`."
    )
    in_flight: int = _option(200, "Pushes that wait for an answer at once.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """`[log]`: what is written to standard error."""

    level: str = _option("info", "`debug`, `info`, `warning` or `error`.")
    format: str = _option("auto", "`text`, `json` or `auto` (text in a terminal).")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The whole configuration. With no file at all the defaults run."""

    sip: SipOptions = _table(SipOptions, "See [sip].")
    limits: LimitOptions = _table(LimitOptions, "See [limits].")
    http: HttpOptions = _table(HttpOptions, "See [http].")
    store: StoreOptions = _table(StoreOptions, "See [store].")
    log: LogOptions = _table(LogOptions, "See [log].")
    clock: ClockOptions = _table(ClockOptions, "See [clock].")
    push: PushOptions = _table(PushOptions, "See [push].")
    apps: dict[str, AppOptions] = _table(dict, "See [apps.NAME].")

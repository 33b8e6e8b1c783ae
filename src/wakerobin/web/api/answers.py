"""What apps get. Times are Unix seconds; fields that an app does not know are to be ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from wakerobin.core.binding import in_words
from wakerobin.core.lifetime import PlanKind, Stage
from wakerobin.core.story import readable, said_in, words
from wakerobin.core.values import Account, BindingState, Provider, PushRegistration, Transport
from wakerobin.net.endpoint import Listener
from wakerobin.ports.store import CallRecord, StoryRow, Transaction
from wakerobin.services import story
from wakerobin.services.fleet import BindingStatus
from wakerobin.services.switchboard import seen_state
from wakerobin.web.api.holding import Standing
from wakerobin.web.context import WebContext

_EXAMPLE: Final[dict[str, Any]] = {
    "id": "pr_3q2-7wABCdefGhIj",
    "generation": 1,
    "stage": "active",
    "expires_at": 1_784_000_000,
    "lifetime_s": 604_800,
    "plan": [
        {"kind": "renew", "at": 1_783_913_600},
        {"kind": "warning", "at": 1_783_956_800},
        {"kind": "warning", "at": 1_783_996_400},
    ],
    "warnable": True,
    "sip": {
        "domain": "pbx.example",
        "instance": "urn:uuid:0d5b7a30-6a3f-8c7e-9f00-2b7a1c4d5e6f",
        "contact_params": {"wr-reg": "pr_3q2-7wABCdefGhIj"},
        "routes": [{"transport": "tcp", "uri": "sip:push.example.com:5060;transport=tcp;lr"}],
        "expires_s": 3600,
    },
    "binding": {
        "state": "registered",
        "since_at": 1_783_395_200,
        "reason_code": "",
        "reason": "",
        "expires_at": 1_783_395_800,
    },
}
_CALL_EXAMPLE: Final[dict[str, Any]] = {
    "call_id": "5f0c2a1e-8d1b-8c55-a3f7-0d9e8b7a6c5d",
    "sip_call_id": "843817637684230@998sdasdh09",
    "state": "waking",
    "caller": {"uri": "sip:+4930123456@pbx.example", "number": "+4930123456", "name": "Ben"},
    "started_at": 1_783_395_200,
    "expires_at": 1_783_395_230,
    "reason": "",
}


class Planned(BaseModel):
    """A push that is planned. An app can schedule the warnings as local notifications."""

    kind: PlanKind
    at: int


class Route(BaseModel):
    """A way for SIP to this server: the outbound proxy of the phone."""

    transport: str
    uri: str


class Sip(BaseModel):
    """How the phone registers with this server, so that its calls find it."""

    domain: str
    instance: str = Field(description="`+sip.instance` of the Contact.")
    contact_params: dict[str, str] = Field(description="Parameters of the Contact URI.")
    routes: list[Route]
    expires_s: int


class Binding(BaseModel):
    """Where the account stands at its PBX."""

    state: BindingState
    since_at: int | None
    reason_code: str
    reason: str
    expires_at: int | None


class RegistrationAnswer(BaseModel):
    """A push registration."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    generation: int
    stage: Stage
    expires_at: int
    lifetime_s: int = Field(
        description="From each use on: as was asked for, or the nearest that the operator allows."
    )
    plan: list[Planned]
    warnable: bool = Field(description="Whether a warning can be shown on this phone.")
    sip: Sip
    binding: Binding


class EnrolmentAnswer(RegistrationAnswer):
    """A push registration with its secret, which is told this once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "secret": "wrs_…", "payload_key": None}]}
    )

    secret: str
    payload_key: str | None = Field(
        default=None, description="What its pushes are encrypted with, where the app wants that."
    )


class RenewAnswer(RegistrationAnswer):
    """A push registration after its renewal."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "resumed": False, "clear": ["life"], "notice": None}]}
    )

    resumed: bool = Field(description="Whether it was dormant.")
    clear: list[str] = Field(description="Collapse keys of shown notifications that the app removes.")
    notice: str | None = Field(description="A sentence for the user, in the language of the registration.")


class AppAnswer(BaseModel):
    """What this server has for an app."""

    app: str
    providers: list[Provider] = Field(description="Push services that targets may name.")
    webpush_key: str | None = Field(description="`applicationServerKey` of web pages (RFC 8292), base64url.")
    push_privacy: str = Field(description="What push services read: `full`, `none` or `encrypted`.")


class TestedTarget(BaseModel):
    """What became of a test push to one target."""

    provider: str
    push_id: str
    state: str = Field(json_schema_extra={"enum": ["sent", "accepted", "failed"]})
    reason: str
    after_ms: int = Field(description="How long its push service took to answer.")


class TestAnswer(BaseModel):
    """A test whether the phone can be woken."""

    id: str
    state: str = Field(json_schema_extra={"enum": ["waiting", "sent", "accepted", "received", "failed"]})
    sends_at: int
    received_at: int | None = Field(description="When a receipt for it came.")
    targets: list[TestedTarget]


class Caller(BaseModel):
    """Who calls."""

    uri: str
    number: str
    name: str


class CallAnswer(BaseModel):
    """A call, as this push registration sees it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CALL_EXAMPLE]})

    call_id: str
    sip_call_id: str
    state: str = Field(
        json_schema_extra={
            "enum": [
                "waking",
                "offered",
                "answered",
                "answered-elsewhere",
                "declined",
                "cancelled",
                "missed",
            ]
        }
    )
    caller: Caller
    started_at: int
    expires_at: int
    reason: str


class CallsAnswer(BaseModel):
    """The calls of the last day, newest first."""

    calls: list[CallAnswer]


class Told(BaseModel):
    """One event of a timeline."""

    at: int
    after_ms: int = Field(description="Milliseconds since the first event.")
    event: str
    text: str


class TimelineAnswer(BaseModel):
    """What happened, oldest first."""

    events: list[Told]


def as_json(answer: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer as JSON. It is valid as it was made; FastAPI would validate it once more."""
    return Response(answer.model_dump_json(), status, headers, "application/json")


def registration_fields(context: WebContext, standing: Standing, address: str) -> dict[str, Any]:
    """Return what every answer says of a push registration to a phone at `address`."""
    registration, account, view = standing.registration, standing.account, standing.view
    options = context.options.sip
    return {
        "id": registration.public_id,
        "generation": view.life.generation,
        "stage": view.stage,
        "expires_at": view.life.expires_at // 1000,
        "lifetime_s": registration.lifetime // 1000,
        "plan": [{"kind": entry.kind, "at": entry.at // 1000} for entry in view.plan],
        "warnable": view.warnable,
        "sip": Sip(
            domain=account.aor.rpartition("@")[2],
            instance=registration.sip_instance,
            contact_params={"wr-reg": registration.public_id},
            routes=routes(context, address),
            expires_s=options.phone_expires_max // 1000,
        ),
        "binding": binding_of(context, registration, account),
    }


def routes(context: WebContext, address: str) -> list[Route]:
    """Return the ways to this server for a phone at `address`, streams before datagrams."""
    found = []
    for listener in context.endpoint.listeners:
        host = _host_of(context, listener, address)
        if not host:
            continue
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        uri = f"sip:{host}:{listener.port};transport={listener.transport};lr"
        route = Route(transport=listener.transport, uri=uri)
        if route not in found:
            found.append(route)
    return sorted(found, key=lambda route: route.transport == Transport.UDP)


def _host_of(context: WebContext, listener: Listener, address: str) -> str:
    """Return the name of this server for a phone: the public one, else the local address of the route."""
    if context.options.sip.public:
        return context.options.sip.public
    if not listener.is_wildcard:
        return listener.address
    if not address or (":" in address) is not (":" in listener.address):
        return ""
    return context.endpoint.local_address(listener.transport, address)[0]


def binding_of(context: WebContext, registration: PushRegistration, account: Account) -> Binding:
    """Return where the binding stands; what is unproven sees no more than how its own credentials fared."""
    if registration.proven:
        status = context.fleet.status(account.id)
    else:
        status = context.store.read(lambda tx: _unproven_status(context, tx, registration))
    return Binding(
        state=status.state,
        since_at=status.since_at // 1000 or None,
        reason_code=status.reason_code,
        reason=in_words(
            status.reason_code, status.reason, status.since_at, context.clock.now(), registration.time_zone
        ),
        expires_at=status.expires_at // 1000 or None,
    )


def _unproven_status(context: WebContext, tx: Transaction, registration: PushRegistration) -> BindingStatus:
    if tx.binding_work.trial(registration.id) is not None:
        tried = context.fleet.trial_status(registration.id)
        return tried or BindingStatus(BindingState.UNPROVEN, registration.created_at)
    told = tx.stories.of(story.of_registration(registration.id))
    last = next((row for row in reversed(told) if row.event == "refused"), None)
    if last is None:  # its time to be tried is over, and its own is, soon
        return BindingStatus(BindingState.REFUSED, registration.created_at)
    code, reason = str(last.details.get("code", "")), str(last.details.get("reason", ""))
    return BindingStatus(BindingState.REFUSED, last.at, code, reason)


def call_answer(call_id: str, record: CallRecord, registration: PushRegistration) -> CallAnswer:
    """Return a call as one of the phones of its account sees it."""
    state = seen_state(record.state, record.reason, is_mine=record.answered_by == registration.id)
    return CallAnswer(
        call_id=call_id,
        sip_call_id=readable(record.sip_call_id),
        state=state,
        caller=Caller(**{name: record.caller.get(name, "") for name in ("uri", "number", "name")}),
        started_at=record.started_at // 1000,
        expires_at=record.expires_at // 1000,
        reason=said_in(record.reason),
    )


def timeline(rows: list[StoryRow]) -> TimelineAnswer:
    """Return a story in words."""
    began = rows[0].at if rows else 0
    return TimelineAnswer(
        events=[
            Told(
                at=row.at // 1000,
                after_ms=row.at - began,
                event=row.event,
                text=words(row.event, row.details),
            )
            for row in rows
        ]
    )

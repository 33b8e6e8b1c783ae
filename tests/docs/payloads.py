"""docs/payloads.md: what each push looks like at each push service, built by the code that sends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.lifetime import LifetimePolicy, Stage
from wakerobin.core.pushes import CallDetails, PayloadHead, PushMessage, PushType, notice_payload
from wakerobin.core.values import (
    Duration,
    Life,
    Platform,
    Provider,
    Purpose,
    PushRegistration,
    PushTarget,
    Secret,
)
from wakerobin.ports.options import AppOptions
from wakerobin.ports.store import OutboxRow
from wakerobin.push.acrobits import letter as acrobits
from wakerobin.push.apns import notification as apns
from wakerobin.push.fcm import notification as fcm
from wakerobin.push.posting import Letter
from wakerobin.push.privacy import ENCRYPTED, private
from wakerobin.push.webhook import letter as webhook
from wakerobin.push.webpush import notification as webpush
from wakerobin.push.webpush.endpoint import Endpoint, read_endpoint
from wakerobin.services.courier.messages import Addressee, message_for, targets_for
from wakerobin.services.lives import Wanted
from wakerobin.services.switchboard.wake import Wakeable, call_over_pushes, call_pushes
from wakerobin.texts import Catalogues

NOW: Final = 1_783_395_200_000
HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
END: Final = NOW + 12 * HOUR

TEXTS: Final = Catalogues()
PRIVATE_TEXTS: Final = Catalogues.of_apps({"softphone": AppOptions(push_privacy=ENCRYPTED)})
SECRET: Final = b"a secret for examples"

NAMES: Final = {
    Provider.APNS: "APNs",
    Provider.FCM: "FCM",
    Provider.WEBPUSH: "Web Push",
    Provider.UNIFIEDPUSH: "UnifiedPush",
    Provider.WEBHOOK: "webhook",
    Provider.ACROBITS: "Acrobits",
}

MEANING: Final = {
    PushType.CALL: "Somebody calls: report it, register, and hold `GET …/calls/{call_id}?wait=30`.",
    PushType.CALL_OVER: "The call rings no more: stop ringing. `state` says how it ended; `ended` is said of "
    "a call that was up and whose phone had no connection when the other side hung up.",
    PushType.MISSED_CALL: "Nobody took a call. `count`: how many since a user last had the app open.",
    PushType.MESSAGE: "A message waits: `GET …/messages`, or register and get it by SIP. `from`: who wrote.",
    PushType.MWI: "The mailbox of the account has changed: `new` and `old` messages, where the PBX counts.",
    PushType.RENEW: "Shows nothing: renew with cause `renewal-push`.",
    PushType.EXPIRY_WARNING: "Renew, and show it where that failed. `life.expires_at`: the announced end.",
    PushType.EXPIRED: "The push registration has expired: enrol again when the user opens the app.",
    PushType.REGISTRATION_TROUBLE: "No calls arrive; `cause`: `refused` or `unreachable`. `ended`: by that.",
    PushType.REGISTRATION_TROUBLE_OVER: "Calls arrive again; sent only to whom trouble was told.",
    PushType.CREDENTIALS_NEEDED: "The PBX asks for the password again: ask the user, then `PATCH`.",
    PushType.TARGETS_NEEDED: "No target is left that could ring: renew with the present tokens.",
    PushType.STILL_REACHABLE: "A quiet note, so that the system does not put the app to sleep.",
    PushType.VERIFY: "Shows nothing: return `nonce` by `POST …/verify`.",
    PushType.TEST: "The app or the operator tries whether the phone can be woken: send a receipt.",
}

_REGISTRATION: Final = PushRegistration(
    id=7,
    public_id="pr_3q2-7wABCdefGhIj",
    account_id=3,
    app="softphone",
    installation="kU3b8R7l0cYbq1m2n3o4pQ",
    sip_instance="urn:uuid:0d5b7a30-6a3f-8c7e-9f00-2b7a1c4d5e6f",
    secret_hash=b"",
    proven=True,
    platform=Platform.OTHER,
    locale="en",
    display_name="Anna",
    lifetime=Duration(7 * DAY),
    payload_key=Secret("A" * 43),
    created_at=NOW - 7 * DAY,
)
_LIFE: Final = Life(
    id=7,
    slot=0,
    expires_at=END,
    next_at=END,
    generation=4,
    lifetime=Duration(7 * DAY),
    renewed_at=END - 7 * DAY,
)
_BEN: Final = {"uri": "sip:+4930123456@pbx.example", "number": "+4930123456", "name": "Ben"}
_DETAILS: Final = CallDetails(
    call_id="5f0c2a1e-8d1b-8c55-a3f7-0d9e8b7a6c5d",
    sip_call_id="843817637684230@998sdasdh09",
    caller=_BEN,
    api="https://push.example.com",
)
_STAGES: Final = {
    PushType.RENEW: Stage.RENEWING,
    PushType.EXPIRY_WARNING: Stage.WARNED,
    PushType.EXPIRED: Stage.EXPIRED,
}
_SAID: Final[dict[PushType, dict[str, Any]]] = {
    PushType.EXPIRY_WARNING: {"announced_at": END, "lead": 12 * HOUR},
    PushType.MISSED_CALL: {"caller": "Ben", "count": 2},
    PushType.MESSAGE: {"message_id": "0f9d8e7b-6a3f-8c7e-9f00-2b7a1c4d5e6f", "from": _BEN, "caller": "Ben"},
    PushType.MWI: {"waiting": True, "new": 2, "old": 1, "count": 2},
    PushType.REGISTRATION_TROUBLE: {"cause": "refused", "ended": False},
    PushType.VERIFY: {"nonce": "q1w2e3r4t5y6u7i8o9p0aQ"},
}
_OF_USE_MS: Final = {
    PushType.MISSED_CALL: 7 * DAY,
    PushType.MESSAGE: 7 * DAY,
    PushType.MWI: 7 * DAY,
    PushType.EXPIRED: 28 * DAY,
    PushType.CREDENTIALS_NEEDED: DAY,
    PushType.VERIFY: DAY,
}


def payloads() -> str:
    """Return a section for each type, with an example for each push service."""
    return "\n\n".join(_section(type_) for type_ in PushType)


def payload_table() -> str:
    """Return a table of how each type travels."""
    lines = [
        "| type | APNs: type, priority, replaces | FCM: priority, key | Web Push: urgency, topic |",
        "|---|---|---|---|",
    ]
    for type_ in PushType:
        cells = [_apns_cell(type_), _fcm_cell(type_), _web_cell(type_)]
        lines.append(f"| `{type_.value}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _apns_cell(type_: PushType) -> str:
    message = example(type_, Provider.APNS)
    if message is None:
        return "not sent"
    said = dict(apns.headers(message, "", "", ""))
    replaces = said.get("apns-collapse-id")
    cell = f"{said['apns-push-type']}, {said['apns-priority']}"
    return f"{cell}, `{replaces}`" if replaces else cell


def _fcm_cell(type_: PushType) -> str:
    kind = fcm.KINDS[type_]
    return f"{kind.priority}, `{kind.collapse_key}`" if kind.collapse_key else kind.priority


def _web_cell(type_: PushType) -> str:
    provider = Provider.WEBPUSH if example(type_, Provider.WEBPUSH) else Provider.UNIFIEDPUSH
    message = example(type_, provider)
    assert message is not None
    endpoint = read_endpoint(message.target.token.reveal(), DestinationPolicy())
    assert isinstance(endpoint, Endpoint)
    said = dict(webpush.headers(message, endpoint, "", NOW))
    cell = f"{said['urgency']}, `{said['topic']}`" if "topic" in said else said["urgency"]
    return cell if provider is Provider.WEBPUSH else f"UnifiedPush alone: {cell}"


def encrypted_payload() -> str:
    """Return an example of an encrypted push, and what is inside."""
    message = replace(
        _example(PushType.MISSED_CALL, Provider.APNS, PRIVATE_TEXTS), payload_key=Secret("A" * 43)
    )
    sent = private(message, ENCRYPTED, lambda octets: b"\x07" * octets)
    sealed = str(sent.payload["encrypted"])
    shortened = json.loads(_apns_body(sent))
    shortened["wakerobin"]["encrypted"] = f"{sealed[:40]}…"
    inside = {"payload": message.payload, "title": message.title, "text": message.text}
    gets, finds = _json(shortened), _json(inside)
    return f"What Apple gets of a missed call:\n\n{gets}\n\nWhat the app finds in it:\n\n{finds}"


def target(provider: Provider) -> PushTarget:
    """Return a target of a push service."""
    tokens = {
        Provider.APNS: "a1" * 32,
        Provider.FCM: "cT9x:APA91bF",
        Provider.WEBHOOK: "device-77",
        Provider.ACROBITS: "selector-3/device-77",
    }
    return PushTarget(
        id=1,
        registration_id=7,
        provider=provider,
        purposes=frozenset(Purpose),
        token=Secret(tokens.get(provider, "https://push.example/v1/subscription")),
        topic="cz.example.softphone" if provider is Provider.ACROBITS else "",
        reported_at=NOW,
        accepted_at=NOW,
    )


def examples(provider: Provider) -> Iterator[PushMessage]:
    """Yield an example of each push that goes to a push service."""
    for type_ in PushType:
        message = example(type_, provider)
        if message is not None:
            yield message


def example(type_: PushType, provider: Provider) -> PushMessage | None:
    """Return an example of a push, as it leaves the services; None where none of this type goes there."""
    if type_ is PushType.CALL_OVER and not _overs(provider):
        return None
    if type_ not in (PushType.CALL, PushType.CALL_OVER) and not targets_for(type_, [target(provider)]):
        return None
    message = _example(type_, provider, TEXTS)
    return message if SENT[provider](message) is not None else None


def _example(type_: PushType, provider: Provider, texts: Catalogues) -> PushMessage:
    if type_ is PushType.CALL:
        text = texts.text(type_, "en", "softphone", {"account": "Anna", "caller": "Ben"})
        wakeable, times = _wakeable(provider), (NOW, NOW + 30_000)
        return call_pushes(SECRET, _DETAILS, wakeable, text, LifetimePolicy(), times)[0]
    if type_ is PushType.CALL_OVER:
        return _overs(provider)[0]
    if type_ is PushType.TEST:
        return _test(provider, texts)
    row = OutboxRow(
        slot=0,
        registration_id=7,
        generation=4,
        kind=type_,
        step=0,
        not_before=NOW,
        deadline_at=NOW + _OF_USE_MS[type_] if type_ in _OF_USE_MS else END,
        payload=_SAID.get(type_, {}),
    )
    wanted = Wanted(_LIFE, _STAGES.get(type_, Stage.ACTIVE), row.deadline_at)
    return message_for(row, Addressee(_REGISTRATION, "Anna", wanted), target(provider), texts, NOW)


def _overs(provider: Provider) -> list[PushMessage]:
    state = "answered-elsewhere"
    values = {"account": "Anna", "caller": "Ben"}
    text = TEXTS.text(PushType.CALL_OVER, "en", "softphone", values, variant="elsewhere")
    return call_over_pushes(
        SECRET, _DETAILS, _wakeable(provider), text, LifetimePolicy(), taken_by={1}, state=state, now=NOW
    )


def _test(provider: Provider, texts: Catalogues) -> PushMessage:
    head = PayloadHead(
        id="7a1c4d5e-6f0d-8b7a-b06a-3f8c7e9f002b",
        registration=_REGISTRATION.public_id,
        generation=4,
        sent_at=NOW,
        expires_at=NOW + 30_000,
        stage=Stage.ACTIVE,
        life_expires_at=END,
    )
    text = texts.text(PushType.TEST, "en", "softphone", {"account": "Anna"})
    return PushMessage(
        type=PushType.TEST,
        id=head.id,
        target=target(provider),
        app="softphone",
        title=text.title,
        text=text.body,
        payload=notice_payload(PushType.TEST, head, {"test": "0d5b7a30-6a3f-8c7e-9f00-2b7a1c4d5e6f"}),
        expires_at=head.expires_at,
    )


def _wakeable(provider: Provider) -> Wakeable:
    return Wakeable(_REGISTRATION, _LIFE, (target(provider),), "Anna")


# As it is sent


def _apns(message: PushMessage) -> str | None:
    if message.type not in apns.KINDS:
        return None
    fields = apns.headers(message, "api.push.apple.com", "com.example.softphone", "…")
    return f"{_http(fields)}\n{_indented(_apns_body(message))}"


def _apns_body(message: PushMessage) -> bytes:
    body = apns.body(message)
    assert body is not None
    return body


def _fcm(message: PushMessage) -> str | None:
    body = fcm.body(message, NOW)
    assert body is not None
    fields = (
        (":method", "POST"),
        (":path", "/v1/projects/softphone/messages:send"),
        ("authorization", "Bearer …"),
        ("content-type", "application/json"),
    )
    return f"{_http(fields)}\n{_indented(body)}"


def _web_push(message: PushMessage) -> str | None:
    if message.target.provider is Provider.WEBPUSH and webpush.shows_nothing(message):
        return None
    endpoint = read_endpoint(message.target.token.reveal(), DestinationPolicy())
    assert isinstance(endpoint, Endpoint)
    text = webpush.plaintext(message)
    assert text is not None
    fields = webpush.headers(message, endpoint, "vapid t=…, k=…", NOW)
    return f"{_http(fields)}\n{_indented(text)}"


def _webhook(message: PushMessage) -> str | None:
    return _posted(webhook.write(message, NOW, [b"a signing secret of 24 octets"]), "/pushes")


def _acrobits(message: PushMessage) -> str | None:
    return _posted(acrobits.write(message, NOW), "/pnm2/send")


def _posted(letter: object, path: str) -> str | None:
    if not isinstance(letter, Letter):
        return None
    return f"{_http(((':method', 'POST'), (':path', path), *letter.fields))}\n{_indented(letter.body)}"


SENT: Final[dict[Provider, Callable[[PushMessage], str | None]]] = {
    Provider.APNS: _apns,
    Provider.FCM: _fcm,
    Provider.WEBPUSH: _web_push,
    Provider.UNIFIEDPUSH: _web_push,
    Provider.WEBHOOK: _webhook,
    Provider.ACROBITS: _acrobits,
}
"""What goes over the wire; for Web Push, before it is encrypted. None: such a push is not sent there."""


def _section(type_: PushType) -> str:
    parts = [f"## `{type_}`", MEANING[type_]]
    unsent = []
    for provider, name in NAMES.items():
        message = example(type_, provider)
        sent = SENT[provider](message) if message is not None else None
        if sent is None:
            unsent.append(name)
        else:
            parts.append(f"**{name}**\n\n```http\n{sent}\n```")
    if unsent:
        parts.append(f"Not sent to: {', '.join(unsent)}.")
    return "\n\n".join(parts)


def _http(fields: Any) -> str:
    said = dict(fields)
    lines = [f"{said.pop(':method')} {said.pop(':path')}"]
    lines += [f"{name}: {value}" for name, value in said.items() if not name.startswith(":")]
    return "\n".join((*lines, ""))


def _indented(body: bytes) -> str:
    return json.dumps(json.loads(body), ensure_ascii=False, indent=2)


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"

"""docs/privacy.md: every field that a push service can read, of each push, collected from what is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from tests.docs.payloads import SENT, examples
from wakerobin.core.pushes import PushMessage, PushType
from wakerobin.core.values import Provider
from wakerobin.texts import Catalogues

_KEYED: Final = Catalogues(keyed=["softphone"])

_PAYLOAD: Final = {
    "v": "1",
    "type": "what kind of push it is",
    "id": "the number of the push, random-looking and derived from nothing that names a person",
    "registration": "the push registration's id, random",
    "generation": "how often it was renewed",
    "sent_at": "when it was sent",
    "expires_at": "until when it is of use",
    "life.stage": "how the registration's life stands",
    "life.expires_at": "when it ends unless the app is used",
    "count": "how many calls were missed",
    "message_id": "the number of the message, random-looking and derived from nothing that names a person",
    "from.uri": "who wrote: the address",
    "from.number": "who wrote: the number",
    "from.name": "who wrote: the name",
    "waiting": "whether anything new is in the mailbox",
    "new": "how many new voice messages are",
    "old": "how many others are",
    "call_id": "a number of this call and registration, derived by a keyed hash",
    "sip_call_id": "the Call-ID of the PBX",
    "caller.uri": "who calls: the address",
    "caller.number": "who calls: the number",
    "caller.name": "who calls: the name",
    "has_video": "whether the call offers video",
    "api": "where the app finds this server's API; empty where it is not configured",
    "state": "how the call ended",
    "cause": "whether the PBX refuses the account or cannot be reached",
    "ended": "whether the registration is over by it",
    "nonce": "what the app returns to prove that the token is its own",
    "test": "the number of the test",
    "also": "for one push about several accounts of an app: `id`, `registration`, `generation` and `life` of "
    "the others",
}
_WORDS: Final = {
    "title": "the account's display name, else its address; for a call what it is",
    "text": "what the user reads, for calls with the caller's name or number",
    "title_loc_key": "instead of the title, for an app with texts of its own",
    "title_loc_args": "for such an app the names, and the count of missed calls or voice messages",
    "body_loc_key": "instead of the text, for an app with texts of its own",
    "body_loc_args": "for such an app the names, and the count of missed calls or voice messages",
}
MEANING: Final[dict[Provider, dict[str, str]]] = {
    Provider.APNS: {
        "path": "the device token, which Apple gave to the app",
        "authorization": "a token that names your team and key; with a certificate nothing",
        "apns-id": "the number of the push",
        "apns-topic": "your app's bundle id, with `.voip` for calls",
        "apns-push-type": "call, visible or silent",
        "apns-priority": "now, or when it suits the phone",
        "apns-expiration": "until when the push is of use",
        "apns-collapse-id": "which shown push this one replaces",
        "aps.alert.title": _WORDS["title"],
        "aps.alert.body": _WORDS["text"],
        "aps.alert.title-loc-key": _WORDS["title_loc_key"],
        "aps.alert.title-loc-args": _WORDS["title_loc_args"],
        "aps.alert.loc-key": _WORDS["body_loc_key"],
        "aps.alert.loc-args": _WORDS["body_loc_args"],
        "aps.thread-id": "whether it is about a missed call, a message, the mailbox or being reachable",
        "aps.badge": "how many new voice messages are in the mailbox",
        "aps.sound": "always `default`",
        "aps.interruption-level": "always `passive`: it makes no sound",
        "aps.content-available": "always 1: it shows nothing",
        "aps.mutable-content": "always 1: the app may look at it before it is shown",
        "aps": "nothing",
        **{f"wakerobin.{name}": text for name, text in _PAYLOAD.items()},
    },
    Provider.FCM: {
        "path": "your Firebase project",
        "authorization": "an access token of your service account",
        "content-type": "always JSON",
        "message.token": "the registration token, which Google gave to the app (`message.fid`: its new kind)",
        "message.android.priority": "now, or when it suits the phone",
        "message.android.ttl": "for how long the push is of use",
        "message.android.collapseKey": "which undelivered push this one replaces",
        "message.android.directBootOk": "always true: the phone need not be unlocked",
        **{f"message.data.{name}": text for name, text in _WORDS.items()},
        **{f"message.data.wakerobin.{name}": text for name, text in _PAYLOAD.items()},
    },
    Provider.WEBPUSH: {
        "path": "the endpoint of the subscription, which the browser or the distributor made",
        "authorization": "a token with your VAPID key, the push service's address and your `subject`",
        "content-type": "always octets",
        "content-encoding": "always `aes128gcm`",
        "ttl": "for how long the push is of use",
        "urgency": "how much battery it is worth",
        "topic": "which undelivered push this one replaces",
    },
    Provider.WEBHOOK: {
        "path": "the URL in the settings",
        "content-type": "always JSON",
        "webhook-id": "the number of the push",
        "webhook-timestamp": "when it was sent",
        "webhook-signature": "that it comes from this server",
        "app": "the app's name in the configuration",
        "target.token": "the token that the app reported",
        "target.topic": "what the app reported beside it",
        **_WORDS,
        **_PAYLOAD,
    },
    Provider.ACROBITS: {
        "path": "the URL in the settings",
        "content-type": "always JSON",
        "verb": "what kind of push it is",
        "AppId": "the app",
        "DeviceToken": "the device",
        "Selector": "the account inside the app",
        "Id": "the number of the call, of the message, or of the push",
        "UserName": "who calls or wrote: the number or the address",
        "UserDisplayName": "who calls or wrote: the name",
        "Message": "what the user reads",
        "Badge": "how many calls were missed, or how many new voice messages are in the mailbox",
    },
}
"""What each field says. A field that is sent and is not here is a KeyError, hence a failed test."""

READS: Final = {
    Provider.APNS: "## What Apple gets",
    Provider.FCM: "## What Google gets",
    Provider.WEBPUSH: "## What push services of browsers and UnifiedPush get",
    Provider.WEBHOOK: "## What your webhook gets",
    Provider.ACROBITS: "## What Acrobits gets",
}


def pushed_fields() -> str:
    """Return for each push service a table of every field that it can read."""
    return "\n\n".join(f"{title}\n\n{_table(provider)}" for provider, title in READS.items())


def fields_of(provider: Provider) -> dict[str, list[PushType]]:
    """Return every field that a push service can read, with the types that have it."""
    found: dict[str, list[PushType]] = {}
    for message in _every(provider):
        sent = SENT[provider](message)
        assert sent is not None
        for name in _fields_in(sent, provider):
            types = found.setdefault(name, [])
            if message.type not in types:
                types.append(message.type)
    return found


def _every(provider: Provider) -> Iterator[PushMessage]:
    for message in examples(provider):
        yield message
        keyed = _KEYED.text(message.type, "en", "softphone", {"account": "Anna"}).loc_keys
        yield replace(
            message,
            loc_keys=keyed,
            is_mutable=True,
            payload=message.payload | ({"also": []} if message.collapse_key == "life" else {}),
            target=replace(message.target, topic=message.target.topic or "com.example"),
        )


def _fields_in(sent: str, provider: Provider) -> Iterator[str]:
    head, _, body = sent.partition("\n\n")
    yield "path"
    yield from (line.partition(":")[0] for line in head.split("\n")[1:])
    if provider not in (Provider.WEBPUSH, Provider.UNIFIEDPUSH):  # the rest is encrypted for the subscription
        yield from _paths(json.loads(body))


def _paths(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, inner in value.items():
        if name == "wakerobin" and isinstance(inner, str):
            yield from _paths(json.loads(inner), f"{prefix}{name}.")
        elif isinstance(inner, dict) and inner:
            yield from _paths(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _table(provider: Provider) -> str:
    fields = fields_of(provider)
    every = [message.type for message in examples(provider)]
    lines = ["| field | says | in |", "|---|---|---|"]
    for name, types in fields.items():
        lines.append(f"| `{name}` | {MEANING[provider][name]} | {_in(types, every)} |")
    return "\n".join(lines)


def _in(types: list[PushType], every: list[PushType]) -> str:
    if set(types) >= set(every):
        return "every push"
    rest = [one for one in every if one not in types]
    if len(rest) < len(types) and len(rest) <= 4:
        return f"all but {_list(rest)}"
    return _list(types)


def _list(types: list[PushType]) -> str:
    return ", ".join(f"`{one.value}`" for one in types)

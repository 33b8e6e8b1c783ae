"""A `PushMessage` as a Standard Webhook: the payload of the API as its body, signed with every secret.

The signature is HMAC-SHA256 over `id.timestamp.body`. With several secrets there are several signatures,
and the receiver takes any that it knows: so one secret can be replaced by another without a gap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Any, Final

from wakerobin.core.errors import ConfigurationError
from wakerobin.core.pushes import Outcome, PushMessage, Rejected, TargetGone
from wakerobin.core.values import Secret
from wakerobin.push.posting import Letter
from wakerobin.push.shortening import encoded, fit, shortened

PREFIX: Final = "whsec_"
MOST_OCTETS: Final = 16384
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
_LEAST_SECRET, _MOST_SECRET = 24, 64


def read_secrets(secrets: Sequence[Secret], key: str) -> tuple[bytes, ...]:
    """Read the secrets of the setting `key`; ConfigurationError, without the secret, where one is none."""
    if not secrets:
        raise ConfigurationError(f"{key} is empty; make one with `echo whsec_$(openssl rand -base64 32)`")
    return tuple(_read(secret, f"{key}[{number}]") for number, secret in enumerate(secrets))


def _read(secret: Secret, key: str) -> bytes:
    right = f"write {PREFIX} and {_LEAST_SECRET} to {_MOST_SECRET} octets in base64"
    text = secret.reveal()
    if not text.startswith(PREFIX):
        raise ConfigurationError(f"{key} does not begin with {PREFIX}; {right}")
    try:
        octets = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"{key} is no base64; {right}") from None
    if not _LEAST_SECRET <= len(octets) <= _MOST_SECRET:
        raise ConfigurationError(f"{key} has {len(octets)} octets; {right}")
    return octets


def write(message: PushMessage, now: int, secrets: Sequence[bytes]) -> Letter | Outcome:
    """Build and sign the letter; `now` is epoch milliseconds."""
    token = message.target.token.reveal()
    if _TOKEN.fullmatch(token) is None:
        return TargetGone("not a token", certain=False)
    body = fit(message, MOST_OCTETS, lambda payload, text: encoded(_body(message, payload, text)))
    if body is None:
        return Rejected("PayloadTooLarge")
    timestamp = str(now // 1000)
    fields = (
        ("content-type", "application/json"),
        ("webhook-id", message.id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signature(message.id, timestamp, body, secrets)),
    )
    return Letter(fields, body)


def signature(id_: str, timestamp: str, body: bytes, secrets: Sequence[bytes]) -> str:
    """Return `v1,…` for each secret, with blanks between."""
    signed = f"{id_}.{timestamp}.".encode() + body
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _body(message: PushMessage, payload: dict[str, Any], text: str) -> dict[str, Any]:
    target = {"token": message.target.token.reveal()}
    if message.target.topic:
        target["topic"] = message.target.topic
    body = payload | {"app": message.app, "target": target}
    keys = message.loc_keys
    if keys is not None:
        body["title_loc_key"], body["title_loc_args"] = keys.title_key, _cut(keys.title_args)
        body["body_loc_key"], body["body_loc_args"] = keys.body_key, _cut(keys.body_args)
    elif message.title or text:
        body["title"], body["text"] = shortened(message.title), text
    return body


def _cut(args: tuple[str, ...]) -> list[str]:
    return [shortened(arg) for arg in args]

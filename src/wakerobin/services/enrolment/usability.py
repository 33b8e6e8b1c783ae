"""Which push targets can be used, provider by provider. Pure; every refusal is a problem of the API."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final, TypeAlias

from wakerobin.core.values import Provider, Purpose
from wakerobin.ports.options import AppOptions
from wakerobin.services.enrolment.requests import Refusal, TargetRequest

EndpointRefusal: TypeAlias = Callable[[str], str]
"""Says why an endpoint may not be pushed to; empty where it may."""

_MOST_TARGETS: Final = 4
_APNS_TOKEN: Final = re.compile(r"[0-9a-fA-F]{2,400}\Z")
_TOKEN: Final = re.compile(r"[!-~]{1,4096}\Z")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+={0,2}\Z")

# P-256, FIPS 186-4 D.1.2.3: y² = x³ - 3x + b (mod p).
_P: Final = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_POINT_OCTETS: Final = 65
_AUTH_OCTETS: Final = 16

_WEB_PUSH: Final = frozenset({Provider.WEBPUSH, Provider.UNIFIEDPUSH})


def refusal_of_targets(
    app: AppOptions, targets: tuple[TargetRequest, ...], endpoint_refusal: EndpointRefusal
) -> Refusal | None:
    """Return what is wrong with the targets of an installation."""
    if not 1 <= len(targets) <= _MOST_TARGETS:
        return Refusal("invalid-field", "between one and four targets", "/targets")
    if not any(Purpose.CALL in target.purposes for target in targets):
        return Refusal("invalid-field", "at least one target takes calls", "/targets")
    seen: set[tuple[Provider, str]] = set()
    for index, target in enumerate(targets):
        pointer = f"/targets/{index}"
        if (target.provider, target.token.reveal()) in seen:
            return Refusal("invalid-field", "is listed twice; name both purposes in one", pointer)
        seen.add((target.provider, target.token.reveal()))
        if not _is_configured(app, target.provider):
            return Refusal("target-unusable", "this app has no such push service here", f"{pointer}/provider")
        refusal = _refusal_of(app, target, pointer, endpoint_refusal)
        if refusal is not None:
            return refusal
    return None


def providers_of(app: AppOptions) -> list[Provider]:
    """Return the push services that an app has here."""
    return [provider for provider in Provider if _is_configured(app, provider)]


def is_p256_point(text: str) -> bool:
    """Whether base64url text is an uncompressed point of P-256, as a subscription has one (RFC 8291)."""
    point = _octets(text)
    if len(point) != _POINT_OCTETS or point[0] != 4:
        return False
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    return x < _P and y < _P and (y * y - (x * x * x - 3 * x + _B)) % _P == 0


def _is_configured(app: AppOptions, provider: Provider) -> bool:
    match provider:
        case Provider.APNS:
            return app.apns is not None
        case Provider.FCM:
            return app.fcm is not None
        case Provider.WEBPUSH | Provider.UNIFIEDPUSH:
            return app.webpush is not None
        case Provider.WEBHOOK:
            return app.webhook is not None
        case Provider.ACROBITS:
            return app.acrobits is not None


def _refusal_of(
    app: AppOptions, target: TargetRequest, pointer: str, endpoint_refusal: EndpointRefusal
) -> Refusal | None:
    if target.provider in _WEB_PUSH:
        return _refusal_of_subscription(target, pointer, endpoint_refusal)
    if target.provider is Provider.APNS:
        return _refusal_of_apns(app, target, pointer)
    if target.provider is Provider.ACROBITS and not _TOKEN.match(target.topic):
        return Refusal("target-unusable", "the topic is the AppId of the app", f"{pointer}/topic")
    if not _TOKEN.match(target.token.reveal()):
        return Refusal("target-unusable", "a token is printable ASCII without blanks", f"{pointer}/token")
    return None


def _refusal_of_apns(app: AppOptions, target: TargetRequest, pointer: str) -> Refusal | None:
    if not _APNS_TOKEN.match(target.token.reveal()):
        return Refusal("target-unusable", "an APNs token is hexadecimal", f"{pointer}/token")
    if target.topic and app.apns is not None and target.topic != app.apns.topic:
        return Refusal("target-unusable", "the topic is not this app's", f"{pointer}/topic")
    if target.environment not in ("", "production", "sandbox"):
        return Refusal("invalid-field", "production or sandbox", f"{pointer}/environment")
    return None


def _refusal_of_subscription(
    target: TargetRequest, pointer: str, endpoint_refusal: EndpointRefusal
) -> Refusal | None:
    if not is_p256_point(target.p256dh):
        return Refusal("target-unusable", "must be a point of P-256, 65 octets", f"{pointer}/p256dh")
    if len(_octets(target.auth.reveal())) != _AUTH_OCTETS:
        return Refusal("target-unusable", "must be 16 octets", f"{pointer}/auth")
    if endpoint_refusal(target.token.reveal()):
        # Not in its words: they may say what this server can reach.
        return Refusal("target-unusable", "may not be pushed to", f"{pointer}/endpoint")
    return None


def _octets(text: str) -> bytes:
    """Return what base64url text stands for, with or without padding; nothing where it is none."""
    if not _BASE64URL.match(text):
        return b""
    bare = text.rstrip("=")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return b""

"""Apple's rules for one request, checked in the order in which Apple seems to: path, token, headers, body."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

HOUR: Final = 3600
YOUNGEST_REPLACED: Final = 20 * 60

_PUSH_TYPES: Final = {"alert": "", "background": "", "voip": ".voip"}
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEVICE_TOKEN: Final = re.compile(r"([0-9a-fA-F]{2})+")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer; `timestamp` (epoch milliseconds) belongs to 410."""

    status: int
    reason: str
    timestamp: int = 0


@dataclass(slots=True)
class Team:
    """Who may push what: the team's public key with its identifiers, and the app."""

    public_key: ec.EllipticCurvePublicKey
    key_id: str
    team_id: str
    topic: str


@dataclass(slots=True)
class Seen:
    """The provider tokens that one connection has shown, with the time of the first use of each."""

    tokens: dict[str, float] = field(default_factory=dict)


def check_token(headers: Mapping[str, str], team: Team, seen: Seen, now: float) -> Refusal | None:
    """Check the provider token; `now` is epoch seconds."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if not token:
        return Refusal(403, "MissingProviderToken")
    try:
        fields = jwt.get_unverified_header(token)
        claims = jwt.decode(
            token,
            team.public_key,
            algorithms=["ES256"],
            options={"verify_iat": False, "require": ["iat", "iss"]},
        )
    except jwt.PyJWTError:
        return Refusal(403, "InvalidProviderToken")
    issued_at = claims["iat"]
    belongs = fields.get("kid") == team.key_id and claims["iss"] == team.team_id
    if scheme.lower() != "bearer" or not belongs or not isinstance(issued_at, int) or issued_at > now + 300:
        return Refusal(403, "InvalidProviderToken")
    if now - issued_at > HOUR:
        return Refusal(403, "ExpiredProviderToken")
    newest = max(seen.tokens.values(), default=0.0)
    if token not in seen.tokens and seen.tokens and now - newest < YOUNGEST_REPLACED:
        return Refusal(429, "TooManyProviderTokenUpdates")
    seen.tokens.setdefault(token, now)
    return None


def check_path(headers: Mapping[str, str]) -> Refusal | None:
    """Check method and path."""
    if headers.get(":method") != "POST":
        return Refusal(405, "MethodNotAllowed")
    path = headers.get(":path", "")
    if not path.startswith("/3/device/"):
        return Refusal(404, "BadPath")
    token = path.removeprefix("/3/device/")
    if not token:
        return Refusal(400, "MissingDeviceToken")
    return None if _DEVICE_TOKEN.fullmatch(token) else Refusal(400, "BadDeviceToken")


def check_headers(headers: Mapping[str, str], topic: str) -> Refusal | None:
    """Check the `apns-` headers against each other; `topic` is the app's bundle id."""
    push_type = headers.get("apns-push-type", "")
    if push_type not in _PUSH_TYPES:
        return Refusal(400, "InvalidPushType")
    if "apns-topic" not in headers:
        return Refusal(400, "MissingTopic")
    if not headers["apns-topic"].startswith(topic):
        return Refusal(400, "TopicDisallowed")
    if headers["apns-topic"] != topic + _PUSH_TYPES[push_type]:
        return Refusal(400, "DeviceTokenNotForTopic")
    allowed = ("5",) if push_type == "background" else ("1", "5", "10")
    if headers.get("apns-priority", "10") not in allowed:
        return Refusal(400, "BadPriority")
    if not headers.get("apns-expiration", "0").isdecimal():
        return Refusal(400, "BadExpirationDate")
    if len(headers.get("apns-collapse-id", "").encode()) > 64:
        return Refusal(400, "BadCollapseId")
    if not _UUID.fullmatch(headers.get("apns-id", "00000000-0000-0000-0000-000000000000")):
        return Refusal(400, "BadMessageId")
    return None


def check_body(body: bytes, push_type: str) -> Refusal | None:
    """Check size and form of the payload."""
    if not body:
        return Refusal(400, "PayloadEmpty")
    if len(body) > (5120 if push_type == "voip" else 4096):
        return Refusal(413, "PayloadTooLarge")
    payload = parse(body)
    aps = payload.get("aps")
    if not isinstance(aps, dict):
        return Refusal(400, "PayloadEmpty")
    is_silent = aps.get("content-available") == 1 and "alert" not in aps and "sound" not in aps
    if push_type == "background" and not is_silent:
        return Refusal(400, "InvalidPushType")
    if push_type == "alert" and not aps.get("alert"):
        return Refusal(400, "InvalidPushType")
    return None


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, empty where there is none."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

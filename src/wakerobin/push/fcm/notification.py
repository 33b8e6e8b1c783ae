"""A `PushMessage` as Firebase wants it: a message of data for an Android app, within Google's limits.

Nothing is shown by the system, everything by the app: it renews first, and a warning that it thereby
made untrue need not be seen. So title and text are data, too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from wakerobin.core.pushes import Lane, PushMessage, PushType
from wakerobin.push.shortening import encoded, fit, shortened

MOST_OCTETS: Final = 4096
"""Of the data of a message, whatever else is in it."""
MOST_TTL_S: Final = 28 * 24 * 3600
MOST_COLLAPSE_KEYS: Final = 4
"""Google holds messages of so many keys for a device; of more it drops some, and does not say which."""

INSTALLATION_ID: Final = "fid"
"""The kind of token that replaces registration tokens; the name of the field, too."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_:.~%+=/-]{1,4096}")


@dataclass(frozen=True, slots=True)
class Kind:
    """How Google treats a push: its priority, and what it replaces while the device is out of reach."""

    priority: str
    collapse_key: str = ""


_NOW: Final = Kind("HIGH")
_LIFE: Final = Kind("HIGH", "life")

# HIGH wakes a device at once, and an app that shows nothing after it loses that right for a week.
KINDS: Final[dict[PushType, Kind]] = {
    PushType.CALL: _NOW,
    PushType.CALL_OVER: _NOW,
    PushType.TEST: _NOW,
    PushType.EXPIRY_WARNING: _LIFE,
    PushType.EXPIRED: _LIFE,
    PushType.REGISTRATION_TROUBLE: _LIFE,
    PushType.REGISTRATION_TROUBLE_OVER: _LIFE,
    PushType.CREDENTIALS_NEEDED: _LIFE,
    PushType.TARGETS_NEEDED: _LIFE,
    PushType.MISSED_CALL: Kind("HIGH", "missed"),
    PushType.MESSAGE: _NOW,
    PushType.MWI: Kind("HIGH", "mwi"),
    PushType.STILL_REACHABLE: Kind("NORMAL", "life"),
    PushType.RENEW: Kind("NORMAL", "life"),
    PushType.VERIFY: Kind("NORMAL"),
}


def is_token(text: str) -> bool:
    """Whether this can be a registration token or an installation id at all."""
    return _TOKEN.fullmatch(text) is not None


def body(message: PushMessage, now: int) -> bytes | None:
    """Build the JSON body at `now` (epoch milliseconds); None if its data is too long even when shortened."""
    data = fit(message, MOST_OCTETS, lambda payload, text: encoded(_data(message, payload, text)))
    if data is None:
        return None
    name = INSTALLATION_ID if message.target.token_kind == INSTALLATION_ID else "token"
    rest = encoded({name: message.target.token.reveal(), "android": _android(message, now)})
    return b'{"message":{"data":' + data + b"," + rest[1:] + b"}"


def _android(message: PushMessage, now: int) -> dict[str, Any]:
    kind = KINDS[message.type]
    priority = "NORMAL" if message.is_quiet else kind.priority
    android: dict[str, Any] = {"priority": priority, "ttl": f"{_ttl(message, now)}s"}
    if kind.collapse_key:
        android["collapseKey"] = kind.collapse_key
    if message.lane is Lane.CALLS:
        # A phone that was switched on and not unlocked yet can ring, if the app is made for that.
        android["directBootOk"] = True
    return android


def _ttl(message: PushMessage, now: int) -> int:
    """Return the seconds for which it may be stored; 0: now or never."""
    return max(0, min((message.expires_at - now) // 1000, MOST_TTL_S))


def _data(message: PushMessage, payload: dict[str, Any], text: str) -> dict[str, str]:
    """Return the data; its values must be text."""
    data = {"wakerobin": json.dumps(payload, ensure_ascii=False, separators=(",", ":"))}
    keys = message.loc_keys
    if keys is not None:
        data["title_loc_key"] = keys.title_key
        data["title_loc_args"] = _list(keys.title_args)
        data["body_loc_key"] = keys.body_key
        data["body_loc_args"] = _list(keys.body_args)
    elif message.title or text:
        data["title"], data["text"] = shortened(message.title), text
    return data


def _list(args: tuple[str, ...]) -> str:
    return json.dumps([shortened(arg) for arg in args], ensure_ascii=False)

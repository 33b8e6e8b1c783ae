"""Pushes of an app whose push services are not to read who calls whom.

`none` leaves names out, and what could stand for one. `encrypted` puts the whole payload, title and text into
an envelope that the app alone can open, with the key that it got when it enrolled, and shows a text without
names where the system shows the push by itself.

The envelope: `{"v": 1, "registration": …, "encrypted": …}`, the last base64url without padding of nonce (12
octets), ciphertext and tag (16) of AES-256-GCM; the registration's id is authenticated with it. Inside is the
JSON object `{"payload": …, "title": …, "text": …}`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wakerobin.core.ids import Entropy
from wakerobin.core.pushes import PAYLOAD_VERSION, Outcome, PushMessage, Wording
from wakerobin.core.values import NO_SECRET, Provider, Secret
from wakerobin.ports.push import Attempt, PushService, always_wanted
from wakerobin.push.shortening import encoded, essential, shortened

FULL: Final = "full"
NONE: Final = "none"
ENCRYPTED: Final = "encrypted"

NONCE_OCTETS: Final = 12
MOST_INSIDE: Final = 2_400
"""Octets to be encrypted: what becomes of them fits into 4 KiB with everything around it."""

NAMING: Final = frozenset({"caller", "sip_call_id", "from", "also"})
"""Fields of a payload that name somebody, or by which somebody can be found."""

_READS_NOTHING: Final = frozenset({Provider.WEBPUSH, Provider.UNIFIEDPUSH})
"""Push services that get everything encrypted for the subscription (RFC 8291), in each case."""
_OPENS_NOTHING: Final = frozenset({Provider.ACROBITS})
"""Push services whose apps are not made for us: they get no envelope, and no names."""

_NOBODY: Final = {"uri": "", "number": "", "name": ""}


class PrivatePushService:
    """A push service behind the privacy that its app wants, `none` or `encrypted`."""

    def __init__(self, inner: PushService, privacy: str, entropy: Entropy) -> None:
        self._inner = inner
        self._privacy = privacy
        self._entropy = entropy

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        """Try once, until `deadline` (monotonic seconds)."""
        return await self._inner.send(self._private(message), deadline)

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: Callable[[Outcome], None],
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> Attempt:
        """Try as `send` does, without awaiting."""
        return self._inner.begin(self._private(message), deadline, on_outcome, is_wanted)

    async def warm(self) -> None:
        """Open the connections that a call push must not wait for."""
        await self._inner.warm()

    async def close(self) -> None:
        """Close every connection."""
        await self._inner.close()

    def _private(self, message: PushMessage) -> PushMessage:
        return private(message, self._privacy, self._entropy)


def private(message: PushMessage, privacy: str, entropy: Entropy) -> PushMessage:
    """Return the push as its push service may read it; without a key it is not encrypted, but nameless."""
    provider = message.target.provider
    if privacy == FULL or provider in _READS_NOTHING:
        return message
    generic = message.generic or Wording("", "")
    shown = replace(
        message,
        title=generic.title,
        text=generic.text,
        loc_keys=generic.loc_keys,
        generic=None,
        payload_key=NO_SECRET,
    )
    if privacy == NONE or provider in _OPENS_NOTHING or not message.payload_key:
        return replace(shown, payload=without_names(message.payload))
    # Whoever opens it before it is shown puts the real text, and the number, in their places.
    return replace(shown, payload=_envelope(message, entropy), is_mutable=bool(message.text), badge=None)


def without_names(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload that names nobody; an app finds its fields, some of them empty."""
    kept = {name: value for name, value in payload.items() if name not in NAMING}
    if "caller" in payload:
        kept["caller"] = dict(_NOBODY)
    return kept


def opened(envelope: dict[str, Any], key: Secret) -> bytes:
    """Return what is in an envelope, JSON. Raises InvalidTag where the key is another: what an app does."""
    sealed = base64.urlsafe_b64decode(envelope["encrypted"] + "==")
    nonce, body = sealed[:NONCE_OCTETS], sealed[NONCE_OCTETS:]
    return _cipher(key).decrypt(nonce, body, str(envelope["registration"]).encode())


def _envelope(message: PushMessage, entropy: Entropy) -> dict[str, Any]:
    inside = encoded({"payload": message.payload, "title": message.title, "text": message.text})
    if len(inside) > MOST_INSIDE:
        cut = {"title": shortened(message.title), "text": shortened(message.text)}
        inside = encoded({"payload": essential(message.payload), **cut})
    nonce = entropy(NONCE_OCTETS)
    registration = str(message.payload.get("registration", ""))
    sealed = nonce + _cipher(message.payload_key).encrypt(nonce, inside, registration.encode())
    return {
        "v": PAYLOAD_VERSION,
        "registration": registration,
        "encrypted": base64.urlsafe_b64encode(sealed).rstrip(b"=").decode(),
    }


def _cipher(key: Secret) -> AESGCM:
    return AESGCM(base64.urlsafe_b64decode(key.reveal() + "=="))

"""A Web Push service with subscribers, on a loopback address: strict, and able to misbehave.

The subscribers decrypt with the library's own HKDF, so that what they read was not merely understood
by the code that wrote it. A browser among them wants to be shown something for every push.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.system.pushing import LoopClock
from wakerobin.core.addresses import DestinationPolicy
from wakerobin.core.values import Provider, Purpose, PushTarget, Secret
from wakerobin.ports.options import WebPushOptions
from wakerobin.push.connection import Surroundings
from wakerobin.push.webpush import WebPushService, read_vapid_key
from wakerobin.push.webpush.encryption import base64url, octets
from wakerobin.push.webpush.ephemeral import CURVE, KeyPair, make_key_pair
from wakerobin.push.webpush.vapid import make_key_file
from wakerobin.testing.pns_certificates import make_server_context
from wakerobin.testing.pns_connection import PnsConnection
from wakerobin.testing.pns_script import Behaviour, GoAway, Kill, Refuse, Reset, Silence, Slow

DAY_S = 86_400


def decrypted(body: bytes, private: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """What a browser does with the body of a push (RFC 8291, RFC 8188). Raises ValueError, InvalidTag."""
    salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    sender, record = body[21 : 21 + length], body[21 + length :]
    if len(record) > size:
        raise ValueError("more than one record")
    public = KeyPair.of(private).point
    shared = private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, sender))
    input_key = HKDF(hashes.SHA256(), 32, auth, b"WebPush: info\0" + public + sender).derive(shared)
    key = HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(input_key)
    nonce = HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(input_key)
    return AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0").removesuffix(b"\x02")


@dataclass(slots=True)
class Subscription:
    """One browser or app that has subscribed."""

    path: str
    provider: Provider
    pair: KeyPair = field(default_factory=make_key_pair)
    auth: bytes = b"0123456789abcdef"
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Arrived:
    """One push as it came in, what was answered, and what the subscriber read."""

    at: float
    path: str
    headers: dict[str, str]
    octets: int
    status: int
    """201 accepted, else the refusal; 0 where there was no answer."""
    message: dict[str, Any]

    @property
    def is_accepted(self) -> bool:
        """Whether the subscriber gets it."""
        return self.status == 201

    @property
    def type(self) -> str:
        """The `type` of our own payload."""
        return str(self.message.get("wakerobin", {}).get("type", ""))

    @property
    def shown(self) -> dict[str, Any]:
        """The notification that a browser shows."""
        shown = self.message.get("notification", {})
        assert isinstance(shown, dict)
        return shown

    def __hash__(self) -> int:
        return hash((self.at, self.path))


class WebPushDouble:
    """`async with WebPushDouble(directory, host) as service:`; `options()` configures an app to push here."""

    def __init__(self, directory: Path, host: str) -> None:
        self.host = host
        self.port = 0
        self.pushes: list[Arrived] = []
        self.subscriptions: dict[str, Subscription] = {}
        self.connections: list[PnsConnection] = []
        self.thrown_out: list[str] = []
        self.most_octets = 4096
        self._context, self._ca_file = make_server_context(directory, host)
        self._key_file = directory / "vapid.pem"
        self.public_key = make_key_file(self._key_file)
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._next: deque[Behaviour] = deque()
        self._waiting: list[tuple[Callable[[Arrived], bool], asyncio.Future[Arrived]]] = []

    @property
    def origin(self) -> str:
        return f"https://{self.host}:{self.port}"

    def options(self, **changes: Any) -> WebPushOptions:
        """Return the settings of an app that may push here."""
        values: dict[str, Any] = {
            "vapid_key_file": str(self._key_file),
            "subject": "mailto:ops@example.com",
            "hosts": (f"{self.host}:{self.port}",),
            "ca_file": str(self._ca_file),
        }
        return WebPushOptions(**(values | changes))

    def subscribe(self, name: str, provider: Provider = Provider.WEBPUSH) -> Subscription:
        """Make a subscription at `/push/NAME`."""
        made = Subscription(f"/push/{name}", provider)
        self.subscriptions[made.path] = made
        return made

    def target(self, subscription: Subscription, **changes: Any) -> PushTarget:
        """Return the target that an app would enrol."""
        values: dict[str, Any] = {
            "id": 1,
            "registration_id": 1,
            "provider": subscription.provider,
            "purposes": frozenset(Purpose),
            "token": Secret(self.origin + subscription.path),
            "p256dh": base64url(subscription.pair.point),
            "auth": Secret(base64url(subscription.auth)),
            "reported_at": 0,
        }
        return PushTarget(**(values | changes))

    def fields(self, subscription: Subscription) -> dict[str, Any]:
        """Return the target as an enrolment names it."""
        return {
            "provider": subscription.provider.value,
            "purposes": ["call", "notice"],
            "endpoint": self.origin + subscription.path,
            "p256dh": base64url(subscription.pair.point),
            "auth": base64url(subscription.auth),
        }

    def next(self, *behaviours: Behaviour) -> None:
        """Do this with the next pushes that pass the checks, one each."""
        self._next.extend(behaviours)

    async def wait_for(self, predicate: Callable[[Arrived], bool], within: float = 5.0) -> Arrived:
        """Return the first push that fulfils it, or wait for one; TimeoutError where none came."""
        for push in self.pushes:
            if predicate(push):
                return push
        future: asyncio.Future[Arrived] = asyncio.get_running_loop().create_future()
        self._waiting.append((predicate, future))
        async with asyncio.timeout(within):
            return await future

    async def __aenter__(self) -> WebPushDouble:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: PnsConnection(self, next(self._numbers)),
            self.host,
            self.port,
            ssl=self._context,
            ssl_shutdown_timeout=1.0,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Cut every connection and stop listening."""
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.kill()
            await self._server.wait_closed()
            self._server = None

    # What connections report.

    def connected(self, connection: PnsConnection) -> None:
        self.connections.append(connection)
        connection.trust()

    def lost(self, connection: PnsConnection, reason: str) -> None:
        self.connections.remove(connection)
        if reason:
            self.thrown_out.append(reason)

    def requested(self, connection: PnsConnection, stream: int, headers: dict[str, str], body: bytes) -> None:
        subscription = self.subscriptions.get(headers[":path"])
        status, message = self._checked(subscription, headers, body)
        if status != 201:
            self._answer(connection, stream, headers, body, status, message)
            return
        match self._next.popleft() if self._next else None:
            case Refuse() as refuse:
                self._record(headers, body, refuse.status, {})
                answer = [(":status", str(refuse.status))]
                if refuse.retry_after:
                    answer.append(("retry-after", refuse.retry_after))
                connection.answer(stream, answer, json.dumps({"reason": refuse.reason}).encode())
            case Reset(code=code):
                self._record(headers, body, 0, message)
                connection.reset(stream, code)
            case Kill() | GoAway():
                self._record(headers, body, 0, message)
                connection.kill()
            case Silence() | Slow():
                self._record(headers, body, 0, message)
            case None:
                self._answer(connection, stream, headers, body, 201, message)

    def _checked(
        self, subscription: Subscription | None, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, Any]]:
        if headers[":method"] != "POST":
            return 405, {}
        if not self._has_good_headers(headers, body):
            return 400, {}
        if not self._knows(headers.get("authorization", "")):
            return 403, {}
        if subscription is None:
            return 404, {}
        if subscription.is_gone:
            return 410, {}
        if len(body) > self.most_octets:
            return 413, {}
        if not body:
            return 201, {}
        try:
            message = json.loads(decrypted(body, subscription.pair.private, subscription.auth))
        except (ValueError, InvalidTag, IndexError):
            return 400, {}
        return 201, message

    def _has_good_headers(self, headers: dict[str, str], body: bytes) -> bool:
        return (
            headers.get("content-encoding") == ("aes128gcm" if body else None)
            and headers.get("ttl", "").isdecimal()
            and headers.get("urgency", "normal") in ("very-low", "low", "normal", "high")
            and re.fullmatch(r"[A-Za-z0-9_-]{1,32}", headers.get("topic", "x")) is not None
        )

    def _knows(self, authorization: str) -> bool:
        found = re.fullmatch(r"vapid t=([^,]+), *k=([A-Za-z0-9_-]+)", authorization)
        if found is None or found[2] != self.public_key:
            return False
        point = octets(found[2])
        assert point is not None
        key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)
        try:
            claims = jwt.decode(found[1], key, algorithms=["ES256"], audience=self.origin)
        except jwt.PyJWTError:
            return False
        return bool(claims["exp"] - time.time() <= DAY_S and claims["sub"].startswith("mailto:"))

    def _answer(
        self,
        connection: PnsConnection,
        stream: int,
        headers: dict[str, str],
        body: bytes,
        status: int,
        message: dict[str, Any],
    ) -> None:
        self._record(headers, body, status, message)
        # What it takes for the time is nobody's business.
        date = ("date", "Sun, 01 Jan 2040 00:00:00 GMT")
        connection.answer(stream, [(":status", str(status)), date], b"")

    def _record(self, headers: dict[str, str], body: bytes, status: int, message: dict[str, Any]) -> None:
        at = asyncio.get_running_loop().time()
        push = Arrived(at, headers[":path"], headers, len(body), status, message)
        self.pushes.append(push)
        for wish in list(self._waiting):
            predicate, future = wish
            if future.done() or predicate(push):
                self._waiting.remove(wish)
                if not future.done():
                    future.set_result(push)


@contextlib.asynccontextmanager
async def sending(
    options: WebPushOptions, provider: Provider = Provider.WEBPUSH, policy: DestinationPolicy | None = None
) -> AsyncIterator[WebPushService]:
    """Open a service and close it at the end."""
    clock = LoopClock()
    around = Surroundings(clock, clock, os.urandom)
    key = read_vapid_key(options, "apps.phone.webpush")
    service = WebPushService(options, key, around, policy or DestinationPolicy(), provider=provider)
    try:
        await service.warm()
        yield service
    finally:
        await service.close()

"""Push services that are one POST over HTTP/2, on a loopback address: Firebase, a webhook, Acrobits.

Each checks what the real one checks, records what came in, and can be told to misbehave (the words of
`testing.pns_script`). None of them shares code with what they test.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import re
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from wakerobin.core.values import Secret
from wakerobin.ports.options import AcrobitsOptions, FcmOptions, WebhookOptions
from wakerobin.testing.pns_certificates import make_server_context
from wakerobin.testing.pns_connection import PnsConnection
from wakerobin.testing.pns_script import Behaviour, Kill, Refuse, Reset, Silence


@dataclass(frozen=True, slots=True)
class Received:
    """One push as it came in, and the status it was answered with; 0 for none."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    octets: bytes
    status: int
    at: float

    def __hash__(self) -> int:
        return hash((self.path, self.at))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    body: Any = None
    retry_after: str = ""

    def __hash__(self) -> int:
        return hash(self.status)


class HttpDouble:
    """Listens, answers by `answer`, and does what the script says."""

    host: ClassVar[str] = "127.0.0.1"

    def __init__(self, directory: Path) -> None:
        self.port = 0
        self.received: list[Received] = []
        self.thrown_out: list[str] = []
        self.connections_seen = 0
        self._next: deque[Behaviour] = deque()
        self._context, self.ca_file = make_server_context(directory, self.host)
        self._numbers = itertools.count(1)
        self._connections: set[PnsConnection] = set()
        self._server: asyncio.Server | None = None
        self._news = asyncio.Event()

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def accepted(self) -> list[Received]:
        return [one for one in self.received if one.status // 100 == 2]

    def next(self, *behaviours: Behaviour) -> None:
        """Do this with the next pushes, one each."""
        self._next.extend(behaviours)

    async def wait(self, count: int = 1, within: float = 5.0) -> list[Received]:
        """Wait for so many accepted pushes."""
        async with asyncio.timeout(within):
            while len(self.accepted) < count:
                self._news.clear()
                await self._news.wait()
        return self.accepted

    async def __aenter__(self) -> HttpDouble:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: PnsConnection(self, next(self._numbers)), self.host, self.port, ssl=self._context
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Cut every connection and stop listening."""
        if self._server is not None:
            self._server.close()
            while self._connections:
                for connection in list(self._connections):
                    connection.kill()
                await asyncio.sleep(0)
            await self._server.wait_closed()
            self._server = None

    # What connections report.

    def connected(self, connection: PnsConnection) -> None:
        self.connections_seen += 1
        self._connections.add(connection)

    def lost(self, connection: PnsConnection, reason: str) -> None:
        self._connections.discard(connection)
        if reason:
            self.thrown_out.append(reason)

    def requested(self, connection: PnsConnection, stream: int, headers: dict[str, str], body: bytes) -> None:
        connection.trust()
        if self.is_scripted(headers) and self._next:
            self._misbehave(connection, stream, headers, body, self._next.popleft())
        else:
            self._reply(connection, stream, headers, body, self.answer(headers, body))

    def is_scripted(self, headers: dict[str, str]) -> bool:
        """Whether the script is about this request."""
        return True

    def answer(self, headers: dict[str, str], body: bytes) -> Reply:
        """Answer a request that the script leaves alone."""
        raise NotImplementedError

    def refusal(self, refuse: Refuse) -> Any:
        """Return the body of a scripted refusal."""
        return {"error": refuse.reason}

    def _misbehave(
        self,
        connection: PnsConnection,
        stream: int,
        headers: dict[str, str],
        body: bytes,
        behaviour: Behaviour,
    ) -> None:
        match behaviour:
            case Refuse() as refuse:
                reply = Reply(refuse.status, self.refusal(refuse), refuse.retry_after)
                self._reply(connection, stream, headers, body, reply)
            case Reset(code=code):
                self._record(headers, body, 0)
                connection.reset(stream, code)
            case Silence():
                self._record(headers, body, 0)
            case Kill():
                self._record(headers, body, 0)
                connection.kill()
            case _:
                raise AssertionError(f"{behaviour} is not in this double's repertoire")

    def _reply(
        self, connection: PnsConnection, stream: int, headers: dict[str, str], body: bytes, reply: Reply
    ) -> None:
        if self.is_scripted(headers):
            self._record(headers, body, reply.status)
        fields = [(":status", str(reply.status)), ("content-type", "application/json")]
        if reply.retry_after:
            fields.append(("retry-after", reply.retry_after))
        octets = b"" if reply.body is None else json.dumps(reply.body).encode()
        connection.answer(stream, fields, octets)

    def _record(self, headers: dict[str, str], octets: bytes, status: int) -> None:
        try:
            body = json.loads(octets)
        except ValueError:
            body = {}
        at = asyncio.get_running_loop().time()
        self.received.append(Received(headers[":path"], headers, body, octets, status, at))
        self._news.set()


PROJECT = "phones-4711"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_FCM_TOKEN = re.compile(r"[A-Za-z0-9_:-]{1,300}")


def fcm_error(status: str, message: str = "", *details: dict[str, Any], fcm: str = "") -> dict[str, Any]:
    """Return an error body as Google writes it."""
    every = list(details)
    if fcm:
        every.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": fcm})
    return {"error": {"code": 400, "message": message, "status": status, "details": every}}


@dataclass(slots=True)
class OAuth:
    """Google's token server, in the same double; `next` are the answers to the next requests."""

    life: int = 3600
    next: deque[Reply | None] = field(default_factory=deque)
    """None: never answer."""
    refused: list[str] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    """Every token that was given out; only the last `valid` are taken."""
    revoked: set[str] = field(default_factory=set)


class FcmDouble(HttpDouble):
    """Firebase, HTTP v1, with the token server of its service accounts."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.now = time.time
        self.oauth = OAuth()
        self.gone: set[str] = set()
        self.account_file = directory / "service-account.json"

    def options(self) -> FcmOptions:
        """Write the key file and return the settings of an app that pushes here."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.account_file.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "project_id": PROJECT,
                    "private_key_id": "k1",
                    "private_key": pem,
                    "client_email": f"push@{PROJECT}.iam.gserviceaccount.com",
                    "token_uri": f"{self.url}/token",
                }
            )
        )
        return FcmOptions(
            service_account_file=str(self.account_file), url=self.url, ca_file=str(self.ca_file)
        )

    def is_scripted(self, headers: dict[str, str]) -> bool:
        return headers[":path"] != "/token"

    def requested(self, connection: PnsConnection, stream: int, headers: dict[str, str], body: bytes) -> None:
        if headers[":path"] == "/token" and self.oauth.next and self.oauth.next[0] is None:
            self.oauth.next.popleft()
            return
        super().requested(connection, stream, headers, body)

    def refusal(self, refuse: Refuse) -> Any:
        if refuse.body is not None:
            return json.loads(refuse.body)
        return fcm_error(refuse.reason, fcm=refuse.reason)

    def answer(self, headers: dict[str, str], body: bytes) -> Reply:
        if headers[":path"] == "/token":
            return self._token(headers, body)
        if headers[":path"] != f"/v1/projects/{PROJECT}/messages:send":
            return Reply(404, {"error": {"status": "NOT_FOUND"}})
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if bearer not in self.oauth.issued or bearer in self.oauth.revoked:
            return Reply(401, fcm_error("UNAUTHENTICATED"))
        message = json.loads(body)["message"]
        token = message.get("token") or message.get("fid") or ""
        if token in self.gone:
            return Reply(404, fcm_error("NOT_FOUND", fcm="UNREGISTERED"))
        if _FCM_TOKEN.fullmatch(token) is None:
            words = "The registration token is not a valid FCM registration token"
            return Reply(400, fcm_error("INVALID_ARGUMENT", words, fcm="INVALID_ARGUMENT"))
        if len(json.dumps(message["data"], ensure_ascii=False).encode("utf-8", "replace")) > 4096:
            violation = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{}]}
            return Reply(400, fcm_error("INVALID_ARGUMENT", "too big", violation))
        return Reply(200, {"name": f"projects/{PROJECT}/messages/0:{len(self.received)}"})

    def _token(self, headers: dict[str, str], body: bytes) -> Reply:
        if self.oauth.next:
            reply = self.oauth.next.popleft()
            assert reply is not None
            return reply
        try:
            self._check_assertion(headers, body)
        except (jwt.InvalidTokenError, AssertionError, KeyError) as error:
            self.oauth.refused.append(repr(error))
            return Reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        token = f"ya29.{len(self.oauth.issued)}"
        self.oauth.issued.append(token)
        return Reply(200, {"access_token": token, "expires_in": self.oauth.life, "token_type": "Bearer"})

    def _check_assertion(self, headers: dict[str, str], body: bytes) -> None:
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        form = parse_qs(body.decode(), strict_parsing=True)
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        [assertion] = form["assertion"]
        assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        claims = jwt.decode(
            assertion,
            self._key.public_key(),
            algorithms=["RS256"],
            audience=f"{self.url}/token",
            options={"verify_exp": False, "verify_iat": False, "require": ["iss", "iat", "exp"]},
        )
        assert claims["iss"] == f"push@{PROJECT}.iam.gserviceaccount.com"
        assert claims["scope"] == SCOPE
        assert claims["exp"] - claims["iat"] <= 3600
        assert abs(claims["iat"] - self.now()) < 60


SECRETS = ("whsec_" + base64.b64encode(b"first secret of 32 octets, here.").decode(),)


class WebhookDouble(HttpDouble):
    """A receiver of Standard Webhooks; it knows the first of the secrets."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.gone: set[str] = set()
        self.now = time.time
        self.secret = base64.b64decode(SECRETS[0].removeprefix("whsec_"))

    def options(self) -> WebhookOptions:
        secrets = tuple(Secret(one) for one in SECRETS)
        return WebhookOptions(
            url=f"{self.url}/push?from=wakerobin", secrets=secrets, ca_file=str(self.ca_file)
        )

    def answer(self, headers: dict[str, str], body: bytes) -> Reply:
        if headers[":path"] != "/push?from=wakerobin" or headers[":method"] != "POST":
            return Reply(404)
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
        if f"v1,{digest}" not in headers["webhook-signature"].split(" "):
            return Reply(401)
        if abs(int(headers["webhook-timestamp"]) - self.now()) > 300:
            return Reply(400)
        token = json.loads(body)["target"]["token"]
        return Reply(204 if token.isalnum() and token not in self.gone else 410)


class AcrobitsDouble(HttpDouble):
    """The Acrobits push server."""

    verbs: ClassVar[frozenset[str]] = frozenset(
        {"NotifyIncomingCall", "NotifyIncomingCallMissed", "NotifyIncomingCallAnsweredElsewhere"}
        | {"NotifyTextMessage", "NotifyGenericTextMessage", "NotifyReprovision"}
    )

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.gone: set[str] = set()

    def options(self) -> AcrobitsOptions:
        return AcrobitsOptions(url=f"{self.url}/pnm2/send", ca_file=str(self.ca_file))

    def refusal(self, refuse: Refuse) -> Any:
        return {"code": refuse.status, "response": refuse.reason}

    def answer(self, headers: dict[str, str], body: bytes) -> Reply:
        if headers[":path"] != "/pnm2/send":
            return Reply(404)
        fields = json.loads(body)
        if fields.get("verb") not in self.verbs or not fields.get("AppId") or not fields.get("DeviceToken"):
            return Reply(400, {"code": 400, "response": "a required field is missing"})
        if not fields["DeviceToken"].isalnum() or fields["DeviceToken"] in self.gone:
            return Reply(404, {"code": 404, "response": "token is dead"})
        return Reply(200, {"code": 200, "response": "OK"})

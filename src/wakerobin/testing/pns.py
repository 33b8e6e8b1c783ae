"""A push service that behaves like Apple's, on a loopback address: TLS, HTTP/2, provider tokens, verdicts.

It checks what Apple checks, records every push with its time, and can be told to misbehave. The demo
runs on it, and so do the tests of everything that pushes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

from wakerobin.ports.options import ApnsOptions
from wakerobin.testing.pns_certificates import make_server_context, make_signing_key
from wakerobin.testing.pns_connection import PnsConnection
from wakerobin.testing.pns_rules import (
    Refusal,
    Team,
    check_body,
    check_headers,
    check_path,
    check_token,
    parse,
)
from wakerobin.testing.pns_script import Behaviour, GoAway, Kill, Refuse, Reset, Silence, Slow

KEY_ID = "FAKEKEY123"
TEAM_ID = "FAKETEAM12"


@dataclass(frozen=True, slots=True)
class ReceivedPush:
    """One push as it came in, and what was answered."""

    at: float
    """Seconds of the loop's clock."""
    token: str
    headers: dict[str, str]
    payload: dict[str, Any]
    connection: int
    status: int
    """200 accepted, else the refusal; 0 where there was no answer."""
    reason: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether the service took it, so that the device would get it."""
        return self.status == 200

    @property
    def push_type(self) -> str:
        """`voip`, `alert` or `background`."""
        return self.headers.get("apns-push-type", "")

    @property
    def type(self) -> str:
        """The `type` of our own payload."""
        return str(self.payload.get("wakerobin", {}).get("type", ""))

    def __hash__(self) -> int:
        return hash((self.at, self.token))


class FakePns:
    """`async with FakePns(directory) as pns:` — then `pns.options()` configures an app to push to it."""

    def __init__(
        self,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        topic: str = "com.example.phone",
        now: Callable[[], float] = time.time,
    ) -> None:
        """Write `ca.pem` and `key.p8` into `directory`. `now` is epoch seconds, for provider tokens."""
        self.host = host
        self.port = port
        self.now = now
        self.window = 65535
        """The flow-control window that new connections announce for each stream."""
        self.pushes: list[ReceivedPush] = []
        self.connections: list[PnsConnection] = []
        """Those that are open."""
        self.connections_ever: list[PnsConnection] = []
        self.thrown_out: list[str] = []
        """Why clients were thrown out: each is a violation of HTTP/2."""
        self.key_file = directory / "key.p8"
        self.team = Team(make_signing_key(self.key_file), KEY_ID, TEAM_ID, topic)
        self._context, self.ca_file = make_server_context(directory, host)
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._gone: dict[str, int] = {}
        self._next: deque[Behaviour] = deque()
        self._always: Behaviour | None = None
        self._for_token: dict[str, deque[Behaviour]] = {}
        self._waiting: list[tuple[Callable[[ReceivedPush], bool], asyncio.Future[ReceivedPush]]] = []
        self._delayed: set[asyncio.TimerHandle] = set()
        self._is_alone = asyncio.Event()
        self._is_alone.set()

    @property
    def connections_seen(self) -> int:
        """How many connections there ever were."""
        return len(self.connections_ever)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://{self.host}:{self.port}"

    def options(self) -> ApnsOptions:
        """Return the settings of an app that pushes here."""
        return ApnsOptions(
            key_file=str(self.key_file),
            key_id=self.team.key_id,
            team_id=self.team.team_id,
            topic=self.team.topic,
            url=self.url,
            ca_file=str(self.ca_file),
        )

    async def __aenter__(self) -> FakePns:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. A port of 0 is replaced by the one that was free, also for the next start."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: PnsConnection(self, next(self._numbers), self.window),
            self.host,
            self.port,
            ssl=self._context,
            ssl_shutdown_timeout=1.0,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut every connection and stop listening."""
        for handle in self._delayed:
            handle.cancel()
        self._delayed.clear()
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.kill()
            await self._server.wait_closed()
            self._server = None
            await self._is_alone.wait()

    # The script.

    def next(self, *behaviours: Behaviour) -> None:
        """Do this with the next pushes that pass the checks, one each."""
        self._next.extend(behaviours)

    def always(self, behaviour: Behaviour | None) -> None:
        """Do this with every push that has no other behaviour; None: be well again."""
        self._always = behaviour

    def of(self, token: str, *behaviours: Behaviour) -> None:
        """Do this with the next pushes to this device token, one each."""
        self._for_token.setdefault(token, deque()).extend(behaviours)

    def forget(self, token: str, at: int) -> None:
        """The app was deleted at `at` (epoch milliseconds): answer 410 from now on."""
        self._gone[token] = at

    async def wait_for(
        self, predicate: Callable[[ReceivedPush], bool], within: float = 5.0, *, after: int = 0
    ) -> ReceivedPush:
        """Return the first push that fulfils it, from the `after`-th on, or wait for one.

        Raises TimeoutError where none came `within` so many seconds.
        """
        for push in self.pushes[after:]:
            if predicate(push):
                return push
        future: asyncio.Future[ReceivedPush] = asyncio.get_running_loop().create_future()
        self._waiting.append((predicate, future))
        async with asyncio.timeout(within):
            return await future

    # What connections report.

    def connected(self, connection: PnsConnection) -> None:
        """Count it."""
        self.connections_ever.append(connection)
        self.connections.append(connection)
        self._is_alone.clear()

    def lost(self, connection: PnsConnection, reason: str) -> None:
        """Remember why it was thrown out, if it was."""
        if connection in self.connections:
            self.connections.remove(connection)
        if not self.connections:
            self._is_alone.set()
        if reason:
            self.thrown_out.append(reason)

    def requested(self, connection: PnsConnection, stream: int, headers: dict[str, str], body: bytes) -> None:
        """Check a request, then do what the script says."""
        refusal = self._check(connection, headers, body)
        if refusal is not None:
            self._refuse(connection, stream, headers, body, refusal)
            return
        match self._behaviour(headers):
            case Refuse() as refuse:
                self._refuse(connection, stream, headers, body, refuse)
            case Reset(code=code):
                self._record(connection, headers, body, 0, f"reset {code}")
                connection.reset(stream, code)
            case Silence():
                self._record(connection, headers, body, 0, "silence")
            case Slow(seconds=seconds):
                self._later(seconds, lambda: self._accept(connection, stream, headers, body))
            case GoAway() as goaway:
                self._go_away(connection, stream, headers, body, goaway)
            case Kill(accepted=accepted):
                self._record(connection, headers, body, 200 if accepted else 0, "killed")
                connection.kill()
            case None:
                self._accept(connection, stream, headers, body)

    def _check(self, connection: PnsConnection, headers: dict[str, str], body: bytes) -> Refusal | None:
        refusal = check_path(headers) or check_token(headers, self.team, connection.seen, self.now())
        if refusal is not None:
            return refusal
        connection.trust()
        gone_at = self._gone.get(_token(headers))
        if gone_at is not None:
            return Refusal(410, "Unregistered", gone_at)
        return check_headers(headers, self.team.topic) or check_body(body, headers["apns-push-type"])

    def _behaviour(self, headers: dict[str, str]) -> Behaviour | None:
        for_token = self._for_token.get(_token(headers))
        if for_token:
            return for_token.popleft()
        return self._next.popleft() if self._next else self._always

    def _accept(self, connection: PnsConnection, stream: int, headers: dict[str, str], body: bytes) -> None:
        self._record(connection, headers, body, 200)
        answer = self._head(200, headers)
        connection.answer(stream, answer, b"")

    def _head(self, status: int, headers: dict[str, str]) -> list[tuple[str, str]]:
        date = formatdate(self.now(), usegmt=True)
        return [(":status", str(status)), ("apns-id", headers.get("apns-id", "")), ("date", date)]

    def _refuse(
        self,
        connection: PnsConnection,
        stream: int,
        headers: dict[str, str],
        body: bytes,
        refusal: Refusal | Refuse,
    ) -> None:
        self._record(connection, headers, body, refusal.status, refusal.reason)
        answer = self._head(refusal.status, headers)
        error: dict[str, Any] = {"reason": refusal.reason}
        if refusal.timestamp:
            error["timestamp"] = refusal.timestamp
        octets, piecewise = json.dumps(error).encode(), False
        if isinstance(refusal, Refuse):
            octets = octets if refusal.body is None else refusal.body
            piecewise = refusal.octet_by_octet
            if refusal.retry_after:
                answer.append(("retry-after", refusal.retry_after))
        connection.answer(stream, answer, octets, piecewise=piecewise)

    def _go_away(
        self, connection: PnsConnection, stream: int, headers: dict[str, str], body: bytes, goaway: GoAway
    ) -> None:
        debug = json.dumps({"reason": goaway.reason}).encode()
        if goaway.last == "this":
            connection.go_away(stream, debug)
            self._accept(connection, stream, headers, body)
        else:
            self._record(connection, headers, body, 0, "goaway")
            connection.go_away(max(0, stream - 2), debug)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._delayed.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._delayed.add(handle)

    def _record(
        self, connection: PnsConnection, headers: dict[str, str], body: bytes, status: int, reason: str = ""
    ) -> None:
        at = asyncio.get_running_loop().time()
        push = ReceivedPush(at, _token(headers), headers, parse(body), connection.number, status, reason)
        self.pushes.append(push)
        for wish in list(self._waiting):
            predicate, future = wish
            if future.done() or predicate(push):
                self._waiting.remove(wish)
                if not future.done():
                    future.set_result(push)


def _token(headers: dict[str, str]) -> str:
    return headers.get(":path", "").removeprefix("/3/device/")

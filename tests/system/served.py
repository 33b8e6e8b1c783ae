"""A whole server in this process with a PBX and a push service of ours, and a client of its API."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wakerobin.core.values import Secret
from wakerobin.ports.options import (
    AppOptions,
    HttpOptions,
    LifetimeOptions,
    Options,
    SipOptions,
    StoreOptions,
)
from wakerobin.server import Folders, Server
from wakerobin.testing.pbx import FakePbx
from wakerobin.testing.pns import FakePns

KEY = "enrolment-key-of-the-app"
CALL_TOKEN, NOTICE_TOKEN = "a1" * 32, "b2" * 32
INSTALLATION = "kU3b8R7l0cYbq1m2n3o4pQ"
OTHER_INSTALLATION = "AAAAAAAAAAAAAAAAAAAAAA"

PATH = "/v1/push-registrations"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.text)

    @property
    def problem(self) -> str:
        """The name of the problem that this is."""
        assert self.headers["content-type"] == "application/problem+json", self.text
        body = self.json
        assert body["status"] == self.status
        return str(body["type"]).removeprefix("urn:wakerobin:problem:")


@dataclass(slots=True)
class Api:
    """A client of the API; one connection a request."""

    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        secret: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request. A body that is bytes goes as it is."""
        given = {**self.headers, **(headers or {})}
        if secret:
            given["Authorization"] = f"Bearer {secret}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        return await asyncio.to_thread(self._send, method, path, data, given)

    def _send(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=40)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read().decode()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
        finally:
            connection.close()

    async def enrol(self, fields: Mapping[str, Any], wait: int = 5, key: str = KEY) -> Answer:
        """Enrol and wait for what the PBX says."""
        return await self.send("POST", f"{PATH}?wait={wait}", dict(fields), key)


@dataclass(slots=True)
class World:
    """The server and who stands around it."""

    server: Server
    pbx: FakePbx
    pns: FakePns
    api: Api

    def fields(self, user: str = "anna", password: str = "anna-password", **changes: Any) -> dict[str, Any]:
        """Return a good enrolment of a user."""
        return {
            "app": "phone",
            "aor": f"sip:{user}@pbx.test",
            "credentials": {"password": password},
            "registrar": f"{self.pbx.host}:{self.pbx.port}",
            "targets": [
                {"provider": "apns", "purposes": ["call"], "token": CALL_TOKEN},
                {"provider": "apns", "purposes": ["notice"], "token": NOTICE_TOKEN},
            ],
            "installation_id": INSTALLATION,
            "platform": "ios",
            **changes,
        }

    @property
    def sip(self) -> tuple[str, int]:
        """Where the server speaks SIP over UDP."""
        assert self.server.rooms is not None
        listener = self.server.rooms.endpoint.listeners[0]
        return listener.address, listener.port


def options(pns: FakePns, host: str, app: Mapping[str, Any] | None = None, **changes: Any) -> Options:
    """Return the configuration of a server on `host` for one app, which `app` changes."""
    about_app: dict[str, Any] = {
        "enrolment_key": Secret(KEY),
        "registrars": ("pbx.test", host),
        "apns": pns.options(),
        "lifetime": LifetimeOptions(),
    }
    parts: dict[str, Any] = {
        "sip": SipOptions(listen=(f"udp:{host}:0", f"tcp:{host}:0")),
        "http": HttpOptions(listen=f"{host}:0", enrolments_per_hour=1000),
        "store": StoreOptions(),
        "apps": {"phone": AppOptions(**(about_app | dict(app or {})))},
    }
    return Options(**(parts | changes))


@contextlib.asynccontextmanager
async def serving(folder: Path, host: str, pbx_port: int = 0, **changes: Any) -> AsyncIterator[World]:
    """Run a server, a PBX with the users anna and ben, and a push service, all on `host`."""
    pns_folder = folder / "pns"
    pns_folder.mkdir(exist_ok=True)
    pbx = FakePbx({"anna": "anna-password", "ben": "ben-password"})
    async with FakePns(pns_folder, host=host) as pns:
        await pbx.start(host, pbx_port)
        configured = options(pns, host, **changes)
        ready = asyncio.Event()
        folders = Folders(folder / "data", folder / "config" / "vault.key")
        server = Server(configured, folders, on_ready=lambda _server: ready.set())
        running = asyncio.create_task(server.run())
        try:
            is_ready = asyncio.create_task(ready.wait())
            await asyncio.wait({running, is_ready}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            is_ready.cancel()
            if running.done():
                running.result()
            assert server.api_address is not None
            yield World(server, pbx, pns, Api(*server.api_address))
        finally:
            server.stop()
            await asyncio.wait_for(running, 15)
            await pbx.stop()

"""The server under test as its operator runs it: `python -m wakerobin serve` with a file and two folders."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.interop.peers.http import Answer, request
from tests.interop.peers.network import Program, shortened
from wakerobin.ports.options import ApnsOptions

APP = "softphone"
KEY = "the-key-in-every-copy-of-the-app"
_PATH = "/v1/push-registrations"
_START_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Installation:
    """One copy of the app on one phone: what it knows, before and after its enrolment."""

    user: str
    id: str = ""
    secret: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)
    """What the server answered to the enrolment."""
    installation_id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    call_token: str = field(default_factory=lambda: secrets.token_hex(32))
    notice_token: str = field(default_factory=lambda: secrets.token_hex(32))


class Wakerobin:
    """A server at one address: SIP on `port` (UDP and TCP), the API on `port + 1`, TLS on `port + 2` if any.

    `registrars` are the hosts that its one app may enrol. `sip`, `app` and `life` are further lines of
    the tables `[sip]`, `[apps.softphone]` and `[apps.softphone.lifetime]`. What it stores outlives `kill`.
    """

    name = "wakerobin"

    def __init__(
        self,
        ip: str,
        port: int,
        apns: ApnsOptions,
        registrars: Sequence[str],
        *,
        sip: Mapping[str, object] | None = None,
        app: Mapping[str, object] | None = None,
        life: Mapping[str, object] | None = None,
    ) -> None:
        self.ip, self.port = ip, port
        self._program = Program(self.name)
        self._secrets: set[str] = {KEY}
        folder = self._program.folder
        self._file = folder / "wakerobin.toml"
        listeners = [f"udp:{ip}:{port}", f"tcp:{ip}:{port}"]
        tables: dict[str, Mapping[str, object]] = {
            # Nobody guesses here, and fifty accounts may come at once.
            "sip": {"listen": listeners, "unproven_rate": 100.0, "unproven_refusals": 50, **(sip or {})},
            "http": {"listen": f"{ip}:{port + 1}", "enrolments_per_hour": 10_000},
            "store": {"data_dir": str(folder / "data"), "key_file": str(folder / "keys" / "vault.key")},
            "log": {"level": "debug", "format": "text"},
            f"apps.{APP}": {"enrolment_key": KEY, "registrars": list(registrars), **(app or {})},
            f"apps.{APP}.lifetime": life or {},
            f"apps.{APP}.apns": {
                "key_file": apns.key_file,
                "key_id": apns.key_id,
                "team_id": apns.team_id,
                "topic": apns.topic,
                "url": apns.url,
                "ca_file": apns.ca_file,
            },
        }
        self._file.write_text(_toml(tables))

    @property
    def address(self) -> str:
        """`ip:port` of SIP, as a phone wants its outbound proxy."""
        return f"{self.ip}:{self.port}"

    @property
    def tls(self) -> tuple[str, int]:
        """(ip, port) of SIP over TLS, where `sip` says that it is spoken."""
        return self.ip, self.port + 2

    @property
    def place(self) -> tuple[str, int]:
        """(ip, port) of SIP."""
        return self.ip, self.port

    def keep_secret(self, text: str) -> None:
        """One more text that its log may never tell."""
        self._secrets.add(text)

    async def start(self) -> None:
        """Start it; return when it says that it is ready."""
        command = [sys.executable, "-m", "wakerobin", "serve", "--config", str(self._file)]
        await self._program.start(command)
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(_START_PATIENCE):
            while not await self._is_ready():
                if not self._program.is_running:
                    raise RuntimeError(f"wakerobin did not start:\n{self.log_text()}")
                await asyncio.wait([never], timeout=0.02)

    async def _is_ready(self) -> bool:
        try:
            return (await self.api("GET", "/healthz")).status == 200
        except OSError:
            return False

    def freeze(self) -> None:
        """Stop it in its tracks: what comes waits in its sockets."""
        self._program.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._program.signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL: no last word to anyone, and nothing more is written."""
        await self._program.kill()

    async def restart(self) -> None:
        """SIGKILL and start again."""
        await self.kill()
        await self.start()

    async def stop(self) -> None:
        """End it in good order and remove its folders. AssertionError: its log holds a secret."""
        await self._program.end()
        log = self._program.output()
        self._program.remove_folder()
        told = [secret for secret in self._secrets if secret in log]
        assert not told, f"the log of the server tells secrets: {told}"

    def log_text(self) -> str:
        """What it logged."""
        return shortened(self._program.output())

    async def api(self, method: str, path: str, *, bearer: str = "", body: object = None) -> Answer:
        """One request to the API."""
        return await request((self.ip, self.port + 1), method, path, bearer=bearer, body=body)

    async def of(self, one: Installation, method: str, path: str = "", body: object = None) -> Answer:
        """One request of an installation about its own registration; `path` goes on behind its id."""
        return await self.api(method, f"{_PATH}/{one.id}{path}", bearer=one.secret, body=body)

    async def try_enrol(
        self,
        one: Installation,
        password: str,
        registrar: str,
        *,
        wait_s: int = 5,
        **fields: Any,
    ) -> Answer:
        """Ask for an enrolment; whatever the answer is. `fields` are further ones of the request."""
        targets = [
            {"provider": "apns", "purposes": ["call"], "token": one.call_token},
            {"provider": "apns", "purposes": ["notice"], "token": one.notice_token},
        ]
        self._secrets |= {password, one.call_token, one.notice_token, one.installation_id}
        body = {
            "app": APP,
            "aor": f"sip:{one.user}@pbx.test",
            "credentials": {"password": password},
            "registrar": registrar,
            "targets": targets,
            "installation_id": one.installation_id,
            "platform": "ios",
            **fields,
        }
        answer = await self.api("POST", f"{_PATH}?wait={wait_s}", bearer=KEY, body=body)
        if answer.status < 300:
            self._secrets.add(answer.body["secret"])
        return answer

    async def enrol(self, user: str, password: str, registrar: str, **fields: Any) -> Installation:
        """Enrol a new installation whose credentials the PBX accepts."""
        one = Installation(user)
        answer = await self.try_enrol(one, password, registrar, **fields)
        assert answer.status == 201, answer
        assert answer.body["binding"]["state"] == "registered", answer
        return Installation(
            user,
            id=answer.body["id"],
            secret=answer.body["secret"],
            answer=answer.body,
            installation_id=one.installation_id,
            call_token=one.call_token,
            notice_token=one.notice_token,
        )

    async def call_of(self, one: Installation, number: int = 0) -> dict[str, Any]:
        """The newest call that an installation knows, or an older one."""
        answer = await self.of(one, "GET", "/calls")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.body["calls"][number]
        return found

    async def timeline(self, one: Installation, call_id: str) -> list[tuple[str, str]]:
        """What happened to a call: (event, sentence), oldest first."""
        answer = await self.of(one, "GET", f"/calls/{call_id}/timeline")
        assert answer.status == 200, answer
        return [(told["event"], told["text"]) for told in answer.body["events"]]


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    lines: list[str] = []
    for name, table in tables.items():
        # Text, numbers, lists of text and booleans look the same in JSON and in TOML.
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""]
    return "\n".join(lines)

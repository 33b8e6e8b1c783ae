"""A strict APNs on Node's HTTP/2: it verifies provider tokens, checks pushes, and misbehaves on command."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.interop.peers.http import request
from tests.interop.peers.lab import Certificate
from tests.interop.peers.network import Program, find_program, shortened, until
from wakerobin.core.values import Secret
from wakerobin.ports.options import ApnsOptions
from wakerobin.testing.pns_certificates import make_signing_key

KEY_ID = "NODEKEY123"
TEAM_ID = "NODETEAM12"
TOPIC = "com.example.phone"
_SCRIPT = Path(__file__).parents[1] / "node" / "apns_double.mjs"


@dataclass(frozen=True, slots=True)
class Report:
    """What the double has seen since its last script."""

    connections: int
    received: int
    accepted: dict[str, int]
    """How often each `apns-id` was accepted."""
    refused: dict[str, int]
    """How often each reason was given."""
    cuts: int
    """Connections and streams that it cut, and pushes that it did not answer."""
    most_streams: int

    @property
    def twice(self) -> frozenset[str]:
        """The ids that it accepted more than once."""
        return frozenset(id_ for id_, times in self.accepted.items() if times > 1)

    def __hash__(self) -> int:
        return hash(self.received)


class ApnsDouble:
    """Takes four neighbouring ports; `client_ca` (PEM) makes it ask for certificates instead of tokens."""

    name = "apns double"

    def __init__(self, ip: str, port: int, certificate: Certificate, client_ca: Path | None = None) -> None:
        self.ip, self.port = ip, port
        self._certificate = certificate
        self._client_ca = client_ca
        self._program = Program("node")
        self.key_file = self._program.folder / "key.p8"
        public = make_signing_key(self.key_file)
        self._public_file = self._program.folder / "key.pub"
        self._public_file.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    async def start(self) -> None:
        """Start it; return when it listens."""
        config = {
            "host": self.ip,
            "port": self.port,
            "control": self.port + 1,
            "key": str(self._certificate.key),
            "cert": str(self._certificate.chain),
            "publicKey": str(self._public_file),
            "keyId": KEY_ID,
            "teamId": TEAM_ID,
            "topic": TOPIC,
        }
        if self._client_ca is not None:
            config["clientCa"] = str(self._client_ca)
        await self._program.start([find_program("node"), str(_SCRIPT), json.dumps(config)])
        await until(self._listens, what="the APNs double listens")

    def _listens(self) -> bool:
        if not self._program.is_running:
            raise RuntimeError(f"the APNs double did not start:\n{self.log_text()}")
        return "listening" in self._program.output()

    def options(self, **changes: Any) -> ApnsOptions:
        """Return the settings of an app that pushes here."""
        values: dict[str, Any] = {
            "key_file": str(self.key_file),
            "key_id": KEY_ID,
            "team_id": TEAM_ID,
            "topic": TOPIC,
            "url": f"https://{self.ip}:{self.port}",
            "ca_file": str(self._certificate.authority),
            "cert_password": Secret(""),
        }
        return ApnsOptions(**(values | changes))

    async def behave(self, **script: Any) -> None:
        """Behave so from now on, and count anew."""
        await request((self.ip, self.port + 1), "POST", "/script", body=script)

    async def report(self) -> Report:
        """Return what it has seen."""
        body = (await request((self.ip, self.port + 1), "GET", "/report")).body
        return Report(
            connections=body["connections"],
            received=body["received"],
            accepted=body["accepted"],
            refused=body["refused"],
            cuts=body["cuts"],
            most_streams=body["mostStreams"],
        )

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    def log_text(self) -> str:
        """What it printed: nothing, if all is well."""
        return shortened(self._program.output())

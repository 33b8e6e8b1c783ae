"""Firebase with its token server, and a receiver of webhooks, both on Node: what is not ours checks ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.interop.peers.http import request
from tests.interop.peers.lab import Certificate
from tests.interop.peers.node import NodeScript
from wakerobin.core.values import Secret
from wakerobin.ports.options import FcmOptions, WebhookOptions

PROJECT = "phones-4711"
EMAIL = "push@phones-4711.iam.gserviceaccount.com"


class _Receiver(NodeScript):
    """Takes two neighbouring ports: one for pushes, one to be asked and told."""

    def __init__(self, script: str, place: tuple[str, int], certificate: Certificate, **config: Any) -> None:
        self.ip, self.port = place
        self.certificate = certificate
        config |= {
            "host": self.ip,
            "port": self.port,
            "control": self.port + 1,
            "key": str(certificate.key),
            "cert": str(certificate.chain),
        }
        super().__init__(script, json.dumps(config), ready="listening")

    async def behave(self, **script: Any) -> None:
        """Behave so from now on."""
        await request((self.ip, self.port + 1), "POST", "/script", body=script)

    async def report(self) -> dict[str, Any]:
        """Return what came in."""
        return (await request((self.ip, self.port + 1), "GET", "/report")).body


class FcmNode(_Receiver):
    """Firebase, HTTP v1; `folder` is where the key of its service account is written."""

    def __init__(self, place: tuple[str, int], certificate: Certificate, folder: Path) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = folder / "account.pub"
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        super().__init__(
            "fcm_double.mjs", place, certificate, publicKey=str(public), project=PROJECT, email=EMAIL
        )
        self._account_file = folder / "service-account.json"
        self.write_account(key)

    def write_account(self, key: rsa.RSAPrivateKey) -> None:
        """Write the key file, as the Firebase console gives it out."""
        account = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "k1",
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "client_email": EMAIL,
            "token_uri": f"https://{self.ip}:{self.port}/token",
        }
        self._account_file.write_text(json.dumps(account))

    def options(self) -> FcmOptions:
        """Return the settings of an app that pushes here."""
        return FcmOptions(
            service_account_file=str(self._account_file),
            url=f"https://{self.ip}:{self.port}",
            ca_file=str(self.certificate.authority),
        )


class WebhookNode(_Receiver):
    """A receiver of Standard Webhooks that knows these secrets, over HTTP/2 or HTTP/1.1."""

    def __init__(self, place: tuple[str, int], certificate: Certificate, *secrets: str, http2: bool) -> None:
        super().__init__("webhook_receiver.mjs", place, certificate, secrets=list(secrets), http2=http2)

    def options(self, *secrets: str) -> WebhookOptions:
        """Return the settings of an app that pushes here."""
        return WebhookOptions(
            url=f"https://{self.ip}:{self.port}/hooks/push?tenant=7",
            secrets=tuple(Secret(one) for one in secrets),
            ca_file=str(self.certificate.authority),
        )

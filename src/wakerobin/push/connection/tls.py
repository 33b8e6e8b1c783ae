"""How a push service is verified, and how we prove ourselves to it: TLS contexts, ready for use."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from typing import Final

from wakerobin.core.errors import ConfigurationError

HTTP2: Final = ("h2",)
EITHER: Final = ("h2", "http/1.1")
HTTP1: Final = ("http/1.1",)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What proves us to the peer, in PEM: the certificate with those that vouch for it, and its key.

    The key is encrypted with `password`, so that it is never written down in the clear.
    """

    chain: bytes
    key: bytes
    password: bytes

    def __repr__(self) -> str:
        return "ClientCertificate(…)"


def client_context(
    ca_file: str,
    key: str,
    protocols: tuple[str, ...] = HTTP2,
    certificate: ClientCertificate | None = None,
) -> ssl.SSLContext:
    """Make a context that offers `protocols` (ALPN). It costs milliseconds: share it between origins.

    `key` is the setting whose group has `ca_file`; ConfigurationError, in words, where that is no CA file.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # an ssl.SSLError is one: the file is no PEM
        file_key = key.rsplit(".", 1)[0] + ".ca_file"
        raise ConfigurationError(
            f"{file_key}: {ca_file} cannot be used as a CA file ({error}); it must hold PEM certificates"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    if certificate is not None:
        # OpenSSL takes them from a file only.
        with tempfile.NamedTemporaryFile(prefix="wakerobin-") as file:
            file.write(certificate.chain + certificate.key)
            file.flush()
            context.load_cert_chain(file.name, password=certificate.password)
    return context

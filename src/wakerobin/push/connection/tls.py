"""How a push service is verified, and how we prove ourselves to it: TLS contexts, ready for use."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final

from wakerobin.core.errors import ConfigurationError

HTTP2: Final = ("h2",)
EITHER: Final = ("h2", "http/1.1")
HTTP1: Final = ("http/1.1",)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Files (PEM) that prove us to the peer; `key_file` may be the same, `password` opens the key."""

    file: str
    key_file: str
    password: bytes | None = None


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
        context.load_cert_chain(certificate.file, certificate.key_file, certificate.password)
    return context

"""TLS for SIP: the certificate that phones see, taken anew when its files change, and what PBXs must show.

RFC 3261 26.3.2.1: a client compares the name of the next hop with the certificate; RFC 5922 says how.
"""

from __future__ import annotations

import asyncio.sslproto
import ssl
from pathlib import Path

from wakerobin import log
from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.options import SipOptions

BUFFER = 16 * 1024
"""Octets that asyncio keeps for reading on each TLS connection: one record of TLS. By itself it takes
256 KiB, which is most of what an idle phone would cost."""

_log = log.get("net")


def spare_memory() -> None:
    """Let every TLS connection of this process have a buffer of one record."""
    asyncio.sslproto.SSLProtocol.max_size = BUFFER


class ServerCertificate:
    """The certificate of the TLS listeners. Raises ConfigurationError where it cannot be used."""

    def __init__(self, cert: str, key: str) -> None:
        if not cert or not key:
            raise ConfigurationError(
                "sip.listen has a tls: listener, which needs sip.tls_cert and sip.tls_key"
            )
        self._cert, self._key = Path(cert), Path(key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._stamp()
        try:
            self.context.load_cert_chain(cert, key)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"sip.tls_cert and sip.tls_key: {_words(error)}; write a certificate chain and its key, PEM"
            ) from None

    def look(self) -> bool:
        """Take the files anew if they changed; True: they did. Connections that are open stay as they are.

        Files that cannot be used yet, e.g. the certificate before its key, are looked at again.
        """
        stamp = self._stamp()
        if stamp == self._seen or None in stamp:
            return False
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._cert, self._key)
            self.context.load_cert_chain(self._cert, self._key)
        except (OSError, ValueError) as error:
            _log.warning("certificate_not_taken", reason=_words(error))
            return False
        self._seen = stamp
        _log.info("certificate_taken")
        return True

    def _stamp(self) -> tuple[tuple[int, int] | None, ...]:
        found: list[tuple[int, int] | None] = []
        for path in (self._cert, self._key):
            try:
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size))
            except OSError:
                found.append(None)
        return tuple(found)


def client_context(options: SipOptions) -> ssl.SSLContext:
    """Return how PBXs are verified, and what we show them. Raises ConfigurationError."""
    try:
        context = ssl.create_default_context(cafile=options.tls_ca_file or None)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"sip.tls_ca_file: {_words(error)}; it must hold CA certificates, PEM"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.tls_client_cert:
        try:
            context.load_cert_chain(options.tls_client_cert, options.tls_client_key or None)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"sip.tls_client_cert: {_words(error)}") from None
    return context


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)

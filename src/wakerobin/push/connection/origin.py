"""Where a push service is, and how a connection to it is opened: resolve, ask the policy, TLS, ALPN."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

from wakerobin.core.addresses import DestinationPolicy, parse_address
from wakerobin.core.errors import ConfigurationError

ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[tuple[str, int]]]]
"""Name and port to addresses, in the order to try; OSError where there are none."""

_CONNECT_SECONDS = 10.0
# Unacknowledged data kills the connection after that, instead of after the kernel's quarter of an hour.
_USER_TIMEOUT_MS = 5000


async def system_resolve(host: str, port: int) -> list[tuple[str, int]]:
    """Ask the system's resolver, anew for each connection, as Apple wants it."""
    if parse_address(host) is not None:
        return [(host, port)]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), int(address[1])) for *_, address in found]


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """An https origin (RFC 6454), how it is verified, and which addresses it may have."""

    host: str
    port: int
    tls: ssl.SSLContext
    policy: DestinationPolicy

    @property
    def authority(self) -> str:
        """The `:authority` of requests."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @classmethod
    def from_url(cls, url: str, ca_file: str, policy: DestinationPolicy, key: str) -> Origin:
        """Read `url` from the setting `key`; ConfigurationError, in words, where it is no https origin.

        Its host counts as named: the operator wrote it, so it may be a private address.
        """
        right = "write https://host or https://host:port"
        try:
            parts = urlsplit(url)
            port = parts.port or 443
        except ValueError as error:
            raise ConfigurationError(f"{key} = {url!r}: {error}; {right}") from None
        if parts.scheme != "https" or not parts.hostname:
            raise ConfigurationError(f"{key} = {url!r} is no https address; {right}")
        if parts.username or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigurationError(f"{key} = {url!r} is more than a host and a port; {right}")
        named = dataclasses.replace(policy, named=policy.named | {parts.hostname})
        return cls(parts.hostname, port, _tls(ca_file, key), named)

    async def connect(self, make: Callable[[], ProtocolT], turn: int, resolve: Resolve) -> ProtocolT:
        """Open a connection to the `turn`-th of the addresses, around and around; OSError says why not."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await self._connect(make, turn, resolve)
        except TimeoutError:
            raise ConnectionError(f"{self.authority}: no connection in {_CONNECT_SECONDS:.0f} s") from None
        except UnicodeError as error:
            raise ConnectionError(f"{self.host}: not a host name: {error}") from None

    async def _connect(self, make: Callable[[], ProtocolT], turn: int, resolve: Resolve) -> ProtocolT:
        addresses = await resolve(self.host, self.port)
        if not addresses:
            raise ConnectionError(f"{self.host} has no address")
        address, port = addresses[turn % len(addresses)]
        refusal = self.policy.refusal(address, port, self.host)
        if refusal is not None:
            raise ConnectionError(refusal)
        loop = asyncio.get_running_loop()
        sock = _socket(address)
        try:
            await loop.sock_connect(sock, (address, port))
            transport, protocol = await loop.create_connection(
                make, sock=sock, ssl=self.tls, server_hostname=self.host, ssl_shutdown_timeout=1.0
            )
        except BaseException:
            sock.close()
            raise
        tls = transport.get_extra_info("ssl_object")
        if tls.selected_alpn_protocol() != "h2":
            transport.abort()
            raise ConnectionError(f"{self.authority} does not speak HTTP/2 (no ALPN h2)")
        return protocol


def _socket(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(0)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    return sock


def _tls(ca_file: str, key: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # an ssl.SSLError is one: the file is no PEM
        file_key = key.rsplit(".", 1)[0] + ".ca_file"
        raise ConfigurationError(
            f"{file_key}: {ca_file} cannot be used as a CA file ({error}); it must hold PEM certificates"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context

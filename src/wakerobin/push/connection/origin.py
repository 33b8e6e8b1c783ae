"""Where a push service is, and how a connection to it is opened: resolve, ask the policy, TLS, ALPN."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from wakerobin.core.addresses import DestinationPolicy, Reach, parse_address, reach
from wakerobin.core.errors import ConfigurationError
from wakerobin.push.connection.connection import Connection
from wakerobin.push.connection.tls import HTTP2, ClientCertificate, client_context

Place: TypeAlias = tuple[str, int]
"""Address and port."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[Place]]]
"""Name and port to addresses, in the order to try; OSError where there are none."""

Choose: TypeAlias = Callable[[list[Place]], Place]
"""Which of the addresses of a host is next."""

Make: TypeAlias = Callable[[str], Connection]
"""Makes the connection that speaks `h2` or `http/1.1`."""

# Unacknowledged data kills the connection after that, instead of after the kernel's quarter of an hour.
_USER_TIMEOUT_MS: Final = 5000


async def system_resolve(host: str, port: int) -> list[Place]:
    """Ask the system's resolver, anew for each connection, as Apple wants it."""
    if parse_address(host) is not None:
        return [(host, port)]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), int(address[1])) for *_, address in found]


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """An origin (RFC 6454), how it is verified, and which addresses it may have.

    `tls` None: http, which goes only to addresses that are not public.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    policy: DestinationPolicy
    protocols: tuple[str, ...] = HTTP2
    """What may be spoken over TLS (ALPN); the peer chooses. What it does not name is HTTP/1.1."""

    @property
    def scheme(self) -> str:
        """The `:scheme` of requests."""
        return "http" if self.tls is None else "https"

    @property
    def authority(self) -> str:
        """The `:authority` of requests."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (80 if self.tls is None else 443) else f"{host}:{self.port}"

    @classmethod
    def from_url(
        cls,
        url: str,
        ca_file: str,
        policy: DestinationPolicy,
        key: str,
        *,
        protocols: tuple[str, ...] = HTTP2,
        certificate: ClientCertificate | None = None,
    ) -> Origin:
        """Read `url` from the setting `key`; ConfigurationError, in words, where it is no origin.

        Its host counts as named: the operator wrote it, so it may be a private address. `http:` is taken
        where `protocols` has HTTP/1.1.
        """
        schemes = {"https": 443, "http": 80} if "http/1.1" in protocols else {"https": 443}
        right = "write https://host or https://host:port"
        try:
            parts = urlsplit(url)
            port = parts.port or schemes.get(parts.scheme, 443)
        except ValueError as error:
            raise ConfigurationError(f"{key} = {url!r}: {error}; {right}") from None
        if parts.scheme not in schemes or not parts.hostname:
            raise ConfigurationError(f"{key} = {url!r} is no https address; {right}")
        if parts.username or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigurationError(f"{key} = {url!r} is more than a host and a port; {right}")
        named = dataclasses.replace(policy, named=policy.named | {parts.hostname})
        is_plain = parts.scheme == "http"
        tls = None if is_plain else client_context(ca_file, key, protocols, certificate)
        return cls(parts.hostname, port, tls, named, protocols)

    async def connect(self, make: Make, choose: Choose, resolve: Resolve) -> Connection:
        """Open a connection to one of the addresses; OSError says why not. The caller limits the time."""
        try:
            return await self._connect(make, choose, resolve)
        except UnicodeError as error:
            raise ConnectionError(f"{self.host}: not a host name: {error}") from None

    async def _connect(self, make: Make, choose: Choose, resolve: Resolve) -> Connection:
        addresses = await resolve(self.host, self.port)
        if not addresses:
            raise ConnectionError(f"{self.host} has no address")
        address, port = choose(addresses)
        refusal = self._refusal(address, port)
        if refusal is not None:
            raise ConnectionError(refusal)
        loop = asyncio.get_running_loop()
        sock = _socket(address)
        try:
            await loop.sock_connect(sock, (address, port))
            _, greeting = await loop.create_connection(
                lambda: _Greeting(make, self.protocols),
                sock=sock,
                ssl=self.tls,
                server_hostname=self.host if self.tls else None,
                ssl_shutdown_timeout=1.0 if self.tls else None,
            )
        except BaseException:
            sock.close()
            raise
        if greeting.connection is None:
            raise ConnectionError(f"{self.authority} does not speak HTTP/2 (no ALPN h2)")
        greeting.connection.address = address
        return greeting.connection

    def _refusal(self, address: str, port: int) -> str | None:
        refusal = self.policy.refusal(address, port, self.host)
        parsed = parse_address(address)
        if refusal is None and self.tls is None and parsed is not None and reach(parsed) is Reach.PUBLIC:
            return (
                f"{address} is a public address: http would show everybody on the way what is sent; use https"
            )
        return refusal


class _Greeting(asyncio.Protocol):
    """Reads what was agreed on in TLS, and hands the transport to the connection that speaks it."""

    def __init__(self, make: Make, protocols: tuple[str, ...]) -> None:
        self.connection: Connection | None = None
        self._make = make
        self._protocols = protocols

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        tls = transport.get_extra_info("ssl_object")
        spoken = "http/1.1" if tls is None else tls.selected_alpn_protocol() or "http/1.1"
        if spoken not in self._protocols:
            transport.abort()
            return
        self.connection = connection = self._make(spoken)
        transport.set_protocol(connection)
        connection.connection_made(transport)


def split_url(url: str) -> tuple[str, str]:
    """Split an http(s) URL into its origin, for `Origin.from_url`, and the path of requests to it."""
    parts = urlsplit(url)
    path = parts.path or "/"
    return f"{parts.scheme}://{parts.netloc}", f"{path}?{parts.query}" if parts.query else path


def _socket(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(0)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    return sock

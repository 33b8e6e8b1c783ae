"""The HTTP side of a running server: the app's API on TCP, the operator's on a socket in the data folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from wakerobin.core.errors import ConfigurationError
from wakerobin.ports.options import HttpOptions
from wakerobin.server.connections import Connection
from wakerobin.server.folders import socket_name

BACKLOG = 512
GRACE_S = 2


class _Uvicorn(uvicorn.Server):
    """uvicorn inside a loop that is not its own: signals are the server's business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


class Listening:
    """Up to two HTTP servers. Raises ConfigurationError where an address cannot be had."""

    def __init__(self, http: HttpOptions, socket_path: Path, api: Any, admin: Any) -> None:
        self._servers: list[tuple[_Uvicorn, socket.socket]] = []
        self._socket_path = socket_path
        self.address: tuple[str, int] | None = None
        if http.listen:
            _expect_certificate(http)
            bound = _tcp(http.listen)
            self.address = bound.getsockname()[:2]
            self._servers.append((_Uvicorn(_config(api, http)), bound))
        self._servers.append((_Uvicorn(_config(admin, HttpOptions())), _unix(socket_path)))

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run for as long as the server does."""
        return [server.serve(sockets=[bound]) for server, bound in self._servers]

    async def wait_ready(self) -> None:
        """Return when every server answers."""
        for server, _ in self._servers:
            await server.is_up.wait()

    async def close(self) -> None:
        """Take no more requests; those under way get two seconds."""
        for server, _ in self._servers:
            server.should_exit = True
        self._socket_path.unlink(missing_ok=True)


def _config(app: Any, http: HttpOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        log_level="critical",  # what clients do wrong is theirs; what routes do wrong the web itself logs
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=True,
        ws="none",
        # X-Forwarded-* is judged by the API itself, against `trusted_proxies`.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=http.tls_cert or None,
        ssl_keyfile=http.tls_key or None,
    )


def _expect_certificate(http: HttpOptions) -> None:
    """Raise ConfigurationError for files with which TLS could not be spoken."""
    if not http.tls_cert:
        return
    for key, name in (("http.tls_cert", http.tls_cert), ("http.tls_key", http.tls_key)):
        if not Path(name).is_file():
            raise ConfigurationError(f"{key}: there is no file {name}")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(http.tls_cert, http.tls_key, password=lambda: "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error)
        raise ConfigurationError(
            f"http.tls_cert, http.tls_key: {http.tls_cert} and {http.tls_key} are no certificate with its "
            f"unencrypted key in PEM: {reason}"
        ) from None


def _tcp(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is said; without it each answer waits 40 ms for an ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, int(port)))
        bound.listen(BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or "it is no address:port"
        raise ConfigurationError(f"http.listen: cannot listen on {listen}: {reason}") from None
    return bound


def _unix(path: Path) -> socket.socket:
    """Bind the operator's socket. A leftover of a killed server is replaced: the data folder is locked."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with socket_name(path) as name:
            bound.bind(name)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"store.data_dir: cannot make {path}: {error.strerror or error}") from None
    finally:
        os.umask(before)
    return bound

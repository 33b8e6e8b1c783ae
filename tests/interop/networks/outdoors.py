"""The test in one network, its phones in another, and between them whatever weather it asks for."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.interop.networks.link import FAR, NEAR
from tests.interop.peers.wakerobin import Wakerobin
from wakerobin.core.values import Transport

_LINK = Path(__file__).with_name("link.py")
_NEW_NETWORK = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Return why there can be no networks of our own here, in words; empty where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "network namespaces need /dev/net/tun"
    return ""


class Outdoors:
    """Between `start` and `stop` this thread, and all that it starts, is in the near network."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._home = -1
        self._namespaces: list[int] = []

    async def start(self) -> None:
        """Make both networks, and go into the near one."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(_LINK), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(10):
            line = await self._process.stdout.readline()
        assert line, "the link did not start"
        self._namespaces = [os.open(path, os.O_RDONLY) for path in json.loads(line)["namespaces"]]
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _enter(self._namespaces[0])

    async def stop(self) -> None:
        """Go home; the networks end with whoever is still in them."""
        if self._home >= 0:
            _enter(self._home)
            for one in (self._home, *self._namespaces):
                os.close(one)
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()

    @contextlib.contextmanager
    def far(self) -> Iterator[None]:
        """What opens a socket, or starts a program, meanwhile, does so in the far network."""
        _enter(self._namespaces[1])
        try:
            yield
        finally:
            _enter(self._namespaces[0])

    def weather(self, **changes: float) -> None:
        """Change the weather, e.g. `loss=10, delay=40`; what is not named stays."""
        for name, value in changes.items():
            self._say(f"{name} {value}")

    def rebind(self) -> None:
        """Let the NAT forget its ports."""
        self._say("rebind")

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())


def listeners(ip: str, port: int) -> list[str]:
    """Return where a server listens that the PBX reaches at `ip` and phones from the far network."""
    kinds = {Transport.UDP: 0, Transport.TCP: 0, Transport.TLS: 2}
    phones = [f"{kind}:{NEAR}:{port + offset}" for kind, offset in kinds.items()]
    return [f"udp:{ip}:{port}", f"tcp:{ip}:{port}", *phones]


def door(server: Wakerobin, transport: Transport) -> tuple[str, int]:
    """Return where a phone reaches the server."""
    return NEAR, server.port + (2 if transport is Transport.TLS else 0)


async def gauges(server: Wakerobin, *names: str) -> dict[str, float]:
    """Return these metrics, each summed over its labels."""
    reader, writer = await asyncio.open_connection(server.ip, server.port + 1)
    try:
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: {server.ip}\r\nConnection: close\r\n\r\n".encode())
        text = (await reader.read()).decode()
    finally:
        writer.close()
    found = dict.fromkeys(names, 0.0)
    for line in text.splitlines():
        name = line.partition("{")[0].partition(" ")[0].removeprefix("wakerobin_")
        if name in found and not line.startswith("#"):
            found[name] += float(line.rpartition(" ")[2])
    return found


async def nothing_is_left(server: Wakerobin, within: float) -> float:
    """Wait until no transaction and no held call is left; return how long that took."""
    names = ("sip_transactions", "calls_held")
    loop = asyncio.get_running_loop()
    began, left = loop.time(), dict[str, float]()
    try:
        async with asyncio.timeout(within):
            while any((left := await gauges(server, *names)).values()) or not left:
                turn = loop.create_future()
                loop.call_later(0.2, turn.set_result, None)
                await turn
    except TimeoutError:
        raise AssertionError(f"after {within} s there is still {left}") from None
    return loop.time() - began


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")


__all__ = ["FAR", "NEAR", "Outdoors", "door", "gauges", "listeners", "nothing_is_left", "why_not"]

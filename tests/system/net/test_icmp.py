"""What ICMP says of datagrams that did not arrive: told with their first octets, harming nobody else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from wakerobin.net.udp import UdpSocket


@dataclass
class Ear:
    """A socket, and what it was told."""

    host: str
    heard: list[bytes] = field(default_factory=list)
    told: list[tuple[bytes, tuple[str, int], str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.udp = UdpSocket(loop, self.host, 0, self._datagram, self._undelivered)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def _datagram(self, data: bytes, _remote: tuple[str, int]) -> None:
        self.heard.append(data)
        self.changed.set()

    def _undelivered(self, quoted: bytes, remote: tuple[str, int], reason: str) -> None:
        self.told.append((quoted, remote, reason))
        self.changed.set()


def closed_port(host: str) -> tuple[str, int]:
    """Return a place where nobody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as held:
        held.bind((host, 0))
        return host, held.getsockname()[1]


@pytest.mark.parametrize(("us", "there"), [("127.51.2.1", "127.51.2.2"), ("::1", "::1")])
async def test_a_port_where_nobody_listens_is_told_with_what_was_sent_there(us: str, there: str) -> None:
    ear = Ear(us)
    nowhere = closed_port(there)
    sent = b"REGISTER sip:pbx.test SIP/2.0\r\n" + b"x" * 300
    assert ear.udp.send(sent, nowhere) == ""
    await ear.until(lambda: bool(ear.told))
    ((quoted, remote, reason),) = ear.told
    assert sent.startswith(quoted)
    assert len(quoted) > 200
    assert (remote, reason) == (nowhere, "connection refused")
    ear.udp.close()


async def test_others_get_their_datagrams_however_many_icmp_errors_come() -> None:
    peer, ear = Ear("127.51.2.3"), Ear("127.51.2.1")
    nowhere = closed_port("127.51.2.2")
    for number in range(200):
        assert ear.udp.send(b"to nobody", nowhere) == ""
        assert ear.udp.send(b"%d" % number, ("127.51.2.3", peer.udp.port)) == ""
        assert peer.udp.send(b"%d" % number, ("127.51.2.1", ear.udp.port)) == ""
        await asyncio.sleep(0)
    await peer.until(lambda: len(peer.heard) == 200)
    await ear.until(lambda: len(ear.heard) == 200 and bool(ear.told))
    assert peer.heard == ear.heard == [b"%d" % number for number in range(200)]
    ear.udp.close()
    peer.udp.close()


async def test_after_icmp_errors_the_loop_is_at_rest() -> None:
    loop, ear = asyncio.get_running_loop(), Ear("127.51.2.1")
    nowhere = closed_port("127.51.2.2")
    for number in range(1, 21):
        ear.udp.send(b"x", nowhere)
        await ear.until(lambda: len(ear.told) >= number)  # noqa: B023 - awaited here
    wakes: list[int] = []
    loop.remove_reader(ear.udp._socket)
    loop.add_reader(ear.udp._socket, lambda: wakes.append(1))
    never: asyncio.Future[None] = loop.create_future()
    await asyncio.wait((never,), timeout=0.05)
    assert wakes == [], "an error that nobody fetches wakes the loop for ever"
    ear.udp.close()

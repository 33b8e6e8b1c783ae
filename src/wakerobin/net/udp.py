"""One UDP socket that listens: many datagrams at a wake-up, never blocked, never broken by ICMP."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import TypeAlias

from wakerobin import metrics

OnDatagram: TypeAlias = Callable[[bytes, tuple[str, int]], None]
"""Called for each datagram with (address, port) of its sender. Must not raise."""

_AT_ONCE = 64
"""Datagrams for a wake-up: fewer turns of the loop under load, and others still get theirs."""

_LARGEST = 65_535
_BUFFER = 4 << 20  # asked for; the kernel gives what net.core.rmem_max and wmem_max allow

# As good as lost on the way: the queue of the interface is full, or an ICMP error of an earlier
# datagram to somebody else is reported here. Retransmission is the cure, not a failed transaction.
_PASSING = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED, errno.EINTR))

_FULL = metrics.SIP_LOST.labels("full")
_REFUSED = metrics.SIP_LOST.labels("refused")


class UdpSocket:
    """Driven by the loop's readability; `send` is the way out. Bound when it is made.

    Raises OSError where it cannot be bound.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: str, port: int, on_datagram: OnDatagram
    ) -> None:
        self._loop = loop
        self._on_datagram = on_datagram
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._socket.settimeout(0)
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            raise
        self.address: str = address
        self.port: int = self._socket.getsockname()[1]
        loop.add_reader(self._socket, self._read)

    def send(self, data: bytes, remote: tuple[str, int]) -> str:
        """Send a datagram. Return why the network will not take it, or nothing.

        A full queue is no reason: the datagram is lost, as datagrams are.
        """
        try:
            self._socket.sendto(data, remote)
        except OSError as error:
            if error.errno in _PASSING:
                _FULL.inc()
                return ""
            _REFUSED.inc()
            return os.strerror(error.errno) if error.errno else str(error)
        return ""

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, remote = self._socket.recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error about an earlier datagram: reading it clears it
            self._on_datagram(data, (remote[0], remote[1]))

"""One UDP socket that listens: many datagrams at a wake-up, never blocked, never broken by ICMP.

What ICMP says of a datagram is told together with the octets that it quotes: who sent something can tell
by them that it was his, and nobody else can make him believe it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import TypeAlias

from wakerobin import metrics

OnDatagram: TypeAlias = Callable[[bytes, tuple[str, int]], None]
"""Called for each datagram with (address, port) of its sender. Must not raise."""

OnUndelivered: TypeAlias = Callable[[bytes, tuple[str, int], str], None]
"""Called with the first octets of a datagram, where it was sent to, and why it did not arrive."""

_AT_ONCE = 64
"""Datagrams for a wake-up: fewer turns of the loop under load, and others still get theirs."""

_LARGEST = 65_535
_BUFFER = 4 << 20
"""Of a flood only what does not fit is lost, and with it what others send: 0.2 MB is 200 datagrams."""

_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
"""Of Linux; the module `socket` does not name them."""

# As good as lost on the way: the queue of the interface is full. Retransmission is the cure, not a
# failed transaction.
_PASSING = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ECONNREFUSED, errno.EINTR))
# May be what ICMP said of an earlier datagram to somebody else; the kernel says it once.
_MAYBE_ANOTHERS = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPROTO))

_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR and IPV6_RECVERR of Linux, which the socket module does not name."""

_ERROR = struct.Struct("=IBBBBII")
"""struct sock_extended_err: errno, origin, type, code, padding, info, data."""

_ERROR_SPACE = 512
# RFC 3261, 18.4: host, network, port or protocol unreachable; by origin and type the codes.
_UNREACHABLE = {(2, 3): range(4), (3, 1): range(5)}

_FULL = metrics.SIP_LOST.labels("full")
_REFUSED = metrics.SIP_LOST.labels("refused")


class UdpSocket:
    """Driven by the loop's readability; `send` is the way out. Bound when it is made.

    `on_pressed` is called where so much had come in a turn of the loop that more waits.

    Raises OSError where it cannot be bound.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: str,
        port: int,
        on_datagram: OnDatagram,
        on_undelivered: OnUndelivered | None = None,
        on_pressed: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._on_datagram = on_datagram
        self._on_pressed = on_pressed
        self._on_undelivered = on_undelivered
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _enlarge(self._socket, socket.SO_RCVBUF, _SO_RCVBUFFORCE)
            _enlarge(self._socket, socket.SO_SNDBUF, _SO_SNDBUFFORCE)
            if on_undelivered is not None and sys.platform == "linux":
                self._socket.setsockopt(*_RECVERR[family], 1)
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
            try:
                self._socket.sendto(data, remote)
            except OSError as error:
                if error.errno not in _MAYBE_ANOTHERS:
                    raise
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
        for number in range(_AT_ONCE):
            try:
                data, remote = self._socket.recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                if number == 0:
                    self._read_errors()  # woken, and there is no datagram
                return
            except OSError:
                # An ICMP error about an earlier datagram: reading it clears it.
                self._read_errors()
                continue
            self._on_datagram(data, (remote[0], remote[1]))
        self._on_pressed()

    def _read_errors(self) -> None:
        if self._on_undelivered is None or sys.platform != "linux":
            return
        for _ in range(_AT_ONCE):
            try:
                quoted, said, _, remote = self._socket.recvmsg(_LARGEST, _ERROR_SPACE, socket.MSG_ERRQUEUE)
            except OSError:
                return
            reason = _reason(said)
            if reason and remote:
                self._on_undelivered(quoted, (remote[0], remote[1]), reason)


def _reason(said: list[tuple[int, int, bytes]]) -> str:
    """Return why a datagram did not arrive; empty where that says nothing for good."""
    for level, kind, data in said:
        if (level, kind) in _RECVERR.values() and len(data) >= _ERROR.size:
            number, origin, type_, code, *_ = _ERROR.unpack_from(data)
            if code in _UNREACHABLE.get((origin, type_), ()):
                return os.strerror(number).lower()
    return ""


def _enlarge(one: socket.socket, option: int, forcing: int) -> None:
    """Ask for a large buffer: who may administer the network gets it, others what net.core.*mem_max allow."""
    try:
        one.setsockopt(socket.SOL_SOCKET, forcing, _BUFFER)
    except OSError:
        one.setsockopt(socket.SOL_SOCKET, option, _BUFFER)

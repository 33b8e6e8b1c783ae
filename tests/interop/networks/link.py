"""A bad network in user space: two network namespaces, and this process as the only way between them.

Run as a program by root (`python link.py`). It makes both namespaces, prints one line of JSON that says
where they are, and then does what it is told by lines on its standard input: `loss 10` (percent), `delay 40`
and `jitter 20` (ms), `duplicate 5`, `reorder 5` (percent), `cut 1` (nothing passes), `nat 1` (UDP of the far
side passes a NAT), `rebind` (the NAT forgets its ports). All of it holds each way. The namespaces end with
the last process that is in them. Nothing but Python's own library is needed.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import socket
import struct
import sys
import time

NEAR, FAR, NAT = "10.79.0.1", "10.79.0.2", "10.79.0.200"
"""Our end, the phone's, and what the NAT shows of the phone."""

_NEW_NETWORK = 0x40000000
_TUN, _NO_INFO = 0x0001, 0x1000
_SET_TUN = 0x400454CA
_SET_ADDRESS, _SET_MASK, _SET_MTU, _GET_FLAGS, _SET_FLAGS = 0x8916, 0x891C, 0x8922, 0x8913, 0x8914
_UP = 0x1
_UDP = 17
_MTU = 1400


def unshare() -> int:
    """Go into a new namespace; return a descriptor that holds it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def tun(name: str, address: str) -> int:
    """Bring a device with an address up in our namespace, and the loopback; return the device's other end."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _SET_TUN, struct.pack("16sH14x", name.encode(), _TUN | _NO_INFO))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def set_address(request: int, text: str) -> None:
            packed = struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, socket.inet_aton(text))
            fcntl.ioctl(control, request, packed)

        set_address(_SET_ADDRESS, address)
        set_address(_SET_MASK, "255.255.255.0")
        fcntl.ioctl(control, _SET_MTU, struct.pack("16si12x", name.encode(), _MTU))
        for each in (name, "lo"):
            asked = struct.pack("16sH14x", each.encode(), 0)
            flags = struct.unpack("16sH14x", fcntl.ioctl(control, _GET_FLAGS, asked))[1]
            fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14x", each.encode(), flags | _UP))
    return device


class Translation:
    """A NAT for UDP: each source of the far side has a port of its own, until it is rebound."""

    def __init__(self) -> None:
        self._ports = itertools.cycle(range(20_000, 60_000))
        self._outer: dict[tuple[bytes, int], int] = {}
        self._inner: dict[int, tuple[bytes, int]] = {}
        self._nat = socket.inet_aton(NAT)

    def rebind(self) -> None:
        """Forget every port: what comes for one is lost, who sends gets another."""
        self._outer.clear()
        self._inner.clear()

    def outward(self, packet: bytes) -> bytes:
        """Give a packet of the far side the address of the NAT."""
        source = packet[12:16], int.from_bytes(packet[20:22], "big")
        port = self._outer.get(source)
        if port is None:
            port = self._outer[source] = next(self._ports)
            self._inner[port] = source
        head = packet[:12] + self._nat + packet[16:20]
        return _summed(head) + port.to_bytes(2, "big") + packet[22:26] + b"\0\0" + packet[28:]

    def inward(self, packet: bytes) -> bytes | None:
        """Give a packet for the NAT to whom its port belongs; None: to nobody."""
        inner = self._inner.get(int.from_bytes(packet[22:24], "big"))
        if inner is None:
            return None
        head = packet[:16] + inner[0]
        return (
            _summed(head)
            + packet[20:22]
            + inner[1].to_bytes(2, "big")
            + packet[24:26]
            + b"\0\0"
            + packet[28:]
        )


def _summed(head: bytes) -> bytes:
    """Return an IPv4 header of 20 octets with its checksum (RFC 1071)."""
    words: tuple[int, ...] = struct.unpack("!10H", head[:10] + b"\0\0" + head[12:])
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + (~total & 0xFFFF).to_bytes(2, "big") + head[12:]


class Weather:
    """What happens to a packet on its way. Times in milliseconds, shares in percent."""

    def __init__(self) -> None:
        self.values = dict.fromkeys(("loss", "delay", "jitter", "duplicate", "reorder", "cut", "nat"), 0.0)
        self.translation = Translation()
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._order = itertools.count()
        self._last = [0.0, 0.0]
        self._random = random.Random(20)

    def command(self, line: str) -> None:
        """Do what a line of our standard input says."""
        name, _, value = line.partition(" ")
        if name == "rebind":
            self.translation.rebind()
        elif name in self.values:
            self.values[name] = float(value)

    def take(self, side: int, packet: bytes, now: float) -> None:
        """Take a packet that this side (0: near) sends; it arrives never, once or twice."""
        if packet[0] >> 4 != 4 or self.values["cut"] or self._happens("loss"):
            return
        if self.values["nat"] and packet[9] == _UDP:
            if side == 1:
                packet = self.translation.outward(packet)
            elif (inward := self.translation.inward(packet)) is not None:
                packet = inward
            else:
                return
        for _ in range(2 if self._happens("duplicate") else 1):
            jitter = self.values["jitter"]
            at = now + max(0.0, self.values["delay"] + self._random.uniform(-jitter, jitter)) / 1000
            if self._happens("reorder"):
                at = now
            elif not jitter:
                at = max(at, self._last[side])
            self._last[side] = max(self._last[side], at)
            heapq.heappush(self._queue, (at, next(self._order), 1 - side, packet))

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """Return what arrives now, each with the side where it does."""
        arrived = []
        while self._queue and self._queue[0][0] <= now:
            _, _, side, packet = heapq.heappop(self._queue)
            arrived.append((side, packet))
        return arrived

    def rest(self, now: float) -> float:
        """Return how many seconds nothing is due."""
        return max(0.0, min(self._queue[0][0] - now, 1.0)) if self._queue else 1.0

    def _happens(self, what: str) -> bool:
        return self._random.random() * 100 < self.values[what]


def _packets(device: int) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(os.read(device, 65_535))
        except BlockingIOError:
            return found


class Link:
    """The devices of both sides, and what lies between them."""

    def __init__(self) -> None:
        self.namespaces: list[int] = []
        self._devices: list[int] = []
        self._weather = Weather()
        self._line = b""
        for name, address in (("near", NEAR), ("far", FAR)):
            self.namespaces.append(unshare())
            self._devices.append(tun(name, address))

    def turn(self) -> bool:
        """Wait for a packet, a command or a time, and deal with it. False: standard input has ended."""
        rest = self._weather.rest(time.monotonic())
        readable, _, _ = select.select([*self._devices, 0], [], [], rest)
        for side, device in enumerate(self._devices):
            if device in readable:
                for packet in _packets(device):
                    self._weather.take(side, packet, time.monotonic())
        if 0 in readable and not self._listen():
            return False
        for side, packet in self._weather.due(time.monotonic()):
            os.write(self._devices[side], packet)
        return True

    def _listen(self) -> bool:
        data = os.read(0, 4096)
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._weather.command(line.decode())
        return bool(data)


def main() -> None:
    """Serve until standard input ends."""
    link = Link()
    places = [f"/proc/{os.getpid()}/fd/{one}" for one in link.namespaces]
    sys.stdout.write(json.dumps({"namespaces": places}) + "\n")
    sys.stdout.flush()
    while link.turn():
        pass


if __name__ == "__main__":
    main()

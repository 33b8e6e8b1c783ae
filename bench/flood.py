"""A flood, for so many seconds: `python -m bench.flood KIND OWN_IP SERVER_IP PORT SECONDS RATE`.

KIND: `register`, `many` (REGISTERs from 200 addresses), `invite`, `garbage` by UDP; `connects`, `handshakes`,
`websockets` to a listener. PORT is the one that KIND goes to. It prints how much it has sent. It takes only
what of its core others leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import ssl
import sys
import time
from collections.abc import Iterator

_AT_ONCE = 20
_SOURCES = 200
_STREAMS = 50
_HELLO = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)


def _request(method: str, uri: str, number: int, ip: str) -> bytes:
    return (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {ip}:5060;branch=z9hG4bKf{number};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:mallory@pbx.test>;tag=f{number}\r\nTo: <sip:u0@pbx.test>\r\n"
        f"Call-ID: flood-{number}\r\nCSeq: 1 {method}\r\nContact: <sip:mallory@{ip}:5060>\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def _datagrams(kind: str, ip: str, server: tuple[str, int]) -> Iterator[bytes]:
    chance = random.Random(6)
    junk = [chance.randbytes(chance.randint(20, 1200)) for _ in range(100)]
    number = 0
    while True:
        number += 1
        if kind == "garbage":
            yield junk[number % len(junk)]
        elif kind == "invite":
            yield _request("INVITE", f"sip:{number}@{server[0]}:{server[1]}", number, ip)
        else:
            yield _request("REGISTER", "sip:pbx.test", number, ip)


def _pour(kind: str, ip: str, server: tuple[str, int], seconds: float, rate: float) -> int:
    """Send datagrams at a rate, or as many as this core has time for."""
    base = ip.rpartition(".")[0]
    addresses = [f"{base}.{n}" for n in range(30, 30 + _SOURCES)] if kind == "many" else [ip]
    sockets = []
    for address in addresses:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((address, 0))
        one.settimeout(0)
        sockets.append(one)
    datagrams = _datagrams(kind, ip, server)
    began, sent = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        for _ in range(_AT_ONCE):
            with contextlib.suppress(OSError):
                sockets[sent % len(sockets)].sendto(next(datagrams), server)
            sent += 1
        time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    return sent


async def _connect(kind: str, ip: str, server: tuple[str, int], seconds: float, rate: float) -> int:
    """Make connections at a rate, say something useless, and leave."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), 0
    junk = random.Random(7).randbytes(2000)

    async def work() -> None:
        nonlocal sent
        while loop.time() < began + seconds:
            sent += 1
            await asyncio.sleep(max(0.0, began + sent / rate - loop.time()))
            with contextlib.suppress(OSError, TimeoutError):
                tls = context if kind == "handshakes" else None
                _, writer = await asyncio.open_connection(*server, ssl=tls, local_addr=(ip, 0))
                writer.write(_HELLO + junk if kind == "websockets" else b"x")
                writer.close()
                await writer.wait_closed()

    await asyncio.gather(*(work() for _ in range(_STREAMS)))
    return sent


def _main(kind: str, ip: str, server: tuple[str, int], seconds: float, rate: float) -> None:
    os.nice(19)
    if kind in ("connects", "handshakes", "websockets"):
        sent = asyncio.run(_connect(kind, ip, server, seconds, rate))
    else:
        sent = _pour(kind, ip, server, seconds, rate)
    print(json.dumps({"sent": sent}), flush=True)


if __name__ == "__main__":
    kind_, own, ip_, port_, seconds_, rate_ = sys.argv[1:]
    _main(kind_, own, (ip_, int(port_)), float(seconds_), float(rate_))

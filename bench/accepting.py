"""A registrar that accepts whoever comes, and counts: `python -m bench.accepting FOLDER IP PORT`.

It writes `registers.json` into the folder every half second: how many REGISTERs came, by the second of
this machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

_COPIED = re.compile(
    rb"^(Via|v|From|f|To|t|Call-ID|i|CSeq|Contact|m): *[^\r]*\r\n", re.MULTILINE | re.IGNORECASE
)
_TO = re.compile(rb"^((?:To|t): *[^\r]*)", re.MULTILINE | re.IGNORECASE)
_EVERY = 0.5


class _Registrar(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport
        self.seen: Counter[int] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not data.startswith(b"REGISTER "):
            return
        self.seen[int(time.monotonic())] += 1
        copied = b"".join(found[0] for found in _COPIED.finditer(data))
        copied = _TO.sub(rb"\1;tag=accepted", copied)
        self._transport.sendto(b"SIP/2.0 200 OK\r\n" + copied + b"Content-Length: 0\r\n\r\n", addr)


async def _accept(folder: Path, ip: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    _, registrar = await loop.create_datagram_endpoint(_Registrar, local_addr=(ip, port))
    path = folder / "registers.json"
    while True:
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(registrar.seen))
        beside.replace(path)
        await asyncio.sleep(_EVERY)


if __name__ == "__main__":
    asyncio.run(_accept(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))

"""Apps that renew: `python -m bench.renewing IP PORT REGISTRATIONS CONNECTIONS SECONDS`.

Each connection is kept and sends one POST after the other. Prints how long each took (milliseconds).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from bench.stock import public_id, secret

_BODY = json.dumps({"cause": "opened"}).encode()


class _Apps:
    def __init__(self, api: tuple[str, int], registrations: int) -> None:
        self._api = api
        self._registrations = registrations
        self._next = 0
        self.took: list[float] = []
        self.refused = 0
        self.example = ""

    async def renew_until(self, end: float) -> None:
        """Renew over one connection."""
        reader, writer = await asyncio.open_connection(*self._api)
        while time.perf_counter() < end:
            number = self._next % self._registrations
            self._next += 1
            began = time.perf_counter()
            writer.write(self._request(number))
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            self.took.append((time.perf_counter() - began) * 1000)
            if not head.startswith(b"HTTP/1.1 200"):
                self.refused += 1
                self.example = body.decode(errors="replace")
        writer.close()

    def _request(self, number: int) -> bytes:
        host, port = self._api
        head = (
            f"POST /v1/push-registrations/{public_id(number)}/renew HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: Bearer {secret(number)}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(_BODY)}\r\n\r\n"
        )
        return head.encode() + _BODY


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])


async def _renew(api: tuple[str, int], registrations: int, connections: int, seconds: int) -> None:
    apps = _Apps(api, registrations)
    began = time.perf_counter()
    await asyncio.gather(*(apps.renew_until(began + seconds) for _ in range(connections)))
    told = {
        "took": [round(one, 3) for one in apps.took],
        "wall": time.perf_counter() - began,
        "refused": apps.refused,
        "example": apps.example[:300],
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(_renew((sys.argv[1], int(sys.argv[2])), *map(int, sys.argv[3:])))

"""A PBX that only rings: `python -m bench.ringing IP PORT SERVER_IP SERVER_PORT RATE COUNT ACCOUNTS`.

Each INVITE says in its Call-ID when it was sent (monotonic nanoseconds). A call is cancelled as soon as
it rings. Prints how many were sent, rang and ended.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import cast

from bench.stock import contact_user

_LINGER = 6.0
_ID = re.compile(rb"^Call-ID: *(\S+)", re.MULTILINE | re.IGNORECASE)
_TO = re.compile(rb"^To: *([^\r]+)", re.MULTILINE | re.IGNORECASE)
_CSEQ = re.compile(rb"^CSeq: *\d+ +(\w+)", re.MULTILINE | re.IGNORECASE)
_SDP = (
    "v=0\r\no=pbx 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
)


class _Pbx(asyncio.DatagramProtocol):
    def __init__(self, own: tuple[str, int], accounts: int) -> None:
        self._own = f"{own[0]}:{own[1]}"
        self._accounts = accounts
        self._transport: asyncio.DatagramTransport
        self._uris: dict[str, str] = {}
        self._ringing: set[str] = set()
        self.sent = self.rang = self.ended = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def call(self, server: str) -> None:
        """Ring the next account."""
        user = contact_user(self.sent % self._accounts)
        uri = f"sip:{user}@{server}"
        self.sent += 1
        call_id = f"{time.monotonic_ns()}-{self.sent}"
        self._uris[call_id] = uri
        self._send("INVITE", call_id, f"<{uri}>", _SDP)

    def _send(self, method: str, call_id: str, to: str, body: str = "") -> None:
        uri = self._uris[call_id]
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._own};branch=z9hG4bK{call_id};rport",
            "Max-Forwards: 70",
            f'From: "A caller" <sip:200@pbx.test>;tag=t{call_id}',
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:200@{self._own}>",
            f"Content-Length: {len(body)}",
        ]
        if body:
            lines.insert(-1, "Content-Type: application/sdp")
        self._transport.sendto("\r\n".join([*lines, "", body]).encode())

    def datagram_received(self, data: bytes, _addr: object) -> None:
        status, method = int(data[8:11]), _found(_CSEQ, data)
        call_id = _found(_ID, data)
        if method != "INVITE" or call_id not in self._uris:
            return
        if status >= 300:
            self._send("ACK", call_id, _found(_TO, data))
            self.ended += 1
        elif status == 180 and call_id not in self._ringing:
            self._ringing.add(call_id)
            self.rang += 1
            self._send("CANCEL", call_id, f"<{self._uris[call_id]}>")


def _found(what: re.Pattern[bytes], data: bytes) -> str:
    match = what.search(data)
    return match[1].decode() if match else ""


async def _ring(own: tuple[str, int], server: tuple[str, int], rate: int, count: int, accounts: int) -> None:
    loop = asyncio.get_running_loop()
    transport, pbx = await loop.create_datagram_endpoint(
        lambda: _Pbx(own, accounts), local_addr=own, remote_addr=server
    )
    began = loop.time()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
        pbx.call(f"{server[0]}:{server[1]}")
    last = loop.time() + _LINGER
    while pbx.ended < count and loop.time() < last:
        await asyncio.sleep(0.05)
    transport.close()
    print(json.dumps({"sent": pbx.sent, "rang": pbx.rang, "ended": pbx.ended}), flush=True)


if __name__ == "__main__":
    own_ip, own_port, ip, port, *numbers = sys.argv[1:]
    asyncio.run(_ring((own_ip, int(own_port)), (ip, int(port)), *map(int, numbers)))

"""Phones that register and then do nothing.

`python -m bench.flow_phones KIND COUNT OWN_IP IP PORT CA FOLDER`.

KIND is `tcp`, `tls`, `ws` or `wss`, or `plain` for TLS without a word. It makes the file `held` when all of
them stand, with how many a CPU second of it made, and holds them until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from bench.flow_server import NAME
from bench.kamailio import PASSWORD, REALM
from bench.stock import user
from wakerobin.core.sip import digest
from wakerobin.core.sip.message import parse
from wakerobin.net.tls import spare_memory

_AT_ONCE = 16

Say: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""Sends a request; what came back."""


async def _hold(kind: str, count: int, own: str, server: tuple[str, int], ca: str) -> list[Any]:
    """Return so many connections, each with a phone that is registered over it."""
    numbers = iter(range(count))

    async def work() -> list[Any]:
        return [await _phone(kind, number, own, server, ca) for number in numbers]

    return [one for some in await asyncio.gather(*(work() for _ in range(_AT_ONCE))) for one in some]


async def _phone(kind: str, number: int, own: str, server: tuple[str, int], ca: str) -> Any:
    context = _trust(ca) if kind in ("tls", "wss", "plain") else None
    if kind in ("ws", "wss"):
        uri = f"{kind}://{NAME}:{server[1]}/"
        phone = await connect(
            uri,
            subprotocols=[Subprotocol("sip")],
            host=server[0],
            ssl=context,
            proxy=None,
            ping_interval=None,
            local_addr=(own, 0),
        )

        async def say(request: bytes) -> bytes:
            await phone.send(request.decode())
            answer = await phone.recv()
            return answer if isinstance(answer, bytes) else answer.encode()

        await _register(say, kind, number)
        return phone
    name = NAME if context is not None else None
    reader, writer = await asyncio.open_connection(
        *server, ssl=context, server_hostname=name, local_addr=(own, 0)
    )

    async def ask(request: bytes) -> bytes:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: *(\d+)", head)
        return head + await reader.readexactly(int(length[1]) if length else 0)

    if kind != "plain":
        await _register(ask, kind, number)
    return reader, writer


_CONTEXTS: dict[str, ssl.SSLContext] = {}


def _trust(ca: str) -> ssl.SSLContext:
    if ca not in _CONTEXTS:
        _CONTEXTS[ca] = ssl.create_default_context(cafile=ca)
    return _CONTEXTS[ca]


async def _register(say: Say, kind: str, number: int) -> None:
    (challenge,) = digest.challenges(parse(await say(_request(kind, number, 1, ""))))
    authorization = digest.answer(
        challenge,
        username=user(number),
        ha1=digest.ha1(challenge.algorithm, user(number), challenge.realm, PASSWORD),
        method="REGISTER",
        uri=f"sip:{REALM}",
        cnonce="0badc0de",
        nc=1,
    )
    response = parse(await say(_request(kind, number, 2, authorization)))
    if response.status != 200:
        raise RuntimeError(f"phone {number} could not register: {response}")


def _request(kind: str, number: int, cseq: int, authorization: str) -> bytes:
    lines = [
        f"REGISTER sip:{REALM} SIP/2.0",
        f"Via: SIP/2.0/{kind.upper()} phone{number}.invalid;branch=z9hG4bK{number}x{cseq};rport",
        "Max-Forwards: 70",
        f"From: <sip:{user(number)}@{REALM}>;tag=t{number}",
        f"To: <sip:{user(number)}@{REALM}>",
        f"Call-ID: c{number}",
        f"CSeq: {cseq} REGISTER",
        f"Contact: <sip:{user(number)}@phone{number}.invalid;transport={kind}>;expires=3600",
        *([f"Authorization: {authorization}"] if authorization else []),
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def _main(kind: str, count: int, own: str, server: tuple[str, int], ca: str, folder: Path) -> None:
    spare_memory()
    before = time.process_time()
    held = await _hold(kind, count, own, server, ca)
    told = {"held": len(held), "cpu": time.process_time() - before}
    part = folder / "held.part"
    part.write_text(json.dumps(told))
    part.replace(folder / "held")
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kind_, count_, own_, ip_, port_, ca_, folder_ = sys.argv[1:]
    asyncio.run(_main(kind_, int(count_), own_, (ip_, int(port_)), ca_, Path(folder_)))

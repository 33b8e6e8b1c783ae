"""A client of the app's API: one request, one connection, no library of the server's."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

_PATIENCE = 45.0
"""The API lets a caller wait for half a minute."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered. `body` is the JSON object, empty where there was none."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """The name of the problem that it is, or an empty string."""
        return str(self.body.get("type", "")).rpartition(":")[2] if self.status >= 400 else ""


async def request(
    place: tuple[str, int], method: str, path: str, *, bearer: str = "", body: object = None
) -> Answer:
    """Send one request. Raises OSError where nobody listens, TimeoutError where nobody answers."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {place[0]}:{place[1]}", "Connection: close"]
    lines += [f"Authorization: Bearer {bearer}"] if bearer else []
    lines += ["Content-Type: application/json"] if content else []
    lines += [f"Content-Length: {len(content)}", "", ""]
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_connection(*place)
        try:
            writer.write("\r\n".join(lines).encode() + content)
            raw = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    head, _, rest = raw.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2:
        raise ConnectionResetError("the connection ended without an answer")
    return Answer(int(words[1]), json.loads(rest) if rest else {})

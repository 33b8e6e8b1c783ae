"""nghttpd: an HTTP/2 server over TLS that is not ours, as the far end of a push."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.interop.peers.network import PATIENCE, Program, find_program, shortened, until

_HEADER = re.compile(
    r"^\[id=(?P<connection>\d+)\] \[ *[\d.]+\] recv \(stream_id=(?P<stream>\d+)(?:, sensitive)?\) "
    r"(?P<name>:?[^:\s]+): (?P<value>.*)$"
)
_FRAME = re.compile(
    r"^\[id=(?P<connection>\d+)\] \[ *[\d.]+\] recv (?P<kind>\w+) frame "
    r"<length=(?P<length>\d+), flags=(?P<flags>0x[0-9a-f]+), stream_id=(?P<stream>\d+)>"
)
_END_STREAM = 0x01


@dataclass(slots=True)
class Request:
    """One request that came: its headers (the pseudo ones too) and the size of its body."""

    connection: int
    stream: int
    headers: dict[str, str] = field(default_factory=dict)
    body_length: int = 0
    is_complete: bool = False


class Nghttpd:
    """Answers every POST with 200 and its own body; `certificate` and `key` are PEM files."""

    name = "nghttpd"

    def __init__(self, ip: str, port: int, certificate: Path, key: Path, *, max_streams: int = 100) -> None:
        self.ip, self.port = ip, port
        self._files = (str(key), str(certificate))
        self._max_streams = max_streams
        self._program = Program(self.name)

    async def start(self) -> None:
        """Start it; return when it listens."""
        command = [find_program("nghttpd"), "--address", self.ip, "--verbose", "--echo-upload"]
        command += [f"--max-concurrent-streams={self._max_streams}", "--workers=1"]
        command += ["--htdocs", str(self._program.folder), str(self.port), *self._files]
        await self._program.start(command)
        await until(self._listens, what="nghttpd listens")

    def _listens(self) -> bool:
        if not self._program.is_running:
            raise RuntimeError(f"nghttpd did not start:\n{self.log_text()}")
        return "listen" in self._program.output()

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    def log_text(self) -> str:
        """Every frame and header."""
        return shortened(self._program.output())

    def requests(self) -> list[Request]:
        """The requests so far, in the order of their first header."""
        found: dict[tuple[int, int], Request] = {}

        def request(match: re.Match[str]) -> Request:
            place = (int(match["connection"]), int(match["stream"]))
            return found.setdefault(place, Request(*place))

        for line in self._program.output().splitlines():
            if header := _HEADER.match(line):
                request(header).headers[header["name"]] = header["value"]
            elif (frame := _FRAME.match(line)) and frame["kind"] in ("DATA", "HEADERS"):
                came = request(frame)
                came.body_length += int(frame["length"]) if frame["kind"] == "DATA" else 0
                came.is_complete = came.is_complete or bool(int(frame["flags"], 16) & _END_STREAM)
        return list(found.values())

    async def wait_requests(self, count: int = 1, within: float = PATIENCE) -> list[Request]:
        """The requests, once `count` of them have come whole."""

        def look() -> list[Request] | None:
            whole = [request for request in self.requests() if request.is_complete]
            return whole if len(whole) >= count else None

        return await until(look, within=within, what=f"{count} requests at nghttpd")

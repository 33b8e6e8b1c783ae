"""Kamailio, lean: the registrar that we register at, and the native proxy that we are measured beside."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from bench.process import Process
from tests.interop.peers.network import find_program

CONFIGURATION = Path(__file__).with_name("kamailio.cfg")
REALM, PASSWORD = "pbx.test", "pw"
_START_WITHIN = 10.0


class Kamailio:
    """One worker at one address. `core` is where it runs: as a peer beside us, or in our place."""

    def __init__(self, ip: str, port: int, *, core: int) -> None:
        self.ip, self.port = ip, port
        self._process = Process("kamailio", core=core)

    async def __aenter__(self) -> Kamailio:
        folder = self._process.folder
        command = [find_program("kamailio"), "-f", str(CONFIGURATION), "-DD", "-E", "-m", "256", "-M", "8"]
        command += ["-Y", str(folder), "-P", str(folder / "pid"), "-A", f'PASSWORD="{PASSWORD}"']
        command += ["-l", f"udp:{self.ip}:{self.port}", "-l", f"tcp:{self.ip}:{self.port}"]
        await self._process.start(command)
        async with asyncio.timeout(_START_WITHIN):
            while True:
                with contextlib.suppress(OSError, ValueError):
                    await self.contacts()
                    return self
                if not self._process.is_running:
                    raise RuntimeError(f"Kamailio did not start: {self._process.output()[-500:]}")
                await asyncio.sleep(0.05)

    async def __aexit__(self, *_: object) -> None:
        await self._process.end()

    @property
    def address(self) -> str:
        """`ip:port`."""
        return f"{self.ip}:{self.port}"

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes."""
        return self._process.cpu_seconds()

    async def contacts(self) -> int:
        """Return how many contacts it holds."""
        for entry in await self._rpc("stats.get_statistics", "usrloc:"):
            name, _, value = str(entry).partition(" = ")
            if name.endswith("location_contacts"):
                return int(value)
        return 0

    async def _rpc(self, method: str, *parameters: str) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        head = (
            f"POST /RPC HTTP/1.1\r\nHost: {self.address}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(self.ip, self.port)
            try:
                writer.write((head + body).encode())
                answer = await reader.read()
            finally:
                writer.close()
        return json.loads(answer.partition(b"\r\n\r\n")[2])["result"]

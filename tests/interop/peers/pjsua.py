"""pjsua2, PJSIP's own API, as a phone: UDP, TCP and TLS (1.2 at most), MD5 and SHA-256."""

from __future__ import annotations

import asyncio
import fcntl
import os
import uuid
from pathlib import Path

from tests.interop.peers.network import find_program
from tests.interop.peers.softphone import ScriptedPhone

_ROOT = Path(__file__).parents[3]
_SCRIPT = Path(__file__).with_name("pjsua2_phone.py")
_SETTING_UP_S = 120.0


async def interpreter() -> Path:
    """Return the Python that has pjsua2; set up its environment if nobody has.

    RuntimeError: it cannot be set up. (There are wheels for Python 3.11 and 3.12.)
    """
    (_ROOT / ".venv").mkdir(exist_ok=True)
    lock = os.open(_ROOT / ".venv" / "pjsua2.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        process = await asyncio.create_subprocess_exec(
            _ROOT / ".ci" / "venv",
            "pjsua2",
            cwd=_ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(_SETTING_UP_S):
            said, _ = await process.communicate()
    finally:
        os.close(lock)
    if process.returncode != 0:
        raise RuntimeError(f"pjsua2 could not be set up:\n{said.decode(errors='replace')}")
    return _ROOT / ".venv" / "pjsua2" / "bin" / "python"


class Pjsua(ScriptedPhone):
    """A phone at its own address; `outbound` is the `ip:port` that it registers through."""

    def __init__(
        self,
        ip: str,
        port: int,
        user: str,
        password: str,
        outbound: str,
        *,
        transport: str = "udp",
        ca_file: str = "",
        pn: str = "",
    ) -> None:
        super().__init__(f"pjsua2-{user}")
        options = {
            "user": user,
            "password": password,
            "domain": "pbx.test",
            "proxy": outbound,
            "transport": transport,
            "bind": ip,
            "port": str(port),
            "rtp": str(port + 2),
            "pn": pn,
            "ca": ca_file,
            "instance": str(uuid.uuid4()),
        }
        self._arguments = [word for name, value in options.items() for word in (f"--{name}", value)]

    async def wake(self) -> None:
        """Start it; it registers at once."""
        python = await interpreter()
        await self.run([find_program(str(python)), "-u", str(_SCRIPT), *self._arguments])

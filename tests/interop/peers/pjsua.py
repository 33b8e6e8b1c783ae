"""pjsua2, PJSIP's own API, as a phone: UDP, TCP and TLS (1.2 at most), MD5 and SHA-256."""

from __future__ import annotations

import uuid
from pathlib import Path

from tests.interop.peers.environment import programs_of
from tests.interop.peers.network import find_program
from tests.interop.peers.softphone import ScriptedPhone

_SCRIPT = Path(__file__).with_name("pjsua2_phone.py")


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
        python = await programs_of("pjsua2") / "python"
        await self.run([find_program(str(python)), "-u", str(_SCRIPT), *self._arguments])

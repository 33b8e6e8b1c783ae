"""Web phones: JsSIP and SIP.js in Node, over WebSocket. They know MD5 only, and want WebRTC's media."""

from __future__ import annotations

from tests.interop.peers.network import find_program
from tests.interop.peers.node import SCRIPTS, modules
from tests.interop.peers.softphone import ScriptedPhone

LIBRARIES = ("jssip", "sipjs")


class WebPhone(ScriptedPhone):
    """A phone made with one of the `LIBRARIES`; `url` is where its WebSocket goes, `pn` are its RFC 8599
    parameters."""

    def __init__(
        self, library: str, user: str, password: str, url: str, *, ca_file: str, pn: str = ""
    ) -> None:
        super().__init__(f"{library}-{user}")
        self._arguments = [str(SCRIPTS / f"{library}_phone.cjs")]
        self._account = [url, f"sip:{user}@pbx.test", password, pn]
        self._environment = {"NODE_EXTRA_CA_CERTS": ca_file}

    async def wake(self) -> None:
        """Start it; it registers at once."""
        command = [find_program("node"), *self._arguments, str(await modules()), *self._account]
        await self.run(command, self._environment)

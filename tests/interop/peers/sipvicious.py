"""SIPVicious, the scanner that every SIP server on the internet meets: of servers, numbers, passwords."""

from __future__ import annotations

from tests.interop.peers.environment import programs_of
from tests.interop.peers.network import Program, shortened


class Sipvicious:
    """One run of a tool (`svmap`, `svwar`, `svcrack`) from an address of its own."""

    def __init__(self, tool: str, ip: str, *arguments: str) -> None:
        self.name = f"sipvicious-{tool}"
        self._tool = tool
        self._arguments = ["-b", ip, "-x", ip, "-v", *arguments]
        self._program = Program(self.name)
        # What it keeps between runs goes into a home of its own.
        self._home = {"HOME": str(self._program.folder), "PYTHONWARNINGS": "ignore"}

    async def start(self) -> None:
        """Start it."""
        command = [str(await programs_of("sipvicious") / f"sipvicious_{self._tool}"), *self._arguments]
        await self._program.start(command, self._home)

    def put(self, name: str, text: str) -> None:
        """Write a file, such as a dictionary, where it runs."""
        (self._program.folder / name).write_text(text)

    async def said(self, within: float) -> str:
        """Wait for its end, or end it after so long; all that it printed."""
        try:
            await self._program.ended(within)
        except TimeoutError:
            await self._program.end()
        return self._program.output()

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    def log_text(self) -> str:
        """What it printed."""
        return shortened(self._program.output())

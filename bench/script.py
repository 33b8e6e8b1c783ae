"""A helper process of a benchmark: a module of `bench` on the peers' core that prints one line of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.process import Process

_ROOT = Path(__file__).parent.parent


class Script:
    """`async with Script("ringing", …) as one:`; `told` waits for what it prints at its end."""

    def __init__(self, module: str, *arguments: str | int | Path) -> None:
        self._process = Process(module)
        self._command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]

    async def __aenter__(self) -> Script:
        await self._process.start(self._command, folder=_ROOT)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._process.end()

    @property
    def folder(self) -> Path:
        """A folder of its own."""
        return self._process.folder

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_running

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.signal(number)

    async def told(self, within: float) -> dict[str, Any]:
        """Wait for its end; what it printed last."""
        code = await self._process.ended(within)
        try:
            told: dict[str, Any] = json.loads(self.output().splitlines()[-1])
        except (ValueError, IndexError):
            raise RuntimeError(f"a script ended {code}: {self.output()[-500:]}") from None
        return told

    def output(self) -> str:
        """Return what it has printed."""
        return self._process.output()

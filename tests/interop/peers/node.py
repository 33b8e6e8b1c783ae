"""Node.js with the packages of `tests/interop/node/package.json`, fetched once for every worker and run."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from pathlib import Path

from tests.interop.peers.network import Program, find_program, shortened, until

SCRIPTS = Path(__file__).parents[1] / "node"
_CACHE = Path(__file__).parents[3] / ".venv"
_FETCH_S = 180.0


async def modules(scripts: Path = SCRIPTS) -> Path:
    """Return the folder in which the packages are, `node_modules` below it; fetch them if nobody has."""
    manifest = (scripts / "package.json").read_bytes()
    folder = _CACHE / f"node-{hashlib.sha256(manifest).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            (folder / "package.json").write_bytes(manifest)
            await _fetch(folder)
            (folder / "complete").touch()
    finally:
        os.close(lock)
    return folder


async def _fetch(folder: Path) -> None:
    words = [
        "install",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--ignore-scripts",
        "--loglevel=error",
    ]
    process = await asyncio.create_subprocess_exec(
        find_program("npm"),
        *words,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_FETCH_S):
        said, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"npm could not fetch the packages:\n{said.decode(errors='replace')}")


class NodeScript:
    """A script of `tests/interop/node`; it is ready when it has printed `ready`."""

    def __init__(self, script: str, *arguments: str, ready: str) -> None:
        self.name = script
        self._arguments = arguments
        self._ready = ready
        self._program = Program("node")

    async def start(self) -> None:
        """Start it; return when it is ready."""
        command = [find_program("node"), str(SCRIPTS / self.name), *self._arguments]
        await self._program.start(command)

        def is_ready() -> bool:
            if not self._program.is_running:
                raise RuntimeError(f"{self.name} did not start:\n{self.log_text()}")
            return self._ready in self._program.output()

        await until(is_ready, what=f"{self.name} is ready")

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    def log_text(self) -> str:
        """What it printed."""
        return shortened(self._program.output())

"""Programs of another Debian release than this machine's, unpacked beside the system and run from there.

They are unpacked once, below a folder that git ignores, and need no root: a program is started by its own
loader, with its own libraries.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from tests.interop.peers.network import find_program

_CACHE = Path(__file__).parents[3] / ".venv"
_UNPACKING_S = 300.0
_OWN_RELEASE = ("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages")


class NoMirrorError(Exception):
    """This machine cannot get that release; the text says why in words."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder with the files of a release."""

    root: Path

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command that runs a program of the tree, `/usr/sbin/…`."""
        [loader] = self.root.glob("lib/*-linux-gnu/ld-linux*.so.*")
        triplet = loader.parent.name
        folders = (f"usr/lib/{triplet}", f"lib/{triplet}", "usr/lib")
        libraries = ":".join(str(self.root / folder) for folder in folders)
        return [str(loader), "--library-path", libraries, f"{self.root}{program}", *arguments]


async def unpacked(release: str, package: str) -> Tree:
    """Return the tree of a package and all it needs; unpack it if nobody has.

    NoMirrorError: there is none to be had here. RuntimeError: in CI, there is one and it cannot be unpacked.
    """
    folder = _CACHE / f"{release}-{package}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder / "tree", ignore_errors=True)
            await _unpack(await _mirror(release), release, package, folder / "tree")
            (folder / "complete").touch()
    finally:
        os.close(lock)
    return Tree(folder / "tree")


async def _mirror(release: str) -> str:
    """The first of the machine's own Debian mirrors that has the release."""
    _, said = await _run(*_OWN_RELEASE)
    lines = [line.partition(" ") for line in said.splitlines()]
    mirrors = dict.fromkeys(uri for origin, _, uri in lines if origin == "Debian")
    for mirror in mirrors:
        if await asyncio.to_thread(_has, mirror, release):
            return mirror
    raise NoMirrorError(
        f"no Debian mirror of this machine has {release}: {', '.join(mirrors) or 'there is none'}"
    )


def _has(mirror: str, release: str) -> bool:
    asked = urllib.request.Request(f"{mirror}dists/{release}/InRelease", method="HEAD")
    try:
        with urllib.request.urlopen(asked, timeout=10):
            return True
    except (URLError, OSError, ValueError):
        return False


async def _unpack(mirror: str, release: str, package: str, into: Path) -> None:
    options = ["APT::Install-Recommends false", "Acquire::Check-Valid-Until false", "Acquire::Retries 3"]
    words = [f"--aptopt={name} {chr(34)}{value}{chr(34)}" for name, value in (one.split() for one in options)]
    words += ["--variant=extract", f"--include={package}", release, str(into), mirror]
    async with asyncio.timeout(_UNPACKING_S):
        code, said = await _run(find_program("mmdebstrap"), *words)
    if code != 0:
        # In CI it is the tests that are broken then; on a person's machine it may not be allowed.
        kind = RuntimeError if os.environ.get("CI") == "true" else NoMirrorError
        raise kind(f"{package} of {release} could not be unpacked:\n{said}")


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")

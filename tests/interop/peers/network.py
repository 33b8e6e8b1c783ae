"""Where the peers of one test live, and how their processes are started, watched and ended.

Every pytest worker has loopback addresses of its own, so suites run beside each other. No process
outlives its test: each is ended by its id, and dies with pytest should pytest itself be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a wait may take before it is a failure, unless its caller knows better."""

_PORTS_AT_ONCE = 8
_POLL = 0.01
_LOG_SHOWN = 20_000


class Peer(Protocol):
    """A running foreign program, as the fixtures see it."""

    name: str

    async def stop(self) -> None:
        """End it, whatever state it is in. Stopping twice is fine."""
        ...

    def log_text(self) -> str:
        """What it said and saw, for the report of a failed test."""
        ...


class Network:
    """Loopback addresses and free ports of one pytest worker."""

    def __init__(self, worker: int) -> None:
        # Two runs on one machine rarely meet here, and where they do the probe of the port decides.
        prefix = f"127.{60 + os.getpid() % 40}.{worker % 256}"
        self._addresses = itertools.cycle(f"{prefix}.{host}" for host in range(1, 255))
        self._ports = itertools.cycle(range(20_000, 32_000, _PORTS_AT_ONCE))
        for _ in range(os.getpid() % 1_000):
            next(self._ports)

    def address(self) -> str:
        """An address that no other peer of this test has."""
        return next(self._addresses)

    def port(self, ip: str, count: int = 1) -> int:
        """The first of `count` (at most 8) neighbouring ports free for UDP and for TCP.

        They lie below the kernel's range for outgoing connections, so that they stay free.
        """
        for first in itertools.islice(self._ports, 3_000):
            if all(_is_free(ip, first + offset) for offset in range(count)):
                return first
        raise RuntimeError(f"no free port on {ip}")


def _is_free(ip: str, port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ip, port))
            except OSError:
                return False
    return True


async def until(look: Callable[[], T | None], *, within: float = PATIENCE, what: str) -> T:
    """The first value of `look()` that is neither None nor False; TimeoutError after `within`."""
    never = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(within):
            while True:
                value = look()
                if value is not None and value is not False:
                    return value
                await asyncio.wait([never], timeout=_POLL)
    except TimeoutError:
        raise TimeoutError(f"not within {within} s: {what}") from None


def find_program(name: str) -> str:
    """The path of a Debian program, also where /usr/sbin is not on an ordinary user's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed; ./test says how to install the peers")
    return found


class Program:
    """One foreign process with a folder of its own: its log lies there, and its folder ends with it."""

    def __init__(self, name: str, *, unprivileged: bool = False, parting_signal: str = "KILL") -> None:
        self.name = name
        self._parting_signal = parting_signal
        self.folder = Path(tempfile.mkdtemp(prefix=f"wakerobin-{name}-"))
        self._unprivileged = unprivileged and os.geteuid() == 0
        self._process: asyncio.subprocess.Process | None = None
        self._log = self.folder / "log"
        if self._unprivileged:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)

    @property
    def is_running(self) -> bool:
        """Whether the process lives (a frozen one does)."""
        return self._process is not None and self._process.returncode is None

    @property
    def exit_code(self) -> int | None:
        """How the last process ended; None while there is none that ended."""
        return None if self._process is None else self._process.returncode

    async def start(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, *, listens: bool = False
    ) -> None:
        """Run the command in the folder, its output appended to the log. `say` needs `listens`."""
        assert not self.is_running
        # The kernel ends it when pytest dies, even by SIGKILL or by a time limit.
        guard = [find_program("setpriv"), "--pdeathsig", self._parting_signal]
        if self._unprivileged:
            guard += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *guard,
                "--",
                *command,
                cwd=self.folder,
                env=None if environment is None else {**os.environ, **environment},
                stdin=asyncio.subprocess.PIPE if listens else asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def ended(self, within: float = PATIENCE) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self._process is not None
        try:
            async with asyncio.timeout(within):
                return await self._process.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.name} still runs after {within} s") from None

    def signal(self, number: int) -> None:
        """Send a signal to the process and to its children; nothing if it has ended."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def end(self, patience: float = 3.0) -> None:
        """SIGTERM, and SIGKILL for what does not heed it. Wakes a frozen process first."""
        if self._process is None or self._process.returncode is not None:
            return
        self.signal(signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(patience):
                await self._process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL: no last word to anyone."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    def output(self) -> str:
        """All that the process has printed so far."""
        try:
            return self._log.read_bytes().decode(errors="replace")  # line ends as they came
        except FileNotFoundError:
            return ""

    def remove_folder(self) -> None:
        """Remove the folder and all in it. Call it after `end`."""
        shutil.rmtree(self.folder, ignore_errors=True)


def shortened(text: str) -> str:
    """The end of a long log."""
    return text if len(text) <= _LOG_SHOWN else f"[...]\n{text[-_LOG_SHOWN:]}"

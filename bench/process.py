"""Other programs of a benchmark: started, watched, and weighed by the CPU time that they used."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.machine import OTHERS, pin
from tests.interop.peers.network import find_program


class Process:
    """A program with a folder of its own, on the peers' core unless told otherwise.

    It dies with this process, its folder goes with `end`.
    """

    def __init__(self, name: str, *, core: int = OTHERS) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"wakerobin-bench-{name}-"))
        self._core = core
        self._log = self.folder / "log"
        self._process: asyncio.subprocess.Process | None = None
        self._gone = 0.0

    async def start(self, command: Sequence[str], folder: Path | None = None) -> None:
        """Run the command; its output goes to the log."""
        core = self._core
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                find_program("setpriv"),
                "--pdeathsig",
                "KILL",
                "--",
                *command,
                cwd=folder or self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: pin(0, core),
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.returncode is None

    def cpu_seconds(self) -> float:
        """Return what it and its children have used so far; 0.0 for one that has ended."""
        assert self._process is not None
        return _cpu_of_family(self._process.pid)

    def resident(self) -> int:
        """Return the memory that it occupies now, octets."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, within: float) -> int:
        """Wait until it ends by itself; its exit code. Raises TimeoutError."""
        assert self._process is not None
        async with asyncio.timeout(within):
            return await self._process.wait()

    async def end(self) -> None:
        """End it, whatever it does, and remove its folder."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await self.ended(3.0)
            except TimeoutError:
                os.killpg(self._process.pid, signal.SIGKILL)
                await self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def output(self) -> str:
        """Return what it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _cpu_of_family(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task")
    seconds = 0.0
    try:
        for task in tasks.iterdir():
            # Ticks of 10 ms would be too coarse; this counts nanoseconds.
            seconds += int((task / "schedstat").read_text().split()[0]) / 1e9
        children = (tasks / str(pid) / "children").read_text().split()
    except OSError:
        return seconds  # it has ended meanwhile
    return seconds + sum(_cpu_of_family(int(child)) for child in children)


def _queued() -> float:
    tasks = Path("/proc/self/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[1]) for task in tasks) / 1e9


class Stopwatch:
    """CPU seconds of this process and wall seconds, from its making on."""

    def __init__(self) -> None:
        self._cpu, self._wall, self._queued = time.process_time(), time.perf_counter(), _queued()

    @property
    def cpu(self) -> float:
        """CPU seconds, all threads."""
        return time.process_time() - self._cpu

    @property
    def queued(self) -> float:
        """Seconds for which its threads could have run, but the core was another program's."""
        return _queued() - self._queued

    @property
    def wall(self) -> float:
        """Seconds."""
        return time.perf_counter() - self._wall


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which that part of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]

"""The machine and the programs of a run, as far as they explain its numbers."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from tests.interop.peers.network import find_program
from wakerobin.store.engine import VERSION

OURS, OTHERS = 0, 1
"""The core on which the server under test runs, and that of the peers."""


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there are two."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def described() -> list[str]:
    """Return lines that say where a run took place; no name of a host or a folder is among them."""
    nice = os.nice(0)
    return [
        f"{os.cpu_count()} cores, {_processor()}, load {os.getloadavg()[0]:.1f} at the start"
        + (f", run with nice {nice}" if nice else ""),
        f"{platform.system()} {platform.machine()}, {platform.python_implementation()} "
        f"{platform.python_version()}, SQLite {VERSION}",
        f"{_first_line('kamailio', '-v')}; {_first_line('sipp', '-v')}",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _first_line(program: str, option: str) -> str:
    done = subprocess.run([find_program(program), option], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[0].removeprefix("version: ").split(" (x86")[0].rstrip(".") if lines else program

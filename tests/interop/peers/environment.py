"""Environments of their own for peers that are Python packages, since theirs need not fit ours."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_SETTING_UP_S = 120.0


async def programs_of(name: str) -> Path:
    """Return the folder of the programs of an environment of `.ci/venv`; set it up if nobody has.

    RuntimeError: it cannot be set up. (Of pjsua2 there are wheels for Python 3.11 and 3.12.)
    """
    (_ROOT / ".venv").mkdir(exist_ok=True)
    lock = os.open(_ROOT / ".venv" / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        process = await asyncio.create_subprocess_exec(
            _ROOT / ".ci" / "venv",
            name,
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
        raise RuntimeError(f"{name} could not be set up:\n{said.decode(errors='replace')}")
    return _ROOT / ".venv" / name / "bin"

"""Runs one benchmark in this process and prints its rows as JSON: `python -m bench.one NAME [--quick]`."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import sys
import tempfile
from pathlib import Path

from bench.machine import OURS, pin
from bench.scale import Scale, network
from bench.table import to_json
from wakerobin import log


def main() -> None:
    """Run it. What the server logs goes to standard error, as it does in earnest."""
    name, *flags = sys.argv[1:]
    pin(0, OURS)
    log.configure("info")
    folder = Path(tempfile.mkdtemp(prefix="wakerobin-bench-"))
    try:
        module = importlib.import_module(f"bench.{name}")
        rows = asyncio.run(module.run(Scale("--quick" in flags, folder, network())))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(to_json(rows))


if __name__ == "__main__":
    main()

"""Runs the benchmarks and shows one table: `./bench/run [--quick] [--write] [NAME …]`.

Each one runs in a process of its own, for a few minutes at most. `--quick` only shows that they work;
`--write` puts the table into docs/benchmarks.md. Exit code: 0, or 1 where one of them failed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import described
from bench.table import Section, as_markdown, as_text, from_json

NAMES = (
    *("registers", "pushes", "push", "renewals", "calls"),
    *("parsing", "flows", "floods", "lives", "simulation"),
)
LIMIT_S = 240
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_ROOT = Path(__file__).parent.parent
_HEAD = """# Benchmarks

Made by `./bench/run --write`; run it yourself, the numbers of another machine are of little use. Each number
stands beside a peer or a limit that was measured in the same run. *CPU-s* are CPU seconds of the whole
process that is measured, all its threads; peers and load generators run on another core. What other programs
on the machine do at the same time shows in every number, in milliseconds more than in CPU seconds: where a
core was waited for, another program had it. The goals are what this project has set itself; "no" means that
it is not there yet.
"""


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="./bench/run", description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="only show that they work")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in NAMES]
    if unknown or (asked.write and (asked.quick or asked.names)):
        parser.error(f"no benchmark {unknown[0]}" if unknown else "--write wants a whole run")
    machine = described()
    sections = []
    for name in asked.names or NAMES:
        print(f"{name} …", file=sys.stderr, flush=True)
        sections.append(_run(name, quick=asked.quick))
    print(as_text(sections))
    if asked.write:
        PAGE.write_text(_page(machine, sections))
    return int(any(section.failure for section in sections))


def _run(name: str, *, quick: bool) -> Section:
    title: str = importlib.import_module(f"bench.{name}").TITLE
    command = [sys.executable, "-m", "bench.one", name, *(["--quick"] if quick else [])]
    worker = subprocess.Popen(
        command,
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = worker.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()
        return Section(name, title, failure=f"not done after {LIMIT_S} s")
    if worker.returncode:
        last = errors.strip().splitlines()[-1:] or [f"exit code {worker.returncode}"]
        return Section(name, title, failure=last[0])
    return Section(name, title, from_json(output))


def _page(machine: list[str], sections: list[Section]) -> str:
    on = "\n".join(f"- {line}" for line in [f"{datetime.now(UTC):%Y-%m-%d}", *machine])
    return f"{_HEAD}\n{on}\n\n{as_markdown(sections).rstrip()}\n"


if __name__ == "__main__":
    sys.exit(main())

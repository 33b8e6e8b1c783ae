"""The benchmarks work; how fast anything is, is not a matter of tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import NAMES
from bench.table import from_json

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_measures_something(name: str) -> None:
    command = [sys.executable, "-m", "bench.one", name, "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = from_json(done.stdout)
    assert rows
    assert all(row.value > 0 for row in rows)

"""How the benchmarks show what they have measured. That they work is tested beside the real peers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.table import Row, Section, as_markdown, as_text, from_json, to_json

ROOT = Path(__file__).parents[2]


def test_the_table_says_how_a_number_compares_and_whether_its_goal_is_reached() -> None:
    rows = (
        Row(what="fast", value=200.0, unit="/s", beside="a peer", beside_value=100.0, at_least=150.0),
        Row(what="late", value=6.0, unit="ms", at_most=5.0, remark="it was busy"),
        Row(what="alone", value=1234.0, unit="/s"),
    )
    sections = [Section("one", "One", from_json(to_json(rows))), Section("two", "Two", failure="no peer")]
    text = as_text(sections)
    assert "fast   200 /s    a peer: 100                 2.00   ≥ 150: yes" in text
    assert "≤ 5.00: no\n    it was busy" in text
    assert "failed: no peer" in text
    page = as_markdown(sections)
    assert "| fast | 200 /s | a peer: 100 | 2.00 | ≥ 150: yes |" in page
    assert "| alone | 1,234 /s |  |  |  |" in page
    assert "- late: it was busy" in page


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    command = [sys.executable, "-m", "bench", "everything"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no benchmark everything" in done.stderr

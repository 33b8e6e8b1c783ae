"""`python -m tests.interop.matrix`: runs the matrix and writes what it found into docs/interop.md."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from tests.interop.matrix.cells import Cell, Transfer
from tests.interop.matrix.page import PAGE, expected, rewritten, tables
from tests.interop.matrix.versions import versions

_HERE = Path(__file__).parent


def main() -> int:
    """Run, write, and return pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", str(_HERE)]
        code = subprocess.run([*command, f"--junit-xml={report}"], check=False).returncode
        results = _results(report)

    def found(one: Cell | Transfer) -> str:
        result = results.get(str(one), "not run")
        return expected(one) if result == "passed" else result

    day = datetime.now(UTC).date().isoformat()
    made = f"Run on {day} with {versions()}.\n\n{tables(found)}"
    PAGE.write_text(rewritten(PAGE.read_text(), made))
    return code


def _results(report: Path) -> dict[str, str]:
    """What became of each case, by what stands in the brackets of its name."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        named = re.search(r"\[(.+)\]$", case.get("name", ""))
        if named:
            kinds = {child.tag for child in case}
            result = "fails" if kinds & {"failure", "error"} else "passed"
            found[named[1]] = "not run" if "skipped" in kinds else result
    return found


if __name__ == "__main__":
    sys.exit(main())

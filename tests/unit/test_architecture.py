"""The promises of the layout that import-linter cannot state."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "wakerobin"
CORE = sorted((SOURCE / "core").rglob("*.py"))
EVERYTHING = sorted(p for folder in ("src", "tests", "bench") for p in (ROOT / folder).rglob("*.py"))

MAY_BE_IMPORTED = frozenset(
    {"__future__", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime", "enum"}
    | {"functools", "hashlib", "heapq", "hmac", "ipaddress", "itertools", "math", "re", "struct"}
    | {"typing", "wakerobin", "zoneinfo"}
)
"""What cannot act: no clock, no chance, no socket, no file."""

LONGEST_FILE = 600


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_core_imports_only_what_cannot_act(path: Path) -> None:
    assert set(_imported(path)) <= MAY_BE_IMPORTED


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_core_never_asks_what_time_it_is(path: Path) -> None:
    text = path.read_text()
    for call in (".now(", ".today(", ".utcnow("):
        assert call not in text


def test_no_file_is_longer_than_its_limit() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in EVERYTHING
        if (n := len(p.read_text().splitlines())) > LONGEST_FILE
    }
    assert not long


def test_no_test_waits_instead_of_jumping_the_clock() -> None:
    """A pause of zero lets the loop run; peers that only time can bring along are waited for in one place."""
    waits = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "sleep"
            ):
                is_zero = (
                    isinstance(node.args[0], ast.Constant) and node.args[0].value == 0 if node.args else False
                )
                # Without a duration it is a phone that goes to sleep.
                if (node.args or node.keywords) and not is_zero:
                    waits.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    allowed = {"tests/interop/peers/network.py"}
    assert [w for w in waits if w.split(":")[0] not in allowed] == []

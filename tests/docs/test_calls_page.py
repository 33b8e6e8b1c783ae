"""The table of races in docs/calls.md: each names its test, and there is one of that name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(
    r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", (ROOT / "docs/calls.md").read_text("utf-8")
)


def test_the_table_names_tests() -> None:
    assert len(NAMED) >= 13


@pytest.mark.parametrize(("name", "file"), NAMED)
def test_every_race_of_the_page_is_replayed_by_the_test_that_it_names(name: str, file: str) -> None:
    assert f"def {name}(" in (ROOT / file).read_text("utf-8")

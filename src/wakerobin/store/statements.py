"""SQL is text: named, described statements in `sql/*.sql`, one file for a table group.

A statement begins with `-- its_name --`; the comment below says what it does.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from types import MappingProxyType

_HEADER = re.compile(r"^-- (\w+) --$", re.MULTILINE)


@cache
def load(group: str) -> MappingProxyType[str, str]:
    """Return the statements of `sql/<group>.sql` by name."""
    text = resources.files("wakerobin.store").joinpath("sql", f"{group}.sql").read_text("utf-8")
    return MappingProxyType(parse(text))


def parse(text: str) -> dict[str, str]:
    """Split a file of statements. Raises ValueError for what has no name, no description or no SQL."""
    before, *parts = _HEADER.split(text)
    if before.strip():
        raise ValueError("something stands before the first `-- name --`")
    statements: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        description, sql = _split(body.strip())
        if not description or not sql:
            raise ValueError(f"statement {name} needs a comment that describes it, and SQL below")
        if name in statements:
            raise ValueError(f"there are two statements {name}")
        statements[name] = sql
    return statements


def _split(body: str) -> tuple[str, str]:
    lines = body.splitlines()
    count = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return " ".join(lines[:count]), "\n".join(lines[count:]).strip()

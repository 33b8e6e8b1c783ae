"""What the server in this process logs, for tests that read it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from wakerobin import log


@contextlib.contextmanager
def logged(level: str = "debug") -> Iterator[io.StringIO]:
    """Catch the log of every room, as JSON lines; afterwards it goes where it does by default."""
    caught = io.StringIO()
    log.configure(level, "json", caught)
    try:
        yield caught
    finally:
        log.configure("info")

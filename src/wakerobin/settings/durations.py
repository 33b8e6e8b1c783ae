"""Durations as people write them: `250ms`, `5s`, `30m`, `12h`, `7d`."""

from __future__ import annotations

import re

from wakerobin.core.values import Duration

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SHAPE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(ms|s|m|h|d)\Z")

LONGEST = 400 * _UNITS["d"]
"""No duration of the configuration is longer than the longest lifetime."""


def parse_duration(text: str) -> Duration:
    """Return milliseconds. Raises ValueError that says how a duration is written."""
    shape = _SHAPE.match(text.strip())
    if shape is None:
        raise ValueError(f"{text!r} is no duration; write a number with ms, s, m, h or d, such as 12h")
    milliseconds = round(float(shape.group(1)) * _UNITS[shape.group(2)])
    if milliseconds > LONGEST:
        raise ValueError(f"{text!r} is longer than 400d")
    return Duration(milliseconds)

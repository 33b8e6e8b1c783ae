"""The Retry-After field (RFC 9110 10.2.3), as push services write it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

_MOST: Final = 86_400_000


def retry_after(text: str, now: int) -> int:
    """Return how long to wait, in milliseconds, a day at most; 0 where nothing that can be read is said.

    `now` is epoch milliseconds: the field may name a date instead of seconds.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return min(int(text) * 1000, _MOST)
    try:
        at = parsedate_to_datetime(text)
        return max(0, min(round(at.timestamp() * 1000) - now, _MOST))
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0

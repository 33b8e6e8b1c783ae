"""What waits in an account's mailbox, as its PBX says it (RFC 3842). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from wakerobin.core.errors import SipSyntaxError

SUMMARY: Final = "application/simple-message-summary"
MOST: Final = 9_999
"""More than that nobody counts, and no icon shows."""

_COUNTS: Final = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})(?:\s*\(\s*(\d{1,9})\s*/\s*(\d{1,9})\s*\))?\Z")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """How many voice messages there are; `new` is 0 also where the PBX only says that some wait."""

    waiting: bool
    new: int = 0
    old: int = 0
    urgent: int = 0
    """How many of the new ones are urgent."""


EMPTY: Final = Mailbox(waiting=False)


def read_summary(body: bytes) -> Mailbox:
    """Read a message summary. Raises SipSyntaxError where it does not say whether messages wait.

    Counts of other media (fax, pager) and lines that are not understood are passed over.
    """
    said: dict[str, str] = {}
    for line in body.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            said.setdefault(name.strip().lower(), value.strip())
    waits = said.get("messages-waiting", "").lower()
    if waits not in ("yes", "no"):
        raise SipSyntaxError("The summary does not say whether messages wait")
    counts = _COUNTS.match(said.get("voice-message", ""))
    if counts is None:
        return Mailbox(waits == "yes")
    new, old, urgent, _ = (min(int(count or 0), MOST) for count in counts.groups())
    # Some PBXs say "no" while they count: what they count is what they know.
    return Mailbox(waits == "yes" or new > 0, new, old, min(urgent, new))


def is_news(before: Mailbox | None, after: Mailbox) -> bool:
    """Whether the user has something new to hear; what was listened to or deleted elsewhere is none."""
    known = before or EMPTY
    return after.waiting and (after.new > known.new or not known.waiting)


def is_change(before: Mailbox | None, after: Mailbox) -> bool:
    """Whether there is anything to tell at all: a mailbox that was never heard of counts as empty."""
    known = before or EMPTY
    return (known.waiting, known.new, known.old) != (after.waiting, after.new, after.old)

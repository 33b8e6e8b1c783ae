"""Alarms: what somebody who runs the server has to know until it is over, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that stands until it is mended; it outlives a restart."""

    name: str
    """What it is about, `<kind>:<whose>`, e.g. `push-refused:phone/apns`: there is one of each name."""
    since_at: int
    """Epoch milliseconds at which it was raised first."""
    words: str
    """One or two sentences: what is wrong, and how it is mended. No secret, no token, no account."""


class Alarms(Protocol):
    """The alarms that stand."""

    def put(self, alarm: Alarm) -> None:
        """Raise it. One of this name that stands already keeps its `since_at` and gets the new words."""
        ...

    def clear(self, name: str) -> bool:
        """Take it back; False: it did not stand."""
        ...

    def all(self) -> list[Alarm]:
        """Return those that stand, the oldest first."""
        ...

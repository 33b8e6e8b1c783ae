"""How many accepted connections there are: in all, by source, unproven ones, and TLS handshakes under way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from wakerobin.net.limits import StreamLimits


@dataclass(slots=True)
class _Entry:
    source: str
    is_proven: bool


class Census:
    """Counts by the numbers of the connections. Knows no socket."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._entries: dict[int, _Entry] = {}
        # In the order of their coming: the oldest goes first.
        self._unproven: dict[int, None] = {}
        self._shaking: dict[int, None] = {}
        self._of_source: Counter[str] = Counter()
        self._unproven_of: Counter[str] = Counter()

    def refusal(self, source: str) -> str:
        """Return why one more of this source is to be closed at once, or nothing."""
        if self._of_source[source] >= self._limits.connections_from_one:
            return "source-connections"
        if self._unproven_of[source] >= self._limits.unproven_from_one:
            return "source-unproven"
        if len(self._entries) >= self._limits.connections and not self._unproven:
            return "connections"
        return ""

    def to_evict(self, *, is_tls: bool) -> tuple[int, str] | None:
        """Return which connection has to make room for one more, and what it is; None: there is room."""
        if is_tls and len(self._shaking) >= self._limits.handshakes:
            return next(iter(self._shaking)), "handshake"
        if len(self._entries) >= self._limits.connections and self._unproven:
            return next(iter(self._unproven)), "unproven"
        return None

    def enter(self, number: int, source: str, *, is_shaking: bool, is_proven: bool) -> None:
        """Count a connection in."""
        self._entries[number] = _Entry(source, is_proven)
        self._of_source[source] += 1
        if is_shaking:
            self._shaking[number] = None
        if not is_proven:
            self._unproven[number] = None
            self._unproven_of[source] += 1

    def shaken(self, number: int) -> bool:
        """Its handshake is over, well or badly. False: that was known."""
        return self._shaking.pop(number, 0) is None

    def proven(self, number: int) -> None:
        """It is no stranger's any more."""
        entry = self._entries.get(number)
        if entry is not None and not entry.is_proven:
            entry.is_proven = True
            self._forget_unproven(number, entry.source)

    def leave(self, number: int) -> None:
        """Count a connection out."""
        entry = self._entries.pop(number, None)
        if entry is None:
            return
        self.shaken(number)
        _less(self._of_source, entry.source)
        if not entry.is_proven:
            self._forget_unproven(number, entry.source)

    def _forget_unproven(self, number: int, source: str) -> None:
        del self._unproven[number]
        _less(self._unproven_of, source)


def _less(counter: Counter[str], source: str) -> None:
    counter[source] -= 1
    if not counter[source]:
        del counter[source]

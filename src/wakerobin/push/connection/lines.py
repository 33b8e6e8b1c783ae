"""The lines of one purpose: as many as were asked for, and more while requests wait for HTTP/1.1."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from wakerobin.push.connection.connection import Connection
from wakerobin.push.connection.line import Line, LineOwner, Surroundings
from wakerobin.push.connection.origin import Origin

_PAUSE_S: Final = 1.0


class Lines:
    """`count` lines, and up to `most` where a connection carries one request at a time.

    `stay`: they are kept open while nothing is sent.
    """

    def __init__(  # noqa: PLR0913 - what a line needs, then how many
        self,
        owner: LineOwner,
        origin: Origin,
        numbers: Iterator[int],
        around: Surroundings,
        *,
        count: int,
        most: int,
        stay: bool,
    ) -> None:
        self._make = partial(Line, owner, origin, numbers=numbers, around=around)
        self._lines = [self._make(number=number, stays=stay) for number in range(count)]
        self._clock = around.clock
        self._grows_from = 0.0
        self._count = count
        self._most = most
        self._next = count

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def __contains__(self, line: Line) -> bool:
        return line in self._lines

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def are_failing(self) -> bool:
        """Whether none is open and the last attempts to open each have failed."""
        return all(line.is_failing for line in self._lines)

    @property
    def reason(self) -> str:
        """Why one of them is not connected; empty if all are."""
        return next((line.reason for line in self._lines if line.connection is None), "")

    def free(self, but: Connection | None = None) -> Connection | None:
        """Return the free connection with the least on it; of equals, the one that was quiet longest.

        With HTTP/1.1 the one that was used last: so those that are not needed grow idle and close.
        """
        free = [
            c
            for c in (line.connection for line in self._lines)
            if c is not None and c is not but and c.is_free
        ]
        return min(free, key=_rank, default=None)

    def open(self, waiting: int, *, hurry: bool = False) -> None:
        """Have room for so many requests that wait."""
        for line in self._lines:
            if hurry:
                line.hurry()
            elif line.connection is None:
                line.open()
        is_one_by_one = any(line.connection and line.connection.takes_one for line in self._lines)
        if is_one_by_one and self._clock.monotonic() >= self._grows_from:
            opening = sum(line.is_opening for line in self._lines)
            for _ in range(min(waiting - opening, self._most - len(self._lines))):
                line = self._make(number=self._next, stays=False)
                self._next += 1
                self._lines.append(line)
                line.open()

    def drop(self, line: Line) -> None:
        """The line has no connection any more: forget it, unless it is one of those that were asked for."""
        if line in self._lines[self._count :]:
            if line.failures:
                # A peer that takes no more of them is not to be asked at every turn.
                self._grows_from = self._clock.monotonic() + _PAUSE_S
            self._lines.remove(line)
            line.retire()


def _rank(connection: Connection) -> tuple[int, float]:
    if connection.takes_one:
        return 0, -connection.heard_at
    return connection.in_flight, connection.heard_at

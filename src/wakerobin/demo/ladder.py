"""A ladder diagram that grows line by line: who says what to whom, and when."""

from __future__ import annotations

import enum

from wakerobin.demo.page import Page

_INDENT = 11
_FIRST = 2
_AFTER_LAST = 4


class Who(enum.Enum):
    """The columns, from left to right; the value is the name above."""

    PBX = "PBX"
    WAKEROBIN = "Wakerobin"
    APNS = "APNs"
    PHONE = "phone"


class Ladder:
    """Draws arrows between the columns. Times are seconds since `started_at`."""

    def __init__(self, page: Page, started_at: float) -> None:
        self._page = page
        self._started_at = started_at
        span = page.width - _INDENT - _FIRST - _AFTER_LAST
        self._places = {who: _FIRST + span * at // (len(Who) - 1) for at, who in enumerate(Who)}

    def head(self) -> None:
        """Write the names of the columns."""
        line = ""
        for who, place in self._places.items():
            line = line.ljust(max(0, place - len(who.value) // 2)) + who.value
        self._page.line(f"{' ' * _INDENT}{self._page.painted(line, 'bold')}")

    def arrow(self, at: float, source: Who, target: Who, label: str, *colours: str) -> None:
        """Draw one message."""
        left, right = sorted((self._places[source], self._places[target]))
        inner = right - left - 1
        text = f" {label} "[: inner - 1]
        lead = max(0, (inner - len(text)) // 2)
        tail = inner - len(text) - lead
        if self._places[source] == left:
            begin, end = "─" * lead, "─" * (tail - 1) + "►"
        else:
            begin, end = "◄" + "─" * (lead - 1), "─" * tail
        paint = self._page.painted
        places = self._places.values()
        line = [paint("│" if x in places else " ", "dim") for x in range(max(places) + 1)]
        line[left + 1 : right] = [f"{paint(begin, 'dim')}{paint(text, *colours)}{paint(end, 'dim')}"]
        self._page.line(f"{self._time(at)}{''.join(line)}")

    def note(self, at: float, text: str) -> None:
        """Write between the arrows what no message shows."""
        self._page.line(f"{self._time(at)}{self._page.painted(text, 'yellow')}")

    def _time(self, at: float) -> str:
        return self._page.painted(f"{at - self._started_at:8.3f}".ljust(_INDENT), "dim")

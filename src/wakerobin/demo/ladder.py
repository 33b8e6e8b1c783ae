"""A ladder diagram that grows line by line: who says what to whom, and when."""

from __future__ import annotations

import enum

from wakerobin.demo.page import Page

_INDENT = 11


class Who(enum.Enum):
    """The columns; the value is where each stands."""

    PBX = 3
    WAKEROBIN = 31
    APNS = 56
    PHONE = 81

    @property
    def title(self) -> str:
        """What stands above the column."""
        return {"PBX": "PBX", "APNS": "APNs", "PHONE": "phone"}.get(self.name, "Wakerobin")


class Ladder:
    """Draws arrows between the columns. Times are seconds since `started_at`."""

    def __init__(self, page: Page, started_at: float) -> None:
        self._page = page
        self._started_at = started_at

    def head(self) -> None:
        """Write the names of the columns."""
        line = [" "] * (Who.PHONE.value + 6)
        for who in Who:
            begin = max(0, who.value - len(who.title) // 2)
            line[begin : begin + len(who.title)] = who.title
        self._page.line(f"{' ' * _INDENT}{self._page.painted(''.join(line), 'bold')}")

    def arrow(self, at: float, source: Who, target: Who, label: str, *colours: str) -> None:
        """Draw one message."""
        left, right = sorted((source.value, target.value))
        inner = right - left - 1
        text = f" {label} "[:inner]
        lead = max(0, (inner - len(text)) // 2)
        tail = inner - len(text) - lead
        is_rightward = source is not target and source.value == left
        begin = "─" * lead if is_rightward else "◄" + "─" * max(0, lead - 1)
        end = "─" * max(0, tail - 1) + "►" if is_rightward else "─" * tail
        paint = self._page.painted
        lines = [paint("│" if x in _PLACES else " ", "dim") for x in range(Who.PHONE.value + 1)]
        drawn = f"{paint(begin, 'dim')}{paint(text, *colours)}{paint(end, 'dim')}"
        lines[left + 1 : right] = [drawn]
        self._page.line(f"{self._time(at)}{''.join(lines)}")

    def note(self, at: float, text: str) -> None:
        """Write between the arrows what no message shows."""
        self._page.line(f"{self._time(at)}{self._page.painted(text, 'yellow')}")

    def _time(self, at: float) -> str:
        return self._page.painted(f"{at - self._started_at:8.3f}".ljust(_INDENT), "dim")


_PLACES = frozenset(who.value for who in Who)

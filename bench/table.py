"""What was measured, and the one table that shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

_COLUMNS = ("what", "measured", "beside it, in the same run", "ratio", "goal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number, and another one that says what it is worth on this machine at this moment."""

    what: str
    value: float
    unit: str
    beside: str = ""
    """What `beside_value`, of the same unit, was measured of."""
    beside_value: float = 0.0
    at_least: float = 0.0
    """The goal where more is better; 0 for none."""
    at_most: float = 0.0
    """The goal where less is better; 0 for none."""
    remark: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.at_least:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most else None

    def cells(self) -> tuple[str, ...]:
        """Return its line of the table."""
        beside = f"{self.beside}: {_shown(self.beside_value)}" if self.beside_value else self.beside
        ratio = f"{self.value / self.beside_value:.2f}" if self.beside_value else ""
        return self.what, f"{_shown(self.value)} {self.unit}", beside, ratio, self._goal()

    def _goal(self) -> str:
        if self.is_reached is None:
            return ""
        goal = f"≥ {_shown(self.at_least)}" if self.at_least else f"≤ {_shown(self.at_most)}"
        return f"{goal}: {'yes' if self.is_reached else 'no'}"


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one benchmark, or why it could not be run."""

    name: str
    title: str
    rows: tuple[Row, ...] = ()
    failure: str = ""


def to_json(rows: Iterable[Row]) -> str:
    """Return rows as a worker hands them over."""
    return json.dumps([asdict(row) for row in rows])


def from_json(text: str) -> tuple[Row, ...]:
    """Return the rows of `to_json`."""
    return tuple(Row(**row) for row in json.loads(text))


def as_text(sections: Sequence[Section]) -> str:
    """Return one table for a terminal."""
    lines = [_COLUMNS, *(row.cells() for section in sections for row in section.rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(_COLUMNS))]
    shown = ["  ".join(f"{cell:{width}}" for cell, width in zip(_COLUMNS, widths, strict=True)).rstrip()]
    for section in sections:
        shown += ["", section.title]
        if section.failure:
            shown.append(f"  failed: {section.failure}")
        for row in section.rows:
            line = "  ".join(f"{cell:{width}}" for cell, width in zip(row.cells(), widths, strict=True))
            shown.append(line.rstrip())
            if row.remark:
                shown.append(f"    {row.remark}")
    return "\n".join(shown)


def as_markdown(sections: Sequence[Section]) -> str:
    """Return the same for a page."""
    shown: list[str] = []
    for section in sections:
        shown += [f"## {section.title}", ""]
        if section.failure:
            shown += [f"Failed: {section.failure}", ""]
            continue
        shown += [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
        shown += [f"| {' | '.join(row.cells())} |" for row in section.rows]
        remarks = [f"- {row.what}: {row.remark}" for row in section.rows if row.remark]
        shown += ["", *remarks, *([""] if remarks else [])]
    return "\n".join(shown)


def _shown(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"

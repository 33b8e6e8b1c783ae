"""The picture of a simulation: how many phones had silently stopped ringing, day by day, and three bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from wakerobin.simulation.canvas import Canvas, text_width
from wakerobin.simulation.fleet import Plan, Tallies

_PAPER, _INK, _GREY, _GRID = 0, 1, 2, 3
_PALETTE = (
    (255, 255, 255),
    (34, 40, 49),
    (110, 118, 129),
    (226, 230, 235),
    (0, 122, 104),
    (222, 142, 38),
    (176, 58, 72),
    (90, 90, 160),
)
_FIRST_COLOUR = 4
_WIDTH, _HEIGHT = 1080, 720
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 1040, 134, 390
_BARS_TOP, _BARS_BOTTOM = 490, 660
_BARS = (
    ("reachable (phone on)", "reachable_while_on_share", "{:.1%}"),
    ("warnings a month", "visible_warnings_per_user_month", "{:.3f}"),
    ("silent pushes a month", "renewal_pushes_per_user_month", "{:.2f}"),
)


def picture(plan: Plan, tallies: Tallies, found: dict[str, Any]) -> bytes:
    """Return it as a PNG file."""
    canvas = Canvas(_WIDTH, _HEIGHT, _PALETTE)
    canvas.text(_LEFT, 24, f"{plan.phones:,} phones, {plan.days} days, seed {plan.seed}", _INK, 3)
    canvas.text(_LEFT, 62, "Phones that stopped ringing because their registration ended, % of all", _GREY)
    lines = {
        name: [100 * lost / plan.phones for lost in accumulate(_by_day(platforms.both().lost_days, plan))]
        for name, platforms in tallies.items()
    }
    _plot(canvas, plan.days, lines)
    for position, bars in enumerate(_BARS):
        _bars(canvas, _LEFT + position * 325, bars, found["policies"])
    return canvas.png()


def _by_day(counted: dict[int, int], plan: Plan) -> list[int]:
    return [counted.get(day, 0) for day in range(plan.days)]


def _plot(canvas: Canvas, days: int, lines: Mapping[str, Sequence[float]]) -> None:
    highest = _round_up(max((max(line) for line in lines.values()), default=0))
    for part in range(5):
        y = _BOTTOM - (_BOTTOM - _TOP) * part // 4
        canvas.box(_LEFT, y, _RIGHT - _LEFT, 1, _GRID)
        label = f"{highest * part / 4:.1f}"
        canvas.text(_LEFT - 12 - text_width(label), y - 7, label, _GREY)
    for part in range(7):
        x = _LEFT + (_RIGHT - _LEFT) * part // 6
        label = f"{days * part / 6:.0f}"
        canvas.text(x - text_width(label) // 2, _BOTTOM + 12, label, _GREY)
    canvas.text(_RIGHT - text_width("days"), _BOTTOM + 34, "days", _GREY)
    for number, (name, line) in enumerate(lines.items()):
        points = [
            (
                _LEFT + (_RIGHT - _LEFT) * (day + 1) // days,
                _BOTTOM - round((_BOTTOM - _TOP) * lost / highest),
            )
            for day, lost in enumerate(line)
        ]
        for start, end in zip([(_LEFT, _BOTTOM), *points], points, strict=False):
            canvas.line(start, end, _FIRST_COLOUR + number)
        x = _LEFT + number * 180
        canvas.box(x, _TOP - 34, 14, 14, _FIRST_COLOUR + number)
        canvas.text(x + 22, _TOP - 34, name, _INK)


def _bars(canvas: Canvas, left: int, bars: tuple[str, str, str], policies: dict[str, Any]) -> None:
    title, key, shape = bars
    canvas.text(left, _BARS_TOP - 50, title, _GREY)
    highest = max(numbers[key] for numbers in policies.values()) or 1.0
    for number, (name, numbers) in enumerate(policies.items()):
        x, height = left + number * 100, round((_BARS_BOTTOM - _BARS_TOP) * numbers[key] / highest)
        canvas.box(x, _BARS_BOTTOM - height, 70, height, _FIRST_COLOUR + number)
        label = shape.format(numbers[key])
        canvas.text(x + 35 - text_width(label) // 2, _BARS_BOTTOM - height - 18, label, _INK)
        canvas.text(x + 35 - text_width(name[:8], 1) // 2, _BARS_BOTTOM + 8, name[:8], _GREY, 1)
    canvas.box(left, _BARS_BOTTOM, 285, 1, _GREY)


def _round_up(value: float) -> float:
    """Return the next number that divides well into four."""
    power = 0.1
    while True:
        for step in (1.2, 1.6, 2.0, 4.0, 6.0, 8.0):
            if step * power >= value:
                return step * power
        power *= 10

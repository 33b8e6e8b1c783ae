"""What came of a simulation, as numbers for programs and as a table for people."""

from __future__ import annotations

from typing import Any

from wakerobin.core.values import Ended
from wakerobin.simulation.fleet import Plan, Tallies
from wakerobin.simulation.model import DAY, described
from wakerobin.simulation.tally import Tally

_MONTH = 30 * DAY
_DIGITS = 6
_COMPARED = (
    "reachable_share",
    "visible_warnings_per_user_month",
    "renewal_pushes_per_user_month",
    "lives_ended",
)

_ROWS = (
    ("reachable, of the time with the app installed", "reachable_share", "{:.2%}"),
    ("reachable, of the time with the phone on", "reachable_while_on_share", "{:.2%}"),
    ("  iPhones", "ios.reachable_while_on_share", "{:.2%}"),
    ("  Android", "android.reachable_while_on_share", "{:.2%}"),
    ("visible warnings per user and month", "visible_warnings_per_user_month", "{:.3f}"),
    ("  iPhones", "ios.visible_warnings_per_user_month", "{:.3f}"),
    ("  Android", "android.visible_warnings_per_user_month", "{:.3f}"),
    ("notices of the end per user and month", "notices_per_user_month", "{:.3f}"),
    ("silent renewal pushes per user and month", "renewal_pushes_per_user_month", "{:.2f}"),
    ("lives that needed a push", "lives_in_need", "{:,}"),
    ("  saved silently", "lives_saved_silently", "{:,}"),
    ("  saved by a warning", "lives_saved_by_warning", "{:,}"),
    ("  ended by neglect", "lives_ended", "{:,}"),
    ("lives ended because the app was removed", "lives_ended_by_uninstall", "{:,}"),
    ("calls lost because the life had ended", "calls_lost_share", "{:.2%}"),
)


def report(plan: Plan, tallies: Tallies) -> dict[str, Any]:
    """Return the one object that `--json` prints."""
    policies = {}
    for name, found in tallies.items():
        policies[name] = {
            **_numbers(found.both()),
            "ios": _numbers(found.ios),
            "android": _numbers(found.android),
        }
    for numbers in policies.values():
        numbers["beside_ladder"] = _ratios(numbers, policies["ladder"])
    return {
        "assumptions": {
            "phones": plan.phones,
            "days": plan.days,
            "seed": plan.seed,
            "reachable": "a call push sent at that moment would ring, or the app is in use",
            "times": "all phones are in one time zone, UTC; the owners' nights differ",
            **described(plan.model),
        },
        "policies": policies,
    }


def table(found: dict[str, Any]) -> list[str]:
    """Return the lines of a table: a column for each policy, and the ratios of adaptive and ladder."""
    policies = found["policies"]
    lines = [["", *policies, "adaptive / ladder"]]
    for label, path, shape in _ROWS:
        values = [_at(numbers, path) for numbers in policies.values()]
        ours, theirs = _at(policies["adaptive"], path), _at(policies["ladder"], path)
        ratio = f"{ours / theirs:.3f}" if theirs else ""
        lines.append([label, *(shape.format(value) for value in values), ratio])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        line[0].ljust(widths[0])
        + "".join(f"  {cell.rjust(width)}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]


def _numbers(tally: Tally) -> dict[str, Any]:
    months = tally.installed / _MONTH
    in_need = tally.in_need
    ended = tally.ended[Ended.EXPIRED.value]
    return {
        "phones": tally.phones,
        "reachable_share": _of(tally.reachable, tally.installed),
        "reachable_while_on_share": _of(tally.reachable, tally.on),
        "visible_warnings_per_user_month": _of(tally.warnings, months),
        "warnings_accepted_per_user_month": _of(tally.warnings_sent, months),
        "notices_per_user_month": _of(tally.notices, months),
        "renewal_pushes_per_user_month": _of(tally.renewals, months),
        "lives_in_need": in_need,
        "lives_saved_silently": tally.silent,
        "lives_saved_by_warning": tally.by_warning,
        "lives_ended": ended,
        "lives_ended_by_uninstall": tally.ended[Ended.TARGETS_GONE.value],
        "silent_share": _of(tally.silent, in_need),
        "warned_share": _of(tally.by_warning, in_need),
        "lost_share": _of(ended, in_need),
        "calls_lost_share": _of(tally.calls_lost, tally.calls),
    }


def _ratios(numbers: dict[str, Any], ladder: dict[str, Any]) -> dict[str, float]:
    return {name: _of(numbers[name], ladder[name]) for name in _COMPARED}


def _of(part: float, whole: float) -> float:
    return round(part / whole, _DIGITS) if whole else 0.0


def _at(numbers: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        numbers = numbers[name]
    return numbers

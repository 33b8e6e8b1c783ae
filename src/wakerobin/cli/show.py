"""Output: tables for people, JSON for programs. What strangers chose cannot steer the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from wakerobin.core.story import moment

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def print_json(value: Any) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(value, indent=2))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Print aligned columns, or the words for none."""
    lines = [[_cell(value) for value in row] for row in rows]
    if not lines:
        click.echo(empty)
        return
    widths = [max(map(len, column)) for column in zip(headers, *lines, strict=True)]
    for line in ([name.upper() for name in headers], *lines):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def print_details(value: Mapping[str, Any]) -> None:
    """Print an object, a field a line; what is empty is left out."""
    for line in _lines(value, ""):
        click.echo(line)


def print_events(events: Iterable[Mapping[str, Any]]) -> None:
    """Print a story."""
    rows = [(_precise(event["at"]), event["text"]) for event in events]
    print_table(("when", "what happened"), rows, "Nothing has happened yet.")


def print_with_events(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print an object, and below it the story that it brings as `events`."""
    if as_json:
        print_json(found)
        return
    print_details({name: value for name, value in found.items() if name != "events"})
    print_events(found["events"])


def when(at: int) -> str:
    """Return epoch milliseconds as people read them; nothing for never."""
    return moment(at) if at else ""


def _precise(at: int) -> str:
    return moment(at).replace(" UTC", f".{at % 1000:03d} UTC")


def _lines(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, inner in value.items():
        label = f"{indent}{name.replace('_', ' ')}:"
        if isinstance(inner, Mapping):
            if inner:
                yield label
                yield from _lines(inner, f"{indent}  ")
        elif isinstance(inner, list) and inner and isinstance(inner[0], Mapping):
            yield label
            yield from (f"{indent}  {_item(one)}" for one in inner)
        elif inner not in ("", None, [], 0) or inner is False:
            shown = when(inner) if name.endswith("_at") or name == "at" else _cell(inner)
            yield f"{label} {shown}"


def _item(value: Mapping[str, Any]) -> str:
    parts = []
    for name, inner in value.items():
        if name.endswith("_at") and not inner:
            continue
        is_time = name.endswith("_at") or name == "at"
        parts.append(f"{name.replace('_', ' ')} {when(inner) if is_time else _cell(inner)}")
    return ", ".join(parts)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_cell(one) for one in value)
    return "".join(char if char.isprintable() else "�" for char in str(value))

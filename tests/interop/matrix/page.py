"""The tables of docs/interop.md, from what a run found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

from tests.interop.matrix.cells import CELLS, CLIENTS, PBXS, TRANSFERS, Cell, Transfer

PAGE = Path(__file__).parents[3] / "docs" / "interop.md"
START, END = "<!-- made by the tests -->\n", "<!-- end -->\n"
WORKS = "works"

Results = Callable[[Cell | Transfer], str]
"""What became of a cell or a transfer, in a word or a few."""


def expected(one: Cell | Transfer) -> str:
    """What a cell has to come to: it works, or the client has a limit that the suite asserts."""
    limit = one.limit if isinstance(one, Cell) else ""
    return f"no: {limit}" if limit else WORKS


def tables(found: Results = expected) -> str:
    """Return the tables of calls and of transfers."""
    return f"### Calls\n\n{_calls(found)}\n\n### Transfers\n\n{_transfers(found)}\n"


def _calls(found: Results) -> str:
    lines = [
        "| client | PBX | digest | phone by | PBX by UDP | TCP | TLS |",
        "|---|---|---|---|---|---|---|",
    ]
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for cell in sorted(CELLS, key=lambda one: (CLIENTS.index(one.client), PBXS.index(one.pbx))):
        row = (cell.client, cell.pbx, cell.digest, cell.phone.upper())
        rows.setdefault(row, {})[cell.trunk] = found(cell)
    for words, by_trunk in rows.items():
        lines.append(_line([*words, *(by_trunk.get(trunk, "–") for trunk in ("udp", "tcp", "tls"))]))
    return "\n".join(lines)


def _transfers(found: Results) -> str:
    lines = [
        "| client | PBX | sends its caller elsewhere | is sent elsewhere | joins its two calls | is joined |",
        "|---|---|---|---|---|---|",
    ]
    by_place = {(one.client, one.pbx, one.attended, one.by_phone): found(one) for one in TRANSFERS}
    for client, pbx in dict.fromkeys((one.client, one.pbx) for one in TRANSFERS):
        kinds = product((False, True), (True, False))
        lines.append(_line([client, pbx, *(by_place.get((client, pbx, *kind), "–") for kind in kinds)]))
    return "\n".join(lines)


def _line(words: Iterable[str]) -> str:
    return f"| {' | '.join(words)} |"


def rewritten(page: str, made: str) -> str:
    """Return a page with the part that the tests make replaced. ValueError: it has none."""
    head, start, rest = page.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise ValueError("the page has no part that the tests make")
    return f"{head}{START}\n{made}\n{END}{tail}"

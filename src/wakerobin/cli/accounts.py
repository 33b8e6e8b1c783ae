"""`wakerobin accounts`: the accounts of a PBX or of another push server, taken in together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import click

from wakerobin.cli.failures import Failure
from wakerobin.cli.flags import Configured, configured
from wakerobin.cli.sources import Json, Source, source
from wakerobin.cli.spreadsheet import Line, read_lines

_AT_ONCE = 20
"""So many lines go in one request and one transaction."""
_MOST_SHOWN = 50

_WORDS = {
    "imported": "taken in; each is tried at its PBX",
    "waiting": "taken in before; the PBX has not answered yet",
    "known": "there already",
    "refused": "refused",
}


@click.group()
def accounts() -> None:
    """Take in the accounts of a file."""


@accounts.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.csv")
@click.option(
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what is wrong here, a line for each, rather than to the terminal.",
)
@configured("store")
def import_(configuration: Configured, file: Path, errors: Path | None) -> None:
    """Take in accounts with their push targets; the first line names the columns (docs/operating.md).

    A file can be taken in again, after an interruption too: what is there already stays as it is.
    """
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with source(configuration.options) as asked:
        lines = read_lines(file)
        with click.progressbar(length=max(1, file.stat().st_size), label="Taking in", width=0) as bar:
            read = 0
            for number, result, reason, octets in _taken(asked, lines):
                counts[result] += 1
                if result == "refused":
                    wrong.append(f"line {number}: {reason}")
                bar.update(octets - read)
                read = octets
    _report(wrong, errors)
    for result, words in _WORDS.items():
        if counts[result]:
            click.echo(f"{counts[result]} {words}")
    if not counts:
        click.echo("The file has no accounts.")
    if wrong:
        raise Failure(
            f"{len(wrong)} of {counts.total()} lines were refused; mend them and import the file again"
        )


def _taken(
    asked: Source, lines: Iterable[tuple[int, Line | str, int]]
) -> Iterator[tuple[int, str, str, int]]:
    """Take in lines some at a time; gives (line number, result, reason, octets read) for each."""
    rest = iter(lines)
    while batch := list(islice(rest, _AT_ONCE)):
        sent: list[Json] = [line for _, line, _ in batch if not isinstance(line, str)]
        answers = iter(asked.import_lines(sent) if sent else [])
        for number, line, octets in batch:
            if isinstance(line, str):
                yield number, "refused", line, octets
            else:
                answer = next(answers)
                yield number, answer["result"], answer["reason"], octets


def _report(wrong: list[str], errors: Path | None) -> None:
    if errors is not None:
        try:
            errors.write_text("".join(f"{line}\n" for line in wrong), encoding="utf-8")
        except OSError as error:
            raise Failure(f"{errors} cannot be written: {error.strerror}") from None
        return
    for line in wrong[:_MOST_SHOWN]:
        click.echo(line, err=True)
    if len(wrong) > _MOST_SHOWN:
        click.echo(f"… and {len(wrong) - _MOST_SHOWN} more; --errors FILE keeps all of them", err=True)

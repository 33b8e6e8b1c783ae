"""`wakerobin simulate`: what the policies do to a fleet of modelled phones."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from wakerobin.cli.failures import Failure
from wakerobin.cli.show import JSON, print_json


@click.command()
@click.option("--phones", type=click.IntRange(1, 10_000_000), default=10_000, show_default=True, metavar="N")
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, metavar="D")
@click.option("--seed", type=int, default=1, show_default=True, metavar="S", help="Other luck.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png", help="Draw a picture, too."
)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    metavar="P",
    help="How many at once; the result is the same. Default: one for each core.",
)
@JSON
def simulate(
    phones: int, days: int, seed: int, plot: Path | None, processes: int | None, *, as_json: bool
) -> None:
    """Simulate a fleet: how long phones stay reachable, and what their owners see.

    The server's own decisions of lives and deliveries; people and phones by stated assumptions
    (docs/simulation.md). The same numbers give the same result, to the byte.
    """
    from wakerobin import simulation  # nobody else needs it

    plan = simulation.Plan(phones=phones, days=days, seed=seed)
    with click.progressbar(
        length=phones, label="Simulating", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        seen = 0

        def progress(done: int) -> None:
            nonlocal seen
            bar.update(done - seen)
            seen = done

        tallies = simulation.simulate(plan, processes or os.cpu_count() or 1, progress)
    found = simulation.report(plan, tallies)
    if plot is not None:
        _write(plot, simulation.picture(plan, tallies, found))
    if as_json:
        print_json(found)
        return
    _print(found, simulation.table(found))


def _print(found: dict[str, Any], lines: list[str]) -> None:
    assumed = found["assumptions"]
    click.echo(f"{assumed['phones']:,} phones, {assumed['days']} days, seed {assumed['seed']}\n")
    for line in lines:
        click.echo(line.rstrip())
    click.echo("\nReachable: " + assumed["reachable"] + ".")
    click.echo("What is assumed of people and phones, with sources: --json, or docs/simulation.md.")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}.") from None

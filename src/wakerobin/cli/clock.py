"""`wakerobin clock`: a clock in doubt is believed again."""

from __future__ import annotations

import click

from wakerobin.cli.flags import Configured, configured
from wakerobin.cli.sources import source


@click.group()
def clock() -> None:
    """Say that a clock in doubt is right."""


@clock.command()
@configured("store")
def confirm(configuration: Configured) -> None:
    """Confirm that the clock of this machine is right after it stepped; lives go on by it."""
    with source(configuration.options) as asked:
        was_in_doubt = asked.confirm_clock()
    click.echo("Lives go by this clock again." if was_in_doubt else "The clock is not in doubt.")

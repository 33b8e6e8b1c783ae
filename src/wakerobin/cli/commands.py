"""The commands and what they are called."""

from __future__ import annotations

import sys

import click

import wakerobin
from wakerobin.cli.accounts import accounts
from wakerobin.cli.calls import calls
from wakerobin.cli.clock import clock
from wakerobin.cli.doctor import doctor
from wakerobin.cli.guests import guests
from wakerobin.cli.push import push
from wakerobin.cli.registrations import registrations
from wakerobin.cli.serve import serve
from wakerobin.cli.simulate import simulate

_EPILOG = (
    "Exit codes: 0 done, 1 not found or failed, 2 usage or configuration, "
    "3 no server answers and there is no data to read."
)


@click.group(epilog=_EPILOG)
@click.version_option(wakerobin.__version__, prog_name="wakerobin", message="%(prog)s %(version)s")
def wakerobin_command() -> None:
    """Wakerobin wakes sleeping softphones: a SIP push server."""


@click.command()
def demo() -> None:
    """Show a sleeping phone being woken, and a week of its life. Nothing is needed and nothing is left."""
    from wakerobin.demo import main as run  # the demo brings a PBX and a push service; nobody else needs them

    sys.exit(run())


for _command in (serve, demo, simulate, registrations, accounts, calls, guests, push, clock, doctor):
    wakerobin_command.add_command(_command)


def main() -> None:
    """Run the command that the command line names, and exit."""
    wakerobin_command(prog_name="wakerobin")

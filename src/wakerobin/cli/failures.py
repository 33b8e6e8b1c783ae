"""How a command ends that could not do what it was asked for: one line on standard error, and a code."""

from __future__ import annotations

from typing import IO, Any

import click


class Failure(click.ClickException):
    """Ends the command; the message says what to do."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it, on one line."""
        click.echo(f"wakerobin: {' '.join(self.message.split())}", file=file, err=file is None)


class Misconfigured(Failure):
    """A setting that a person has to mend."""

    exit_code = 2


class Nobody(Failure):
    """No server answers, and there is no data to read."""

    exit_code = 3

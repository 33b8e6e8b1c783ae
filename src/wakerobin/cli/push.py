"""`wakerobin push`: what belongs to the push services of an app."""

from __future__ import annotations

from pathlib import Path

import click

from wakerobin.cli.failures import Failure, Misconfigured
from wakerobin.cli.flags import Configured, configured
from wakerobin.core.errors import ConfigurationError


@click.group()
def push() -> None:
    """Set up the push services of an app."""


@push.command("webpush-key")
@click.argument("app")
@click.option(
    "--make",
    "new_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Make a new key in FILE first, which must not exist.",
)
@configured()
def webpush_key(configuration: Configured, app: str, new_file: Path | None) -> None:
    """Print the public key with which the web app of APP subscribes to pushes.

    Subscriptions belong to the key for life: keep its file, and a copy of it.
    """
    if new_file is not None:
        _make(app, new_file)
        return
    from wakerobin.push.webpush import public_key  # half a second of imports that other commands do not need

    found = configuration.options.apps.get(app)
    if found is None or found.webpush is None:
        raise Failure(
            f"there is no [apps.{app}.webpush] in {configuration.file}; "
            f"make a key for it with `wakerobin push webpush-key {app} --make FILE`"
        )
    try:
        click.echo(public_key(found.webpush, f"apps.{app}.webpush"))
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None


def _make(app: str, file: Path) -> None:
    from wakerobin.push.webpush import make_key_file

    try:
        public = make_key_file(file)
    except FileExistsError:
        raise Failure(
            f"{file} exists; a key is never written over, as its subscriptions would be lost"
        ) from None
    except OSError as error:
        raise Failure(f"{file} cannot be written ({error.strerror})") from None
    click.echo(public)
    click.echo(
        f'\nFor wakerobin.toml:\n\n[apps.{app}.webpush]\nvapid_key_file = "{file.absolute()}"\n'
        'subject = "mailto:you@example.com"  # whom push services may ask',
        err=True,
    )

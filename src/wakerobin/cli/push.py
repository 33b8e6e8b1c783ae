"""`wakerobin push`: what belongs to the push services of an app."""

from __future__ import annotations

import time
from pathlib import Path

import click

from wakerobin.cli.failures import Failure, Misconfigured
from wakerobin.cli.flags import Configured, configured
from wakerobin.cli.sources import Json, Source, source
from wakerobin.core.errors import ConfigurationError
from wakerobin.core.story import duration

_PATIENCE_S = 35.0
"""A little longer than a call push is tried."""
_LOOK_S = 0.2


@click.group()
def push() -> None:
    """Set up and try the push services of an app."""


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


@push.command()
@click.argument("id_", metavar="REGISTRATION")
@click.option(
    "--wait",
    default=20,
    type=click.IntRange(0, 60),
    show_default=True,
    help="Seconds to wait for what the app reports.",
)
@configured("store")
def test(configuration: Configured, id_: str, wait: int) -> None:
    """Send a test push through the lane of calls, and tell what the push service and the app say of it."""
    with source(configuration.options) as asked:
        found = asked.test_push(id_)
        if found is None:
            raise Failure(f"there is no push registration {id_}; `wakerobin registrations list` shows them")
        found = _awaited(asked, id_, found, "sent", _PATIENCE_S)
        for target in found["targets"]:
            after = f" after {duration(target['after_ms'])}" if target["after_ms"] else ""
            reason = f": {target['reason']}" if target["reason"] else ""
            click.echo(f"{target['provider'] or 'push'}: {target['state']}{after}{reason}")
        if found["state"] == "failed":
            raise Failure("no push service took it; `wakerobin doctor push` says more")
        found = _awaited(asked, id_, found, "accepted", wait)
    if found["state"] == "received":
        click.echo(
            f"The app reported that it came, {duration(found['received_at'] - found['sent_at'])} after."
        )
    elif wait:
        click.echo(f"The app has reported nothing within {wait} s; one that sends no receipts never does.")


def _awaited(asked: Source, id_: str, found: Json, state: str, seconds: float) -> Json:
    """Ask until a test has left a state, or so long."""
    until = time.monotonic() + seconds
    while found["state"] in ("waiting", state) and time.monotonic() < until:
        time.sleep(_LOOK_S)
        found = asked.test_push(id_, found["id"]) or found
    return found


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

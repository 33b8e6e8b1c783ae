"""`wakerobin doctor`: what is wrong here, and how it is mended."""

from __future__ import annotations

from collections.abc import Iterable

import click

from wakerobin.cli.failures import Failure
from wakerobin.cli.flags import Configured, configured
from wakerobin.cli.show import JSON, print_json, when
from wakerobin.cli.sources import Json, source


@click.group()
def doctor() -> None:
    """Say what is wrong, and how it is mended."""


@doctor.command()
@click.argument("app", default="", metavar="[APP]")
@JSON
@configured("store")
def push(configuration: Configured, app: str, as_json: bool) -> None:  # noqa: FBT001
    """Ask every push service of an app, or of all, whether it takes our pushes. No phone is disturbed."""
    apps = configuration.options.apps
    if app and app not in apps:
        raise Failure(f"there is no app {app} in {configuration.file}; there is {', '.join(apps) or 'none'}")
    if not apps:
        raise Failure(f"there is no app in {configuration.file}: add [apps.NAME] (docs/configuration.md)")
    with source(configuration.options) as asked:
        found = asked.check_push(app)
    _tell(found["checks"], as_json=as_json)


@doctor.command()
@JSON
@configured("store")
def alarms(configuration: Configured, as_json: bool) -> None:  # noqa: FBT001
    """List what the server found wrong by itself and has not seen mended."""
    with source(configuration.options) as asked:
        found = asked.alarms()["alarms"]
    if as_json:
        print_json({"alarms": found})
    for alarm in () if as_json else found:
        click.echo(f"since {when(alarm['since_at'])}: {alarm['text']}")
    if found:
        raise Failure(f"{len(found)} {'alarm stands' if len(found) == 1 else 'alarms stand'}")
    if not as_json:
        click.echo("Nothing is wrong.")


def _tell(checks: Iterable[Json], *, as_json: bool) -> None:
    found = list(checks)
    if as_json:
        print_json({"checks": found})
    for check in () if as_json else found:
        who = f"{check['app']} {check['provider']}".strip()
        click.echo(f"{'ok   ' if check['good'] else 'WRONG'} {who}: {check['text']}")
    wrong = sum(not check["good"] for check in found)
    if wrong:
        raise Failure(f"{wrong} of {len(found)} checks failed")

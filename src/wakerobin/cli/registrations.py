"""`wakerobin registrations`: whom this server wakes."""

from __future__ import annotations

import click

from wakerobin.cli.failures import Failure
from wakerobin.cli.flags import Configured, configured
from wakerobin.cli.show import JSON, print_details, print_events, print_json, print_table, when
from wakerobin.cli.sources import Json, Source, source
from wakerobin.settings import parse_duration

_COUNTED = {
    "saved-silently": "saved silently",
    "saved-by-warning": "by a warning",
    "ended-by-neglect": "ended: neglect",
    "ended-by-uninstall": "uninstall",
    "ended-by-trouble": "PBX",
    "ended-deleted": "deleted",
    "warnings": "warnings",
    "renewal-pushes": "renewal pushes",
}
"""What is shown of the counts, and the heads of its columns."""
_LONGEST_S = 400 * 86_400


@click.group()
def registrations() -> None:
    """Show, extend, warn and end push registrations."""


@registrations.command("list")
@click.option("--aor", default="", metavar="TEXT", help="Those whose address contains this.")
@click.option("--limit", default=100, type=click.IntRange(1), show_default=True, help="How many at most.")
@click.option("--after", default=0, type=click.IntRange(0), help="Where the last list ended.")
@JSON
@configured("store")
def list_(configuration: Configured, aor: str, limit: int, after: int, as_json: bool) -> None:  # noqa: FBT001
    """List them in the order of their enrolment."""
    with source(configuration.options) as asked:
        found = _page(asked, after, limit, aor)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            one["aor"],
            one["app"],
            one["platform"],
            one["stage"],
            one["binding"],
            when(one["expires_at"]),
        )
        for one in found["registrations"]
    ]
    print_table(
        ("id", "aor", "app", "platform", "stage", "binding", "lives until"),
        rows,
        "There is no push registration.",
    )
    if found["next"]:
        click.echo(f"There are more: --after {found['next']}")


@registrations.command()
@click.argument("id_", metavar="ID")
@JSON
@configured("store")
def show(configuration: Configured, id_: str, as_json: bool) -> None:  # noqa: FBT001
    """Show one with its account, its targets and its plan."""
    with source(configuration.options) as asked:
        found = _known(asked.registration(id_), id_)
    print_json(found) if as_json else print_details(found)


@registrations.command()
@click.argument("id_", metavar="ID")
@JSON
@configured("store")
def timeline(configuration: Configured, id_: str, as_json: bool) -> None:  # noqa: FBT001
    """Tell what happened to one, in words."""
    with source(configuration.options) as asked:
        found = _known(asked.registration_timeline(id_), id_)
    print_json(found) if as_json else print_events(found["events"])


@registrations.command()
@click.argument("id_", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@configured("store")
def delete(configuration: Configured, id_: str, yes: bool) -> None:  # noqa: FBT001
    """End one now: its phone is no longer called, its secrets are erased, and no notice is sent."""
    with source(configuration.options) as asked:
        found = _known(asked.registration(id_), id_)
        if not yes:
            click.confirm(f"End the push registration of {found['aor']}?", abort=True, err=True)
        if not asked.end(id_):
            raise _unknown(id_)
    click.echo("Ended.")


@registrations.command()
@click.argument("id_", metavar="ID")
@click.option(
    "--by",
    default="7d",
    show_default=True,
    metavar="DURATION",
    help="For how long from now, such as 12h or 30d.",
)
@configured("store")
def extend(configuration: Configured, id_: str, by: str) -> None:
    """Let one live longer; never shorter than it would."""
    seconds = _seconds(by)
    with source(configuration.options) as asked:
        found = _known(asked.extend(id_, seconds), id_)
    click.echo(f"It lives until {when(found['expires_at'])}.")


@registrations.command()
@click.argument("id_", metavar="ID")
@configured("store")
def warn(configuration: Configured, id_: str) -> None:
    """Warn the user of one now that it will end; its end stays as it is."""
    with source(configuration.options) as asked:
        found = _known(asked.warn(id_), id_)
    click.echo(f"The warning is on its way. It lives until {when(found['expires_at'])}.")


@registrations.command()
@click.option("--days", default=30, type=click.IntRange(1, 400), show_default=True, help="How far back.")
@JSON
@configured("store")
def stats(configuration: Configured, days: int, as_json: bool) -> None:  # noqa: FBT001
    """Count lives saved and ended, by app and platform: silently, by a warning, by neglect and more."""
    with source(configuration.options) as asked:
        found = asked.statistics(days)
    if as_json:
        print_json(found)
        return
    rows = [
        (one["app"], one["platform"], *(one["counts"].get(name, 0) for name in _COUNTED))
        for one in found["lives"]
    ]
    print_table(("app", "platform", *_COUNTED.values()), rows, "Nothing was counted yet.")


def _seconds(text: str) -> int:
    try:
        seconds = parse_duration(text) // 1000
    except ValueError as error:
        raise click.UsageError(f"--by: {error}") from None
    if not 1 <= seconds <= _LONGEST_S:
        raise click.UsageError("--by: between a second and 400 days")
    return seconds


def _page(asked: Source, after: int, limit: int, aor: str) -> Json:
    rows: list[Json] = []
    while True:
        page = asked.registrations(after, min(500, limit - len(rows)), aor)
        rows += page["registrations"]
        after = page["next"]
        if not after or len(rows) >= limit:
            return {"registrations": rows, "next": after}


def _known(found: Json | None, id_: str) -> Json:
    if found is None:
        raise _unknown(id_)
    return found


def _unknown(id_: str) -> Failure:
    return Failure(f"there is no push registration {id_}; `wakerobin registrations list` shows them")

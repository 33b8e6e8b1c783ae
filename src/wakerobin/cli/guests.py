"""`wakerobin guests`: phones that never enrolled (RFC 8599), and what happened to them."""

from __future__ import annotations

import click

from wakerobin.cli.failures import Failure
from wakerobin.cli.flags import Configured, configured
from wakerobin.cli.show import JSON, print_json, print_table, print_with_events, when
from wakerobin.cli.sources import source


@click.group()
def guests() -> None:
    """Show phones that never enrolled and speak RFC 8599."""


@guests.command("list")
@click.option("--aor", default="", help="Of this address of record only, `sip:user@pbx.example`.")
@click.option("--limit", default=50, type=click.IntRange(1, 500), show_default=True, help="How many at most.")
@JSON
@configured("store")
def list_(configuration: Configured, aor: str, limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List them."""
    with source(configuration.options) as asked:
        found = asked.guests(limit, aor)
    if as_json:
        print_json(found)
        return
    rows = [
        (one["id"], one["app"], one["aor"], one["push"], when(one["registered_at"]), when(one["expires_at"]))
        for one in found["guests"]
    ]
    print_table(("id", "app", "aor", "push", "registered", "until"), rows, "There is no such phone.")


@guests.command()
@click.argument("id_", metavar="ID")
@JSON
@configured("store")
def show(configuration: Configured, id_: str, as_json: bool) -> None:  # noqa: FBT001
    """Show one and tell what happened, in words."""
    with source(configuration.options) as asked:
        found = asked.guest(id_)
    if found is None:
        raise Failure(f"there is no phone {id_}; `wakerobin guests list` shows them")
    print_with_events(found, as_json=as_json)

"""`wakerobin calls`: what became of calls, and why a phone did not ring."""

from __future__ import annotations

import click

from wakerobin.cli.failures import Failure
from wakerobin.cli.flags import Configured, configured
from wakerobin.cli.show import JSON, print_json, print_table, print_with_events, when
from wakerobin.cli.sources import source


@click.group()
def calls() -> None:
    """Show calls and what happened to them."""


@calls.command("list")
@click.option("--limit", default=50, type=click.IntRange(1, 500), show_default=True, help="How many at most.")
@JSON
@configured("store")
def list_(configuration: Configured, limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List calls, the newest first."""
    with source(configuration.options) as asked:
        found = asked.calls(limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["call_id"],
            when(one["started_at"]),
            one["aor"],
            one["caller"].get("name") or one["caller"].get("number") or one["caller"].get("uri", ""),
            one["state"],
            one["reason"],
        )
        for one in found["calls"]
    ]
    print_table(("id", "when", "aor", "caller", "state", "reason"), rows, "There was no call.")


@calls.command()
@click.argument("id_", metavar="ID")
@JSON
@configured("store")
def show(configuration: Configured, id_: str, as_json: bool) -> None:  # noqa: FBT001
    """Show one and tell what happened, in words."""
    with source(configuration.options) as asked:
        found = asked.call(id_)
    if found is None:
        raise Failure(f"there is no call {id_}; `wakerobin calls list` shows them")
    print_with_events(found, as_json=as_json)

"""`wakerobin doctor`: what is wrong here, and how it is mended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict

import click

from wakerobin.cli.failures import Failure, Misconfigured
from wakerobin.cli.flags import Configured, configured
from wakerobin.cli.pbx_checks import pbx_checks
from wakerobin.cli.reaching import find
from wakerobin.cli.show import JSON, print_json, when
from wakerobin.cli.sources import Json, source
from wakerobin.core.errors import ConfigurationError, SipSyntaxError
from wakerobin.core.sip.targets import Destination
from wakerobin.core.sip.uri import SipUri


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


@doctor.command()
@JSON
@configured("store", "sip")
def pbx(configuration: Configured, as_json: bool) -> None:  # noqa: FBT001
    """Say what stands between this server and its PBXs, as far as it has shown so far (docs/pbx.md)."""
    options = configuration.options
    with source(options) as asked:
        found = pbx_checks(options.sip, asked.alarms()["alarms"])
    if as_json:
        print_json({"checks": [asdict(check) for check in found]})
    for check in () if as_json else found:
        click.echo(f"{'ok   ' if check.good else 'WRONG'} {check.text}")
    wrong = sum(not check.good for check in found)
    if wrong:
        raise Failure(f"{wrong} {'thing is' if wrong == 1 else 'things are'} to be mended")


@doctor.command()
@click.argument("place", metavar="DOMAIN")
@click.option("--transport", type=click.Choice(["udp", "tcp", "tls"]), help="As an enrolment may name it.")
@JSON
@configured("sip")
def sip(configuration: Configured, place: str, transport: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show where requests for a domain (or HOST:PORT) go, in order, and whether somebody answers there.

    What DNS says is asked anew, by the rules of RFC 3263; each place is sent one OPTIONS.
    """
    destination = _destination(place, transport or "")
    try:
        found = asyncio.run(find(configuration.options, destination))
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None
    if as_json:
        places = [{**asdict(one.target), **asdict(one), "target": str(one.target)} for one in found.places]
        print_json({"answers": found.answers, "places": places})
    else:
        for line in found.answers:
            click.echo(line)
        for number, one in enumerate(found.places, 1):
            state = "ok   " if one.good else "WRONG"
            click.echo(f"{number}. {state} {one.target} ({one.host}, weight {one.weight}): {one.text}")
    if not found.places:
        raise Failure(f"{place} leads nowhere: DNS has no address for it; is it spelt right?")
    wrong = sum(not one.good for one in found.places)
    if wrong:
        raise Failure(f"{wrong} of {len(found.places)} places cannot be used")


def _destination(place: str, transport: str) -> Destination:
    try:
        uri = SipUri.parse(place if place.lower().startswith(("sip:", "sips:")) else f"sip:{place}")
    except SipSyntaxError:
        raise Failure(f"{place} is no domain, HOST:PORT or SIP URI") from None
    named = transport or (uri.param("transport") or "").lower()
    return Destination(uri.host, uri.port, named, is_secure=uri.scheme == "sips")


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

"""What `wakerobin doctor pbx` has to say: of the settings towards PBXs, and of what they have shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wakerobin.cli.sources import Json
from wakerobin.core.addresses import parse_address
from wakerobin.ports.options import SipOptions

_OF_PBXS = ("one-contact:", "call-source:", "registrar-refuses:")


@dataclass(frozen=True, slots=True)
class PbxCheck:
    """One thing that was looked at."""

    text: str
    good: bool = True


def pbx_checks(sip: SipOptions, alarms: Iterable[Json]) -> list[PbxCheck]:
    """Return what was looked at, in the order of the page on PBXs."""
    return [*_our_address(sip), *_shown(alarms), *_sources(sip)]


def _our_address(sip: SipOptions) -> Iterator[PbxCheck]:
    names = {network: ours for network, ours in sip.towards.items() if parse_address(ours) is None}
    for network, name in names.items():
        yield PbxCheck(
            f"towards: {name!r} for {network} is a name. A PBX there that cannot resolve it never sends ACK "
            "or BYE: calls are up, and end after half a minute. Write this server's address as it is seen "
            "there.",
            good=False,
        )
    if not names:
        yield PbxCheck("PBXs are told an address of this server that needs no name.")


def _shown(alarms: Iterable[Json]) -> Iterator[PbxCheck]:
    shown = [alarm for alarm in alarms if str(alarm["name"]).startswith(_OF_PBXS)]
    for alarm in shown:
        yield PbxCheck(str(alarm["text"]), good=False)
    if not shown:
        yield PbxCheck("No PBX lacks room for us, none refuses many accounts, no call came from elsewhere.")


def _sources(sip: SipOptions) -> Iterator[PbxCheck]:
    if sip.call_sources_policy == "strict":
        yield PbxCheck("Calls are taken from the addresses of PBXs and from call_sources alone.")
    else:
        yield PbxCheck(
            "Calls from other addresses are taken, too, and shown here. When that list has stayed empty for "
            'some days, set call_sources_policy = "strict".',
        )

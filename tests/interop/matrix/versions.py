"""Which versions of the clients and PBXs are on this machine."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

from tests.interop.peers.debian import NoMirrorError, unpacked
from tests.interop.peers.node import SCRIPTS

_ROOT = Path(__file__).parents[3]


def versions() -> str:
    """Return them as a sentence's worth of words."""
    packages = json.loads((SCRIPTS / "package.json").read_text())["dependencies"]
    pjsua2 = (_ROOT / "requirements" / "pjsua2.in").read_text().strip().partition("==")[2]
    found = {
        "Kamailio": _package("kamailio"),
        "Asterisk": asyncio.run(_asterisk()),
        "baresip": _package("baresip-core"),
        "linphone": _package("linphone-cli"),
        "pjsua2": pjsua2,
        "JsSIP": packages["jssip"],
        "SIP.js": packages["sip.js"],
    }
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _package(name: str) -> str:
    """The upstream version of a Debian package."""
    said = _said("dpkg-query", "-W", "-f", "${Version}", name)
    return re.sub(r"^\d+:|-[^-]*$", "", said)


async def _asterisk() -> str:
    try:
        tree = await unpacked("bullseye", "asterisk")
    except NoMirrorError:
        return "(none here)"
    found = re.search(r"\d+(\.\d+)+", _said(*tree.command("/usr/sbin/asterisk", "-V")))
    return found[0] if found else "of unknown version"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

"""The stage of the matrix: one server, the PBXs of a module beside it, and a push service.

It stands for all cells of a module, each of which brings its own accounts, its phone and its caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.interop.matrix.cells import BROWSERS, CELLS, TRANSFERS, Cell
from tests.interop.peers.asterisk import Asterisk
from tests.interop.peers.baresip import Baresip, PhoneAccount
from tests.interop.peers.kamailio import Kamailio
from tests.interop.peers.lab import Certificate, Lab
from tests.interop.peers.linphone import Linphone
from tests.interop.peers.network import PATIENCE
from tests.interop.peers.pjsua import Pjsua
from tests.interop.peers.pushes import PushEnd
from tests.interop.peers.softphone import Softphone
from tests.interop.peers.wakerobin import Installation, Wakerobin
from tests.interop.peers.webphone import WebPhone

_PN = "pn-provider=apns;pn-param=TEAM.org.example.phone.voip;pn-prid={}"


_PORTS = {"udp": 0, "tcp": 0, "tls": 2, "wss": 3, "ws": 4}
"""The ports of the server, counted from its first."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a client is, and the `ip:port` that it registers through."""

    user: str
    transport: str
    outbound: str


class Pbx(Protocol):
    """What the stage asks of a PBX. TLS is on the port after `port`."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Made by `a_stage`; all on it ends with its laboratory."""

    lab: Lab
    pbxs: Mapping[str, Pbx]
    """By the digest that they ask for."""
    pns: PushEnd
    server: Wakerobin
    certificate: Certificate

    async def enrol(self, cell: Cell, user: str = "") -> Installation:
        """Enrol the phone of a cell; its account is registered at the PBX when this returns."""
        where, user = _place(self.pbxs[cell.digest], cell.trunk), user or cell.user
        return await self.server.enrol(user, password_of(user), where, transport=cell.trunk)

    def phone(self, lab: Lab, cell: Cell, user: str = "") -> Softphone:
        """The client of a cell, asleep, with its password and this server as its outbound proxy."""
        outbound = f"{self.server.ip}:{self.server.port + _PORTS[cell.phone]}"
        account = Account(user or cell.user, cell.phone, outbound)
        return a_phone(lab, cell.client, account, self.certificate, pn=_PN.format(f"token-of-{account.user}"))

    async def caller(self, lab: Lab, cell: Cell) -> Softphone:
        """Who calls the phone of a cell: at the PBX itself, and registered there."""
        return await self.other(lab, cell.called_by, cell.caller, cell.digest)

    async def other(self, lab: Lab, kind: str, user: str, digest: str = "MD5") -> Softphone:
        """A client of a kind, such as `baresip, UDP`, at the PBX itself, and registered there."""
        client, transport = kind.lower().split(", ")
        account = Account(user, transport, _place(self.pbxs[digest], transport))
        phone = a_phone(lab, client, account, self.certificate)
        await phone.wake()
        await phone.wait_registered()
        return phone

    async def outcome(self, one: Installation) -> str:
        """How the newest call of an installation ended; the server writes that just after the end."""
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE):
            while (state := (await self.server.call_of(one))["state"]) in ("waking", "offered"):
                await asyncio.wait([never], timeout=0.02)
        return str(state)


def a_phone(lab: Lab, client: str, account: Account, ca: Certificate, *, pn: str = "") -> Softphone:
    """A client that sleeps; `pn` are its RFC 8599 parameters where it knows them."""
    user, transport, outbound = account.user, account.transport, account.outbound
    password, ca_file = password_of(user), str(ca.authority)
    if transport in ("ws", "wss"):
        library = client.lower().replace(".", "")
        url = f"{transport}://{outbound}/"
        return lab.keep(WebPhone(library, user, password, url, ca_file=ca_file, pn=pn))
    if client == "baresip":
        line = PhoneAccount(user, password, outbound, transport=transport)
        return lab.keep(Baresip(*lab.place(), [line], ca_file=ca_file))
    made = Linphone if client == "linphone" else Pjsua
    place = lab.place()
    return lab.keep(made(*place, user, password, outbound, transport=transport, ca_file=ca_file, pn=pn))


def password_of(user: str) -> str:
    """The password of every account on the stage."""
    return f"pw-{user}"


def _place(pbx: Pbx, transport: str) -> str:
    return f"{pbx.ip}:{pbx.port + (transport == 'tls')}"


async def a_stage(lab: Lab, name: str) -> Stage:
    """Start a PBX with all users of its cells, the push service, and the server under test.

    NoMirrorError: the PBX cannot be had on this machine.
    """
    ip, port = lab.place()
    certificate = lab.certificate(ip)
    pbxs: dict[str, Pbx] = {}
    if name == "Asterisk":
        browsers = _users(name, browsers=True)
        asterisk = Asterisk(ip, port, _users(name), certificate=certificate, browsers=browsers)
        pbxs["MD5"] = await lab.start(asterisk)
    else:
        # It asks for one digest only.
        users = {digest: _users(name, digest) for digest in ("MD5", "SHA-256")}
        strong = Kamailio(*lab.place(), users["SHA-256"], sha256=True)
        for kamailio in (Kamailio(ip, port, users["MD5"], certificate=certificate, websocket=True), strong):
            await lab.start(kamailio)
            await kamailio.option("invite_auth", 1)
            pbxs["SHA-256" if kamailio is strong else "MD5"] = kamailio
    pns = await lab.start(PushEnd(lab.folder("pns"), lab.place()[0]))
    server, shown = await _server(lab, pns, [one.ip for one in pbxs.values()])
    return Stage(lab, pbxs, pns, server, shown)


def _users(pbx: str, digest: str = "MD5", *, browsers: bool = False) -> dict[str, str]:
    """Names and passwords of the accounts of a PBX, or of those whose phones are browsers."""
    found: list[str] = []
    for cell in CELLS:
        if (cell.pbx, cell.digest) == (pbx, digest):
            found += [cell.user] * (not browsers or cell.client in BROWSERS)
            found += [cell.caller] * (not browsers)
    for transfer in TRANSFERS:
        if (transfer.pbx, transfer.cell.digest) == (pbx, digest):
            found += [transfer.user] * (not browsers or transfer.client in BROWSERS)
            found += [f"caller-of-{transfer.user}", transfer.third] * (not browsers)
    return {user: password_of(user) for user in found}


async def _server(lab: Lab, pns: PushEnd, registrars: list[str]) -> tuple[Wakerobin, Certificate]:
    ip = lab.network.address()
    port = lab.network.port(ip, len(_PORTS))
    shown = lab.certificate(ip)
    sip = {
        "listen": [f"{transport}:{ip}:{port + offset}" for transport, offset in _PORTS.items()],
        "tls_cert": str(shown.chain),
        "tls_key": str(shown.key),
        "tls_ca_file": str(shown.authority),
    }
    server = Wakerobin(ip, port, pns.options(), ["pbx.test", *registrars], sip=sip)
    return await lab.start(server), shown

"""Asterisk with chan_pjsip, its configuration written for one test."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.interop.peers.debian import Tree, unpacked
from tests.interop.peers.lab import Certificate
from tests.interop.peers.network import PATIENCE, Program, shortened, until
from tests.interop.peers.wire import Message, nth

_FILES = Path(__file__).parent
_START_S = 30.0
_CONTACT = re.compile(r"^/registrar/contact/(?P<user>[^;]+);@\w+ *: (?P<record>\{.*\})\s*$", re.MULTILINE)
_TRACE = re.compile(
    r"<--- (?P<way>Received|Transmitting) SIP \w+ \((?P<length>\d+) bytes\) (?:from|to) (?P<peer>\S+) --->\n"
)
# An OpenSSL of that time cannot read the configuration of today's.
_ENVIRONMENT = {"OPENSSL_CONF": "/dev/null"}

_MAIN = """
[directories]
astetcdir => {folder}
astmoddir => {root}/usr/lib/asterisk/modules
astdatadir => {root}/usr/share/asterisk
astvarlibdir => {folder}
astdbdir => {folder}
astkeydir => {folder}
astagidir => {folder}
astspooldir => {folder}
astrundir => {folder}
astlogdir => {folder}
[options]
verbose = 3
nocolor = yes
documentation_language = en_US
"""
_TRANSPORT = """
[{protocol}]
type = transport
protocol = {protocol}
bind = {ip}:{port}
"""
_TLS = """
cert_file = {chain}
priv_key_file = {key}
ca_list_file = {authority}
method = tlsv1_2
"""
_USER = """
[{user}]
type = endpoint
context = phones
disallow = all
allow = ulaw
auth = {user}
aors = {user}
direct_media = no
rewrite_contact = yes
rtp_symmetric = yes
force_rport = yes
webrtc = {webrtc}
[{user}]
type = auth
auth_type = userpass
username = {user}
password = {password}
[{user}]
type = aor
max_contacts = {max_contacts}
remove_existing = {remove_existing}
minimum_expiration = {min_expires}
maximum_expiration = {max_expires}
qualify_frequency = {qualify_s}
support_path = yes
"""


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact that the PBX holds for a user."""

    uri: str
    expires_at: int
    """Epoch seconds."""
    user_agent: str


class Asterisk:
    """A PBX at one address: UDP and TCP on `port`, TLS on `port + 1` if it has a certificate.

    `users` are names and passwords; those in `browsers` have phones that want WebRTC's media.
    """

    name = "asterisk"

    def __init__(
        self,
        ip: str,
        port: int,
        users: Mapping[str, str],
        *,
        certificate: Certificate | None = None,
        browsers: Collection[str] = (),
        max_contacts: int = 5,
        remove_existing: bool = False,
        qualify_s: int = 0,
        max_expires: int = 3600,
    ) -> None:
        self.ip, self.port = ip, port
        self._program = Program(self.name)
        self._tree: Tree | None = None
        parts = ["[global]\ntype = global\ndebug = yes\n"]
        parts += [_TRANSPORT.format(protocol=one, ip=ip, port=port) for one in ("udp", "tcp")]
        if certificate is not None:
            parts += [_TRANSPORT.format(protocol="tls", ip=ip, port=port + 1)]
            files = (certificate.chain, certificate.key, certificate.authority)
            parts += [_TLS.format(chain=files[0], key=files[1], authority=files[2])]
        for user, password in users.items():
            parts += [
                _USER.format(
                    user=user,
                    password=password,
                    webrtc="yes" if user in browsers else "no",
                    max_contacts=max_contacts,
                    remove_existing="yes" if remove_existing else "no",
                    qualify_s=qualify_s,
                    min_expires=min(60, max_expires),
                    max_expires=max_expires,
                )
            ]
        self._users = "".join(parts)

    @property
    def place(self) -> tuple[str, int]:
        """(ip, port), as SIPp wants it."""
        return self.ip, self.port

    @property
    def address(self) -> str:
        """`ip:port`, as a phone wants it."""
        return f"{self.ip}:{self.port}"

    async def start(self) -> None:
        """Start it; return when it says that it is ready. NoMirrorError: there is none to be had here."""
        self._tree = await unpacked("bullseye", "asterisk")
        folder = self._program.folder
        for name in ("extensions.conf", "modules.conf"):
            shutil.copy(_FILES / name, folder / name)
        (folder / "asterisk.conf").write_text(_MAIN.format(folder=folder, root=self._tree.root))
        (folder / "pjsip.conf").write_text(self._users)
        (folder / "logger.conf").write_text("[logfiles]\nconsole => notice,warning,error,verbose\n")
        (folder / "rtp.conf").write_text("[general]\nrtpstart=23000\nrtpend=23400\n")
        (folder / "http.conf").write_text("[general]\nenabled=no\n")
        await self._program.start(self._command("-f", "-n", "-vvv"), _ENVIRONMENT)
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(_START_S):
            while "Asterisk Ready." not in self._program.output():
                if not self._program.is_running:
                    raise RuntimeError(f"Asterisk did not start:\n{self.log_text()}")
                await asyncio.wait([never], timeout=0.02)

    def _command(self, *words: str) -> list[str]:
        assert self._tree is not None
        file = str(self._program.folder / "asterisk.conf")
        return self._tree.command("/usr/sbin/asterisk", "-C", file, *words)

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    async def restart(self) -> None:
        """End it and start it again: contacts by UDP are kept in its database."""
        await self._program.end()
        await self.start()

    async def ask(self, command: str) -> str:
        """Run a command of its own command line; what it printed."""
        process = await asyncio.create_subprocess_exec(
            *self._command("-rx", command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_ENVIRONMENT,
        )
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
        return said.decode(errors="replace")

    async def contacts(self, user: str) -> list[Contact]:
        """What it would ring for the user now, as it has rewritten it."""
        said = await self.ask("database show registrar")
        records = [json.loads(one["record"]) for one in _CONTACT.finditer(said) if one["user"] == user]
        return [Contact(one["uri"], int(one["expiration_time"]), one["user_agent"]) for one in records]

    async def wait_contacts(self, user: str, count: int, within: float = PATIENCE) -> list[Contact]:
        """The user's contacts, once there are so many."""
        never = asyncio.get_running_loop().create_future()
        found: list[Contact] = []
        try:
            async with asyncio.timeout(within):
                while len(found := await self.contacts(user)) != count:
                    await asyncio.wait([never], timeout=0.05)
        except TimeoutError:
            raise TimeoutError(f"not {count} contacts of {user} within {within} s: {found}") from None
        return found

    def messages(self) -> list[Message]:
        """Every SIP message in and out since its first start, in order. They have no times: `at` is 0."""
        text = self._program.output()
        return [_traced(found, text) for found in _TRACE.finditer(text)]

    async def wait_message(
        self, start: str, *, sent: bool = False, count: int = 1, within: float = PATIENCE
    ) -> Message:
        """The `count`-th message received (or sent) whose start line begins so."""
        return await until(
            lambda: nth(self.messages(), start, sent=sent, count=count),
            within=within,
            what=f"{count} x {start} at Asterisk",
        )

    async def wait_said(self, words: str, within: float = PATIENCE) -> None:
        """Wait until it has printed this."""
        await until(lambda: words in self._program.output(), within=within, what=f"Asterisk says {words!r}")

    async def version(self) -> str:
        """Its version."""
        return (await self.ask("core show version")).split()[1]

    def log_text(self) -> str:
        """Its console, which has every SIP message."""
        return shortened(self._program.output())


def _traced(found: re.Match[str], text: str) -> Message:
    # It counts bytes, and what it prints was decoded: the same for all that these tests send.
    end = found.end() + int(found["length"])
    return Message(
        at=0.0,
        sent=found["way"] == "Transmitting",
        text=text[found.end() : end],
        source="" if found["way"] == "Transmitting" else found["peer"],
        destination=found["peer"] if found["way"] == "Transmitting" else "",
    )

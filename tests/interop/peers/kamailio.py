"""Kamailio as the PBX: a registrar and forking proxy whose every answer a test can choose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.peers.lab import Certificate
from tests.interop.peers.network import PATIENCE, Program, find_program, shortened, until
from tests.interop.peers.wire import Message, ladder, nth

_CONFIGURATION = Path(__file__).with_name("kamailio.cfg")
_ORDINARY_HEADERS = {"423": "Min-Expires: {}", "301": "Contact: <{}>", "302": "Contact: <{}>"}
_KINDS = {"silence": "silence", "stale": "stale", "unknown_nonce": "stranger"}
_DUMP_LINE = "~~~~~~~~~~~~~~~~~~~~\n"
_DUMP_END = "||||||||||||||||||||\n"


class RpcError(Exception):
    """Kamailio answered a remote procedure call with an error."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact that the PBX holds for a user."""

    uri: str
    expires: int
    received: str | None
    call_id: str
    cseq: int
    user_agent: str
    instance: str | None
    path: str | None


class Kamailio:
    """A PBX at one address, UDP and TCP on one port. Contacts live in its memory only.

    With a `certificate` it speaks TLS on the next port, with `websocket` the first port takes
    WebSockets too, and with `ipv6` it speaks on that port of [::1] as well. `users` are names and
    passwords; a digest user name that differs is set by `add_user`. With `sha256` it challenges with
    SHA-256 only, else with MD5. Options are described in its file.
    """

    name = "kamailio"

    def __init__(
        self,
        ip: str,
        port: int,
        users: Mapping[str, str],
        *,
        domain: str = "pbx.test",
        realm: str = "pbx.test",
        sha256: bool = False,
        qop: bool = True,
        one_time_nonce: bool = False,
        growing_nc: bool = False,
        nonce_expire: int = 300,
        max_expires: int = 3600,
        default_expires: int = 600,
        max_contacts: int = 10,
        answer_within_ms: int = 8_000,
        ring_within_ms: int = 60_000,
        certificate: Certificate | None = None,
        websocket: bool = False,
        ipv6: bool = False,
    ) -> None:
        self.ip, self.port, self.domain = ip, port, domain
        self._users = {user: (password, user) for user, password in users.items()}
        # SIGTERM: its first process ends the others.
        self._program = Program(self.name, unprivileged=True, parting_signal="TERM")
        values = {
            "OWN_IP": ip,
            "DOMAIN": f'"{domain}"',
            "REALM": f'"{realm}"',
            "ONE_TIME_NONCE": int(one_time_nonce),
            "NONCE_COUNT": int(growing_nc),
            "NONCE_EXPIRE": nonce_expire,
            "MAX_EXPIRES": max_expires,
            "DEFAULT_EXPIRES": default_expires,
            "MAX_CONTACTS": max_contacts,
            "FR_TIMER": answer_within_ms,
            "FR_INV_TIMER": ring_within_ms,
            "QOP": f'"{int(qop)}"',
            "QOP_STALE": f'"{16 + int(qop)}"',
        }
        self._defines = [f"{name}={value}" for name, value in values.items()]
        wanted = {"SHA256": sha256, "TLS": certificate is not None, "WEBSOCKET": websocket}
        self._defines += [name for name, is_wanted in wanted.items() if is_wanted]
        self._certificate = certificate
        self._ipv6 = ipv6

    @property
    def place(self) -> tuple[str, int]:
        """(ip, port), as SIPp and the probe want it."""
        return self.ip, self.port

    @property
    def address(self) -> str:
        """`ip:port`, as a phone wants it."""
        return f"{self.ip}:{self.port}"

    async def start(self) -> None:
        """Start it; return when it answers OPTIONS and knows the users."""
        folder = self._program.folder
        shutil.copy(_CONFIGURATION, folder / "kamailio.cfg")
        command = [find_program("kamailio"), "-f", str(folder / "kamailio.cfg"), "-DD", "-E"]
        command += ["-Y", str(folder), "-P", str(folder / "pid"), "-m", "48", "-M", "4"]
        command += [f"--substdef=!@FOLDER@!{folder}!g"]
        command += ["-l", f"udp:{self.address}", "-l", f"tcp:{self.address}"]
        if self._ipv6:
            command += ["-l", f"udp:[::1]:{self.port}", "-l", f"tcp:[::1]:{self.port}"]
        if self._certificate is not None:
            shutil.copy(self._certificate.chain, folder / "chain.pem")
            shutil.copy(self._certificate.key, folder / "key.pem")
            command += ["-l", f"tls:{self.ip}:{self.port + 1}"]
        for define in self._defines:
            command += ["-A", define]
        await self._program.start(command)
        async with asyncio.timeout(10):
            while not await self._answers_options():
                if not self._program.is_running:
                    raise RuntimeError(f"Kamailio did not start:\n{self.log_text()}")
        for user, (password, login) in self._users.items():
            await self._remember(user, password, login)

    async def _answers_options(self) -> bool:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.bind((self.ip, 0))
            me = f"{self.ip}:{probe.getsockname()[1]}"
            token = uuid.uuid4().hex
            request = (
                f"OPTIONS sip:{self.address} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {me};branch=z9hG4bK{token}\r\n"
                f"From: <sip:probe@{me}>;tag=1\r\nTo: <sip:{self.address}>\r\n"
                f"Call-ID: {token}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\n"
                "Content-Length: 0\r\n\r\n"
            )
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.05):
                    await loop.sock_sendto(probe, request.encode(), (self.ip, self.port))
                    return (await loop.sock_recv(probe, 4096)).startswith(b"SIP/2.0 200")
        return False

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    async def restart(self) -> None:
        """End it and start it again: users are known, contacts, options and failures are not."""
        await self._program.end()
        await self.start()

    async def kill(self) -> None:
        """SIGKILL: its port is closed until `start`."""
        await self._program.kill()

    def freeze(self) -> None:
        """Stop it in its tracks: its sockets stay open and nothing is answered."""
        self._program.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`; it then reads all that came meanwhile."""
        self._program.signal(signal.SIGCONT)

    def log_text(self) -> str:
        """Its own log, then every SIP message that passed it."""
        return shortened(f"{self._program.output()}\n{ladder(self.messages())}")

    async def add_user(self, user: str, password: str, *, login: str | None = None) -> None:
        """Make or change a user; `login` is the digest user name where it is not the user."""
        self._users[user] = (password, login or user)
        await self._remember(user, password, login or user)

    async def _remember(self, user: str, password: str, login: str) -> None:
        await self.rpc("htable.sets", "password", user, password)
        if login != user:
            await self.rpc("htable.sets", "login", user, login)

    async def remove_user(self, user: str) -> None:
        """Forget a user: 404 to its REGISTER and to calls for it."""
        del self._users[user]
        await self._forget("password", user)

    async def fail(self, user: str, how: str | None) -> None:
        """Choose what the user's REGISTERs meet from now on; None is the ordinary life.

        `403`, `503:17` (Retry-After), `423:900` (Min-Expires), `301:sip:…` (Contact): at once;
        `auth403`: after the right credentials; `silence`; `stale`: every answer to a challenge is
        challenged again with stale=true; `unknown_nonce`: the same without stale. In front of
        each `once:` or `times:N:` limits it, counted in requests that met it.
        """
        for table in ("trouble", "code", "header", "left"):
            await self._forget(table, user)
        if how is None:
            return
        left, how = _limit(how)
        kind, _, argument = how.partition(":")
        if left:
            await self.rpc("htable.seti", "left", user, left)
        if kind not in _KINDS:
            code = kind.removeprefix("auth")
            await self.rpc("htable.seti", "code", user, int(code))
            if argument:
                header = _ORDINARY_HEADERS.get(code, "Retry-After: {}").format(argument)
                await self.rpc("htable.sets", "header", user, header)
        trouble = _KINDS.get(kind, "forbid" if kind.startswith("auth") else "answer")
        await self.rpc("htable.sets", "trouble", user, trouble)

    async def fail_calls(self, user: str, code: int | None) -> None:
        """Answer every call to the user with this status, whatever its contacts; None: ring them."""
        await self._forget("callcode", user)
        if code is not None:
            await self.rpc("htable.seti", "callcode", user, code)

    async def option(self, name: str, value: int) -> None:
        """Set a switch: invite_auth, min_expires, badpw, stale, extra_algs, tcp_reuse, ..."""
        await self.rpc("htable.seti", "option", name, value)

    async def contacts(self, user: str) -> list[Contact]:
        """What the PBX would ring for the user now."""
        try:
            record = await self.rpc("ul.lookup", "location", user)
        except RpcError:
            return []
        return [_contact(entry["Contact"]) for entry in record["Contacts"]]

    async def wait_contacts(self, user: str, count: int, within: float = PATIENCE) -> list[Contact]:
        """The user's contacts, once there are so many."""
        never = asyncio.get_running_loop().create_future()
        found: list[Contact] = []
        try:
            async with asyncio.timeout(within):
                while len(found := await self.contacts(user)) != count:
                    await asyncio.wait([never], timeout=0.02)
        except TimeoutError:
            raise TimeoutError(f"not {count} contacts of {user} within {within} s: {found}") from None
        return found

    async def remove_contact(self, user: str, uri: str) -> None:
        """Drop one contact behind its owner's back."""
        await self.rpc("ul.rm_contact", "location", user, uri)

    async def forget_contacts(self, user: str) -> None:
        """Drop all contacts of the user behind their owners' backs."""
        with contextlib.suppress(RpcError):
            await self.rpc("ul.rm", "location", user)

    async def registers_seen(self, user: str) -> int:
        """REGISTERs that came for the user, with and without credentials, failed ones too."""
        try:
            found = await self.rpc("htable.get", "seen", user)
        except RpcError:
            return 0
        return int(found["item"]["value"])

    def messages(self) -> list[Message]:
        """Every SIP message in and out since its first start, in order (a few ms late)."""
        files = sorted(self._program.folder.glob("sip-*.data"))
        text = "".join(file.read_bytes().decode(errors="replace") for file in files)
        return [_dumped(entry) for entry in text.split(_DUMP_END) if _is_sip(entry)]

    async def wait_message(
        self, start: str, *, sent: bool = False, count: int = 1, within: float = PATIENCE
    ) -> Message:
        """The `count`-th message received (or sent) whose start line begins so."""
        return await until(
            lambda: nth(self.messages(), start, sent=sent, count=count),
            within=within,
            what=f"{count} x {start} at Kamailio",
        )

    async def _forget(self, table: str, key: str) -> None:
        with contextlib.suppress(RpcError):
            await self.rpc("htable.delete", table, key)

    async def rpc(self, method: str, *parameters: str | int) -> Any:
        """Call one of Kamailio's procedures; RpcError with its words if it does not like it."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        head = (
            f"POST /RPC HTTP/1.1\r\nHost: {self.address}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(self.ip, self.port)
            try:
                writer.write((head + body).encode())
                answer = await reader.read()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        if "error" in document:
            raise RpcError(f"{method}: {document['error']}")
        return document["result"]


def _limit(how: str) -> tuple[int, str]:
    if how.startswith("once:"):
        return 1, how.removeprefix("once:")
    if how.startswith("times:"):
        _, times, rest = how.split(":", 2)
        return int(times), rest
    return 0, how


def _contact(entry: Mapping[str, Any]) -> Contact:
    def known(name: str) -> str | None:
        value = entry.get(name)
        return None if value in (None, "[not set]") else str(value)

    expires = entry.get("Expires")
    return Contact(
        uri=str(entry["Address"]),
        expires=expires if isinstance(expires, int) else 0,
        received=known("Received"),
        call_id=str(entry.get("Call-ID", "")),
        cseq=int(entry.get("CSeq", 0)),
        user_agent=str(entry.get("User-Agent", "")),
        instance=known("Instance"),
        path=known("Path"),
    )


def _is_sip(entry: str) -> bool:
    _, line, message = entry.partition(_DUMP_LINE)
    return bool(line) and "SIP/2.0" in message.split("\r\n", 1)[0]


def _dumped(entry: str) -> Message:
    head, _, message = entry.partition(_DUMP_LINE)
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    protocol = fields["proto"].split()[0]
    return Message(
        at=float(fields["time"]),
        sent=fields["tag"] == "snd",
        text=message,
        source=f"{protocol}:{fields['srcip']}:{fields['srcport']}",
        destination=f"{protocol}:{fields['dstip']}:{fields['dstport']}",
    )

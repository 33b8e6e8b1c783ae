"""linphone-daemon as a phone: UDP, TCP and TLS, MD5 and SHA-256, with its own RFC 8599 parameters.

The matter between its lives is its folder: the instance and its database stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import string
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.interop.peers.network import PATIENCE, Program, find_program, shortened, until
from tests.interop.peers.wire import Message, nth

_CONFIGURATION = string.Template(Path(__file__).with_name("linphonerc").read_text())
_TRACE = re.compile(
    r"(?P<way>message sent to|new bytes from) \[[^\]]+\][^\n]*\n(?P<text>.*?)\n(?=\d{4}-\d\d-\d\d \d\d:)",
    re.DOTALL,
)


class Linphone:
    """A phone at its own address; `outbound` is the `ip:port` that it registers through.

    mbedTLS of this version knows no address in a certificate: over TLS the chain is verified, the name is
    not.
    """

    def __init__(
        self,
        ip: str,
        port: int,
        user: str,
        password: str,
        outbound: str,
        *,
        transport: str = "udp",
        ca_file: str = "",
        pn: str = "",
    ) -> None:
        self.name = f"linphone-{user}"
        self._program = Program(self.name)
        self._socket = f"wakerobin-{uuid.uuid4().hex}"
        ports = {one: port if one == transport else 0 for one in ("udp", "tcp", "tls")}
        self._values = {
            "ip": ip,
            **ports,
            "rtp": port + 2,
            "user": user,
            "password": password,
            "domain": "pbx.test",
            "outbound": outbound,
            "transport": transport,
            "verify": int(bool(ca_file)),
            "ca": ca_file,
            "push": int(bool(pn)),
            "pn": pn,
            "instance": uuid.uuid4(),
        }
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def is_awake(self) -> bool:
        """Whether its process runs."""
        return self._program.is_running

    async def wake(self) -> None:
        """Start it; it registers at once."""
        folder = self._program.folder
        (folder / ".local/share/linphone").mkdir(parents=True, exist_ok=True)
        file = folder / "linphonerc"
        file.write_text(_CONFIGURATION.substitute(self._values))
        command = [find_program("linphone-daemon"), "--pipe", self._socket, "--config", str(file)]
        command += ["--log", str(folder / "trace"), "--disable-stats-events"]
        home = {"HOME": str(folder), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
        await self._program.start(command, home)
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE):
            while self._streams is None:
                try:
                    self._streams = await asyncio.open_unix_connection(f"/tmp/{self._socket}")
                except OSError:
                    if not self._program.is_running:
                        raise RuntimeError(f"linphone-daemon did not start:\n{self.log_text()}") from None
                    await asyncio.wait([never], timeout=0.01)

    async def command(self, line: str) -> str:
        """Run a command of linphone-daemon; its answer. RuntimeError: it says that it cannot."""
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(f"{line}\n".encode())
        async with asyncio.timeout(PATIENCE):
            answer = (await reader.read(65_536)).decode(errors="replace")
        if not answer.startswith("Status: Ok"):
            raise RuntimeError(f"{line}: {answer}")
        return answer

    async def _wait_answer(self, line: str, wanted: str, within: float) -> None:
        never = asyncio.get_running_loop().create_future()
        answer = ""
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        answer = await self.command(line)
                    except RuntimeError as refused:
                        answer = str(refused)
                    if re.search(wanted, answer):
                        return
                    await asyncio.wait([never], timeout=0.02)
        except TimeoutError:
            raise TimeoutError(f"{self.name} not {wanted} within {within} s: {answer}") from None

    async def wait_registered(self, within: float = PATIENCE) -> None:
        """Wait until its REGISTER is accepted."""
        await self._wait_answer("register-status ALL", "LinphoneRegistrationOk", within)

    async def wait_refused(self, within: float = PATIENCE) -> None:
        """Wait until it gives up to register."""
        await self._wait_answer("register-status ALL", "LinphoneRegistrationFailed", within)

    async def wait_ringing(self, *, count: int = 1, within: float = PATIENCE) -> None:
        """Wait until it rings for its `count`-th call."""
        await self.wait_message("SIP/2.0 180", sent=True, count=count, within=within)

    async def wait_established(self, within: float = PATIENCE) -> None:
        """Wait until the call is up."""
        await self._wait_answer("call-status", "LinphoneCallStreamsRunning", within)

    async def wait_idle(self, within: float = PATIENCE) -> None:
        """Wait until it is in no call."""
        await self._wait_answer("call-status", "No current call", within)

    async def dial(self, uri: str) -> None:
        """Call someone."""
        await self.command(f"call {uri}")

    async def answer(self) -> None:
        """Take the call that rings."""
        await self.command("answer")

    async def hold(self) -> None:
        """Put the call on hold; return when the re-INVITE has been accepted."""
        await self.command("call-pause")
        await self._wait_answer("call-status 1", r"LinphoneCallPaused\b", PATIENCE)

    async def resume(self) -> None:
        """Take the call back; return when the re-INVITE has been accepted."""
        await self.command("call-resume 1")
        await self.wait_established()

    async def transfer(self, uri: str) -> None:
        """Send the other party elsewhere by REFER; return when it got there."""
        await self.command(f"call-transfer 1 {uri}")
        await until(self._has_arrived, what=f"transfer by {self.name}")

    async def join(self) -> None:
        """Join the other parties of its two calls; return when that is done."""
        await self.command("call-transfer 1 2")
        await until(self._has_arrived, what=f"transfer by {self.name}")

    def _has_arrived(self) -> bool:
        bodies = [m.body for m in self.messages() if not m.sent and m.start_line.startswith("NOTIFY ")]
        return any(body.startswith("SIP/2.0 2") for body in bodies)

    async def hang_up(self) -> None:
        """End the call."""
        await self.command("terminate")

    async def vanish(self) -> None:
        """End it without a word to anyone."""
        await self._program.kill()
        await self._disconnect()

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.kill()
        await self._disconnect()
        Path(f"/tmp/{self._socket}").unlink(missing_ok=True)
        self._program.remove_folder()

    async def _disconnect(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None

    def messages(self) -> list[Message]:
        """Every SIP message of all its lives so far. They have no times here: `at` is 0."""
        found = []
        for trace in _TRACE.finditer(self._trace()):
            text = trace["text"].replace("\r", "").replace("\n", "\r\n")
            is_sent = "sent" in trace["way"]
            found += [Message(at=0.0, sent=is_sent, text=one) for one in _messages_in(text)]
        return found

    async def wait_message(
        self, start: str, *, sent: bool = False, count: int = 1, within: float = PATIENCE
    ) -> Message:
        """The `count`-th message received (or sent) whose start line begins so."""
        return await until(
            lambda: nth(self.messages(), start, sent=sent, count=count),
            within=within,
            what=f"{count} x {start} at {self.name}",
        )

    def _trace(self) -> str:
        file = self._program.folder / "trace"
        return file.read_bytes().decode(errors="replace") if file.exists() else ""

    def log_text(self) -> str:
        """What it printed and its log, which has every SIP message."""
        return shortened(f"{self._program.output()}\n{self._trace()}")


def _messages_in(text: str) -> Iterator[str]:
    """What came by TCP in one piece may be several messages."""
    while text:
        head, blank, rest = text.partition("\r\n\r\n")
        length = re.search(r"^content-length:\s*(\d+)", head, re.IGNORECASE | re.MULTILINE)
        end = int(length[1]) if length else 0
        yield head + blank + rest[:end]
        text = rest[end:].lstrip("\r\n")

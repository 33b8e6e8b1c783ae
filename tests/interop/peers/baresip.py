"""baresip: an ordinary softphone, with nothing but its account and an outbound proxy.

Asleep there is no process. `wake` starts it and it registers; `vanish` ends it as a phone's
operating system does, without a word to anyone; `quit` closes it as its user does.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import math
import re
import signal
import struct
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.interop.peers.network import PATIENCE, Program, find_program, shortened, until
from tests.interop.peers.wire import Message, nth

_CONFIGURATION = """\
poll_method epoll
sip_listen {ip}:{port}
net_interface {ip}
call_local_timeout 120
call_max_calls 8
sip_cafile {ca}
audio_source aufile,{tone}
audio_player aubridge,sink
audio_alert aubridge,alert
audio_buffer 20-160
audio_level no
ringback_disabled yes
menu_bell no
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {ip}:{control}
"""
_REGISTRATION_STATE = re.compile(r"\x1b\[\d+m(\w+)")
_TRACE = re.compile(
    r"#\n(?P<transport>UDP|TCP|TLS) (?P<source>\S+) -> (?P<destination>\S+)\n(?P<text>.*?)\x1b\[;m",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PhoneAccount:
    """One account of a phone. `outbound` is the `ip:port` that it registers through."""

    user: str
    password: str
    outbound: str
    domain: str = "pbx.test"
    login: str = ""
    transport: str = "udp"
    expires: int = 300
    answers: bool = False

    def line(self) -> str:
        """The line of baresip's accounts file."""
        parameters = [
            f"auth_user={self.login or self.user}",
            f"auth_pass={self.password}",
            f'outbound="sip:{self.outbound};transport={self.transport}"',
            f"regint={self.expires}",
            f"answermode={'auto' if self.answers else 'manual'}",
            "audio_codecs=pcmu",
        ]
        address = f"<sip:{self.user}@{self.domain};transport={self.transport}>"
        return ";".join([address, *parameters])


@dataclass(frozen=True, slots=True)
class Event:
    """Something that baresip told: CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED, ..."""

    kind: str
    peer: str
    parameter: str
    call: str


class Baresip:
    """A phone at its own address. `port` is for SIP, `port + 1` for TLS, `port + 2` for control."""

    def __init__(self, ip: str, port: int, accounts: Sequence[PhoneAccount], *, ca_file: str = "") -> None:
        self.name = f"baresip-{accounts[0].user}"
        self.ip, self.port = ip, port
        self.friend = ""
        """The one contact that it has, a URI: whom its user writes to."""
        self._program = Program(self.name)
        self._accounts = accounts
        self._ca_file = ca_file
        self._events: list[Event] = []
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def is_awake(self) -> bool:
        """Whether its process runs, frozen or not."""
        return self._program.is_running

    async def wake(self) -> None:
        """Start it, as a push does. It registers at once; `wait_registered` waits for that."""
        folder = self._program.folder
        (folder / "tone.wav").write_bytes(_tone())
        configuration = _CONFIGURATION.format(
            ip=self.ip, port=self.port, control=self.port + 2, tone=folder / "tone.wav", ca=self._ca_file
        )
        if self.friend:
            configuration += "module_app contact.so\n"
        (folder / "config").write_text(configuration)
        (folder / "accounts").write_text("".join(f"{one.line()}\n" for one in self._accounts))
        friend = f"<{self.friend}>\n" if self.friend else ""
        for file, text in (("contacts", friend), ("current_contact", self.friend), ("uuid", "")):
            (folder / file).write_text(text)
        await self._program.start([find_program("baresip"), "-f", str(folder), "-4", "-v", "-s"])
        async with asyncio.timeout(PATIENCE):
            reader, self._writer = await self._control()
        self._reading = asyncio.create_task(self._read(reader))

    async def _control(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        never = asyncio.get_running_loop().create_future()
        while True:
            try:
                return await asyncio.open_connection(self.ip, self.port + 2)
            except OSError:
                if not self._program.is_running:
                    raise RuntimeError(f"baresip did not start:\n{self.log_text()}") from None
                await asyncio.wait([never], timeout=0.01)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Netstrings that hold JSON: answers to commands, and events."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                document = json.loads((await reader.readexactly(length + 1))[:-1])
                if document.get("event"):
                    self._events.append(
                        Event(
                            kind=str(document.get("type", "")),
                            peer=str(document.get("peeruri", "")),
                            parameter=str(document.get("param", "")),
                            call=str(document.get("id", "")),
                        )
                    )
                    self._changed.set()
                else:
                    self._answers.put_nowait(document)

    async def command(self, command: str, parameters: str = "") -> str:
        """Run a command (dial, accept, hangup, hold, resume, listcalls, ...); what it printed."""
        assert self._writer is not None
        body = json.dumps({"command": command, "params": parameters, "token": "t"}).encode()
        self._writer.write(b"%d:%s," % (len(body), body))
        async with asyncio.timeout(5):
            answer = await self._answers.get()
        return str(answer.get("data", ""))

    async def dial(self, uri: str) -> None:
        """Call someone."""
        await self.command("dial", uri)

    async def answer(self) -> None:
        """Take the call that rings."""
        await self.command("accept")

    async def write(self, text: str) -> None:
        """Send a text message to its friend."""
        await self.command("message", text)

    async def hang_up(self) -> None:
        """End the call, or decline the one that rings."""
        await self.command("hangup")

    async def hold(self) -> None:
        """Put the call on hold; return when the re-INVITE has been accepted."""
        await self._change("hold")

    async def resume(self) -> None:
        """Take the call back; return when the re-INVITE has been accepted."""
        await self._change("resume")

    async def _change(self, command: str) -> None:
        before = self._accepted("INVITE")
        await self.command(command)
        await until(lambda: self._accepted("INVITE") > before, what=f"{command} at {self.name}")

    async def transfer(self, uri: str) -> None:
        """Send the other party elsewhere by REFER; return when it got there."""
        await self.command("transfer", uri)
        await until(self._has_arrived, what=f"transfer by {self.name}")

    async def join(self) -> None:
        """It cannot: this version knows no Replaces."""
        raise NotImplementedError

    def _has_arrived(self) -> bool:
        bodies = [m.body for m in self.messages() if not m.sent and m.start_line.startswith("NOTIFY ")]
        return any(body.startswith("SIP/2.0 2") for body in bodies)

    def _accepted(self, method: str) -> int:
        return sum(m.status == 200 and m.method == method and not m.sent for m in self.messages())

    async def wait_established(self, within: float = PATIENCE) -> None:
        """Wait until the next call is up."""
        await self.wait_event("CALL_ESTABLISHED", within=within)

    async def wait_refused(self, within: float = PATIENCE) -> None:
        """Wait until an account gives up to register. (The event may precede the control connection.)"""
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(within):
            while "ERR" not in _REGISTRATION_STATE.findall(await self.command("reginfo")):
                await asyncio.wait([never], timeout=0.02)

    async def wait_idle(self, within: float = PATIENCE) -> None:
        """Wait until it is in no call."""
        never = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(within):
            while "Active calls (0)" not in await self.command("listcalls"):
                await asyncio.wait([never], timeout=0.02)

    async def wait_registered(self, within: float = PATIENCE) -> None:
        """Wait until every account is registered. (The event may precede the control connection.)"""
        never = asyncio.get_running_loop().create_future()
        text = ""
        try:
            async with asyncio.timeout(within):
                while True:
                    text = await self.command("reginfo")
                    states = _REGISTRATION_STATE.findall(text)
                    if states and all(state == "OK" for state in states):
                        return
                    await asyncio.wait([never], timeout=0.02)
        except TimeoutError:
            raise TimeoutError(f"{self.name} not registered within {within} s: {text}") from None

    async def wait_new_registration(self, within: float = 2 * PATIENCE) -> None:
        """Wait until a REGISTER that it sends from now on is accepted."""

        def accepted() -> int:
            return sum(m.status == 200 and m.method == "REGISTER" for m in self.messages())

        # One may be on its way: the one after it was surely sent later.
        before = accepted()
        what = f"two new registrations of {self.name}"
        await until(lambda: accepted() >= before + 2, within=within, what=what)

    async def wait_event(self, *kinds: str, within: float = PATIENCE) -> Event:
        """The next event of one of these kinds; earlier ones are used up."""

        def look() -> Event | None:
            while self._events:
                event = self._events.pop(0)
                if event.kind in kinds:
                    return event
            return None

        return await until(look, within=within, what=f"{' or '.join(kinds)} at {self.name}")

    def freeze(self) -> None:
        """Suspend it: its sockets stay open and nothing is answered."""
        self._program.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._program.signal(signal.SIGCONT)

    async def vanish(self) -> None:
        """End it without a word: no un-REGISTER, no BYE."""
        await self._program.kill()
        await self._disconnect()

    async def quit(self) -> None:
        """Close it as its user does: it hangs up and un-REGISTERs first."""
        if self._program.is_running:
            self._program.signal(signal.SIGCONT)
            self._program.signal(signal.SIGTERM)
            await self._program.ended()
        await self._disconnect()

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self._program.end()
        await self._disconnect()
        self._program.remove_folder()

    async def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None
        if self._reading is not None:
            await self._reading
            self._reading = None
        self._events.clear()

    def messages(self) -> list[Message]:
        """Every SIP message of all its lives so far. Its trace has no times: `at` is 0."""
        return [
            Message(
                at=0.0,
                # A TCP connection that it opened has the loopback's first address.
                sent=trace["source"].rpartition(":")[0] in (self.ip, "127.0.0.1"),
                text=trace["text"],
                source=trace["source"],
                destination=trace["destination"],
            )
            for trace in _TRACE.finditer(self._program.output())
        ]

    def requests(self) -> list[str]:
        """The methods of the requests that it received, retransmissions too."""
        return [m.method for m in self.messages() if not m.sent and m.status is None]

    async def wait_requests(self, *methods: str, within: float = PATIENCE) -> None:
        """Wait until it has received exactly these requests."""
        try:
            await until(lambda: self.requests() == list(methods), within=within, what="")
        except TimeoutError:
            raise AssertionError(f"{self.name} got {self.requests()}, not {list(methods)}") from None

    async def wait_message(
        self, start: str, *, sent: bool = False, count: int = 1, within: float = PATIENCE
    ) -> Message:
        """The `count`-th message received (or sent) whose start line begins so."""
        return await until(
            lambda: nth(self.messages(), start, sent=sent, count=count),
            within=within,
            what=f"{count} x {start} at {self.name}",
        )

    async def wait_ringing(self, *, count: int = 1, within: float = PATIENCE) -> None:
        """Wait until it rings for its `count`-th call. (The event may precede the control connection.)"""
        await self.wait_message("SIP/2.0 180", sent=True, count=count, within=within)

    def log_text(self) -> str:
        """Its log with every SIP message."""
        lines = self._program.output().replace("\r\n", "\n").splitlines()
        return shortened("\n".join(line for line in lines if "handle_command" not in line))


@cache
def _tone() -> bytes:
    """A WAV file of two minutes: a call would end with its file."""
    period = b"".join(
        struct.pack("<h", round(9_000 * math.sin(2 * math.pi * 440 * i / 8_000))) for i in range(200)
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(period * (120 * 8_000 // 200))
    return file.getvalue()

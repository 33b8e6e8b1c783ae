"""SIPp: callers and desk phones that follow a scenario of `scenarios/` to the letter."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.interop.peers.network import PATIENCE, Program, find_program, shortened, until
from tests.interop.peers.wire import Message, ladder, nth

_SCENARIOS = Path(__file__).with_name("scenarios")
_TRANSPORTS = {"udp": "u1", "tcp": "t1", "udp each": "un"}
_MESSAGE = re.compile(
    r"^-{20,} (?P<day>\S+)[ T](?P<time>\S+)\n(?P<transport>\w+) message (?P<way>sent|received)[^\n]*\n\n",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls whom, or, for `register`, who registers."""

    caller: str
    password: str
    callee: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: SIPp's exit code and counters, and all that it sent and received."""

    exit_code: int
    successful: int
    failed: int
    retransmissions: int
    messages: tuple[Message, ...]
    errors: str

    @property
    def is_clean(self) -> bool:
        """Every call went as the scenario says."""
        return self.exit_code == 0 and self.failed == 0 and self.successful > 0

    def calls(self) -> dict[str, list[Message]]:
        """The messages of each call, by Call-ID."""
        found: dict[str, list[Message]] = {}
        for message in self.messages:
            found.setdefault(message.call_id, []).append(message)
        return found

    def __str__(self) -> str:
        counts = f"{self.successful} ok, {self.failed} failed, {self.retransmissions} sent again"
        return f"SIPp ended {self.exit_code}: {counts}\n{self.errors}\n{ladder(self.messages)}"


class Sipp:
    """One run of one scenario from an address of its own.

    `target` is (ip, port) for scenarios that begin; `calls` are used in turn, `count` of them in
    all, `rate` each second and at most `concurrent` at a time. `delay_ms` is the scenario's one
    pause: talking, ringing, or the quiet time until CANCEL. `keys` are the scenario's keywords,
    `status` is what `uac_expect` waits for and `uas_decline` says. `out_of_call` is the scenario of
    calls that come in beside the first one; the transport `udp each` gives every call its own port.
    """

    def __init__(
        self,
        scenario: str,
        ip: str,
        port: int,
        *,
        target: tuple[str, int] | None = None,
        transport: str = "udp",
        calls: Sequence[Call] = (),
        count: int = 1,
        rate: int = 10,
        concurrent: int | None = None,
        delay_ms: int = 0,
        reinvite: bool = False,
        status: int = 0,
        out_of_call: str = "",
        keys: Mapping[str, str | int] | None = None,
        within: float = 30,
    ) -> None:
        self.name = f"sipp-{scenario}"
        self.ip, self.port = ip, port
        self._within = within
        self._program = Program(self.name)
        folder = self._program.folder
        text = (_SCENARIOS / f"{scenario}.xml").read_text()
        # In these two places SIPp takes no keyword. A time limit of 0 would be none.
        text = text.replace("@STATUS@", str(status)).replace("@DELAY@", str(max(delay_ms, 1)))
        (folder / "scenario.xml").write_text(text)
        command = [find_program("sipp")]
        if target is not None:
            command += [f"{target[0]}:{target[1]}"]
        if transport == "udp each":
            command += ["-max_socket", str(count + 10)]
        if out_of_call:
            command += ["-oocsf", str(_SCENARIOS / f"{out_of_call}.xml")]
        command += ["-sf", "scenario.xml", "-i", ip, "-p", str(port), "-bind_local"]
        command += ["-t", _TRANSPORTS[transport], "-m", str(count), "-r", str(rate)]
        command += ["-l", str(concurrent or count), "-d", str(delay_ms), "-cp", "0"]
        command += ["-nostdin", "-timeout", f"{int(within)}s", "-timeout_error"]
        command += ["-trace_stat", "-stf", "statistics.csv", "-fd", "1"]
        command += ["-trace_err", "-error_file", "errors.log"]
        command += ["-trace_msg", "-message_file", "messages.log"]
        if scenario == "uac_cancel_crossing":
            command += ["-pause_msg_ign"]
        if scenario == "uac_answer":
            command += ["-set", "reinvite", str(int(reinvite))]
        # SIPp knows no port of its own where every call has one.
        for name, value in {"domain": "pbx.test", "contact_port": port, **(keys or {})}.items():
            command += ["-key", name, str(value)]
        if calls:
            (folder / "calls.csv").write_text(_lines(calls))
            command += ["-inf", "calls.csv"]
        self._command = command

    async def start(self) -> None:
        """Begin the scenario."""
        await self._program.start(self._command)

    async def stop(self) -> None:
        """End it, finished or not, and remove its folder."""
        await self._program.end()
        self._program.remove_folder()

    def log_text(self) -> str:
        """Its messages, its errors, its last screen."""
        text = f"{self._errors()}\n{ladder(self.messages())}\n{self._program.output()}"
        return shortened(text)

    async def finished(self) -> Result:
        """Wait for the end; the result, whatever it is."""
        exit_code = await self._program.ended(self._within + 5)
        counters = self._counters()
        return Result(
            exit_code=exit_code,
            successful=int(counters.get("SuccessfulCall(C)", 0)),
            failed=int(counters.get("FailedCall(C)", 0)),
            retransmissions=int(counters.get("Retransmissions(C)", 0)),
            messages=tuple(self.messages()),
            # A scenario that SIPp cannot even begin is told on its screen only.
            errors=self._errors() or (self._program.output() if exit_code not in (0, 1) else ""),
        )

    async def succeeded(self) -> Result:
        """Wait for the end; the result, which must be clean."""
        result = await self.finished()
        assert result.is_clean, str(result)
        return result

    def messages(self) -> list[Message]:
        """All that it has sent and received so far."""
        log = self._text("messages.log")
        heads = list(_MESSAGE.finditer(log))
        ends = [*(head.start() for head in heads), len(log)][1:]
        return [_message(head, log[head.end() : end]) for head, end in zip(heads, ends, strict=True)]

    async def wait_message(
        self, start: str, *, sent: bool = False, count: int = 1, within: float = PATIENCE
    ) -> Message:
        """The `count`-th message received (or sent) whose start line begins so."""
        return await until(
            lambda: nth(self.messages(), start, sent=sent, count=count),
            within=within,
            what=f"{count} x {start} at {self.name}",
        )

    def _counters(self) -> dict[str, str]:
        rows = list(csv.DictReader(self._text("statistics.csv").splitlines(), delimiter=";"))
        return rows[-1] if rows else {}

    def _errors(self) -> str:
        return self._text("errors.log")

    def _text(self, file: str) -> str:
        path = self._program.folder / file
        return path.read_bytes().decode(errors="replace") if path.exists() else ""


def _lines(calls: Sequence[Call]) -> str:
    lines = [
        f"{call.caller};[authentication username={call.caller} password={call.password}];{call.callee}"
        for call in calls
    ]
    return "\n".join(["SEQUENTIAL", *lines]) + "\n"


def _message(head: re.Match[str], text: str) -> Message:
    at = datetime.fromisoformat(f"{head['day']}T{head['time']}").astimezone()
    return Message(at=at.timestamp(), sent=head["way"] == "sent", text=text.rstrip("\n"))

"""Softphones of other people, each driven by a script of ours that reads commands and tells events.

Asleep there is no process. `wake` starts it and it registers; `vanish` ends it without a word. Between
its lives only its account and its instance stay the same, as with an app that a push starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.interop.peers.network import PATIENCE, Peer, Program, shortened, until
from tests.interop.peers.wire import Message, ladder, nth


class Softphone(Peer, Protocol):
    """What every phone of the matrix can do, whoever made it. Waits end in TimeoutError."""

    @property
    def is_awake(self) -> bool:
        """Whether its process runs."""
        ...

    async def wake(self) -> None:
        """Start it; it registers at once."""
        ...

    async def wait_registered(self, within: float = PATIENCE) -> None:
        """Wait until its REGISTER is accepted."""
        ...

    async def wait_refused(self, within: float = PATIENCE) -> None:
        """Wait until it gives up to register."""
        ...

    async def wait_ringing(self, *, count: int = 1, within: float = PATIENCE) -> None:
        """Wait until it rings for its `count`-th call."""
        ...

    async def wait_established(self, within: float = PATIENCE) -> None:
        """Wait until the next call is up: its 200 has been acknowledged."""
        ...

    async def wait_idle(self, within: float = PATIENCE) -> None:
        """Wait until it is in no call."""
        ...

    async def dial(self, uri: str) -> None:
        """Call someone."""
        ...

    async def answer(self) -> None:
        """Take the call that rings."""
        ...

    async def hold(self) -> None:
        """Put the call on hold; return when the re-INVITE has been accepted."""
        ...

    async def resume(self) -> None:
        """Take the call back; return when the re-INVITE has been accepted."""
        ...

    async def transfer(self, uri: str) -> None:
        """Send the other party elsewhere by REFER; return when it got there."""
        ...

    async def join(self) -> None:
        """Join the other parties of its two calls by REFER with Replaces; return when that is done."""
        ...

    async def hang_up(self) -> None:
        """End the call."""
        ...

    async def vanish(self) -> None:
        """End it without a word to anyone."""
        ...

    def messages(self) -> list[Message]:
        """Every SIP message of all its lives so far."""
        ...

    async def wait_message(
        self, start: str, *, sent: bool = False, count: int = 1, within: float = PATIENCE
    ) -> Message:
        """The `count`-th message received (or sent) whose start line begins so."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """An event that a script told: its name and what came with it."""

    event: str
    words: Mapping[str, Any] = field(default_factory=dict)


class ScriptedPhone:
    """A phone behind a script. It tells `registered`, `refused`, `incoming`, `established`, `held`,
    `resumed`, `transferred`, `referred`, `ended`, `error` and, for each message, `sip`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.program = Program(name)
        self._read = 0

    @property
    def is_awake(self) -> bool:
        """Whether its process runs."""
        return self.program.is_running

    async def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start the script; what it told in an earlier life is not waited for any more."""
        self._read = len(self.told())
        await self.program.start(command, environment, listens=True)

    def told(self) -> list[Told]:
        """All that it has told so far, in all its lives."""
        found = []
        for line in self.program.output().splitlines(keepends=True):
            # What is being written just now ends without a line's end.
            if line.startswith('{"event"') and line.endswith("\n"):
                words = json.loads(line)
                found.append(Told(words.pop("event"), words))
        return found

    async def wait_told(self, event: str, within: float = PATIENCE) -> Told:
        """The next event of that name; those before it are used up. RuntimeError: it reports an error."""

        def look() -> Told | None:
            told = self.told()
            while self._read < len(told):
                one = told[self._read]
                self._read += 1
                if one.event == event:
                    return one
                if one.event == "error":
                    raise RuntimeError(f"{self.name}: {one.words}")
            if not self.program.is_running:
                raise RuntimeError(f"{self.name} has ended:\n{self.log_text()}")
            return None

        return await until(look, within=within, what=f"{event} at {self.name}")

    def messages(self) -> list[Message]:
        """Every SIP message of all its lives so far. Its trace has no times: `at` is 0."""
        return [
            Message(at=0.0, sent=bool(one.words["sent"]), text=one.words["text"])
            for one in self.told()
            if one.event == "sip"
        ]

    async def wait_message(
        self, start: str, *, sent: bool = False, count: int = 1, within: float = PATIENCE
    ) -> Message:
        """The `count`-th message received (or sent) whose start line begins so."""
        return await until(
            lambda: nth(self.messages(), start, sent=sent, count=count),
            within=within,
            what=f"{count} x {start} at {self.name}",
        )

    async def wait_registered(self, within: float = PATIENCE) -> None:
        """Wait until its REGISTER is accepted."""
        await self.wait_told("registered", within)

    async def wait_refused(self, within: float = PATIENCE) -> None:
        """Wait until it gives up to register."""
        await self.wait_told("refused", within)

    async def wait_ringing(self, *, count: int = 1, within: float = PATIENCE) -> None:
        """Wait until it rings for its `count`-th call."""
        await self.wait_message("SIP/2.0 180", sent=True, count=count, within=within)

    async def wait_established(self, within: float = PATIENCE) -> None:
        """Wait until the next call is up."""
        await self.wait_told("established", within)

    async def wait_idle(self, within: float = PATIENCE) -> None:
        """Wait until the call has ended."""
        await self.wait_told("ended", within)

    async def dial(self, uri: str) -> None:
        """Call someone."""
        self.program.say(f"dial {uri}")

    async def answer(self) -> None:
        """Take the call that rings."""
        self.program.say("answer")

    async def hold(self) -> None:
        """Put the call on hold; return when the re-INVITE has been accepted."""
        self.program.say("hold")
        await self.wait_told("held")

    async def resume(self) -> None:
        """Take the call back; return when the re-INVITE has been accepted."""
        self.program.say("resume")
        await self.wait_told("resumed")

    async def transfer(self, uri: str) -> None:
        """Send the other party elsewhere by REFER; return when it got there."""
        self.program.say(f"transfer {uri}")
        await self.wait_told("transferred")

    async def join(self) -> None:
        """Join the other parties of its two calls; return when that is done."""
        self.program.say("join")
        await self.wait_told("transferred")

    async def hang_up(self) -> None:
        """End the call."""
        self.program.say("hangup")

    async def vanish(self) -> None:
        """End it without a word to anyone."""
        await self.program.kill()

    async def stop(self) -> None:
        """End it and remove its folder."""
        await self.program.kill()
        self.program.remove_folder()

    def log_text(self) -> str:
        """What it printed, its SIP messages as text."""
        lines = self.program.output().splitlines()
        other = "\n".join(line for line in lines if not line.startswith('{"event":"sip"'))
        return shortened(f"{other}\n{ladder(self.messages())}")

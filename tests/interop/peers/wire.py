"""SIP messages as the peers' own logs and traces tell them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One SIP message that a peer sent (`sent`) or received, as text, at `at` in epoch seconds."""

    at: float
    sent: bool
    text: str
    source: str = ""
    destination: str = ""

    @property
    def start_line(self) -> str:
        """The request line or the status line."""
        return self.text.split("\r\n", 1)[0]

    @property
    def status(self) -> int | None:
        """The status code of a response, None for a request."""
        words = self.start_line.split(" ")
        return int(words[1]) if words[0] == "SIP/2.0" else None

    @property
    def method(self) -> str:
        """The method of a request, for a response that of its CSeq."""
        if self.status is None:
            return self.start_line.split(" ", 1)[0]
        return self.header("CSeq").split()[-1]

    @property
    def call_id(self) -> str:
        """Its Call-ID."""
        return self.header("Call-ID")

    @property
    def body(self) -> str:
        """What follows the empty line."""
        return self.text.partition("\r\n\r\n")[2]

    def headers(self, name: str) -> list[str]:
        """The values of all lines of that header, written in its long form, in order."""
        lines = self.text.partition("\r\n\r\n")[0].split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return [value.strip() for key, _, value in pairs if key.strip().lower() == name.lower()]

    def header(self, name: str) -> str:
        """The first of them, or an empty string."""
        return next(iter(self.headers(name)), "")


def ladder(messages: Iterable[Message]) -> str:
    """The messages as readable text, for the report of a failed test."""
    return "\n".join(
        f"--- {message.at:.3f} {'sent' if message.sent else 'received'}"
        f" {message.source} -> {message.destination}\n{message.text}"
        for message in messages
    )


def nth(messages: Iterable[Message], start: str, *, sent: bool, count: int = 1) -> Message | None:
    """The `count`-th message of that direction whose start line begins so, if it has come."""
    found = (m for m in messages if m.sent is sent and m.start_line.startswith(start))
    return next(itertools.islice(found, count - 1, None), None)


def final_statuses(messages: Iterable[Message], method: str) -> list[int]:
    """The final answers to requests of that method among the messages, in order."""
    return [
        message.status
        for message in messages
        if message.status is not None and message.status >= 200 and message.method == method
    ]

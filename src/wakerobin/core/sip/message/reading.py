"""Bytes to a message: one pass that splits lines and understands nothing it need not."""

from __future__ import annotations

import re

from wakerobin.core.errors import SipSyntaxError
from wakerobin.core.sip.grammar import is_token
from wakerobin.core.sip.header import CANONICAL, received_name
from wakerobin.core.sip.message.message import Message

_FOLD = re.compile(r"\r\n[ \t]++")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?\Z", re.IGNORECASE | re.ASCII | re.DOTALL)
_VERSION = re.compile(r"SIP/[0-9]++\.[0-9]++\Z", re.IGNORECASE | re.ASCII)


class MalformedMessageError(SipSyntaxError):
    """What `parse` raises. `message` holds what could be read: often enough to answer it."""

    def __init__(self, reason: str, status: int = 400, message: Message | None = None) -> None:
        super().__init__(reason, status)
        self.message = message


def parse(data: bytes) -> Message:
    """Read one datagram, or one message cut from a stream; bytes after Content-Length are dropped.

    Raises MalformedMessageError; where it could be told that this was a request, that carries
    what was read, and the status to answer with.
    """
    start = 0
    while data.startswith(b"\r\n", start):  # 7.5: empty lines before the start line are ignored
        start += 2
    end = data.find(b"\r\n\r\n", start)
    fault = ""
    message = Message()
    if end >= 0:
        message.body = data[end + 4 :]
    else:
        end = len(data) - 2 if data.endswith(b"\r\n") and len(data) > start else len(data)
        fault = "The empty line after the headers is missing"
    head = data[start:end].decode("utf-8", "surrogateescape")
    lines = head.split("\r\n")
    breaks = len(lines) - 1
    if head.count("\n") != breaks or head.count("\r") != breaks:
        # Someone behind us may end a line there: headers could be smuggled in.
        raise MalformedMessageError("A line is not ended by CR and LF")
    status = _read_start_line(message, lines.pop(0))
    if "\r\n " in head or "\r\n\t" in head:
        lines = _joined(lines)
    fault = _read_headers(message, lines) or fault or _read_length(message)
    if status:
        raise MalformedMessageError("The start line is malformed", status, _answerable(message))
    if fault:
        raise MalformedMessageError(fault, 400, _answerable(message))
    return message


def _read_start_line(message: Message, line: str) -> int:
    """Take over the start line. Return 0, or the status that a bad one deserves."""
    parts = line.split(" ")
    if len(parts) == 3 and parts[2] == "SIP/2.0" and is_token(parts[0]) and parts[1]:
        message.method, message.uri = parts[0], parts[1]
        return 0 if parts[1][0] != "<" else 400
    status_line = _STATUS_LINE.match(line)
    if status_line:
        message.status = int(status_line.group(1))
        message.reason = status_line.group(2) or ""
        return 0
    if line[:4].upper() == "SIP/" or not is_token(parts[0]):
        return 400
    message.method = parts[0]
    if len(parts) != 3 or not parts[1] or not _VERSION.match(parts[2]):
        return 400
    message.uri = parts[1]
    return 0 if parts[2].upper() == "SIP/2.0" else 505


def _joined(lines: list[str]) -> list[str]:
    """Join each line that begins with white space to the line that it continues (7.3.1)."""
    joined: list[list[str]] = []
    for line in lines:
        if joined and line[:1] in (" ", "\t"):
            joined[-1].append(line)
        else:
            joined.append([line])
    return ["\r\n".join(parts) for parts in joined]


def _read_headers(message: Message, lines: list[str]) -> str:
    """Take over the header lines but bad ones. Return what was wrong with the first of those."""
    fault = ""
    names: list[str] = []
    values: list[str] = []
    kept: list[str] = []
    known = CANONICAL.get
    for line in lines:
        name, colon, value = line.partition(":")
        canonical = known(name) or received_name(name)
        if canonical is None or not colon:
            fault = fault or "A header line has no name"
            continue
        if "\r" in value:
            value = _FOLD.sub(" ", value)  # the line itself leaves folded as it came
        names.append(canonical)
        values.append(value.strip(" \t"))
        kept.append(line)
    message.take_lines(names, values, kept)
    return fault


def _read_length(message: Message) -> str:
    """Cut the body to its Content-Length. Return what is wrong with that, or nothing."""
    lengths = set(message.all("content-length"))
    if lengths == {"0"} and not message.body:
        return ""
    if not lengths:
        return ""
    if len(lengths) > 1:
        return "Content-Length is given twice"
    first = lengths.pop()
    if not (first.isascii() and first.isdigit() and len(first) <= 10):
        return "Content-Length is malformed"
    length = int(first)
    if length > len(message.body):
        return "The body is shorter than its Content-Length"
    if length < len(message.body):
        message.body = message.body[:length]
    return ""


def _answerable(message: Message) -> Message | None:
    """Return the message if it is a request: a bad response is answered by nobody."""
    return message if message.method else None

"""The event log: constant names with fields, to standard error, without secrets.

`log.get("fleet").info("binding_refreshed", account=7, expires_s=3600)`. DEBUG is for developers, INFO
for what changes, WARNING for a peer that misbehaves, ERROR for what someone must act on. Fields whose
names speak of secrets are hidden here whatever they hold, also inside mappings and records; an object
that is neither plain nor a record shows only its type. SIP messages and URIs are not for the log: they
carry answers to challenges and the users of our Contacts.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "…"
"""What stands in the log in place of a secret."""

_SECRET_NAMES: Final = frozenset(
    (
        "authorization",
        "body",
        "cnonce",
        "contact_user",
        "cookie",
        "credential",
        "endpoint",
        "ha1",
        "key",
        "nonce",
        "password",
        "payload",
        "prid",
        "response",
        "secret",
        "token",
    )
)
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_HEAD: Final = ("timestamp", "level", "room", "event", "exception")
_DEEPEST: Final = 4


class RoomLog:
    """The log of one room. An event of a level that is off costs one comparison."""

    __slots__ = ("_room",)

    def __init__(self, room: str) -> None:
        self._room = room

    def debug(self, event: str, /, **fields: object) -> None:
        """Tell developers what happens on the wire."""
        if _output.level <= 10:
            _output.write("debug", self._room, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Tell what changed."""
        if _output.level <= 20:
            _output.write("info", self._room, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Tell that a peer misbehaves."""
        if _output.level <= 30:
            _output.write("warning", self._room, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Tell what someone must act on. `exc_info=True` adds the exception that is being handled."""
        _output.write("error", self._room, event, fields)


class _Output:
    """The stream, the form and the level; `configure` replaces it as a whole."""

    __slots__ = ("_logger", "level")

    def __init__(self, level: str, form: str, stream: TextIO) -> None:
        self.level = _LEVELS[level]
        is_text = form == "text" or (form == "auto" and stream.isatty())
        render: Processor = _text if is_text else structlog.processors.JSONRenderer(default=_shown)
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                _redact,
                render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(self.level),
        ).bind()

    def write(self, level: str, room: str, event: str, fields: Mapping[str, object]) -> None:
        # Names that would overwrite the head get out of its way.
        given = {f"{name}_" if name in _HEAD else name: value for name, value in fields.items()}
        try:
            getattr(self._logger, level)(event, room=room, **given)
        except (OSError, ValueError):
            # A full disk or a closed pipe behind standard error must not stop calls.
            return


def get(room: str) -> RoomLog:
    """Return the log of a room. Made once at the top of a module; follows every `configure`."""
    return RoomLog(room)


def configure(level: str, form: str = "auto", stream: TextIO | None = None) -> None:
    """Set what is written, for all rooms: `level` and `form` (`text`, `json`, `auto`) as in `[log]`.

    `stream` is standard error where none is given; `auto` means text where that is a terminal. Raises
    ValueError for an unknown word.
    """
    global _output
    if level not in _LEVELS or form not in ("text", "json", "auto"):
        raise ValueError(f"No such level or form of the log: {level!r}, {form!r}")
    _output = _Output(level, form, sys.stderr if stream is None else stream)


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    head = {name: event.pop(name) for name in _HEAD if name in event}
    return {**head, **{name: _field(name, value) for name, value in event.items()}}


def _field(name: object, value: object, depth: int = 0) -> object:
    return HIDDEN if _is_secret(str(name)) else _shown(value, depth)


def _is_secret(name: str) -> bool:
    name = name.lower().replace("-", "_").removesuffix("s")
    return name in _SECRET_NAMES or name.rpartition("_")[2] in _SECRET_NAMES


def _shown(value: object, depth: int = 0) -> Any:
    """Return what JSON can hold of a value, without its secrets."""
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value, str | int) else value.name.lower()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if depth >= _DEEPEST:
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(name): _field(name, inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(inner, depth + 1) for inner in value]
    return _shown_object(value, depth)


def _shown_object(value: object, depth: int) -> Any:
    if isinstance(value, BaseException) or type(value).__str__ is not object.__str__:
        return str(value)  # it says itself how it wants to be seen: Flow, Secret, addresses, errors
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names: Iterable[str] = (one.name for one in dataclasses.fields(value))
        return {name: _field(name, getattr(value, name), depth + 1) for name in names}
    return f"<{type(value).__name__}>"


def _text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One line an event: time, level, room, event, fields; a traceback follows, indented."""
    when, level, room, name = (str(event.pop(key, "")) for key in _HEAD[:4])
    traceback = event.pop("exception", "")
    fields = " ".join(f"{key}={_word(value)}" for key, value in event.items())
    line = f"{when[:23]} {level:<7} {room:<8} {_word(name)} {fields}".rstrip()
    # Indented, so that no text of a peer in it can pass for a line of the log.
    return line + "".join(f"\n    {part}" for part in str(traceback).splitlines())


def _word(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and value and not set(value) & set(' "='):
        return value
    return json.dumps(value, ensure_ascii=not (isinstance(value, str) and value.isprintable()))


_output = _Output("info", "auto", sys.stderr)

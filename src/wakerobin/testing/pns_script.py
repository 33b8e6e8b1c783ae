"""What a `FakePns` can be told to do with a push instead of taking it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

REFUSED_STREAM = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Answer with an error. `body` replaces the JSON of `reason`; `octet_by_octet` cuts it into pieces."""

    status: int
    reason: str = ""
    timestamp: int = 0
    """Epoch milliseconds, for 410."""
    retry_after: str = ""
    body: bytes | None = None
    octet_by_octet: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the stream, by default as refused: certainly not processed."""

    code: int = REFUSED_STREAM


@dataclass(frozen=True, slots=True)
class Silence:
    """Take the push and never answer."""


@dataclass(frozen=True, slots=True)
class Slow:
    """Answer as usual, after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GoAway:
    """Announce the end of the connection; the last stream served is `this` one or the one `before`."""

    last: str = "this"
    reason: str = "Shutdown"


@dataclass(frozen=True, slots=True)
class Kill:
    """Cut the connection; `accepted` says whether the push was delivered before that."""

    accepted: bool = False


Behaviour: TypeAlias = Refuse | Reset | Silence | Slow | GoAway | Kill

"""What the tables of answers are made of: a row, and the outcomes that most push services have."""

from __future__ import annotations

import json
from typing import Any, Protocol

from wakerobin.core.pushes import Accepted, Outcome, Rejected, TargetGone, Throttled


class Said(Protocol):
    """What an answer says, as far as the outcomes here need it."""

    @property
    def reason(self) -> str:
        """The push service's word or code."""
        ...

    @property
    def retry_after(self) -> int:
        """How long it asks to wait, milliseconds; 0 for unsaid."""
        ...


def accepted(_: Said) -> Outcome:
    """It was taken."""
    return Accepted()


def gone(said: Said) -> Outcome:
    """The target is no more."""
    return TargetGone(said.reason)


def suspect(said: Said) -> Outcome:
    """The target is no more, or something of ours is wrong."""
    return TargetGone(said.reason, certain=False)


def ours(said: Said) -> Outcome:
    """Something of ours is wrong, whoever the push is for."""
    return Rejected(said.reason, ours=True)


def refused(said: Said) -> Outcome:
    """This push is refused for good."""
    return Rejected(said.reason)


def throttled(said: Said) -> Outcome:
    """Too many."""
    return Throttled(said.reason, said.retry_after)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, an empty one where it holds none. Never raises."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

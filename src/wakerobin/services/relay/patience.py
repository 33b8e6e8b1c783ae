"""How long a request waits for its phone, and the answers that harm the transaction only.

A wrong word ends the call: 408 does at Asterisk, 480 at FreeSWITCH, and 403, 404, 410, 481, 482, 484, 485
and 502 do by RFC 5057. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """A final response of ours; `retry_after` in seconds, 0 for none."""

    status: int
    text: str
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class Patience:
    """Wait so many seconds for the phone to come back by itself, then say this."""

    seconds: float
    answer: Answer


_AWAY = "The phone has no connection now"
_OVER = "The phone has left this dialog"
_TRY_AGAIN = Answer(500, _AWAY, RETRY_AFTER_S)

_OF = {
    # The PBX tries these two again by itself (RFC 3261 14.1, RFC 3311 5.1).
    "INVITE": Patience(10.0, Answer(491, _AWAY)),
    "UPDATE": Patience(10.0, Answer(491, _AWAY)),
    "BYE": Patience(0.0, Answer(480, _AWAY)),
    "NOTIFY": Patience(0.0, Answer(481, _OVER)),
    "PRACK": Patience(5.0, _TRY_AGAIN),
    "ACK": Patience(5.0, _TRY_AGAIN),
}
_OTHERS = Patience(10.0, _TRY_AGAIN)


def patience(method: str) -> Patience:
    """Return how long a request within a dialog waits for a phone without a flow. Nobody answers an ACK."""
    return _OF.get(method, _OTHERS)


def unanswered(method: str, *, is_in_dialog: bool, is_to_phone: bool) -> Answer:
    """Return what is said where a request went out and no final response came."""
    if is_in_dialog:
        is_farewell = method == "BYE" and is_to_phone
        return Answer(480, _AWAY) if is_farewell else Answer(500, "No answer", RETRY_AFTER_S)
    # RFC 4320 4.2: 408 is for an INVITE only.
    return Answer(408 if method == "INVITE" else 504, "No answer")


def unreachable(*, is_in_dialog: bool) -> Answer:
    """Return what is said where a request could not be sent."""
    return Answer(500 if is_in_dialog else 480, "There is no way to the PBX now", RETRY_AFTER_S)

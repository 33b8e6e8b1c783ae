"""What a transaction asks of the world: the effects of all four machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from wakerobin.core.sip.message import Message


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send these bytes: a client's to its next hop, a server's back by the rules of 18.2.2."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PassUp:
    """Hand this response, or this ACK to a 2xx, to the transaction user (TU)."""

    message: Message


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The peer never answered: to the TU of a client this is a 408 (8.1.3.1)."""


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """What was sent cannot have arrived: to the TU of a client this is a 503 (8.1.3.1)."""


@dataclass(frozen=True, slots=True)
class Terminated:
    """The transaction is over and can be forgotten; always the last effect, and only once."""


Effect: TypeAlias = Transmit | PassUp | TimedOut | TransportFailed | Terminated

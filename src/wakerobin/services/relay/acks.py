"""ACKs to 2xx that came while their phone had no connection: they wait a little, then nobody wants them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wakerobin.core.sip.message import Message
from wakerobin.core.tokens import RouteToken
from wakerobin.ports.clock import Clock, Timers
from wakerobin.services.relay.patience import patience


@dataclass(frozen=True, slots=True, eq=False)
class LateAck:
    """An ACK, ready to be sent, and the phone that it is for."""

    ack: Message
    token: RouteToken


class LateAcks:
    """Waiting ACKs by account."""

    def __init__(self, clock: Clock, timers: Timers) -> None:
        self._clock = clock
        self._timers = timers
        self._waiting: dict[int, list[LateAck]] = {}

    def wait(self, ack: Message, token: RouteToken) -> None:
        """Keep an ACK for as long as one may wait."""
        late = LateAck(ack, token)
        self._waiting.setdefault(token.account, []).append(late)
        when = self._clock.monotonic() + patience("ACK").seconds
        self._timers.call_at(when, lambda: self._drop(late))

    def arrived(self, account_id: int, send: Callable[[Message, RouteToken], bool]) -> None:
        """A phone of this account is there: try each ACK; `send` says whether that was its phone."""
        for late in list(self._waiting.get(account_id, ())):
            if send(late.ack, late.token):
                self._drop(late)

    def _drop(self, late: LateAck) -> None:
        waiting = self._waiting.get(late.token.account, [])
        if late in waiting:
            waiting.remove(late)
        if not waiting:
            self._waiting.pop(late.token.account, None)

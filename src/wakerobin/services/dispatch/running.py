"""What drives a transaction machine: feed it, perform what it asks for, keep its one timer armed."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, Protocol, assert_never

from wakerobin import log, metrics
from wakerobin.core.sip.message import Message
from wakerobin.core.sip.timers import Timers as SipTimers
from wakerobin.core.sip.transaction import Effect, PassUp, Terminated, TimedOut, Transmit, TransportFailed
from wakerobin.ports.clock import Clock, Timer, Timers
from wakerobin.ports.sip import SipEndpoint

P = ParamSpec("P")

_log = log.get("dispatch")
_FAULTS = metrics.FAULTS.labels("dispatch")


@dataclass(frozen=True, slots=True)
class Shared:
    """What all transactions of a server share."""

    endpoint: SipEndpoint
    timers: Timers
    clock: Clock
    values: SipTimers


def guarded(callback: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Call the transaction user. False: it raised, which is logged, counted and survived."""
    try:
        callback(*args, **kwargs)
    except Exception:
        _FAULTS.inc()
        _log.error("transaction_user_raised", exc_info=True)
        return False
    return True


class Machine(Protocol):
    """What the four machines have in common."""

    @property
    def deadline(self) -> float | None:
        """When `on_timer` must be called next."""
        ...

    def on_timer(self, now: float) -> list[Effect]:
        """Fire every timer that is due."""
        ...

    def transport_failed(self, now: float) -> list[Effect]:
        """Take the news that something could not be sent."""
        ...


class Running(abc.ABC):
    """One transaction under way. What its effects mean is for the client's and the server's kind to say."""

    __slots__ = ("_armed", "_failing", "_machine", "_shared", "_timer", "is_over")

    def __init__(self, shared: Shared, machine: Machine) -> None:
        self._shared = shared
        self._machine = machine
        self._timer: Timer | None = None
        self._armed: float | None = None
        self._failing: Timer | None = None
        self.is_over = False

    def perform(self, effects: Sequence[Effect]) -> None:
        """Carry out what the machine asked for, in order, and arm its timer again."""
        for effect in effects:
            match effect:
                case Transmit(data=data):
                    self._transmit(data)
                case PassUp(message=message):
                    self._pass_up(message)
                case TimedOut():
                    self._timed_out()
                case TransportFailed():
                    self._transport_failed()
                case Terminated():
                    self.end()
                case _:
                    assert_never(effect)
        self._arm()

    def fail_soon(self, reason: str) -> None:
        """Fail the transaction in the next turn: never from within the call that sends."""
        if self._failing is None and not self.is_over:
            now = self._shared.clock.monotonic()
            self._failing = self._shared.timers.call_at(now, lambda: self.fail(reason))

    def fail(self, reason: str) -> None:
        """Tell the machine that its transport failed; `reason` in words."""
        self._failing = None
        if not self.is_over:
            self._note_failure(reason)
            self.perform(self._machine.transport_failed(self._shared.clock.monotonic()))

    def end(self) -> None:
        """Forget the transaction. Harmless when that happened before."""
        if self.is_over:
            return
        self.is_over = True
        for timer in (self._timer, self._failing):
            if timer is not None:
                timer.cancel()
        self._timer = self._failing = None
        self._forget()

    def _arm(self) -> None:
        deadline = None if self.is_over else self._machine.deadline
        if deadline == self._armed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed = deadline
        if deadline is not None:
            self._timer = self._shared.timers.call_at(deadline, self._fire)

    def _fire(self) -> None:
        self._timer = self._armed = None
        self.perform(self._machine.on_timer(self._shared.clock.monotonic()))

    @abc.abstractmethod
    def _transmit(self, data: bytes) -> None:
        """Send."""

    @abc.abstractmethod
    def _pass_up(self, message: Message) -> None:
        """Hand a message to the transaction user."""

    @abc.abstractmethod
    def _timed_out(self) -> None:
        """Tell the transaction user that no answer came."""

    @abc.abstractmethod
    def _transport_failed(self) -> None:
        """Tell the transaction user that nothing could be sent."""

    @abc.abstractmethod
    def _note_failure(self, reason: str) -> None:
        """Remember in words why the transport failed."""

    @abc.abstractmethod
    def _forget(self) -> None:
        """Leave the table."""

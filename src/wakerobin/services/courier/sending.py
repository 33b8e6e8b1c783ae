"""One push for one row or several, to each of their targets: through the gate, and to the push service."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from wakerobin import metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, PushType, Rejected, Unavailable
from wakerobin.core.values import PushTarget
from wakerobin.ports.push import PushService
from wakerobin.ports.store import OutboxRow
from wakerobin.services.courier.around import Around, count, count_delay
from wakerobin.services.courier.gates import Gates
from wakerobin.services.courier.messages import Addressee, Companion, message_for
from wakerobin.services.courier.ration import SilentRation

FIRST_AT = "first_at"
"""In the payload of a row that is tried again: when it was first to be tried."""


@dataclass(frozen=True, slots=True, eq=False)
class Stop:
    """A row with whom it is for, and its targets that are not settled."""

    row: OutboxRow
    addressee: Addressee
    targets: tuple[PushTarget, ...]


@dataclass(frozen=True, slots=True)
class Parked:
    """It may not leave now, but in so many milliseconds; that was no attempt."""

    wait: int


Result: TypeAlias = Outcome | Parked | None
"""None: it was not wanted any more in its turn."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a push to one target."""

    target: PushTarget
    result: Result


class Sender:
    """Sends pushes of the outbox. `attempt` is how long one try may take, milliseconds."""

    def __init__(self, around: Around, attempt: int, gates: Gates) -> None:
        self._around = around
        self._attempt = attempt
        self._gates = gates
        self._ration = SilentRation()

    async def send(self, stops: list[Stop], now: int) -> list[Sent]:
        """Send one push that stands for all stops to each target of the first."""
        begun = [(target, self._begin(stops, target, now)) for target in stops[0].targets]
        sent = [Sent(target, one if isinstance(one, Parked) else await one) for target, one in begun]
        if any(isinstance(one.result, Accepted) for one in sent):
            metrics.PUSHES_TOGETHER.labels(stops[0].row.app).inc(len(stops) - 1)
        return sent

    def _begin(self, stops: list[Stop], target: PushTarget, now: int) -> asyncio.Future[Result] | Parked:
        app = stops[0].addressee.registration.app
        service = self._around.service(app, target.provider)
        if service is None:
            refused: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            refused.set_result(Rejected(f"no {target.provider} in the settings of this app", ours=True))
            return refused
        wait = self._rationed(stops[0], target, now) or self._gates.park(app, target)
        if wait:
            return Parked(wait)
        return self._try(service, stops, target, now)

    def _try(
        self, service: PushService, stops: list[Stop], target: PushTarget, now: int
    ) -> asyncio.Future[Result]:
        around, first = self._around, stops[0]
        message = self._message(stops, target, now)
        began = around.clock.monotonic()
        turn = _Turn(around, [stop.row for stop in stops])
        ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        spent_at = self._spend(first, target, now)

        def on_outcome(outcome: Outcome) -> None:
            if turn.is_unwanted:
                self._gates.gave_up(message.app, target)
            else:
                count(message, outcome, around.clock.monotonic() - began)
                self._gates.heard(message.app, target, outcome)
            if turn.is_unwanted or (isinstance(outcome, Unavailable) and outcome.processed is False):
                self._give_back(first, spent_at)
            if isinstance(outcome, Accepted):
                count_delay(message, (around.clock.now() - decided_at(first.row)) / 1000)
            if not ended.done():
                ended.set_result(None if turn.is_unwanted else outcome)

        left = first.row.deadline_at - now if first.row.deadline_at else self._attempt
        service.begin(message, began + min(left, self._attempt) / 1000, on_outcome, turn.is_wanted)
        turn.has_begun = True
        return ended

    def _message(self, stops: list[Stop], target: PushTarget, now: int) -> PushMessage:
        first, *others = stops
        place = (target.provider, target.token)
        companions = [
            Companion(stop.row, stop.addressee, one)
            for stop in others
            for one in stop.targets
            if (one.provider, one.token) == place
        ]
        return message_for(first.row, first.addressee, target, self._around.texts, now, companions)

    # Apple's ration.

    def _rationed(self, stop: Stop, target: PushTarget, now: int) -> int:
        if not self._is_rationed(stop, target):
            return 0
        return self._ration.wait(*_phone(stop), now)

    def _spend(self, stop: Stop, target: PushTarget, now: int) -> int | None:
        if not self._is_rationed(stop, target):
            return None
        self._ration.spend(*_phone(stop), now)
        return now

    def _give_back(self, stop: Stop, spent_at: int | None) -> None:
        if spent_at is not None:
            self._ration.give_back(*_phone(stop), spent_at)

    def _is_rationed(self, stop: Stop, target: PushTarget) -> bool:
        app = stop.addressee.registration.app
        return stop.row.kind is PushType.RENEW and self._around.is_rationed(app, target.provider)


def decided_at(row: OutboxRow) -> int:
    """Return when a row was first to be tried."""
    return int(row.payload.get(FIRST_AT, row.not_before))


def _phone(stop: Stop) -> tuple[str, str]:
    registration = stop.addressee.registration
    return registration.app, registration.installation or registration.public_id


@dataclass(slots=True, eq=False)
class _Turn:
    """Asks, when a push has its turn, whether all its rows still want it."""

    around: Around
    rows: list[OutboxRow]
    has_begun: bool = False
    is_unwanted: bool = False

    def is_wanted(self) -> bool:
        """Read the lives again: the push may have waited seconds for its turn.

        Before `begin` has returned nothing was awaited since they were read.
        """
        if self.has_begun and not self.is_unwanted:
            around = self.around
            try:
                now = around.clock.now()
                self.is_unwanted = around.store.read(
                    lambda tx: any(around.lives.wanted(tx, row, now) is None for row in self.rows)
                )
            except StoreUnavailableError:
                return True  # what could make it unwanted cannot have been written either
        return not self.is_unwanted

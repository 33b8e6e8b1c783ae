"""The outbox, carried out: rows are leased, read again right before the socket, tried, and settled.

A row is one decision for all targets of a registration. Each target is settled once, by
`core.delivery`; the row goes with its last target, in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from wakerobin import log, metrics
from wakerobin.core.delivery import Again, DeliveryPolicy, decide, is_lapsed
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.ids import Entropy
from wakerobin.core.pushes import LANES, Lane, Outcome, PushMessage, Rejected, Unavailable
from wakerobin.core.values import Provider, PushTarget
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.push import PushService
from wakerobin.ports.store import OutboxRow, Store, Transaction
from wakerobin.ports.texts import Texts
from wakerobin.services.courier.messages import Addressee, message_for, targets_for
from wakerobin.services.lives import Lives

_log = log.get("courier")

_LONGEST_SLEEP = 60_000
_AFTER_A_FAULT = 1000

_REFILLS = 8
"""A lane that is behind is filled up when this part of it is free: a transaction for each row would cost more
than its push."""

_AT_ONCE = 4
"""So many rows are begun in one turn of the loop; then it looks at its sockets, where a call may wait."""


def _default_caps() -> dict[Lane, int]:
    return {Lane.NOTICES: 100, Lane.WARNINGS: 200, Lane.RENEWALS: 100}


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """How many rows of each lane are out at once, and how long one try may take; milliseconds.

    The order of the lanes is that in which they are served.
    """

    caps: dict[Lane, int] = field(default_factory=_default_caps)
    attempt: int = 10_000
    lease: int = 120_000

    def __hash__(self) -> int:
        return hash((self.attempt, self.lease))


@dataclass(frozen=True, slots=True)
class Around:
    """What the courier needs of the rest of the server."""

    store: Store
    clock: Clock
    timers: Timers
    texts: Texts
    service: Callable[[str, Provider], PushService | None]
    """The push service of an app, None where the app has none."""
    lives: Lives
    entropy: Entropy
    policy: DeliveryPolicy = field(default_factory=DeliveryPolicy)

    def jitter(self) -> float:
        """Return a random number from 0 to 1."""
        return int.from_bytes(self.entropy(4), "big") / 2**32


class Lanes:
    """Everything but calls, lane by lane."""

    def __init__(self, around: Around, options: LaneOptions) -> None:
        self._around = around
        self._options = options
        self._out: dict[Lane, set[int]] = {lane: set() for lane in options.caps}
        self._settled: dict[int, set[int]] = {}
        """Row to the targets that are settled while others of the row are not."""
        self._is_behind = False
        """Whether more may be due than there was room for: then room is worth a look."""
        self._woken = asyncio.Event()
        around.store.on_commit(self._committed)

    async def run(self) -> None:
        """Carry until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                try:
                    rows = await self._claim()
                    for number, row in enumerate(rows, 1):
                        group.create_task(self._carry(row))
                        if number % _AT_ONCE == 0:
                            await asyncio.sleep(0)
                    if not rows:
                        await self._sleep()
                except StoreUnavailableError as error:
                    _log.warning("store_unavailable", reason=str(error))
                    await self._pause(_AFTER_A_FAULT, asyncio.Event())
                except Exception:
                    metrics.FAULTS.labels("courier").inc()
                    _log.error("courier_fault", exc_info=True)
                    await self._pause(_AFTER_A_FAULT, asyncio.Event())

    # Taking rows.

    async def _claim(self) -> list[OutboxRow]:
        """Lease what is due and has room."""
        now = self._around.clock.now()
        rooms = {lane: self._room(lane) for lane in self._options.caps}
        self._is_behind = True
        if not any(rooms.values()) or not self._has_due(now):
            return []
        rows = await self._around.store.transact(lambda tx: self._claim_in(tx, rooms, now))
        claimed = Counter(LANES[row.kind] for row in rows)
        self._is_behind = any(claimed[lane] == room for lane, room in rooms.items())
        for row in rows:
            self._out[LANES[row.kind]].add(row.id)
        return rows

    def _has_due(self, now: int) -> bool:
        next_due = self._around.store.read(lambda tx: tx.outbox.next_due())
        return next_due is not None and next_due <= now

    def _claim_in(self, tx: Transaction, rooms: dict[Lane, int], now: int) -> list[OutboxRow]:
        claimed: list[OutboxRow] = []
        for lane, room in rooms.items():
            out = self._out[lane]
            due = tx.outbox.due(lane, now, room) if room else []
            if any(row.id in out for row in due):
                # A row that is out longer than its lease is due again in the store, not here.
                due = tx.outbox.due(lane, now, room + len(out))
                due = [row for row in due if row.id not in out][:room]
            for row in due:
                tx.outbox.lease(row.id, now + self._options.lease)
            claimed += due
        return claimed

    def _room(self, lane: Lane) -> int:
        """Return how many rows of a lane may be taken now; 0 also where so few are not worth it."""
        cap = self._options.caps[lane]
        room = cap - len(self._out[lane])
        return room if room * _REFILLS >= cap else 0

    async def _sleep(self) -> None:
        """Wait for the next row's time, a commit, or room in a lane."""
        next_due = self._around.store.read(lambda tx: tx.outbox.next_due())
        wait = _LONGEST_SLEEP if next_due is None else next_due - self._around.clock.now()
        # What is due and was not claimed waits for room: a settled row wakes this loop.
        await self._pause(min(wait, _LONGEST_SLEEP) if wait > 0 else _AFTER_A_FAULT)

    async def _pause(self, milliseconds: int, until: asyncio.Event | None = None) -> None:
        until = until or self._woken
        when = self._around.clock.monotonic() + milliseconds / 1000
        timer = self._around.timers.call_at(when, until.set)
        try:
            await until.wait()
        finally:
            timer.cancel()

    def _committed(self, groups: frozenset[str]) -> None:
        if "outbox" in groups:
            self._woken.set()

    # Carrying one row.

    async def _carry(self, row: OutboxRow) -> None:
        lane = LANES[row.kind]
        try:
            await self._try(row)
        except Exception:
            # A bug with one row must not stop the others; its lease keeps it from coming back at once.
            metrics.FAULTS.labels("courier").inc()
            _log.error("courier_fault", row=row.id, kind=row.kind, exc_info=True)
        finally:
            self._out[lane].discard(row.id)
            if self._is_behind:
                self._woken.set()

    async def _try(self, row: OutboxRow) -> None:
        now = self._around.clock.now()
        addressee = self._around.store.read(lambda tx: self._addressee(tx, row, now))
        settled = self._settled.get(row.id, set())
        targets = [t for t in addressee.targets if t.id not in settled] if addressee else []
        if addressee is None or not targets:
            await self._surely(lambda: self._around.store.transact(lambda tx: tx.outbox.remove(row.id)))
            self._settled.pop(row.id, None)
            return
        if is_lapsed(row, now):
            outcomes: list[Outcome] = [Unavailable("too late", processed=False)] * len(targets)
        else:
            messages = [message_for(row, addressee, t, self._around.texts, now) for t in targets]
            # Nothing was awaited since the life was read: what leaves here is not superseded.
            tries = [self._begin(message, row.deadline_at) for message in messages]
            outcomes = [await one for one in tries]
        await self._settle(row, list(zip(targets, outcomes, strict=True)))

    def _addressee(self, tx: Transaction, row: OutboxRow, now: int) -> Addressee | None:
        """Read whom a row is for; None if no one any more: a use, the end or a later push came between."""
        if not self._around.lives.is_wanted(tx, row, now):
            return None
        registration = tx.registrations.get(row.registration_id)
        account = tx.accounts.get(registration.account_id) if registration else None
        view = self._around.lives.view(tx, registration) if registration else None
        if registration is None or account is None or view is None:
            return None
        targets = targets_for(row.kind, tx.targets.of_registration(registration.id))
        return Addressee(registration, account, view, targets)

    def _begin(self, message: PushMessage, deadline_at: int) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        began = self._around.clock.monotonic()

        def on_outcome(outcome: Outcome) -> None:
            count(message, outcome, self._around.clock.monotonic() - began)
            if not future.done():
                future.set_result(outcome)

        service = self._around.service(message.app, message.target.provider)
        if service is None:
            on_outcome(Rejected(f"no {message.target.provider} in the settings of this app", ours=True))
        else:
            left = deadline_at - self._around.clock.now() if deadline_at else self._options.attempt
            service.begin(message, began + min(left, self._options.attempt) / 1000, on_outcome)
        return future

    # Settling.

    async def _settle(self, row: OutboxRow, results: list[tuple[PushTarget, Outcome]]) -> None:
        around = self._around
        again: list[Again] = []
        done: list[tuple[PushTarget, Outcome]] = []
        for target, outcome in results:
            verdict = decide(row, outcome, around.clock.now(), around.jitter(), around.policy)
            if isinstance(verdict, Again):
                again.append(verdict)
                _log.info("push_again", kind=row.kind, reason=getattr(outcome, "reason", ""))
            else:
                done.append((target, outcome))
        for number, (target, outcome) in enumerate(done, 1):
            is_last = not again and number == len(done)
            await self._settle_target(row, target, outcome, is_last=is_last)
        if again:
            not_before, attempts = min(one.not_before for one in again), row.attempts + 1
            await self._surely(
                lambda: around.store.transact(lambda tx: tx.outbox.postpone(row.id, not_before, attempts))
            )

    async def _settle_target(
        self, row: OutboxRow, target: PushTarget, outcome: Outcome, *, is_last: bool
    ) -> None:
        def also(tx: Transaction) -> None:
            if is_last:
                tx.outbox.remove(row.id)

        await self._surely(lambda: self._around.lives.push_settled(row, target, outcome, also))
        if is_last:
            self._settled.pop(row.id, None)
        else:
            self._settled.setdefault(row.id, set()).add(target.id)

    async def _surely(self, commit: Callable[[], Awaitable[None]]) -> None:
        """Commit as soon as the store can: the push has left, and would leave again if this were lost."""
        while True:
            try:
                await commit()
            except StoreUnavailableError as error:
                _log.warning("store_unavailable", reason=str(error))
                await self._pause(_AFTER_A_FAULT, asyncio.Event())
            else:
                return


def count(message: PushMessage, outcome: Outcome, seconds: float) -> None:
    """Count a push by what the push service said of it."""
    lane = message.lane.value
    metrics.PUSHES.labels(message.target.provider.value, lane, type(outcome).__name__.lower()).inc()
    metrics.PUSH_SECONDS.labels(lane).observe(seconds)

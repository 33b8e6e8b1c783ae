"""One row of the outbox on its way: read again right before the socket, tried, and settled.

A row is one decision for all targets of a registration. Each target is settled once, by
`core.delivery`; the row goes with its last target, in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from wakerobin import log
from wakerobin.core.delivery import Again, decide, is_lapsed
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.pushes import Accepted, Outcome, PushMessage, Rejected, Unavailable
from wakerobin.core.values import PushTarget
from wakerobin.ports.store import OutboxRow, Transaction
from wakerobin.services.courier.around import Around, count
from wakerobin.services.courier.messages import Addressee, message_for, targets_for

_STORE_RETRY_S = 1.0
_DONE = "done"
"""In the payload of a row that is tried again: the ids of the targets that are settled."""

_log = log.get("courier")


class Carrier:
    """Carries rows, each to its end or to its next attempt.

    `attempt` is how long one try may take, milliseconds. `on_answer` hears each outcome that came from
    the push service of an app.
    """

    def __init__(self, around: Around, attempt: int, on_answer: Callable[[str, Outcome], None]) -> None:
        self._around = around
        self._attempt = attempt
        self._on_answer = on_answer

    async def carry(self, row: OutboxRow) -> None:
        """Try a row once to each of its open targets, and write down what came of it."""
        now = self._around.clock.now()
        addressee = self._around.store.read(lambda tx: self._addressee(tx, row, now))
        if addressee is None or not addressee.targets:
            await self._surely(self._removal(row))
            return
        row = replace(row, deadline_at=addressee.wanted.deadline_at)
        if is_lapsed(row, now):
            late = Unavailable("too late", processed=False)
            results: list[tuple[PushTarget, Outcome]] = [(target, late) for target in addressee.targets]
        else:
            results = await self._send(row, addressee, now)
        await self._settle(row, results)

    def _addressee(self, tx: Transaction, row: OutboxRow, now: int) -> Addressee | None:
        """Read whom a row is for; None if no one any more: a use, the end or a later push came between."""
        wanted = self._around.lives.wanted(tx, row, now)
        registration = tx.registrations.get(row.registration_id) if wanted else None
        if wanted is None or registration is None:
            return None
        name = registration.display_name
        if not name:
            account = tx.accounts.get(registration.account_id)
            name = account.aor.removeprefix("sip:") if account else ""
        done = row.payload.get(_DONE, ())
        targets = targets_for(row.kind, tx.targets.of_registration(registration.id))
        open_still = tuple(target for target in targets if target.id not in done)
        return Addressee(registration, name, wanted, open_still)

    # Sending.

    async def _send(self, row: OutboxRow, addressee: Addressee, now: int) -> list[tuple[PushTarget, Outcome]]:
        """Return the outcomes; a target is left out where the row was not wanted any more in its turn."""
        tries = []
        for target in addressee.targets:
            message = message_for(row, addressee, target, self._around.texts, now)
            tries.append((target, self._begin(row, message)))
        outcomes = [(target, await one.outcome) for target, one in tries]
        return [(target, outcome) for target, outcome in outcomes if outcome is not None]

    def _begin(self, row: OutboxRow, message: PushMessage) -> _Try:
        clock = self._around.clock
        began = clock.monotonic()
        tried = _Try(self._around, row, asyncio.get_running_loop().create_future())

        def on_outcome(outcome: Outcome) -> None:
            if tried.is_unwanted:
                tried.end(None)
                return
            count(message, outcome, clock.monotonic() - began)
            self._on_answer(message.app, outcome)
            tried.end(outcome)

        service = self._around.service(message.app, message.target.provider)
        if service is None:
            tried.end(Rejected(f"no {message.target.provider} in the settings of this app", ours=True))
        else:
            left = row.deadline_at - clock.now() if row.deadline_at else self._attempt
            deadline = began + min(left, self._attempt) / 1000
            service.begin(message, deadline, on_outcome, tried.is_wanted)
            tried.has_begun = True
        return tried

    # Settling.

    async def _settle(self, row: OutboxRow, results: list[tuple[PushTarget, Outcome]]) -> None:
        around = self._around
        again: list[Again] = []
        done: list[tuple[PushTarget, Outcome]] = []
        for target, outcome in results:
            # A random number costs more than all the rest of an accepted push's verdict.
            jitter = 0.0 if isinstance(outcome, Accepted) else around.jitter()
            verdict = decide(row, outcome, around.clock.now(), jitter, around.policy)
            if isinstance(verdict, Again):
                again.append(verdict)
                _log.info("push_again", kind=row.kind, reason=getattr(outcome, "reason", ""))
            else:
                done.append((target, outcome))
        also = self._postponement(row, again, done) if again else self._removal(row)
        if done:
            await self._surely(also, row, done, is_over=not again)
        else:
            await self._surely(also)

    def _removal(self, row: OutboxRow) -> Callable[[Transaction], None]:
        return lambda tx: tx.outbox.remove(row.id)

    def _postponement(
        self, row: OutboxRow, again: list[Again], done: list[tuple[PushTarget, Outcome]]
    ) -> Callable[[Transaction], None]:
        not_before, attempts = min(one.not_before for one in again), row.attempts + 1
        payload = None
        if done:
            settled = [target.id for target, _ in done]
            payload = row.payload | {_DONE: [*row.payload.get(_DONE, ()), *settled]}
        return lambda tx: tx.outbox.postpone(row.id, not_before, attempts, payload)

    async def _surely(
        self,
        also: Callable[[Transaction], None],
        row: OutboxRow | None = None,
        done: list[tuple[PushTarget, Outcome]] | None = None,
        *,
        is_over: bool = True,
    ) -> None:
        """Commit as soon as the store can: the push has left, and would leave again if this were lost."""
        around = self._around
        while True:
            try:
                if row is None or done is None:
                    await around.store.transact(also)
                else:
                    await around.lives.push_settled(row, done, also, is_over=is_over)
            except StoreUnavailableError as error:
                _log.warning("store_unavailable", reason=str(error))
                await self._pause()
            else:
                return

    async def _pause(self) -> None:
        over = asyncio.Event()
        timer = self._around.timers.call_at(self._around.clock.monotonic() + _STORE_RETRY_S, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()


@dataclass(slots=True, eq=False)
class _Try:
    """One push of a row on its way; its outcome is None where it was not wanted any more in its turn."""

    around: Around
    row: OutboxRow
    outcome: asyncio.Future[Outcome | None]
    has_begun: bool = False
    is_unwanted: bool = False

    def is_wanted(self) -> bool:
        """Read the life again: the push may have waited seconds for its turn.

        Before `begin` has returned nothing was awaited since it was read.
        """
        if self.has_begun and not self.is_unwanted:
            around, row = self.around, self.row
            try:
                now = around.clock.now()
                self.is_unwanted = around.store.read(lambda tx: around.lives.wanted(tx, row, now)) is None
            except StoreUnavailableError:
                return True  # what could make it unwanted cannot have been written either
        return not self.is_unwanted

    def end(self, outcome: Outcome | None) -> None:
        """Say how it ended."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

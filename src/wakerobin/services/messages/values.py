"""What the parts of this room share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from wakerobin import log, metrics
from wakerobin.core.ids import Entropy
from wakerobin.core.values import Life, PhoneFlow, PushRegistration
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.sip import TransactionLayer
from wakerobin.ports.store import OutboxRow, Store, Transaction
from wakerobin.services.fleet.values import Upstream

HOUR = 3_600_000
DAY = 24 * HOUR

KNOWN_MS = HOUR
"""How long it is known that a message came, after everybody has it: a PBX repeats itself for 32 s."""
PUSHED_FOR_MS = 7 * DAY
"""How long a push is of use."""

_log = log.get("messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """What is taken and for how long it is kept; milliseconds and octets."""

    octets: int = 49_152
    """The largest body that is taken."""
    live_flow: int = 15_000
    """A flow that brought something so recently has the time to answer before its phone is pushed."""
    live_flow_answer: int = 1_000
    most_waiting: int = 500
    """So many messages wait for a push registration at most."""


class PhonesOf(Protocol):
    """The part of the phones' registrar that this room needs."""

    def flows(self, account_id: int) -> list[PhoneFlow]:
        """Return the live flows of an account's phones."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What all parts of this room need."""

    store: Store
    clock: Clock
    timers: Timers
    transactions: TransactionLayer
    phones: PhonesOf
    upstream: Callable[[int], Upstream | None]
    """Gives an account's way to its PBX."""
    entropy: Entropy
    secret: bytes
    limits: MessageLimits
    start: Callable[[Coroutine[Any, Any, None]], None]
    """Begin work that ends with the room."""

    def of_registration(self, account_id: int, registration_id: int) -> PhoneFlow | None:
        """Return the flow that an installation has now."""
        flows = self.phones.flows(account_id)
        return next((one for one in flows if one.registration_id == registration_id), None)

    def pushed_from(self, account_id: int, registration_id: int, now: int) -> int:
        """Return when a push may leave: at once, unless the phone has been heard and may answer by itself."""
        phone = self.of_registration(account_id, registration_id)
        if phone is None or self.clock.monotonic() - phone.heard_at > self.limits.live_flow / 1000:
            return now
        return now + self.limits.live_flow_answer


async def guarded(work: Coroutine[Any, Any, None]) -> None:
    """Let a bug with one message stop nothing else."""
    try:
        await work
    except Exception:
        metrics.FAULTS.labels("messages").inc()
        _log.error("message_fault", exc_info=True)


def living(tx: Transaction, account_id: int) -> list[tuple[PushRegistration, Life]]:
    """Return the push registrations of an account that get its messages: proven, and not over."""
    found = []
    for registration in tx.registrations.of_account(account_id):
        life = tx.lives.get(registration.id)
        if registration.proven and life is not None and life.ended is None:
            found.append((registration, life))
    return found


def remove_pushes(tx: Transaction, rows: list[OutboxRow]) -> None:
    """Take back pushes that have not left: the phone has what they would tell of."""
    for row in rows:
        tx.outbox.remove(row.id)

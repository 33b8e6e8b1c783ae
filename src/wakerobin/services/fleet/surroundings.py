"""What all parts of the fleet work with, and the one way in which they start something that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from wakerobin import log, metrics
from wakerobin.core.errors import StoreUnavailableError
from wakerobin.core.ids import Entropy
from wakerobin.core.values import BindingState
from wakerobin.ports.clock import Clock, Timers
from wakerobin.ports.options import Options
from wakerobin.ports.sip import Resolver, SipEndpoint, TransactionLayer
from wakerobin.ports.store import Store
from wakerobin.services.lives import Failure, Proof

_log = log.get("fleet")
_FAULTS = metrics.FAULTS.labels("fleet")
_RANGE = 2**32


class BindingNews(Protocol):
    """Who is told what the PBXs say of credentials and bindings (`services.lives.Lives`)."""

    async def proven(self, registration_id: int, proof: Proof) -> bool:
        """The credentials of this registration were accepted. False: that is of no use any more."""
        ...

    async def refused(self, registration_id: int, code: str, reason: str) -> object:
        """They were refused; nothing else is harmed by that."""
        ...

    async def binding_state(self, account_id: int, state: BindingState, code: str, reason: str) -> object:
        """The binding of an account is back, or stands otherwise than before."""
        ...

    async def binding_failed(self, account_id: int, failure: Failure) -> object:
        """A refresh failed; each refusal is told, anything else where it is news."""
        ...


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """The ports of the fleet, and its tasks while it runs."""

    store: Store
    clock: Clock
    timers: Timers
    transactions: TransactionLayer
    endpoint: SipEndpoint
    resolver: Resolver
    options: Options
    lives: BindingNews
    entropy: Entropy
    server_secret: bytes = field(repr=False)
    tasks: asyncio.TaskGroup | None = None
    """None before and after `Fleet.run`: then nothing that waits is started."""

    def jitter(self) -> float:
        """Return a random number from 0 to 1."""
        return int.from_bytes(self.entropy(4), "big") / _RANGE

    def wall_s(self) -> float:
        """Return the wall clock in seconds."""
        return self.clock.now() / 1000

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that waits. A fault in it is logged and counted and stops nothing else."""
        if self.tasks is None:
            work.close()
        else:
            self.tasks.create_task(_guarded(work))


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except StoreUnavailableError as fault:
        # What was to be written is found out again by the next REGISTER.
        _log.error("store_unavailable", reason=str(fault))
    except Exception:
        _FAULTS.inc()
        _log.error("task_failed", exc_info=True)

"""The middle of a server for the tests of the courier: store, lives, courier, and where they push to."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

from tests.system.pushing import service_for, target
from wakerobin.core.delivery import DeliveryPolicy
from wakerobin.core.ids import keyed_hash, uuid_from
from wakerobin.core.lifetime import LifetimePolicy
from wakerobin.core.pushes import (
    CallDetails,
    PayloadHead,
    PushMessage,
    PushType,
    call_message,
)
from wakerobin.core.values import Account, Duration, Life, Purpose, PushRegistration, PushTarget
from wakerobin.ports.options import HOUR, SECOND, LifetimeOptions
from wakerobin.ports.push import PushService
from wakerobin.ports.store import OutboxRow, Store, Transaction
from wakerobin.push.apns import ApnsService
from wakerobin.push.connection import PoolOptions
from wakerobin.services import story
from wakerobin.services.courier import Courier, LaneOptions, PaceOptions
from wakerobin.services.lives import Lives, policy_of
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.pns import FakePns, ReceivedPush
from wakerobin.texts import Catalogues

AS_FAST_AS_IT_GOES = PaceOptions(rate=1e6, ramp_s=0.0, in_flight=1000)
VOIP, ALERT = "aa" * 32, "bb" * 32
DAY = 24 * HOUR


@dataclass
class World:
    """A server's middle: store, lives and courier on a clock that is moved by hand, pushing for real."""

    clock: ManualClock
    store: Store
    lives: Lives
    courier: Courier
    pns: FakePns
    service: ApnsService
    running: asyncio.Task[None]

    @property
    def memory(self) -> MemoryStore:
        assert isinstance(self.store, MemoryStore)
        return self.store

    async def enrol(self, *targets: PushTarget, **changes: object) -> PushRegistration:
        """Add a proven push registration; by default with the two tokens of an iPhone."""
        now = self.clock.now()

        def work(tx: Transaction) -> PushRegistration:
            number = len(tx.registrations.page(0, 1000)) + 1
            account = tx.accounts.add(
                Account(
                    slot=1,
                    app="phone",
                    aor=f"sip:user{number}@pbx.test",
                    auth_user="alice",
                    registrar="pbx.test",
                    contact_user=f"c{number}",
                    instance=f"urn:uuid:{number}",
                    proven=True,
                    created_at=now,
                )
            )
            values: dict[str, object] = {
                "public_id": f"pr_{number}",
                "account_id": account.id,
                "app": "phone",
                "installation": f"i{number}",
                "sip_instance": f"urn:uuid:s{number}",
                "secret_hash": b"x",
                "proven": True,
                "lifetime": Duration(7 * DAY),
                "created_at": now,
                "locale": "en",
            }
            registration = tx.registrations.add(PushRegistration(**(values | changes)))  # type: ignore[arg-type]  # one field at a time
            self.lives.begin_in(tx, registration, now)
            for one in targets or (
                target(VOIP, purposes=frozenset({Purpose.CALL})),
                target(ALERT, purposes=frozenset({Purpose.NOTICE})),
            ):
                tx.targets.add(replace(one, id=0, registration_id=registration.id, reported_at=now))
            return registration

        return await self.store.transact(work)

    async def decide(self, registration: PushRegistration, kind: PushType, **changes: object) -> OutboxRow:
        """Put a push into the outbox, as a life does."""
        now = self.clock.now()
        values: dict[str, object] = {
            "slot": 1,
            "registration_id": registration.id,
            "generation": self.life(registration).generation,
            "kind": kind,
            "step": 0,
            "not_before": now,
            "deadline_at": now + HOUR,
        }
        row = OutboxRow(**(values | changes))  # type: ignore[arg-type]  # one field at a time
        assert await self.store.transact(lambda tx: tx.outbox.add(row))
        return row

    def life(self, registration: PushRegistration) -> Life:
        life = self.store.read(lambda tx: tx.lives.get(registration.id))
        assert life is not None
        return life

    def targets(self, registration: PushRegistration) -> list[PushTarget]:
        return self.store.read(lambda tx: tx.targets.of_registration(registration.id))

    def waiting(self) -> int | None:
        """Return when the next row of the outbox may be tried; None: it is empty."""
        return self.store.read(lambda tx: tx.outbox.next_due())

    def told(self, registration: PushRegistration) -> list[str]:
        rows = self.store.read(lambda tx: tx.stories.of(story.of_registration(registration.id)))
        return [row.event for row in rows]

    async def until(self, condition: Callable[[], object], within: int = 60_000) -> None:
        await self.clock.run_until_true(lambda: bool(condition()), within)

    async def pushed(self, count: int = 1) -> list[ReceivedPush]:
        """Return the pushes, once so many have come and the outbox is settled."""
        await self.until(lambda: len(self.pns.pushes) >= count and self.waiting() is None)
        assert len(self.pns.pushes) == count
        return self.pns.pushes

    def call(self, registration: PushRegistration, call_id: str = "call-1") -> list[PushMessage]:
        """Build the pushes of a call, as the switchboard does."""
        now = self.clock.now()
        life = self.life(registration)
        details = CallDetails(call_id=call_id, sip_call_id="x@pbx", caller={"number": "200", "name": "Bob"})
        messages = []
        for one in self.targets(registration):
            if Purpose.CALL in one.purposes:
                a_head = PayloadHead(
                    id=uuid_from(keyed_hash(b"test", call_id)),
                    registration=registration.public_id,
                    generation=life.generation,
                    sent_at=now,
                    expires_at=now + 30 * SECOND,
                    stage="active",
                    life_expires_at=life.expires_at,
                )
                messages.append(call_message("phone", one, a_head, details))
        return messages


def policy(_app: str) -> LifetimePolicy:
    return policy_of(LifetimeOptions())


@contextlib.asynccontextmanager
async def running_world(
    pns: FakePns,
    clock: ManualClock | None = None,
    store: Store | None = None,
    rate: float = 1e6,
    pace: PaceOptions = AS_FAST_AS_IT_GOES,
    policies: Callable[[str], LifetimePolicy] = policy,
    second_url: str = "",
) -> AsyncIterator[World]:
    clock = clock or ManualClock()
    store = store or MemoryStore()
    lives = Lives(store, clock, policies, lambda _id: False)
    pool = PoolOptions(bulk_rate=rate)
    async with service_for(
        pns, store=store, clock=clock, timers=clock, pool=pool, second_url=second_url
    ) as service:
        courier = courier_to(store, clock, lives, {"phone": service}, pace)
        running = asyncio.ensure_future(courier.run())
        await clock.settle()
        made = World(clock, store, lives, courier, pns, service, running)
        yield made
        made.running.cancel()
        await asyncio.wait([made.running])


def courier_of(
    store: Store, clock: ManualClock, lives: Lives, service: ApnsService | None, **caps: int
) -> Courier:
    return courier_to(store, clock, lives, {"phone": service}, AS_FAST_AS_IT_GOES, **caps)


def courier_to(
    store: Store,
    clock: ManualClock,
    lives: Lives,
    services: Mapping[str, PushService | None],
    pace: PaceOptions = AS_FAST_AS_IT_GOES,
    **caps: int,
) -> Courier:
    options = LaneOptions(pace=pace)
    return Courier(
        store=store,
        clock=clock,
        timers=clock,
        texts=Catalogues(),
        services=lambda app, _provider: services.get(app),
        lives=lives,
        entropy=os.urandom,
        policy=DeliveryPolicy(),
        options=replace(options, caps=dict.fromkeys(options.caps, caps.get("cap", 100))),
    )


async def in_real_time(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for sockets, in real time, with the server's clock standing still."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)

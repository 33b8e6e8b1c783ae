"""Push services of many hosts, and phones of several push services: one that is away holds up no other."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.system.couriers import AS_FAST_AS_IT_GOES, DAY, World, policy
from tests.system.pushing import target
from wakerobin.core.pushes import Accepted, Lane, Outcome, PushMessage, PushType, Unavailable
from wakerobin.core.values import Provider, Purpose, PushTarget
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.options import HOUR, MINUTE, SECOND
from wakerobin.ports.push import always_wanted
from wakerobin.services.courier import Courier, LaneOptions
from wakerobin.services.lives import Lives
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import MemoryStore
from wakerobin.texts import Catalogues

NOTICE = frozenset({Purpose.NOTICE})
DOWN = Unavailable("ServiceUnavailable")


class Attempt:
    """One that is not withdrawn."""

    def withdraw(self) -> None:
        raise AssertionError("only calls are withdrawn")


@dataclass
class Hosts:
    """Push services by host, each with one answer for all."""

    clock: ManualClock
    answers: dict[str, Outcome] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    served: list[tuple[str, str]] = field(default_factory=list)

    def begin(
        self,
        message: PushMessage,
        deadline: float,
        on_outcome: Callable[[Outcome], None],
        is_wanted: Callable[[], bool] = always_wanted,
    ) -> Attempt:
        host = where(message.target)
        self.asked[host] += 1
        outcome = self.answers.get(host, Accepted())
        if isinstance(outcome, Accepted):
            self.served.append((host, message.payload["registration"]))
        self.clock.call_at(self.clock.monotonic() + 0.05, lambda: on_outcome(outcome))
        return Attempt()

    async def send(self, message: PushMessage, deadline: float) -> Outcome:
        raise AssertionError("the courier begins")

    async def warm(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""


def where(one: PushTarget) -> str:
    return urlsplit(one.token.reveal()).hostname or one.provider.value


def browser(host: str, number: int, provider: Provider = Provider.WEBPUSH) -> PushTarget:
    return target(f"https://{host}/{number}", provider=provider, purposes=NOTICE)


class Pushing:
    """A running courier before such hosts."""

    def __init__(self) -> None:
        self.clock, store = ManualClock(), MemoryStore()
        self.hosts = Hosts(self.clock)
        lives = Lives(store, self.clock, policy, lambda _id: False)
        courier = Courier(
            store=store,
            clock=self.clock,
            timers=self.clock,
            texts=Catalogues(),
            services=lambda _app, _provider: self.hosts,
            lives=lives,
            entropy=os.urandom,
            options=LaneOptions(pace=AS_FAST_AS_IT_GOES),
        )
        running = asyncio.ensure_future(courier.run())
        self.world = World(self.clock, store, lives, courier, None, None, running)  # type: ignore[arg-type]  # no FakePns here

    async def notify(self, *targets: PushTarget) -> str:
        phone = await self.world.enrol(*targets)
        await self.world.decide(phone, PushType.EXPIRED, deadline_at=self.clock.now() + DAY)
        return phone.public_id

    async def run(self, milliseconds: int) -> None:
        await self.clock.run_until(self.clock.now() + milliseconds)

    def alarms(self) -> list[Alarm]:
        return self.world.store.read(lambda tx: tx.alarms.all())

    async def stop(self) -> None:
        self.world.running.cancel()
        await asyncio.wait([self.world.running])


@pytest.fixture
async def pushing() -> AsyncIterator[Pushing]:
    made = Pushing()
    yield made
    await made.stop()


async def test_a_host_that_is_down_holds_up_no_other_host(pushing: Pushing) -> None:
    pushing.hosts.answers["push.example"] = DOWN
    for number in range(40):
        await pushing.notify(browser("push.example", number))
        await pushing.notify(browser("fcm.googleapis.com", number))
    await pushing.run(5 * SECOND)
    assert pushing.hosts.asked["fcm.googleapis.com"] == 40
    assert pushing.hosts.asked["push.example"] <= 50
    asked = pushing.hosts.asked["push.example"]
    await pushing.run(5 * MINUTE)
    assert pushing.hosts.asked["push.example"] - asked <= 20, "a probe now and then"
    del pushing.hosts.answers["push.example"]
    await pushing.world.until(lambda: pushing.world.waiting() is None, within=2 * HOUR)
    assert len(pushing.hosts.served) == len({*pushing.hosts.served}) == 80


async def test_what_was_parked_was_not_tried_and_keeps_its_attempts(pushing: Pushing) -> None:
    pushing.hosts.answers["push.example"] = DOWN
    for number in range(40):
        await pushing.notify(browser("push.example", number))
        await pushing.run(100)
    rows = pushing.world.store.read(lambda tx: tx.outbox.due(Lane.NOTICES, pushing.clock.now() + DAY, 99))
    assert len(rows) == 40
    assert sum(row.attempts for row in rows) == pushing.hosts.asked["push.example"]


async def test_of_a_host_that_users_chose_no_operator_hears_and_of_a_known_one_he_does(
    pushing: Pushing,
) -> None:
    for host in ("ntfy.example", "updates.push.services.mozilla.com"):
        pushing.hosts.answers[host] = DOWN
        for number in range(10):
            await pushing.notify(browser(host, number))
    await pushing.run(5 * MINUTE)
    assert [alarm.name for alarm in pushing.alarms()] == [
        "push-paused:phone/webpush/updates.push.services.mozilla.com"
    ]
    pushing.hosts.answers.clear()
    await pushing.world.until(lambda: pushing.world.waiting() is None, within=2 * HOUR)
    await pushing.clock.settle()
    assert pushing.alarms() == []


async def test_of_two_push_services_of_a_phone_the_one_that_is_up_is_not_held_up(pushing: Pushing) -> None:
    pushing.hosts.answers["apns"] = DOWN
    for number in range(10):
        await pushing.notify(target(f"{number:064x}", purposes=NOTICE))
    await pushing.run(SECOND)
    both = await pushing.notify(target("aa" * 32, purposes=NOTICE), browser("push.example", 1))
    await pushing.run(SECOND)
    assert pushing.hosts.served == [("push.example", both)]
    del pushing.hosts.answers["apns"]
    await pushing.world.until(lambda: pushing.world.waiting() is None, within=2 * HOUR)
    assert Counter(pushing.hosts.served)["push.example", both] == 1
    assert Counter(pushing.hosts.served)["apns", both] == 1


async def test_a_push_that_is_parked_past_its_deadline_is_given_up_in_words(pushing: Pushing) -> None:
    pushing.hosts.answers["push.example"] = DOWN
    for number in range(10):
        await pushing.notify(browser("push.example", number))
    await pushing.run(SECOND)
    phone = await pushing.world.enrol(browser("push.example", 99))
    await pushing.world.decide(phone, PushType.EXPIRED, deadline_at=pushing.clock.now() + 20 * SECOND)
    await pushing.run(10 * MINUTE)
    assert "notice-failed" in pushing.world.told(phone)

"""How fast the outbox goes out, who goes first, and what waits for a push service that is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.system.couriers import ALERT, DAY, VOIP, World, in_real_time, running_world
from tests.system.pushing import target
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Ended, Purpose, PushRegistration
from wakerobin.ports.alarms import Alarm
from wakerobin.ports.options import HOUR, MINUTE, SECOND
from wakerobin.services.courier import PaceOptions
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import MemoryStore
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_script import Refuse

SLOWLY = PaceOptions(rate=10.0, ramp_s=20.0, in_flight=200)
NOTICE = frozenset({Purpose.NOTICE})


@pytest.fixture
async def pns(tmp_path: Path) -> AsyncIterator[FakePns]:
    async with FakePns(tmp_path) as fake:
        yield fake
        assert fake.thrown_out == []


async def phones(world: World, count: int) -> list[PushRegistration]:
    return [await world.enrol(target(f"{number:064x}", purposes=NOTICE)) for number in range(count)]


async def decide_all(world: World, registrations: list[PushRegistration], kind: PushType) -> None:
    for registration in registrations:
        await world.decide(registration, kind, deadline_at=world.clock.now() + DAY)


def alarms(world: World) -> list[Alarm]:
    return world.store.read(lambda tx: tx.alarms.all())


async def test_after_a_start_pushes_go_slowly_at_first_and_then_at_their_rate(pns: FakePns) -> None:
    async with running_world(pns, pace=SLOWLY) as world:
        await decide_all(world, await phones(world, 200), PushType.EXPIRY_WARNING)
        began, by_second = world.clock.now(), [0]
        while len(pns.pushes) < 200:
            await world.clock.run_until(world.clock.now() + SECOND)
            by_second.append(len(pns.pushes))
        took = (world.clock.now() - began) / SECOND
        steps = [later - earlier for earlier, later in pairwise(by_second)]
        assert sum(steps[1:6]) <= 5 * 4, "not at its whole rate yet"
        assert max(steps[1:]) <= 11
        assert 25 <= took <= 35


async def test_a_call_leaves_at_once_whatever_waits(pns: FakePns) -> None:
    async with running_world(pns, pace=SLOWLY) as world:
        registration = await world.enrol()
        await decide_all(world, await phones(world, 100), PushType.EXPIRY_WARNING)
        await world.clock.run_until(world.clock.now() + 2 * SECOND)
        assert 0 < len(pns.pushes) < 100
        before = world.clock.now()
        world.courier.call_now(world.call(registration), lambda _m, _o: None, world.clock.monotonic() + 30)
        await pns.wait_for(lambda push: push.token == VOIP)
        assert world.clock.now() == before


async def test_no_lane_waits_for_the_whole_backlog_of_another(pns: FakePns) -> None:
    async with running_world(pns, pace=PaceOptions(rate=10.0, ramp_s=0.0, in_flight=200)) as world:
        many, few = (await phones(world, 120))[:100], (await phones(world, 40))[20:]
        world.running.cancel()
        await asyncio.wait([world.running])
        await decide_all(world, many, PushType.EXPIRY_WARNING)
        await decide_all(world, few[:10], PushType.RENEW)
        await decide_all(world, few[10:], PushType.EXPIRED)
        world.running = asyncio.ensure_future(world.courier.run())
        await world.until(lambda: len(pns.pushes) >= 60)
        by_type = Counter(push.type for push in pns.pushes[:60])
        assert by_type["expired"] == 10
        assert by_type["renew"] >= 2
        assert by_type["expiry-warning"] >= 30
        await world.until(lambda: world.waiting() is None)
        assert len(pns.pushes) == 120


async def test_a_service_that_is_back_gets_what_waited_slowly(pns: FakePns) -> None:
    async with running_world(pns, pace=PaceOptions(rate=20.0, ramp_s=60.0, in_flight=200)) as world:
        await world.clock.run_until(world.clock.now() + HOUR)  # the ramp of the start is over
        pns.always(Refuse(status=503, reason="ServiceUnavailable"))
        await decide_all(world, await phones(world, 60), PushType.EXPIRED)
        await world.clock.run_until(world.clock.now() + 10 * MINUTE)
        pns.always(None)
        await world.until(lambda: any(push.is_accepted for push in pns.pushes), within=HOUR)
        await world.clock.run_until(world.clock.now() + 5 * SECOND)
        assert sum(push.is_accepted for push in pns.pushes) <= 5 * 5
        await world.until(lambda: world.waiting() is None, within=2 * HOUR)
        assert sum(push.is_accepted for push in pns.pushes) == 60


async def test_a_refused_key_pauses_everything_but_calls_and_says_how_it_is_mended(pns: FakePns) -> None:
    clock, store = ManualClock(), MemoryStore()
    async with running_world(pns, clock, store) as world:
        registration = await world.enrol()
        pns.always(Refuse(status=403, reason="InvalidProviderToken"))
        await decide_all(world, await phones(world, 30), PushType.EXPIRED)
        await world.clock.run_until(clock.now() + 2 * MINUTE)
        assert len(pns.pushes) <= 31, "a probe now and then"
        (alarm,) = alarms(world)
        assert alarm.name == "push-key-refused:phone/apns"
        assert all(word in alarm.words for word in ("InvalidProviderToken", "key_file", "[apps.phone.apns]"))
        world.courier.call_now(world.call(registration), lambda _m, _o: None, clock.monotonic() + 30)
        await pns.wait_for(lambda push: push.token == VOIP)
    async with running_world(pns, clock, store.restarted()) as world:
        assert alarms(world) == [alarm], "it stands until it is mended"
        pns.always(None)
        await world.until(lambda: world.waiting() is None, within=HOUR)
        await world.clock.settle()
        assert alarms(world) == []


async def test_a_service_that_is_away_for_a_minute_is_told_and_taken_back(pns: FakePns) -> None:
    async with running_world(pns) as world:
        pns.always(Refuse(status=500, reason="InternalServerError"))
        await decide_all(world, await phones(world, 40), PushType.EXPIRED)
        await world.clock.run_until(world.clock.now() + 40 * SECOND)
        assert alarms(world) == []
        await world.clock.run_until(world.clock.now() + 3 * MINUTE)
        (alarm,) = alarms(world)
        assert alarm.name == "push-paused:phone/apns"
        assert "InternalServerError" in alarm.words
        pns.always(None)
        await world.until(lambda: world.waiting() is None, within=2 * HOUR)
        await world.clock.settle()
        assert alarms(world) == []


async def test_a_topic_that_one_phone_names_itself_pauses_nobody_else(pns: FakePns) -> None:
    async with running_world(pns) as world:
        odd = await world.enrol(target(ALERT, topic="com.example.other", purposes=NOTICE))
        pns.of(ALERT, Refuse(status=400, reason="TopicDisallowed"))
        await decide_all(world, [odd], PushType.EXPIRED)
        await in_real_time(lambda: len(pns.pushes) == 1)
        await world.clock.settle()
        await decide_all(world, await phones(world, 5), PushType.EXPIRED)
        await in_real_time(lambda: len(pns.pushes) == 6)
        await world.clock.settle()
        assert alarms(world) == []


async def test_tokens_refused_in_bulk_end_nobody_and_the_operator_reads_why(pns: FakePns) -> None:
    async with running_world(pns) as world:
        registrations = await phones(world, 30)
        pns.always(Refuse(status=400, reason="DeviceTokenNotForTopic"))
        await decide_all(world, registrations, PushType.RENEW)
        await world.until(lambda: world.waiting() is None)
        await world.clock.settle()
        (alarm,) = alarms(world)
        assert alarm.name == "push-targets-refused:phone/apns"
        assert "`topic` in [apps.phone.apns]" in alarm.words
        assert all(world.targets(registration) for registration in registrations)
        assert all(world.life(registration).ended is None for registration in registrations)
        pns.always(None)
        await decide_all(world, registrations[:1], PushType.EXPIRY_WARNING)
        await world.until(lambda: world.waiting() is None)
        assert alarms(world) == [alarm], "one that is accepted proves nothing yet"
        await world.clock.run_until(world.clock.now() + 2 * HOUR)
        await decide_all(world, registrations[1:2], PushType.EXPIRY_WARNING)
        await world.until(lambda: world.waiting() is None)
        await world.clock.settle()
        assert alarms(world) == []


async def test_gone_tokens_in_bulk_are_taken_back_and_told(pns: FakePns) -> None:
    async with running_world(pns) as world:
        registrations = await phones(world, 30)
        world.clock.advance(HOUR)
        for number in range(30):
            pns.forget(f"{number:064x}", at=world.clock.now() - MINUTE)
        await decide_all(world, registrations, PushType.RENEW)
        await world.until(lambda: world.waiting() is None)
        await world.clock.settle()
        (alarm,) = alarms(world)
        assert "Unregistered" in alarm.words
        assert all(world.targets(registration) for registration in registrations)
        assert all(world.life(registration).ended is not Ended.TARGETS_GONE for registration in registrations)


async def test_apple_gets_two_silent_pushes_an_hour_for_a_phone_and_the_third_waits(pns: FakePns) -> None:
    async with running_world(pns) as world:
        registration = await world.enrol()
        began = world.clock.now()
        for step in range(3):
            await world.decide(registration, PushType.RENEW, step=step, deadline_at=began + DAY)
            await in_real_time(lambda: len(pns.pushes) == min(2, step + 1))  # noqa: B023 - awaited at once
            await world.clock.settle()
            await world.clock.run_until(world.clock.now() + 10 * MINUTE)
        assert len(pns.pushes) == 2
        await world.clock.run_until(began + 59 * MINUTE)
        assert len(pns.pushes) == 2
        await world.until(lambda: world.waiting() is None, within=HOUR)
        assert len(pns.pushes) == 3
        assert began + HOUR <= world.clock.now() <= began + HOUR + MINUTE


async def test_a_service_that_comes_back_throttling_is_asked_with_growing_pauses(pns: FakePns) -> None:
    async with running_world(pns) as world:
        pns.always(Refuse(status=500, reason="InternalServerError"))
        await decide_all(world, await phones(world, 60), PushType.EXPIRED)
        await in_real_time(lambda: len(pns.pushes) >= 5)
        await world.clock.settle()
        pns.always(Refuse(status=429, reason="TooManyRequests"))
        before = len(pns.pushes)
        await world.clock.run_until(world.clock.now() + 2 * MINUTE)
        assert before + 3 <= len(pns.pushes) <= before + 12
        pns.always(None)
        await world.until(lambda: world.waiting() is None, within=3 * HOUR)
        assert sum(push.is_accepted for push in pns.pushes) == 60


async def test_only_a_throttled_push_waits_where_the_service_serves_others(pns: FakePns) -> None:
    async with running_world(pns) as world:
        pns.of(f"{0:064x}", Refuse(status=429, reason="TooManyRequests"))
        await decide_all(world, await phones(world, 20), PushType.EXPIRED)
        await in_real_time(lambda: len(pns.pushes) == 20)
        await world.clock.settle()
        assert sum(push.is_accepted for push in pns.pushes) == 19
        assert alarms(world) == []


async def test_what_lives_send_waits_while_they_are_decided_in_bulk(pns: FakePns) -> None:
    async with running_world(pns) as world:
        registrations = await phones(world, 6)
        await world.clock.run_until(world.life(registrations[0]).expires_at - 12 * HOUR)

        async def fire() -> None:
            assert await world.lives.fire(world.clock.now(), 2) == 2
            await world.clock.run_until(world.clock.now() + 5 * SECOND)

        await fire()
        await decide_all(world, [await world.enrol()], PushType.EXPIRED)
        await fire()
        assert [push.payload["wakerobin"]["type"] for push in pns.pushes] == ["expired"], "it does not wait"
        assert await world.lives.fire(world.clock.now(), 3) == 2, "nothing more is due"
        await world.until(lambda: len(pns.pushes) == 7)


async def test_it_waits_half_a_minute_at_most(pns: FakePns) -> None:
    async with running_world(pns) as world:
        registrations = await phones(world, 4)
        await world.clock.run_until(world.life(registrations[0]).expires_at - 12 * HOUR)
        assert await world.lives.fire(world.clock.now(), 2) == 2
        began = world.clock.now()
        await world.until(lambda: len(pns.pushes) == 2)
        assert 29 * SECOND <= world.clock.now() - began <= 35 * SECOND

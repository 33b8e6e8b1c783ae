"""The courier between a store, the lives in it, and a push service like Apple's: the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.couriers import (
    ALERT,
    DAY,
    VOIP,
    World,
    courier_of,
    courier_to,
    in_real_time,
    policy,
    running_world,
)
from tests.system.pushing import service_for, target
from wakerobin.core.lifetime import LifetimePolicy, QuietHours
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Purpose
from wakerobin.ports.options import HOUR, MINUTE, SECOND, StoreOptions
from wakerobin.push.connection import PoolOptions
from wakerobin.services.lives import Lives
from wakerobin.store import open_store
from wakerobin.testing.clock import ManualClock
from wakerobin.testing.memory import Fault, MemoryStore
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_script import Kill, Refuse, Reset, Silence, Slow


@pytest.fixture
async def pns(tmp_path: Path) -> AsyncIterator[FakePns]:
    async with FakePns(tmp_path) as fake:
        yield fake
        assert fake.thrown_out == []


@pytest.fixture
async def world(pns: FakePns) -> AsyncIterator[World]:
    async with running_world(pns) as made:
        yield made


async def test_a_warning_goes_to_the_notice_token_in_words_and_is_settled(world: World) -> None:
    registration = await world.enrol(display_name="Alice at work")
    end = world.clock.now() + 12 * HOUR
    await world.decide(registration, PushType.EXPIRY_WARNING, payload={"announced_at": end}, step=7)
    (push,) = await world.pushed()
    assert push.token == ALERT
    assert push.push_type == "alert"
    assert push.headers["apns-collapse-id"] == "life"
    assert push.headers["apns-expiration"] == str(end // 1000)
    assert push.payload["aps"]["alert"]["title"] == "Alice at work"
    assert "will expire soon" in push.payload["aps"]["alert"]["body"]
    ours = push.payload["wakerobin"]
    assert ours["type"] == "expiry-warning"
    assert ours["registration"] == registration.public_id
    assert ours["id"] == push.headers["apns-id"]
    assert ours["life"]["expires_at"] == world.life(registration).expires_at // 1000
    assert "warning-sent" in world.told(registration)
    assert world.life(registration).warned_at > 0


async def test_a_renewal_shows_nothing_and_is_noted_as_handed_over(world: World) -> None:
    registration = await world.enrol()
    await world.decide(registration, PushType.RENEW, deadline_at=0)
    (push,) = await world.pushed()
    assert push.token == ALERT  # a VoIP token would have to ring
    assert push.push_type == "background"
    assert push.payload["aps"] == {"content-available": 1}
    assert push.headers["apns-expiration"] == "0"
    assert "apns-collapse-id" not in push.headers
    ours = push.payload["wakerobin"]
    # Not stored on the way, and of use to the phone until the end all the same.
    assert ours["expires_at"] == ours["life"]["expires_at"] == world.life(registration).expires_at // 1000
    assert world.life(registration).renewal_sent_at == world.clock.now()


async def test_an_account_without_a_name_is_called_by_its_address(world: World) -> None:
    registration = await world.enrol(locale="de-AT")
    await world.decide(registration, PushType.EXPIRED)
    (push,) = await world.pushed()
    assert push.payload["aps"]["alert"]["title"] == "user1@pbx.test"
    assert "lange nicht benutzt" in push.payload["aps"]["alert"]["body"]


async def test_a_use_between_decision_and_socket_removes_the_push_unsent(world: World) -> None:
    registration = await world.enrol()
    later = world.clock.now() + MINUTE
    await world.decide(registration, PushType.EXPIRY_WARNING, not_before=later)
    # The use voids the row itself; a row that a crash left behind is told by its generation.
    await world.lives.use(registration.id, "opened")
    old = world.life(registration).generation - 1
    await world.decide(registration, PushType.EXPIRY_WARNING, generation=old, step=3)
    await world.until(lambda: world.waiting() is None)
    assert world.pns.pushes == []


async def test_a_row_waits_until_its_time(world: World) -> None:
    registration = await world.enrol()
    await world.decide(registration, PushType.RENEW, not_before=world.clock.now() + 10 * MINUTE)
    await world.clock.run_until(world.clock.now() + 9 * MINUTE)
    assert world.pns.pushes == []
    await world.clock.run_until(world.clock.now() + 2 * MINUTE)
    await world.pushed()


async def test_a_push_service_in_trouble_is_asked_again_under_the_same_id(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Refuse(status=503, reason="ServiceUnavailable", retry_after="90"), Reset(code=2))
    await world.decide(registration, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
    await world.until(lambda: len(world.pns.pushes) == 1)
    began = world.clock.now()
    await world.clock.run_until(began + 80 * SECOND)
    assert len(world.pns.pushes) == 1  # Retry-After goes before the back-off
    await world.until(lambda: len(world.pns.pushes) == 3 and world.waiting() is None, within=10 * MINUTE)
    assert len({push.headers["apns-id"] for push in world.pns.pushes}) == 1
    assert {push.headers["apns-collapse-id"] for push in world.pns.pushes} == {"life"}
    assert world.told(registration).count("notice-sent") == 1


async def test_a_renewal_that_may_have_arrived_is_not_sent_again(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Kill(accepted=True))
    await world.decide(registration, PushType.RENEW)
    await world.pushed()
    assert "renewal-failed" in world.told(registration)


async def test_a_push_is_given_up_at_its_deadline(world: World) -> None:
    registration = await world.enrol()
    world.pns.always(Refuse(status=500, reason="InternalServerError"))
    deadline_at = world.clock.now() + 40 * MINUTE
    await world.decide(registration, PushType.EXPIRED, deadline_at=deadline_at)
    await world.until(lambda: world.waiting() is None, within=DAY)
    assert world.clock.now() <= deadline_at
    assert [push.reason for push in world.pns.pushes] == ["InternalServerError"] * 3
    assert "notice-failed" in world.told(registration)


async def test_a_row_whose_deadline_passed_while_the_server_was_down_is_not_sent(world: World) -> None:
    registration = await world.enrol()
    now = world.clock.now()
    await world.decide(registration, PushType.EXPIRED, deadline_at=now - 1, not_before=now - HOUR)
    await world.until(lambda: world.waiting() is None)
    assert world.pns.pushes == []
    assert "notice-failed" in world.told(registration)
    # The notice was the last thing kept for: where it would have gone is erased with it.
    assert ALERT not in [one.token.reveal() for one in world.targets(registration)]


async def test_a_refused_credential_keeps_the_push_until_it_is_mended(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Refuse(status=403, reason="InvalidProviderToken"))
    await world.decide(registration, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
    await world.until(lambda: len(world.pns.pushes) == 2 and world.waiting() is None, within=HOUR)
    assert "notice-sent" in world.told(registration)
    assert "notice-failed" not in world.told(registration)


async def test_an_app_without_a_push_service_keeps_its_push_until_the_deadline(world: World) -> None:
    registration = await world.enrol(app="other")
    deadline_at = world.clock.now() + HOUR
    await world.decide(registration, PushType.EXPIRED, deadline_at=deadline_at)
    await world.until(lambda: world.waiting() is None, within=2 * HOUR)
    assert world.clock.now() >= deadline_at - 15 * MINUTE
    assert "notice-failed" in world.told(registration)


async def test_a_gone_target_ends_and_the_row_with_it(world: World) -> None:
    registration = await world.enrol()
    world.clock.advance(HOUR)
    world.pns.forget(ALERT, at=world.clock.now() - MINUTE)
    await world.decide(registration, PushType.RENEW)
    await world.pushed()
    assert [one.token.reveal() for one in world.targets(registration)] == [VOIP]
    assert "target-gone" in world.told(registration)


async def test_a_row_for_whom_nobody_is_left_is_removed(world: World) -> None:
    only_calls = target(VOIP, purposes=frozenset({Purpose.CALL}))
    registration = await world.enrol(only_calls)
    await world.decide(registration, PushType.EXPIRY_WARNING)
    await world.until(lambda: world.waiting() is None)
    assert world.pns.pushes == []


async def test_of_two_targets_the_accepted_one_is_not_pushed_again(world: World) -> None:
    other = "cc" * 32
    registration = await world.enrol(target(ALERT), target(other))
    world.pns.of(other, Refuse(status=503, reason="Shutdown", retry_after="5"))
    await world.decide(registration, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
    await world.until(lambda: world.waiting() is None, within=HOUR)
    sent = sorted((push.token, push.status) for push in world.pns.pushes)
    assert sent == [(ALERT, 200), (other, 200), (other, 503)]
    assert world.told(registration).count("notice-sent") == 2


async def test_a_settled_target_is_not_pushed_again_after_a_restart(pns: FakePns) -> None:
    clock, store = ManualClock(), MemoryStore()
    other = "cc" * 32
    async with running_world(pns, clock, store) as world:
        registration = await world.enrol(target(ALERT), target(other))
        pns.of(other, Refuse(status=503, reason="Shutdown", retry_after="60"))
        await world.decide(registration, PushType.EXPIRY_WARNING, deadline_at=clock.now() + HOUR)
        await world.until(lambda: MINUTE <= (world.waiting() or 0) - clock.now() <= 1.1 * MINUTE)
    async with running_world(pns, clock, store.restarted()) as world:
        await world.until(lambda: world.waiting() is None, within=HOUR)
        assert world.told(registration).count("warning-sent") == 2
    sent = sorted((push.token, push.status) for push in pns.pushes)
    assert sent == [(ALERT, 200), (other, 200), (other, 503)]


async def test_a_use_while_a_push_waits_for_its_turn_keeps_it_from_leaving(pns: FakePns) -> None:
    async with running_world(pns, rate=0.2) as world:
        first, second = await world.enrol(target("11" * 32)), await world.enrol(target("22" * 32))
        end = world.clock.now() + DAY
        await world.decide(first, PushType.EXPIRY_WARNING, deadline_at=end)
        await world.decide(second, PushType.EXPIRY_WARNING, deadline_at=end + 1)
        await in_real_time(lambda: len(pns.pushes) == 1)
        await world.clock.settle()
        await world.lives.use(second.id, "opened")  # its warning is in the paced queue
        await world.until(lambda: world.waiting() is None)
        await world.clock.run_until(world.clock.now() + MINUTE)
        assert [push.token for push in pns.pushes] == ["11" * 32]
        assert "warning-failed" not in world.told(second)


async def test_an_outage_of_ours_does_not_shorten_the_last_warning(pns: FakePns) -> None:
    clock, store = ManualClock(), MemoryStore()
    async with running_world(pns, clock, store) as world:
        registration = await world.enrol(capabilities={"background_refresh": False})
        clock.advance(7 * DAY - HOUR)
        pns.always(Refuse(status=503, reason="ServiceUnavailable"))
        await world.lives.fire(clock.now())
        await world.clock.run_until(clock.now() + 2 * HOUR)
        await world.lives.fire(clock.now())
        await world.lives.downtime.beat(clock.now())
    clock.advance(5 * DAY)
    pns.always(None)
    before = len(pns.pushes)
    async with running_world(pns, clock, store.restarted()) as world:
        await world.until(lambda: "warning-sent" in world.told(registration), within=HOUR)
        assert world.life(registration).warning_settled
    (warning,) = pns.pushes[before:]
    ours = warning.payload["wakerobin"]
    assert ours["expires_at"] > clock.now() // 1000
    assert warning.headers["apns-expiration"] == str(ours["expires_at"])


async def test_a_warning_that_was_held_up_into_the_night_waits_for_the_morning(pns: FakePns) -> None:
    """The clock begins at midnight UTC; the push service takes nothing in the evening."""
    night = LifetimePolicy(quiet_hours=QuietHours.parse("23:00-07:00"))
    async with running_world(pns, policies=lambda _app: night) as world:
        registration = await world.enrol(time_zone="UTC")
        midnight = world.clock.now()
        await world.clock.run_until(midnight + 22 * HOUR)
        pns.always(Refuse(status=503, reason="ServiceUnavailable"))
        await world.decide(registration, PushType.EXPIRY_WARNING, deadline_at=midnight + 3 * DAY)
        await world.until(lambda: pns.pushes)
        await world.clock.run_until(midnight + 24 * HOUR)
        pns.always(None)
        before = len(pns.pushes)
        await world.decide(registration, PushType.MISSED_CALL, payload={"count": 1, "caller": "Bob"})
        await world.clock.run_until(midnight + 31 * HOUR - SECOND)
        assert [push.type for push in pns.pushes[before:]] == ["missed-call"], "of a call it is told at once"
        await world.until(lambda: len(pns.pushes) == before + 2, within=MINUTE)
        assert pns.pushes[-1].type == "expiry-warning"


async def test_a_clock_in_doubt_holds_warnings_back_and_nothing_else(pns: FakePns) -> None:
    async with running_world(pns) as world:
        registration = await world.enrol()
        before = world.clock.now()
        world.clock.step_wall(30 * MINUTE)
        await world.decide(registration, PushType.EXPIRY_WARNING, not_before=before)
        await world.decide(registration, PushType.MISSED_CALL, payload={"count": 1, "caller": "Bob"})
        await world.until(lambda: len(pns.pushes) == 1)
        await world.clock.run_until(world.clock.now() + 5 * MINUTE)
        assert [push.type for push in pns.pushes] == ["missed-call"]
        world.clock.step_wall(-30 * MINUTE)
        await world.until(lambda: len(pns.pushes) == 2, within=2 * MINUTE)
        assert pns.pushes[-1].type == "expiry-warning"


async def test_a_push_service_that_does_not_answer_holds_up_no_other_app(
    pns: FakePns, tmp_path: Path
) -> None:
    clock, store = ManualClock(), MemoryStore()
    lives = Lives(store, clock, policy, lambda _id: False)
    (tmp_path / "other").mkdir()
    pns.always(Silence())
    async with (
        FakePns(tmp_path / "other") as other,
        service_for(pns, store=store, clock=clock, timers=clock) as silent,
        service_for(other, store=store, clock=clock, timers=clock) as well,
    ):
        courier = courier_to(store, clock, lives, {"phone": silent, "other": well}, cap=5)
        idle = asyncio.ensure_future(asyncio.sleep(0))
        world = World(clock, store, lives, courier, other, well, idle)
        many = [await world.enrol(target(f"{number:064x}")) for number in range(20)]
        one = await world.enrol(target(ALERT), app="other")
        for registration in [*many, one]:
            await world.decide(registration, PushType.EXPIRED, deadline_at=clock.now() + DAY)
        running = asyncio.ensure_future(courier.run())
        await other.wait_for(lambda push: push.token == ALERT)  # with the clock standing still
        running.cancel()
        await asyncio.wait([running])


async def test_a_push_service_that_is_down_is_asked_by_one_push_at_a_time(pns: FakePns) -> None:
    async with running_world(pns) as world:
        registrations = [await world.enrol(target(f"{number:064x}")) for number in range(40)]
        pns.always(Refuse(status=500, reason="InternalServerError", retry_after="1"))
        for registration in registrations:
            await world.decide(registration, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
        await in_real_time(lambda: len(pns.pushes) >= 5)
        await world.clock.settle()
        first = len(pns.pushes)
        await world.clock.run_until(world.clock.now() + 2 * MINUTE)
        assert first + 3 <= len(pns.pushes) <= first + 12, "the rest waits, and a probe goes now and then"
        pns.always(None)
        await world.until(lambda: world.waiting() is None, within=2 * HOUR)
        assert sum(push.is_accepted for push in pns.pushes) == 40


async def test_many_rows_go_out_once_each_and_no_more_at_once_than_the_lane_allows(pns: FakePns) -> None:
    clock = ManualClock()
    store = MemoryStore()
    lives = Lives(store, clock, policy, lambda _id: False)
    pool = PoolOptions(bulk_rate=1e6, bulk_in_flight=1000)
    tokens = [f"{number:064x}" for number in range(300)]
    pns.always(Slow(0.005))
    async with service_for(pns, store=store, clock=clock, timers=clock, pool=pool) as service:
        courier = courier_of(store, clock, lives, service, cap=20)
        world = World(clock, store, lives, courier, pns, service, asyncio.ensure_future(asyncio.sleep(0)))
        registrations = [await world.enrol(target(token)) for token in tokens]
        for registration in registrations:
            await world.decide(registration, PushType.RENEW)
        running = asyncio.ensure_future(courier.run())
        await in_real_time(lambda: len(pns.pushes) >= 300 and world.waiting() is None, seconds=20.0)
        running.cancel()
        await asyncio.wait([running])
    assert sorted(push.token for push in pns.pushes) == tokens
    assert max(connection.most_streams for connection in pns.connections_ever) == 20


async def test_a_store_that_is_full_while_a_push_leaves_neither_loses_nor_repeats_it(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Slow(0.05))
    await world.decide(registration, PushType.EXPIRED)
    await in_real_time(lambda: any(connection.most_streams for connection in world.pns.connections))
    world.memory.break_next(*[Fault.BEFORE_COMMIT] * 5)
    await world.pns.wait_for(lambda push: True)
    await world.until(lambda: world.waiting() is None, within=10 * MINUTE)
    assert len(world.pns.pushes) == 1
    assert world.told(registration).count("notice-sent") == 1


async def test_a_store_that_is_full_when_a_push_is_claimed_delays_it(world: World) -> None:
    registration = await world.enrol()
    world.memory.break_next(Fault.BEFORE_COMMIT)
    with pytest.raises(Exception, match="told to fail"):
        await world.decide(registration, PushType.EXPIRED)
    await world.decide(registration, PushType.EXPIRED)
    world.memory.break_next(*[Fault.BEFORE_COMMIT] * 3)
    await world.until(lambda: len(world.pns.pushes) == 1 and world.waiting() is None, within=MINUTE)


async def test_after_a_kill_a_push_in_flight_goes_out_again_under_the_same_id(world: World) -> None:
    registration = await world.enrol()
    world.pns.next(Silence())
    await world.decide(registration, PushType.EXPIRED)
    await in_real_time(lambda: len(world.pns.pushes) == 1)
    store = world.memory.restarted()
    world.running.cancel()
    await asyncio.wait([world.running])
    lives = Lives(store, world.clock, policy, lambda _id: False)
    courier = courier_of(store, world.clock, lives, world.service)
    world.store, world.lives, world.courier = store, lives, courier
    world.running = asyncio.ensure_future(courier.run())
    await world.until(lambda: len(world.pns.pushes) == 2 and world.waiting() is None)
    first, second = world.pns.pushes
    assert first.headers["apns-id"] == second.headers["apns-id"]
    assert first.headers["apns-collapse-id"] == second.headers["apns-collapse-id"]


async def test_the_outbox_of_a_file_is_carried_out_and_a_restart_takes_up_what_was_in_flight(
    pns: FakePns, tmp_path: Path
) -> None:
    clock = ManualClock()
    places = (tmp_path / "data", tmp_path / "keys" / "vault.key")
    store = open_store(StoreOptions(), *places, clock)
    async with running_world(pns, clock, store) as world:
        registration = await world.enrol()
        await world.decide(registration, PushType.RENEW)
        await in_real_time(lambda: pns.pushes and world.waiting() is None)
        assert world.life(registration).renewal_sent_at == clock.now()
        pns.next(Silence())
        await world.decide(registration, PushType.EXPIRY_WARNING, step=9)
        await in_real_time(lambda: len(pns.pushes) == 2)
        world.running.cancel()
        await asyncio.wait([world.running])
    await store.close()
    store = open_store(StoreOptions(), *places, clock)
    async with running_world(pns, clock, store) as world:
        await in_real_time(lambda: len(pns.pushes) == 3 and world.waiting() is None)
        assert "warning-sent" in world.told(registration)
    await store.close()
    _, first, second = pns.pushes
    assert first.headers["apns-id"] == second.headers["apns-id"]
    # The provider token is kept sealed in the same file: Apple saw one for both runs.
    assert first.headers["authorization"] == second.headers["authorization"]

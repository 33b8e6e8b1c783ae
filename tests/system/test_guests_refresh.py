"""Phones that never enrolled are woken to refresh their binding, until one push works (RFC 8599 5.5)."""

from __future__ import annotations

from tests.system.calls_world import MINUTE, SECOND, World
from tests.system.guests_world import RESOURCE, VOIP, arrived, guest_phone, sponsored, stored, told
from wakerobin.core.pushes import PushType, Rejected, TargetGone, Unavailable
from wakerobin.testing.memory import Fault

HOUR = 60 * MINUTE


async def pushed(world: World, count: int) -> None:
    """Wait for the push of this number."""
    await world.until(lambda: len(world.pushes.sent) == count, within=HOUR)


async def test_a_sleeping_phone_is_pushed_in_silence_before_its_binding_ends() -> None:
    world = sponsored()
    async with world.running():
        await arrived(world)
        (guest,) = stored(world)
        await world.until(lambda: bool(world.pushes.sent), within=HOUR)
        (push,) = world.pushes.sent
        assert push.type is PushType.RENEW
        assert guest.expires_at - world.clock.now() == 2 * MINUTE


async def test_a_phone_that_wakes_refreshes_and_is_left_alone_till_the_next() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        for round_ in range(1, 4):
            await pushed(world, round_)
            assert (await world.do(phone.register())).status == 200
            (guest,) = stored(world)
            assert guest.step == 0
            assert told(world, guest)[-2:] == ["guest-pushed-to-refresh", "guest-refreshed"]
            await world.run_for(3 * MINUTE)
            assert len(world.pushes.sent) == round_
        assert world.pbx.contacts("alice")


async def test_a_push_that_wakes_nobody_is_repeated_and_none_comes_after_the_end() -> None:  # opensips #2873
    world = sponsored()
    async with world.running():
        await arrived(world)
        (guest,) = stored(world)
        times: list[int] = []
        for count in range(1, 6):
            await pushed(world, count)
            times.append((guest.expires_at - world.clock.now()) // SECOND)
        assert times == [120, 90, 60, 30, 12]
        assert len({push.id for push in world.pushes.sent}) == 5
        await world.run_for(2 * HOUR)
        assert len(world.pushes.sent) == 5
        assert stored(world) == []
        assert told(world, guest) == ["guest-registered", *["guest-pushed-to-refresh"] * 5, "guest-expired"]


async def test_an_outage_of_the_push_service_is_tried_through() -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: Unavailable("it is down", processed=False)
    async with world.running():
        phone = await arrived(world)
        await pushed(world, 3)
        assert (await world.do(phone.register())).status == 200
        (guest,) = stored(world)
        assert guest.step == 0


async def test_a_disk_that_fails_delays_a_push_and_loses_none() -> None:
    world = sponsored()
    async with world.running():
        await arrived(world)
        await world.run_for(8 * MINUTE - 10)
        world.store.break_next(Fault.BEFORE_COMMIT, Fault.BEFORE_COMMIT)  # the fleet writes then, too
        await pushed(world, 1)
        (guest,) = stored(world)
        assert 110 * SECOND < guest.expires_at - world.clock.now() <= 115 * SECOND
        await pushed(world, 5)


async def test_the_third_push_that_works_is_enough() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        await pushed(world, 3)
        await world.do(phone.register())
        await world.run_for(5 * MINUTE)
        assert len(world.pushes.sent) == 3
        assert len(world.pbx.contacts("alice")) == 1


async def test_a_refused_push_is_tried_again_for_somebody_may_mend_it() -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: Rejected("InvalidProviderToken", ours=True)
    async with world.running():
        await arrived(world)
        await pushed(world, 5)


async def test_a_phone_that_is_gone_is_pushed_no_more() -> None:
    world = sponsored()
    world.pushes.outcome = lambda _message: TargetGone("UNREGISTERED")
    async with world.running():
        await arrived(world)
        await world.run_for(HOUR)
        assert len(world.pushes.sent) == 1
        assert stored(world) == []


async def test_a_phone_with_a_timer_of_its_own_is_pushed_only_where_it_failed() -> None:  # sip.pnsreg
    world = sponsored()
    async with world.running():
        phone = guest_phone(world)
        contact = f"<{phone.contact}>;+sip.pnsreg"
        assert (await world.do(phone.register(contact=contact, expires=3600))).status == 200
        await world.run_for(HOUR - 130 * SECOND)
        assert world.pushes.sent == []
        assert (await world.do(phone.register(contact=contact, expires=3600))).status == 200
        await world.run_for(HOUR - 121 * SECOND)
        assert world.pushes.sent == []
        await world.run_for(2 * SECOND)
        assert len(world.pushes.sent) == 1


async def test_a_phone_that_can_only_be_rung_is_never_rung_to_refresh() -> None:
    world = sponsored()
    async with world.running():
        await arrived(world, VOIP)
        await world.run_for(HOUR)
        assert world.pushes.sent == []
        assert stored(world) == []


async def test_a_phone_that_has_unregistered_is_never_pushed() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        await world.do(phone.unregister())
        await world.run_for(HOUR)
        assert world.pushes.sent == []


async def test_after_a_restart_refreshes_go_on_where_they_were() -> None:
    world = sponsored()
    async with world.running():
        phone = await arrived(world)
        (guest,) = stored(world)
        await pushed(world, 2)
    world.kill()
    async with world.running():
        await pushed(world, 3)
        assert guest.expires_at - world.clock.now() == MINUTE
        assert (await world.do(phone.register())).status == 200
        (again,) = stored(world)
        assert again.number == guest.number


async def test_what_ended_while_the_server_was_down_is_not_pushed() -> None:
    world = sponsored()
    async with world.running():
        await arrived(world)
        await arrived(world, RESOURCE + "2", address="203.0.113.6", instance="urn:uuid:2")
    await world.run_for(HOUR)
    world.kill()
    async with world.running():
        await world.run_for(MINUTE)
        assert world.pushes.sent == []
        assert stored(world) == []

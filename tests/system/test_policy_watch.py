"""Law 9: a policy that changed while lives go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened, write_each
from tests.system.lives_world import DAY, END, HOUR, MINUTE, World
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Duration, PushRegistration
from wakerobin.testing.clock import START

APPS = ("softphone",)


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        made = World(store, apps=APPS)
        await made.lives.start()
        yield made


async def under(world: World, lifetime: int) -> None:
    """Start again with another lifetime, and let it be taken in."""
    world.policy = replace(world.policy, lifetime=Duration(lifetime))
    world.restart(world.store)
    await world.lives.start()
    while await world.lives.turn(world.clock.now(), 7):
        continue


async def fleet(world: World, count: int) -> list[PushRegistration]:
    return [await world.enrol(f"p{n}") for n in range(count)]


async def test_a_shorter_lifetime_is_taken_in_by_all_lives_with_jitter(world: World) -> None:
    phones = await fleet(world, 30)
    world.clock.advance(DAY)
    await under(world, 3 * DAY)
    ends = [world.life(phone).expires_at for phone in phones]
    left = 2 * DAY
    assert all(abs(end - world.clock.now() - left) <= left * 0.05 for end in ends)
    assert len(set(ends)) > 20, "they do not all end in one moment"
    assert all("policy-changed" in world.story(phone) for phone in phones)


async def test_nobody_is_ended_by_it_without_time_for_renewals_and_warnings(world: World) -> None:
    phones = await fleet(world, 5)
    world.clock.advance(6 * DAY - HOUR)
    await under(world, DAY)
    for phone in phones:
        assert world.life(phone).expires_at > world.clock.now() + 11 * HOUR
    await world.run_until(world.clock.now() + 2 * DAY)
    for number in range(5):
        kinds = [sent.kind for sent in world.sent if sent.token == f"alert-p{number}"]
        assert PushType.RENEW in kinds
        assert kinds[-1] is PushType.EXPIRED
        assert 1 <= kinds.count(PushType.EXPIRY_WARNING) <= 2


async def test_a_longer_lifetime_takes_effect_with_the_next_use(world: World) -> None:
    used, idle = await fleet(world, 2)
    world.clock.advance(DAY)
    await under(world, 30 * DAY)
    assert world.life(idle).expires_at == END
    await world.lives.use(used.id, "opened")
    assert world.life(used).expires_at == START + DAY + 30 * DAY
    assert world.life(idle).expires_at == END


async def test_a_lifetime_that_was_asked_for_stays_within_the_new_bounds(world: World) -> None:
    phones = await fleet(world, 2)
    asked = [replace(phones[0], lifetime=Duration(2 * DAY)), replace(phones[1], lifetime=Duration(20 * DAY))]
    await write_each(world.store, lambda tx: tx.registrations.update, asked)
    for phone in phones:
        await world.lives.use(phone.id, "opened")
    world.policy = replace(world.policy, lifetime_max=Duration(10 * DAY))
    await under(world, 5 * DAY)
    kept = world.store.read(lambda tx: [tx.registrations.get(phone.id) for phone in phones])
    assert [one.lifetime for one in kept if one] == [2 * DAY, 10 * DAY]


async def test_the_same_policy_changes_nothing(world: World) -> None:
    phones = await fleet(world, 3)
    before = [world.life(phone) for phone in phones]
    world.restart(world.store)
    await world.lives.start()
    assert not await world.lives.turn(world.clock.now(), 100)
    assert [world.life(phone) for phone in phones] == before


async def test_a_kill_between_slices_goes_on_where_it_was(world: World) -> None:
    phones = await fleet(world, 20)
    world.clock.advance(DAY)
    world.policy = replace(world.policy, lifetime=Duration(3 * DAY))
    world.restart(world.store)
    await world.lives.start()
    assert await world.lives.turn(world.clock.now(), 6)
    changed = [world.life(phone) for phone in phones if world.life(phone).expires_at != END]
    assert len(changed) == 6
    world.restart(world.store)
    await world.lives.start()
    while await world.lives.turn(world.clock.now(), 6):
        continue
    assert all(world.life(phone).expires_at < END for phone in phones)
    assert [world.life(phone) for phone in phones[:6]] == changed, "each once"


async def test_a_policy_that_changes_again_meanwhile_is_taken_in_by_all(world: World) -> None:
    phones = await fleet(world, 20)
    world.clock.advance(MINUTE)
    world.policy = replace(world.policy, lifetime=Duration(5 * DAY))
    world.restart(world.store)
    await world.lives.start()
    assert await world.lives.turn(world.clock.now(), 6)
    await under(world, 3 * DAY)
    assert all(world.life(phone).expires_at < START + 3.2 * DAY for phone in phones)
    kept = world.store.read(lambda tx: [tx.registrations.get(phone.id) for phone in phones])
    assert {one.lifetime for one in kept if one} == {3 * DAY}, "those of the first slice, too"

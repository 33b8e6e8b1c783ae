"""Several accounts in one app: what is due within an hour of each other goes out together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened, write_each
from tests.system.lives_world import DAY, END, HOUR, MINUTE, SECOND, World
from wakerobin.core.pushes import Accepted, Lane, PushType
from wakerobin.core.values import Duration, Ended, PushRegistration
from wakerobin.ports.store import OutboxRow


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        yield World(store)


async def of_one_phone(world: World, *later: int) -> list[PushRegistration]:
    """Enrol accounts of one installation, each so long after the one before."""
    phones = [await world.enrol("a0")]
    for number, wait in enumerate(later, 1):
        world.clock.advance(wait)
        phones.append(await world.enrol(f"a{number}"))
    same = [replace(phone, installation="installation-a0") for phone in phones]
    await write_each(world.store, lambda tx: tx.registrations.update, same)
    return phones


def rows(world: World, kind: PushType) -> list[OutboxRow]:
    far = world.clock.now() + DAY
    found = world.store.read(lambda tx: [row for lane in Lane for row in tx.outbox.due(lane, far, 100)])
    return sorted((row for row in found if row.kind is kind), key=lambda row: row.registration_id)


async def fire(world: World) -> None:
    while await world.lives.fire(world.clock.now(), 1):
        continue


async def test_renewals_that_are_due_within_an_hour_are_decided_with_the_first(world: World) -> None:
    phones = await of_one_phone(world, 20 * MINUTE, 30 * MINUTE, 40 * MINUTE)
    world.clock.advance(END - DAY - world.clock.now())
    await fire(world)
    assert [row.registration_id for row in rows(world, PushType.RENEW)] == [one.id for one in phones[:3]]
    assert all(row.not_before == world.clock.now() for row in rows(world, PushType.RENEW))
    assert world.life(phones[3]).step == 0, "an hour and a half later"


async def test_each_is_decided_once(world: World) -> None:
    phones = await of_one_phone(world, 20 * MINUTE, 10 * MINUTE)
    await world.run_until(END + 2 * HOUR)
    for phone in phones:
        mine = [sent for sent in world.sent if sent.token.endswith(phone.public_id.removeprefix("pr_"))]
        assert len({(sent.kind, sent.step) for sent in mine}) == len(mine)
        kinds = [sent.kind for sent in mine]
        assert kinds.count(PushType.EXPIRY_WARNING) == 2
        assert kinds.count(PushType.EXPIRED) == 1
        assert kinds.count(PushType.RENEW) == 24


async def test_warnings_come_with_the_first_where_each_had_its_silent_renewal(world: World) -> None:
    phones = await of_one_phone(world, 20 * MINUTE)
    await world.run_until(END - 12 * HOUR)
    warned = [sent for sent in world.sent if sent.kind is PushType.EXPIRY_WARNING]
    assert [(sent.at, sent.token) for sent in warned] == [
        (END - 12 * HOUR, "alert-a0"),
        (END - 12 * HOUR, "alert-a1"),
    ]
    assert world.life(phones[1]).ended is None


async def test_no_warning_comes_early_before_a_silent_renewal_was_tried(world: World) -> None:
    await of_one_phone(world, 20 * MINUTE)
    world.answer = lambda row, target: (
        None if row.kind is PushType.RENEW and target.token.reveal() == "alert-a1" else Accepted()
    )
    await world.run_until(END - 12 * HOUR)
    warned = [sent.token for sent in world.sent if sent.kind is PushType.EXPIRY_WARNING]
    assert warned == ["alert-a0"]


async def test_no_life_ends_early_and_the_notice_waits_for_the_last_end(world: World) -> None:
    phones = await of_one_phone(world, 20 * MINUTE, 30 * MINUTE)
    await world.run_until(END - 1)
    await world.run_until(END)
    assert [world.life(phone).ended for phone in phones] == [Ended.EXPIRED, None, None]
    (notice,) = rows(world, PushType.EXPIRED)
    assert notice.not_before == END + 50 * MINUTE
    await world.run_until(END + 20 * MINUTE)
    assert [row.not_before for row in rows(world, PushType.EXPIRED)] == [END + 50 * MINUTE] * 2
    await world.run_until(END + 50 * MINUTE)
    told = [(sent.at, sent.token) for sent in world.sent if sent.kind is PushType.EXPIRED]
    assert told == [(END + 50 * MINUTE, f"alert-a{n}") for n in range(3)]


async def test_accounts_of_other_phones_are_left_alone(world: World) -> None:
    await world.enrol("a0")
    world.clock.advance(MINUTE)
    other = await world.enrol("a1")
    world.clock.advance(END - DAY - world.clock.now())
    await fire(world)
    assert world.life(other).step == 0


async def test_a_short_life_has_a_short_hour(world: World) -> None:
    world.policy = replace(
        world.policy,
        lifetime=Duration(168 * SECOND),
        renewal_from=Duration(60 * SECOND),
        renewal_every=Duration(5 * SECOND),
        warnings=(Duration(20 * SECOND),),
    )
    phones = await of_one_phone(world, 2 * SECOND)
    world.clock.advance(world.life(phones[0]).expires_at - 60 * SECOND - world.clock.now())
    await fire(world)
    assert (world.life(phones[0]).step, world.life(phones[1]).step) == (1, 0)

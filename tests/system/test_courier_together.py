"""Several accounts of one phone: one push for what is due for all of them, and each settled by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.couriers import ALERT, DAY, VOIP, World, courier_of, in_real_time, policy, running_world
from tests.system.pushing import target
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Purpose, PushRegistration, PushTarget
from wakerobin.ports.options import HOUR, MINUTE
from wakerobin.services.lives import Lives
from wakerobin.testing.pns import FakePns
from wakerobin.testing.pns_script import Refuse, Silence

TOKENS = (
    target(VOIP, purposes=frozenset({Purpose.CALL})),
    target(ALERT, purposes=frozenset({Purpose.NOTICE})),
)


@pytest.fixture
async def pns(tmp_path: Path) -> AsyncIterator[FakePns]:
    async with FakePns(tmp_path) as fake:
        yield fake
        assert fake.thrown_out == []


@pytest.fixture
async def world(pns: FakePns) -> AsyncIterator[World]:
    async with running_world(pns) as made:
        yield made


async def accounts(
    world: World, *names: str, targets: tuple[PushTarget, ...] = TOKENS
) -> list[PushRegistration]:
    return [await world.enrol(*targets, installation="the-phone", display_name=name) for name in names]


async def decide_all(world: World, phones: list[PushRegistration], kind: PushType, **changes: object) -> None:
    """Decide at once, as the ticker does for what is due together."""
    world.running.cancel()
    await asyncio.wait([world.running])
    for phone in phones:
        await world.decide(phone, kind, **changes)
    world.running = asyncio.ensure_future(world.courier.run())


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (PushType.EXPIRY_WARNING, "warning-sent"),
        (PushType.RENEW, "renewal-sent"),
        (PushType.EXPIRED, "notice-sent"),
    ],
)
async def test_what_is_due_for_three_accounts_of_a_phone_is_one_push(
    world: World, kind: PushType, told: str
) -> None:
    phones = await accounts(world, "Work", "Home", "Club")
    await decide_all(world, phones, kind, deadline_at=world.clock.now() + DAY, step=5)
    (push,) = await world.pushed()
    ours = push.payload["wakerobin"]
    named = [ours, *ours["also"]]
    assert {one["registration"] for one in named} == {phone.public_id for phone in phones}
    assert len({one["id"] for one in named}) == 3, "each has its own receipt"
    for phone in phones:
        assert world.told(phone).count(told) == 1
    of = {phone.public_id: world.life(phone) for phone in phones}
    for one in named:
        life = of[one["registration"]]
        assert one["generation"] == life.generation
        assert one["life"]["expires_at"] == life.expires_at // 1000


async def test_the_text_names_all_accounts(world: World) -> None:
    await decide_all(world, await accounts(world, "Work", "Home"), PushType.EXPIRY_WARNING)
    (push,) = await world.pushed()
    alert = push.payload["aps"]["alert"]
    assert all(name in alert["title"] + alert["body"] for name in ("Work", "Home"))


async def test_an_acceptance_settles_the_warning_of_each(world: World) -> None:
    phones = await accounts(world, "Work", "Home")
    end = world.clock.now() + HOUR
    await decide_all(world, phones, PushType.EXPIRY_WARNING, payload={"announced_at": end})
    await world.pushed()
    assert all(world.life(phone).warned_at for phone in phones)


async def test_a_push_that_waits_for_a_retry_within_the_hour_goes_along(world: World) -> None:
    first, second, third = await accounts(world, "Work", "Home", "Club")
    now = world.clock.now()
    await world.decide(second, PushType.EXPIRED, not_before=now + HOUR, deadline_at=now + DAY)
    await world.decide(third, PushType.EXPIRED, not_before=now + HOUR + 1, deadline_at=now + DAY)
    await world.decide(first, PushType.EXPIRED, deadline_at=now + DAY)
    await in_real_time(lambda: len(world.pns.pushes) == 1)
    await world.clock.settle()
    (push,) = world.pns.pushes
    ours = push.payload["wakerobin"]
    named = {one["registration"] for one in (ours, *ours["also"])}
    assert named == {first.public_id, second.public_id}
    assert world.waiting() == now + HOUR + 1


async def test_a_refusal_postpones_all_and_they_go_together_again(world: World) -> None:
    phones = await accounts(world, "Work", "Home")
    world.pns.next(Refuse(status=503, reason="Shutdown", retry_after="60"))
    await decide_all(world, phones, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
    await world.until(lambda: len(world.pns.pushes) == 2 and world.waiting() is None, within=10 * MINUTE)
    first, second = world.pns.pushes
    assert first.headers["apns-id"] == second.headers["apns-id"]
    assert len(second.payload["wakerobin"]["also"]) == 1
    assert all(world.told(phone).count("notice-sent") == 1 for phone in phones)


async def test_what_went_to_a_gone_token_takes_it_from_each_account(world: World) -> None:
    phones = await accounts(world, "Work", "Home")
    world.clock.advance(HOUR)
    world.pns.forget(ALERT, at=world.clock.now() - MINUTE)
    await decide_all(world, phones, PushType.RENEW)
    await world.pushed()
    for phone in phones:
        assert [one.token.reveal() for one in world.targets(phone)] == [VOIP]


async def test_accounts_with_other_tokens_or_other_words_get_pushes_of_their_own(world: World) -> None:
    other = (TOKENS[0], target("cc" * 32, purposes=frozenset({Purpose.NOTICE})))
    work, home, away = await accounts(world, "Work", "Home", "Away")
    (club,) = await accounts(world, "Club", targets=other)
    world.running.cancel()
    await asyncio.wait([world.running])
    await world.decide(away, PushType.EXPIRY_WARNING, payload={"registered": False})
    await decide_all(world, [work, home, club], PushType.EXPIRY_WARNING)
    pushes = await world.pushed(3)
    assert sorted(push.token for push in pushes) == [ALERT, ALERT, "cc" * 32]
    ours = [push.payload["wakerobin"] for push in pushes]
    assert {one["registration"]: len(one.get("also", ())) for one in ours} == {
        work.public_id: 1,
        away.public_id: 0,
        club.public_id: 0,
    }


async def test_each_missed_call_is_told_of_by_itself(world: World) -> None:
    await decide_all(world, await accounts(world, "Work", "Home"), PushType.MISSED_CALL, payload={"count": 1})
    pushes = await world.pushed(2)
    assert all("also" not in push.payload["wakerobin"] for push in pushes)


async def test_a_use_of_one_account_while_the_push_waits_for_its_turn_leaves_the_others(pns: FakePns) -> None:
    async with running_world(pns, rate=0.2) as world:
        ahead = await world.enrol(target("11" * 32))
        phones = await accounts(world, "Work", "Home", "Club")
        await world.decide(ahead, PushType.EXPIRY_WARNING)
        await in_real_time(lambda: len(pns.pushes) == 1)
        await decide_all(world, phones, PushType.EXPIRY_WARNING)
        await world.clock.settle()
        await world.lives.use(phones[0].id, "opened")
        await world.until(lambda: world.waiting() is None)
        named = [push.payload["wakerobin"] for push in pns.pushes[1:]]
        assert len(named) == 1
        registrations = {one["registration"] for one in (named[0], *named[0]["also"])}
        assert registrations == {phone.public_id for phone in phones[1:]}
        assert world.told(phones[0]).count("warning-sent") == 0


async def test_a_kill_while_it_is_on_its_way_settles_each_row_once(world: World) -> None:
    phones = await accounts(world, "Work", "Home", "Club")
    world.pns.next(Silence())
    await decide_all(world, phones, PushType.EXPIRED, deadline_at=world.clock.now() + DAY)
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
    assert first.payload["wakerobin"]["id"] == second.payload["wakerobin"]["id"]
    assert all(world.told(phone).count("notice-sent") == 1 for phone in phones)

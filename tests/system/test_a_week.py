"""Whole weeks through `Store.transact`: what a user's phone goes through, in a few milliseconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened
from tests.system.lives_world import CALL, DAY, END, HA1, HOUR, MINUTE, NOTICE, World, short_lives
from wakerobin.core.lifetime import Stage
from wakerobin.core.pushes import PushType, TargetGone
from wakerobin.core.values import BindingState, Ended
from wakerobin.testing.clock import START

RENEW, WARNING, EXPIRED = PushType.RENEW, PushType.EXPIRY_WARNING, PushType.EXPIRED


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        yield World(store)


async def test_a_phone_in_use_is_left_in_peace(world: World) -> None:
    phone = await world.enrol()
    for day in range(1, 30):
        await world.run_until(START + day * DAY)
        await world.lives.use(phone.id, "opened")
    assert world.sent == []
    assert world.life(phone).expires_at == START + 29 * DAY + 7 * DAY
    assert world.story(phone) == ["renewed"] * 29


async def test_a_sleeping_phone_that_answers_in_silence_lives_on_unseen(world: World) -> None:
    phone = await world.enrol()
    for week in range(1, 5):
        await world.run_until(START + week * 6 * DAY)
        assert len(world.sent) == week
        await world.lives.use(phone.id, "renewal-push")
    assert {sent.kind for sent in world.sent} == {RENEW}
    assert world.life(phone).ended is None


async def test_a_phone_left_in_a_drawer_is_renewed_warned_and_ended(world: World) -> None:
    phone = await world.enrol()
    await world.run_until(START + 2 * DAY)
    await world.lives.use(phone.id, "opened")
    end = START + 9 * DAY
    await world.run_until(end - 1)
    assert world.hours_before(end, RENEW) == [float(hours) for hours in range(24, 0, -1)]
    assert world.hours_before(end, WARNING) == [12.0, 1.0]
    assert {sent.token for sent in world.sent} == {"alert-phone"}, "never a VoIP token"
    assert world.life(phone).ended is None
    assert world.credentials(phone) is not None

    await world.run_until(end)
    assert world.life(phone).ended is Ended.EXPIRED
    assert world.hours_before(end, EXPIRED) == [0.0]
    assert world.targets(phone.id) == [], "tokens are erased once the notice is out"
    assert world.credentials(phone) is None
    account = world.account(phone)
    assert (account.proven, account.state) == (False, BindingState.UNPROVEN)
    (work,) = world.unregisters()
    assert work.credentials.keys[0].ha1 == HA1, "the un-REGISTER takes the HA1s with it"
    assert work.account.contact_user == "contact-phone"
    assert work.give_up_at == end + HOUR

    late = await world.lives.use(phone.id, "tapped-notice")
    assert late is not None
    assert late.ended is Ended.EXPIRED
    before = list(world.sent)
    await world.run_until(end + 40 * DAY)
    assert world.sent == before
    story = world.story(phone)
    assert [event for event in story if event != "renewal-sent"] == [
        "renewed",
        "warning-sent",
        "warning-sent",
        "expired",
        "notice-sent",
    ]
    assert story.count("renewal-sent") == 24


async def test_a_warning_tapped_in_time_begins_a_new_week(world: World) -> None:
    phone = await world.enrol()
    await world.run_until(END - 6 * HOUR)
    used = await world.lives.use(phone.id, "tapped-warning")
    assert used is not None
    assert used.expires_at == END - 6 * HOUR + 7 * DAY
    await world.run_until(used.expires_at - 12 * HOUR)
    assert world.hours_before(END, WARNING)[0] == 12.0
    assert world.hours_before(used.expires_at, WARNING)[-1] == 12.0, "each generation has its own"
    assert world.store.read(lambda tx: tx.outbox.next_due()) is None


async def test_deleting_erases_at_once_and_leaves_a_tombstone(world: World) -> None:
    phone = await world.enrol()
    await world.run_until(START + DAY)
    ended = await world.lives.end(phone.id, Ended.DELETED)
    assert ended is not None
    assert world.life(phone).ended is Ended.DELETED
    assert world.targets(phone.id) == []
    assert world.credentials(phone) is None
    assert len(world.unregisters()) == 1
    await world.run_until(END + DAY)
    assert world.sent == []
    again = await world.lives.end(phone.id, Ended.DELETED)
    assert again == world.life(phone)
    assert len(world.unregisters()) == 1


async def test_a_deleted_app_ends_the_life_when_its_renewal_is_refused(world: World) -> None:
    phone = await world.enrol(tokens=(("only", CALL | NOTICE),))
    world.answer = lambda row, target: TargetGone("Unregistered", gone_at=world.clock.now() - MINUTE)
    await world.run_until(END)
    assert world.life(phone).ended is Ended.TARGETS_GONE
    assert world.life(phone).ended_at == END - DAY
    assert [sent.kind for sent in world.sent] == [RENEW], "silently"
    assert len(world.unregisters()) == 1
    assert world.story(phone) == ["renewal-failed", "target-gone", "ended"]


async def test_a_whole_life_can_be_watched_in_a_minute(world: World) -> None:
    world.policy = short_lives()
    world.restart(world.store)
    phone = await world.enrol()
    end = START + MINUTE
    await world.run_until(end - 19_000)
    view = world.store.read(lambda tx: world.lives.view(tx, phone))
    assert view is not None
    assert (view.stage, view.warnable, len(view.plan)) == (Stage.WARNED, True, 8)
    await world.run_until(end)
    assert [(end - s.at) // 1000 for s in world.sent if s.kind is WARNING] == [20, 8]
    assert world.life(phone).ended is Ended.EXPIRED

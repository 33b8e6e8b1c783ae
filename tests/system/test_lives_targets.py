"""Gone, suspected and restored push targets over a store (law 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened
from tests.system.lives_world import (
    CALL,
    DAY,
    END,
    HOUR,
    MINUTE,
    NOTICE,
    World,
)
from wakerobin.core.pushes import Accepted, PushType, TargetGone
from wakerobin.core.values import Ended, PushRegistration
from wakerobin.ports.store import Transaction
from wakerobin.testing.clock import START

GONE = TargetGone("Unregistered")
SUSPECT = TargetGone("BadDeviceToken", certain=False)


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        yield World(store)


async def test_the_call_target_gone_asks_for_new_ones_and_ends_the_life_after_a_day(world: World) -> None:
    phone = await world.enrol()
    call_target = next(one for one in world.targets(phone.id) if one.purposes == CALL)
    await world.lives.target_gone(call_target, GONE)
    await world.run_until(START + DAY)
    assert [sent.kind for sent in world.sent] == [PushType.TARGETS_NEEDED, PushType.EXPIRED]
    assert world.life(phone).ended is Ended.TARGETS_GONE
    assert world.life(phone).ended_at == START + DAY


async def test_a_use_after_the_call_target_went_gives_a_new_week(world: World) -> None:
    phone = await world.enrol()
    call_target = next(one for one in world.targets(phone.id) if one.purposes == CALL)
    await world.lives.target_gone(call_target, GONE)
    await world.run_until(START + HOUR)
    await world.lives.use(phone.id, "opened")
    assert world.life(phone).expires_at == START + HOUR + 7 * DAY


async def test_the_notice_target_gone_means_that_no_warning_is_waited_for(world: World) -> None:
    phone = await world.enrol()
    notice = next(one for one in world.targets(phone.id) if one.purposes == NOTICE)
    await world.lives.target_gone(notice, GONE)
    view = world.store.read(lambda tx: world.lives.view(tx, phone))
    assert view is not None
    assert not view.warnable
    await world.run_until(END)
    assert world.sent == []
    assert world.life(phone).ended is Ended.EXPIRED


async def test_the_last_target_gone_ends_the_life_at_once_and_silently(world: World) -> None:
    phone = await world.enrol()
    for target in world.targets(phone.id):
        await world.lives.target_gone(target, GONE)
    assert world.life(phone).ended is Ended.TARGETS_GONE
    await world.run_until(START + 6 * MINUTE)
    assert world.sent == []
    assert len(world.unregisters()) == 1
    assert world.credentials(phone) is None


async def test_a_deleted_app_ends_at_once_and_its_binding_waits_for_the_guard(world: World) -> None:
    phone = await world.enrol(tokens=(("only", CALL | NOTICE),))
    await world.lives.target_gone(world.targets(phone.id)[0], GONE)
    assert world.life(phone).ended is Ended.TARGETS_GONE
    assert world.targets(phone.id) == []
    await world.run_until(START + 5 * MINUTE - 1)
    assert world.unregisters() == []
    await world.run_until(START + 5 * MINUTE)
    assert len(world.unregisters()) == 1
    assert world.credentials(phone) is None


async def test_a_refusal_older_than_the_tokens_report_is_ignored(world: World) -> None:
    phone = await world.enrol(tokens=(("only", CALL | NOTICE),))
    (target,) = world.targets(phone.id)
    await world.lives.target_gone(target, TargetGone("Unregistered", gone_at=START - DAY))
    assert world.targets(phone.id) == [target]


async def test_a_token_reported_again_in_between_is_not_removed(world: World) -> None:
    phone = await world.enrol(tokens=(("only", CALL | NOTICE),))
    (target,) = world.targets(phone.id)
    world.clock.advance(MINUTE)
    again = replace(target, reported_at=world.clock.now())
    await world.store.transact(lambda tx: tx.targets.update(again))
    await world.lives.target_gone(target, GONE)
    assert world.targets(phone.id) == [again]
    assert world.life(phone).ended is None


async def test_a_suspect_is_removed_when_refused_again_after_a_day(world: World) -> None:
    phone = await world.enrol(tokens=(("only", CALL | NOTICE),))
    other = await world.enrol("other")
    await world.lives.target_gone(world.targets(phone.id)[0], SUSPECT)
    assert world.targets(phone.id)[0].refused_at == START
    world.clock.advance(DAY)
    await world.lives.target_gone(world.targets(phone.id)[0], SUSPECT)
    assert world.life(phone).ended is None, "nothing shows that the credential works"
    await world.lives.target_accepted(world.targets(other.id)[0], Accepted())
    await world.lives.target_gone(world.targets(phone.id)[0], SUSPECT)
    assert world.life(phone).ended is Ended.TARGETS_GONE


async def test_an_accepted_push_clears_a_suspicion(world: World) -> None:
    phone = await world.enrol(tokens=(("only", CALL | NOTICE),))
    await world.lives.target_gone(world.targets(phone.id)[0], SUSPECT)
    world.clock.advance(HOUR)
    await world.lives.target_accepted(world.targets(phone.id)[0], Accepted())
    (target,) = world.targets(phone.id)
    assert (target.refused_at, target.accepted_at) == (0, START + HOUR)


async def test_many_refusals_at_once_are_our_fault_and_all_of_them_are_undone(world: World) -> None:
    phones = [await world.enrol(f"p{n}", tokens=(("only", CALL | NOTICE),)) for n in range(12)]
    before = [world.life(phone) for phone in phones]
    for phone in phones[:9]:
        world.clock.advance(1000)
        await world.lives.target_gone(world.targets(phone.id)[0], GONE)
        assert world.life(phone).ended is Ended.TARGETS_GONE
    for phone in phones[9:]:
        await world.lives.target_gone(world.targets(phone.id)[0], GONE)
        assert world.life(phone).ended is None
    for phone, was in zip(phones[:9], before[:9], strict=True):
        life = world.life(phone)
        assert (life.ended, life.expires_at, life.generation) == (None, was.expires_at, 2)
        assert [target.token.reveal() for target in world.targets(phone.id)] == [
            f"only-{phone.public_id[3:]}"
        ]
        assert world.credentials(phone) is not None
        assert "targets-restored" in world.story(phone)
    await world.run_until(START + HOUR)
    assert world.unregisters() == []
    await world.run_until(END)
    assert all(world.life(phone).ended is Ended.EXPIRED for phone in phones)


async def test_a_removal_is_not_undone_where_the_installation_has_enrolled_again(world: World) -> None:
    phone = await world.enrol("again", tokens=(("old", CALL | NOTICE),))
    others = [await world.enrol(f"p{n}", tokens=(("only", CALL | NOTICE),)) for n in range(10)]
    await world.lives.target_gone(world.targets(phone.id)[0], GONE)
    anew = replace(phone, id=0, public_id="pr_anew")

    def enrol_again(tx: Transaction) -> PushRegistration:
        registration = tx.registrations.add(anew)
        world.lives.begin_in(tx, registration, world.clock.now())
        return registration

    successor = await world.store.transact(enrol_again)
    for other in others:
        await world.lives.target_gone(world.targets(other.id)[0], GONE)
    assert all(world.life(other).ended is None for other in others)
    assert world.life(phone).ended is Ended.TARGETS_GONE
    assert world.life(successor).ended is None


async def test_a_target_among_others_comes_back_too(world: World) -> None:
    phone = await world.enrol("two", tokens=(("a", CALL | NOTICE), ("b", CALL | NOTICE)))
    others = [await world.enrol(f"p{n}", tokens=(("only", CALL | NOTICE),)) for n in range(10)]
    first = world.targets(phone.id)[0]
    await world.lives.target_gone(first, GONE)
    generation = world.life(phone).generation
    for other in others:
        await world.lives.target_gone(world.targets(other.id)[0], GONE)
    assert {one.token.reveal() for one in world.targets(phone.id)} == {"a-two", "b-two"}
    assert world.life(phone).generation == generation

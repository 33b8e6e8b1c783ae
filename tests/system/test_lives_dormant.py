"""An end that leaves the credentials, so that one use resumes what has expired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import ENGINES, Engine, opened
from tests.system.lives_world import CALL, DAY, END, HOUR, KEYS, NOTICE, World, put_trial
from wakerobin.core.pushes import PushType
from wakerobin.core.values import Algorithm, BindingState, Duration, Ended, PushRegistration
from wakerobin.services.lives import Proof

FOR = 30 * DAY
PROOF = Proof(KEYS, "pbx", Algorithm.MD5)


@pytest.fixture(params=ENGINES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    engine: Engine = request.param(tmp_path)
    async with opened(engine) as store:
        made = World(store)
        made.policy = replace(made.policy, dormant_for=Duration(FOR))
        yield made


async def asleep(world: World) -> PushRegistration:
    """Enrol and leave it until it is dormant."""
    phone = await world.enrol()
    await world.run_until(END + HOUR)
    assert world.life(phone).ended is Ended.DORMANT
    return phone


async def test_the_binding_goes_and_the_credentials_stay(world: World) -> None:
    phone = await asleep(world)
    account, [work] = world.account(phone), world.unregisters()
    assert (account.proven, account.state) == (False, BindingState.UNPROVEN)
    assert world.credentials(phone) == work.credentials, "the un-REGISTER has a copy"
    assert {t.token.reveal() for t in world.targets(phone.id)} == {"voip-phone", "alert-phone"}
    assert world.sent[-1].kind is PushType.EXPIRED


async def test_one_use_resumes_it_as_another_contact(world: World) -> None:
    phone = await asleep(world)
    before = world.account(phone)
    life = await world.lives.use(phone.id, "opened")
    after = world.account(phone)
    assert life is not None
    assert (life.ended, life.expires_at) == (None, world.clock.now() + 7 * DAY)
    assert (after.proven, after.state) == (True, BindingState.REGISTERING)
    assert after.contact_user not in ("", before.contact_user)
    assert world.resumed == [phone.account_id]
    assert len(world.unregisters()) == 1, "the old Contact is removed all the same"
    assert await world.lives.use(phone.id, "opened")
    assert world.resumed == [phone.account_id], "a use of a living one resumes nothing"
    await world.run_until(world.clock.now() + 8 * DAY)
    assert world.life(phone).ended is Ended.DORMANT, "its life goes on as any other"


async def test_after_its_time_it_ends_for_good(world: World) -> None:
    phone = await asleep(world)
    await world.run_until(END + FOR + DAY)
    assert world.life(phone).ended is Ended.EXPIRED
    assert world.credentials(phone) is None
    assert world.targets(phone.id) == []
    assert len(world.unregisters()) == 1
    life = await world.lives.use(phone.id, "opened")
    assert life is not None
    assert life.ended is Ended.EXPIRED
    assert world.resumed == []


async def test_a_deleted_one_ends_for_good_at_once(world: World) -> None:
    phone = await asleep(world)
    await world.lives.end(phone.id, Ended.DELETED)
    assert world.life(phone).ended is Ended.DELETED
    assert world.credentials(phone) is None
    assert world.targets(phone.id) == []


async def test_credentials_stay_as_long_as_any_of_the_account_is_dormant(world: World) -> None:
    phone = await world.enrol()
    other = await world.enrol("tablet", account=world.account(phone))
    await world.run_until(END + 3 * DAY)
    assert world.life(phone).ended is world.life(other).ended is Ended.DORMANT
    await world.lives.end(other.id, Ended.DELETED)
    assert world.credentials(phone) is not None
    await world.lives.end(phone.id, Ended.DELETED)
    assert world.credentials(phone) is None


async def test_where_another_phone_of_the_account_is_active_nothing_is_released(world: World) -> None:
    phone = await world.enrol()
    world.clock.advance(6 * DAY)
    await world.enrol("tablet", account=world.account(phone))
    await world.run_until(END + HOUR)
    before = world.account(phone)
    assert world.life(phone).ended is Ended.DORMANT
    assert (before.proven, world.unregisters()) == (True, [])
    await world.lives.use(phone.id, "opened")
    assert world.account(phone) == before
    assert world.life(phone).ended is None


async def test_an_installation_that_enrols_anew_replaces_its_dormant_one(world: World) -> None:
    phone = await asleep(world)
    anew = await world.enrol("again", account=world.account(phone), proven=False)
    same = replace(anew, installation=phone.installation)
    await world.store.transact(lambda tx: tx.registrations.update(same))
    await put_trial(world, same)
    assert await world.lives.proven(same.id, PROOF)
    assert world.life(phone).ended is Ended.DELETED
    assert world.life(anew).ended is None
    assert world.credentials(anew) is not None


async def test_the_account_of_a_dormant_one_is_not_swept_away(world: World) -> None:
    phone = await asleep(world)
    await world.lives.forget((await world.enrol("x", account=world.account(phone), proven=False)).id)
    assert world.credentials(phone) is not None
    assert await world.lives.use(phone.id, "opened")
    assert world.account(phone).proven


async def test_the_last_target_that_is_gone_ends_a_dormant_one(world: World) -> None:
    phone = await world.enrol(tokens=(("both", CALL | NOTICE),))
    await world.run_until(END + HOUR)
    assert world.life(phone).ended is Ended.DORMANT
    (target,) = world.targets(phone.id)
    await world.gone(target)
    assert world.life(phone).ended is Ended.TARGETS_GONE
    world.clock.advance(10 * HOUR)
    await world.run_until(world.clock.now())
    assert world.credentials(phone) is None
